// Editing settings: rejected values, a value that another setting must allow, the review, saving, reverting.
import assert from 'node:assert/strict';
import { BASE, api, enter, journey, row, setting } from './console.mjs';

const REASON = 'the next model, and calmer evenings';

await journey(async (page) => {
  await enter(page);
  const cooldown = row(page, 'BRUNE_COOLDOWN_MINUTES');
  const bar = page.getByRole('region', { name: 'Unsaved changes' });

  // An invalid value is reported below the field while the user types.
  await cooldown.getByRole('button', { name: 'Edit Cooldown minutes' }).click();
  const minutes = page.getByRole('spinbutton', { name: 'Cooldown minutes' });
  for (const [text, error] of [['999', 'Must be between 0 and 240.'], ['1.5', 'Must be an integer.'], ['', 'Must be a number.']]) {
    await minutes.fill(text);
    await cooldown.getByText(error).waitFor();
    assert.equal(await minutes.getAttribute('aria-invalid'), 'true');
  }
  await bar.getByText('1 invalid').waitFor();
  await minutes.press('Escape');
  await bar.waitFor({ state: 'hidden' });
  const editButton = cooldown.getByRole('button', { name: 'Edit Cooldown minutes' });
  assert.ok(await editButton.evaluate((element) => element === document.activeElement));

  // The service checks the pattern, and its error is shown.
  const prompt = row(page, 'BRUNE_PROMPT_ID');
  await prompt.getByRole('button', { name: 'Edit Prompt id' }).click();
  await page.getByRole('textbox', { name: 'Prompt id' }).fill('no prompt');
  await prompt.locator('.error').waitFor();
  await prompt.getByRole('button', { name: 'Undo' }).click();

  // A model outside the allowlist can be added to the allowlist in the same change.
  const model = row(page, 'BRUNE_OPENAI_REALTIME_MODEL');
  await model.getByRole('button', { name: 'Edit Openai realtime model' }).click();
  await page.getByRole('combobox', { name: 'Openai realtime model', exact: true }).selectOption({ label: 'Other…' });
  await page.getByRole('textbox', { name: 'Openai realtime model', exact: true }).fill('gpt-next');
  await model.getByRole('button', { name: 'Add to Openai realtime model allowlist' }).click();
  await model.locator('.error').waitFor({ state: 'detached' });
  await editButton.click();
  await minutes.fill('45');
  await page.getByRole('switch', { name: 'Eligibility require plan' }).click();
  await bar.getByText('4 unsaved changes').waitFor();

  // The draft survives a reload.
  await page.reload();
  await bar.getByText('4 unsaved changes').waitFor();
  await bar.getByRole('button', { name: 'Review and save' }).click();
  const dialog = page.getByRole('dialog', { name: 'Review and save' });
  await dialog.getByText('No sessions are running').first().waitFor();
  await dialog.getByRole('button', { name: 'Save 4 changes' }).click();
  await dialog.getByText('Enter a reason of at least 3 characters').waitFor();
  await dialog.getByLabel('Reason').fill(REASON);
  await dialog.getByLabel('Wait until all instances have applied the change').check();
  await page.keyboard.press('Control+Enter');
  await dialog.waitFor({ state: 'detached' });
  await page.getByText('Saved 4 changes as revision 2. Applied by 1 of 1 instance.').first().waitFor();
  await bar.waitFor({ state: 'hidden' });
  assert.equal((await setting('BRUNE_COOLDOWN_MINUTES')).value, 45);
  assert.equal((await setting('BRUNE_OPENAI_REALTIME_MODEL')).value, 'gpt-next');
  const { entries } = await api('GET', '/admin/global-settings/history?revision=2');
  assert.equal(entries.length, 4);
  assert.ok(entries.every((entry) => entry.reason === REASON && entry.changed_by === 'ada'), JSON.stringify(entries));
  await cooldown.getByText('45').waitFor();

  // The banner reverts the revision.
  await page.getByRole('button', { name: 'Revert' }).click();
  const rollback = page.getByRole('dialog');
  await rollback.getByLabel('Reason').fill('it was too soon');
  await page.keyboard.press('Control+Enter');
  await rollback.waitFor({ state: 'detached' });
  await cooldown.getByText('30').waitFor();
  assert.equal((await setting('BRUNE_OPENAI_REALTIME_MODEL')).value, 'gpt-realtime-2.1');
  assert.equal((await api('GET', '/admin/global-settings')).revision, 3);

  // A list as JSON and YAML, with the line and column of a syntax error.
  const levels = row(page, 'BRUNE_ELIGIBILITY_ALLOWED_LEVELS');
  await levels.getByRole('button', { name: 'Edit Eligibility allowed levels' }).click();
  await levels.getByRole('button', { name: /Edit as text/ }).click();
  const text = page.getByRole('textbox', { name: 'Eligibility allowed levels as text' });
  const apply = page.getByRole('button', { name: 'Apply' });
  await text.fill('["b1",\n "b2" "c1"]');
  await page.getByText('Line 2, column 7').waitFor();
  assert.ok(await apply.isDisabled());
  await page.getByRole('radio', { name: 'YAML' }).check();
  await text.fill('- b1\n- "b2\n');
  await page.getByText(/^Line \d/).waitFor();
  await text.fill('- b1\n- b2');
  await apply.click();
  await levels.getByText('b2').first().waitFor();
  await bar.getByRole('button', { name: 'Discard' }).click();
  await page.getByRole('button', { name: 'Undo' }).click();
  await bar.getByText('1 unsaved change').waitFor();
  await page.goto(`${BASE}/admin/#/settings?search=levels`);
  await bar.getByText('1 unsaved change').waitFor();
});
