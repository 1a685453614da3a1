// Secrets: status, source and instructions, and the deletion of secrets that an older release stored. No value is ever shown.
import assert from 'node:assert/strict';
import { api, enter, journey } from './console.mjs';

await journey(async (page) => {
  const bodies = [];
  page.on('response', async (response) => bodies.push(await response.text().catch(() => '')));
  await enter(page, '#/secrets');
  const row = (name) => page.getByRole('row').filter({ has: page.getByRole('rowheader', { name }) });
  await row('JWT_SECRET').getByText('present').waitFor();
  await row('INTERNAL_API_KEY').getByText('How to provide').click();
  await row('INTERNAL_API_KEY').getByText('INTERNAL_API_KEY_FILE').first().waitFor();
  await page.getByRole('button', { name: 'Delete…' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Reason').fill('it is in the environment now');
  await dialog.getByRole('button', { name: 'Delete' }).click();
  await dialog.waitFor({ state: 'detached' });
  await page.getByText('JWT_SECRET').first().waitFor();
  const { secrets } = await api('GET', '/admin/secrets');
  const storedSecrets = secrets.filter((secret) => secret.legacy_residue).map((secret) => secret.name);
  assert.deepEqual(storedSecrets, ['OPENAI_API_KEY']);
  const { entries } = await api('GET', '/admin/global-settings/history?action=secret_cleanup');
  assert.deepEqual(entries.map((entry) => [entry.key, entry.changed_by, entry.reason]), [['JWT_SECRET', 'ada', 'it is in the environment now']]);
  await page.getByText('because there is no other source').first().waitFor();
  const pageText = await page.locator('body').innerText();
  for (const text of [pageText, ...bodies]) assert.ok(!text.includes('residue-of-old'), 'the value of a secret was sent or shown');
});
