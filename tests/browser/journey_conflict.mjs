// Two browsers change the same settings: nothing is lost, and each setting is decided by itself.
import assert from 'node:assert/strict';
import { OTHER, enter, journey, row, setting, api } from './console.mjs';

const edit = async (page, name, value) => {
  await page.getByRole('button', { name: `Edit ${name}`, exact: true }).click();
  await page.getByRole('spinbutton', { name, exact: true }).fill(String(value));
};
const save = async (page, reason) => {
  await page.getByRole('button', { name: 'Review and save' }).click();
  await page.getByLabel('Reason').fill(reason);
  await page.keyboard.press('Control+Enter');
};

await journey(async (page) => {
  await enter(page);
  const other = await page.context().browser().newPage();
  await enter(other, '#/settings', OTHER);
  await edit(page, 'Cooldown minutes', 45);
  await edit(page, 'Session max minutes', 20);
  await edit(page, 'Max sessions per day', 5);
  await page.getByRole('button', { name: 'Edit Eligibility allowed levels' }).click();
  await page.getByRole('combobox', { name: 'Eligibility allowed levels' }).fill('b1');
  await page.keyboard.press('Enter');

  // The other is faster with two of them, and wants a third the same.
  await edit(other, 'Cooldown minutes', 60);
  await edit(other, 'Max sessions per day', 5);
  await other.getByRole('button', { name: 'Edit Eligibility allowed levels' }).click();
  await other.getByRole('combobox', { name: 'Eligibility allowed levels' }).fill('c1');
  await other.keyboard.press('Enter');
  await save(other, 'longer evenings');
  await other.getByText('Saved 3 changes').first().waitFor();

  // It is told where it happens, and the draft stands.
  await page.getByText('ben changed 3 settings').waitFor();
  const bar = page.getByRole('region', { name: 'Unsaved changes' });
  await bar.getByText('2 conflicts').waitFor();
  await bar.getByText('3 unsaved changes').waitFor();
  await row(page, 'BRUNE_COOLDOWN_MINUTES').getByText('ben changed the value to 60').waitFor();
  assert.equal(await page.getByRole('spinbutton', { name: 'Cooldown minutes' }).inputValue(), '45');

  await bar.getByRole('button', { name: 'Review and save' }).click();
  const dialog = page.getByRole('dialog');
  const cooldown = dialog.getByRole('group', { name: 'Cooldown minutes' });
  for (const side of ['Original', 'Keep theirs', 'Keep mine']) await cooldown.getByText(side).waitFor();
  await dialog.getByRole('button', { name: 'Continue' }).click();
  await dialog.getByText('Choose a value for Cooldown minutes').waitFor();
  await cooldown.getByRole('radio', { name: 'Keep theirs' }).check();
  await dialog.getByRole('group', { name: 'Eligibility allowed levels' }).getByRole('radio', { name: 'Merge both' }).check();
  await dialog.getByRole('button', { name: 'Continue' }).click();
  await dialog.getByLabel('Reason').fill('both of us');
  await page.keyboard.press('Control+Enter');
  await page.getByText('Saved 2 changes as revision 3').first().waitFor();
  const now = async (key) => (await setting(key)).value;
  assert.equal(await now('BRUNE_COOLDOWN_MINUTES'), 60);
  assert.equal(await now('BRUNE_SESSION_MAX_MINUTES'), 20);
  assert.deepEqual(await now('BRUNE_ELIGIBILITY_ALLOWED_LEVELS'), ['c1', 'b1']);

  // Faster than the news: the refusal itself leads to the same choice, and no lost update.
  await edit(page, 'Cooldown minutes', 70);
  await page.getByRole('button', { name: 'Review and save' }).click();
  await dialog.getByLabel('Reason').fill('seventy');
  let between = false;
  await page.route('**/admin/global-settings', async (route) => {
    if (between || route.request().method() !== 'PATCH') return route.continue();
    between = true;
    await api('PATCH', '/admin/global-settings', { reason: 'in between', changes: [{ key: 'BRUNE_COOLDOWN_MINUTES', value: 80, version: 2 }] });
    return route.continue();
  });
  await page.keyboard.press('Control+Enter');
  await cooldown.getByRole('radio', { name: 'Keep mine' }).check();
  await dialog.getByRole('button', { name: 'Continue' }).click();
  await page.keyboard.press('Control+Enter');
  await dialog.waitFor({ state: 'detached' });
  assert.deepEqual([await now('BRUNE_COOLDOWN_MINUTES'), (await setting('BRUNE_COOLDOWN_MINUTES')).version], [70, 4]);
  await other.close();
});
