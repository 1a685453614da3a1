// Someone changes settings: values that are refused, one that needs another, the review, saving, and taking it back.
import assert from 'node:assert/strict';
import { BASE, api, enter, journey, row, setting } from './console.mjs';

await journey(async (page) => {
  await enter(page);
  const cooldown = row(page, 'BRUNE_COOLDOWN_MINUTES');
  const bar = page.getByRole('region', { name: 'Unsaved changes' });

  // What is no value, or not allowed, is told under the field while it is typed.
  await cooldown.getByRole('button', { name: 'Edit Cooldown minutes' }).click();
  const minutes = page.getByRole('spinbutton', { name: 'Cooldown minutes' });
  for (const [typed, told] of [['999', 'Must be between 0 and 240.'], ['1.5', 'Must be an integer.'], ['', 'Must be a number.']]) {
    await minutes.fill(typed);
    await cooldown.getByText(told).waitFor();
    assert.equal(await minutes.getAttribute('aria-invalid'), 'true');
  }
  await bar.getByText('1 invalid').waitFor();
  await minutes.press('Escape');
  await bar.waitFor({ state: 'hidden' });
  assert.ok(await cooldown.getByRole('button', { name: 'Edit Cooldown minutes' }).evaluate((it) => it === document.activeElement));

  // A pattern is the service's to check, and its words are shown.
  const prompt = row(page, 'BRUNE_PROMPT_ID');
  await prompt.getByRole('button', { name: 'Edit Prompt id' }).click();
  await page.getByRole('textbox', { name: 'Prompt id' }).fill('no prompt');
  await prompt.locator('.error').waitFor();
  await prompt.getByRole('button', { name: 'Undo' }).click();

  // A model that is not on the list is offered to be put there in the same change.
  const model = row(page, 'BRUNE_OPENAI_REALTIME_MODEL');
  await model.getByRole('button', { name: 'Edit Openai realtime model' }).click();
  await page.getByRole('combobox', { name: 'Openai realtime model', exact: true }).selectOption({ label: 'Other…' });
  await page.getByRole('textbox', { name: 'Openai realtime model', exact: true }).fill('gpt-next');
  await model.getByRole('button', { name: 'Add to Openai realtime model allowlist' }).click();
  await model.locator('.error').waitFor({ state: 'detached' });
  await cooldown.getByRole('button', { name: 'Edit Cooldown minutes' }).click();
  await minutes.fill('45');
  await page.getByRole('switch', { name: 'Eligibility require plan' }).click();
  await bar.getByText('4 unsaved changes').waitFor();

  // The draft outlives the page and a reload.
  await page.reload();
  await bar.getByText('4 unsaved changes').waitFor();
  await bar.getByRole('button', { name: 'Review and save' }).click();
  const dialog = page.getByRole('dialog', { name: 'Review and save' });
  await dialog.getByText('No sessions are running').first().waitFor();
  const save = dialog.getByRole('button', { name: 'Save 4 changes' });
  await save.click();
  await dialog.getByText('Enter a reason of at least 3 characters').waitFor();
  await dialog.getByLabel('Reason').fill('the next model, and calmer evenings');
  await dialog.getByLabel('Wait until all instances have applied the change').check();
  await page.keyboard.press('Control+Enter');
  await dialog.waitFor({ state: 'detached' });
  await page.getByText('Saved 4 changes as revision 2. Applied by 1 of 1 instance.').first().waitFor();
  await bar.waitFor({ state: 'hidden' });
  assert.equal((await setting('BRUNE_COOLDOWN_MINUTES')).value, 45);
  assert.equal((await setting('BRUNE_OPENAI_REALTIME_MODEL')).value, 'gpt-next');
  const { entries } = await api('GET', '/admin/global-settings/history?revision=2');
  assert.equal(entries.length, 4);
  assert.ok(entries.every((it) => it.reason === 'the next model, and calmer evenings' && it.changed_by === 'ada'), JSON.stringify(entries));
  await cooldown.getByText('45').waitFor();

  // And back.
  await page.getByRole('button', { name: 'Revert' }).click();
  const back = page.getByRole('dialog');
  await back.getByLabel('Reason').fill('it was too soon');
  await page.keyboard.press('Control+Enter');
  await back.waitFor({ state: 'detached' });
  await cooldown.getByText('30').waitFor();
  assert.equal((await setting('BRUNE_OPENAI_REALTIME_MODEL')).value, 'gpt-realtime-2.1');
  assert.equal((await api('GET', '/admin/global-settings')).revision, 3);

  // A list as text: the service says where it fails.
  const levels = row(page, 'BRUNE_ELIGIBILITY_ALLOWED_LEVELS');
  await levels.getByRole('button', { name: 'Edit Eligibility allowed levels' }).click();
  await levels.getByRole('button', { name: /Edit as text/ }).click();
  const text = page.getByRole('textbox', { name: 'Eligibility allowed levels as text' });
  const take = page.getByRole('button', { name: 'Apply' });
  await text.fill('["b1",\n "b2" "c1"]');
  await page.getByText('Line 2, column 7').waitFor();
  assert.ok(await take.isDisabled());
  await page.getByRole('radio', { name: 'YAML' }).check();
  await text.fill('- b1\n- "b2\n');
  await page.getByText(/^Line \d/).waitFor();
  await text.fill('- b1\n- b2');
  await take.click();
  await levels.getByText('b2').first().waitFor();
  await bar.getByRole('button', { name: 'Discard' }).click();
  await page.getByRole('button', { name: 'Undo' }).click();
  await bar.getByText('1 unsaved change').waitFor();
  await page.goto(`${BASE}/admin/#/settings?search=levels`);
  await bar.getByText('1 unsaved change').waitFor();
});
