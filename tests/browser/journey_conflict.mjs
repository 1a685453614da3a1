// Two browsers change the same settings: no change is lost, and each conflict is resolved by itself.
import assert from 'node:assert/strict';
import { OTHER, change, enter, interception, journey, row, setting } from './console.mjs';

const edit = async (page, name, value) => {
  await page.getByRole('button', { name: `Edit ${name}`, exact: true }).click();
  await page.getByRole('spinbutton', { name, exact: true }).fill(String(value));
};
const addLevel = async (page, level) => {
  await page.getByRole('button', { name: 'Edit Eligibility allowed levels' }).click();
  await page.getByRole('combobox', { name: 'Eligibility allowed levels' }).fill(level);
  await page.keyboard.press('Enter');
};
const save = async (page, reason) => {
  await page.getByRole('button', { name: 'Review and save' }).click();
  await page.getByLabel('Reason').fill(reason);
  await page.keyboard.press('Control+Enter');
};
const valueOf = async (key) => (await setting(key)).value;

await journey(async (page) => {
  const beforeSaving = await interception(page, 'PATCH', '**/admin/global-settings');
  await enter(page);
  const other = await page.context().browser().newPage();
  await enter(other, '#/settings', OTHER);
  await edit(page, 'Cooldown minutes', 45);
  await edit(page, 'Session max minutes', 20);
  await edit(page, 'Max sessions per day', 5);
  await addLevel(page, 'b1');

  // The other user saves first: two different values, and one equal value.
  await edit(other, 'Cooldown minutes', 60);
  await edit(other, 'Max sessions per day', 5);
  await addLevel(other, 'c1');
  await save(other, 'longer evenings');
  await other.getByText('Saved 3 changes').first().waitFor();

  // The conflicts are shown at the settings, and the draft is kept.
  await page.getByText('ben changed 3 settings').waitFor();
  const bar = page.getByRole('region', { name: 'Unsaved changes' });
  await bar.getByText('2 conflicts').waitFor();
  await bar.getByText('3 unsaved changes').waitFor();
  await row(page, 'BRUNE_COOLDOWN_MINUTES').getByText('ben changed the value to 60').waitFor();
  assert.equal(await page.getByRole('spinbutton', { name: 'Cooldown minutes' }).inputValue(), '45');

  await bar.getByRole('button', { name: 'Review and save' }).click();
  const dialog = page.getByRole('dialog');
  const cooldown = dialog.getByRole('group', { name: 'Cooldown minutes' });
  const levels = dialog.getByRole('group', { name: 'Eligibility allowed levels' });
  for (const title of ['Original', 'Keep theirs', 'Keep mine']) await cooldown.getByText(title).waitFor();
  await dialog.getByRole('button', { name: 'Continue' }).click();
  await dialog.getByText('Choose a value for Cooldown minutes').waitFor();
  await cooldown.getByRole('radio', { name: 'Keep theirs' }).check();
  await levels.getByRole('radio', { name: 'Merge both' }).check();
  await dialog.getByRole('button', { name: 'Continue' }).click();
  await dialog.getByLabel('Reason').fill('both of us');
  await page.keyboard.press('Control+Enter');
  await page.getByText('Saved 2 changes as revision 3').first().waitFor();
  assert.equal(await valueOf('BRUNE_COOLDOWN_MINUTES'), 60);
  assert.equal(await valueOf('BRUNE_SESSION_MAX_MINUTES'), 20);
  assert.deepEqual(await valueOf('BRUNE_ELIGIBILITY_ALLOWED_LEVELS'), ['c1', 'b1']);

  // A change between the live update and the request: the 409 leads to the same resolution.
  await edit(page, 'Cooldown minutes', 70);
  await page.getByRole('button', { name: 'Review and save' }).click();
  await dialog.getByLabel('Reason').fill('seventy');
  beforeSaving(() => change({ BRUNE_COOLDOWN_MINUTES: 80 }, 'in between'));
  await page.keyboard.press('Control+Enter');
  // The reason, which had the focus, is hidden.
  await page.waitForFunction(() => document.activeElement?.type === 'radio');
  // A further change draws the choices again. The focus stays at the same choice.
  const mine = cooldown.getByRole('radio', { name: 'Keep mine' });
  await mine.focus();
  await change({ BRUNE_COOLDOWN_MINUTES: 85 }, 'once more');
  await cooldown.getByText('85').waitFor();
  assert.ok(await mine.evaluate((element) => element === document.activeElement));
  await cooldown.getByRole('radio', { name: 'Keep mine' }).check();
  await dialog.getByRole('button', { name: 'Continue' }).click();
  await page.keyboard.press('Control+Enter');
  await dialog.waitFor({ state: 'detached' });
  const { value, version } = await setting('BRUNE_COOLDOWN_MINUTES');
  assert.deepEqual({ value, version }, { value: 70, version: 5 });
  await other.close();
});
