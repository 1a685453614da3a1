// Secrets: which are there, where from, how to provide them; what an older release left is cleaned up. Never a value.
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
  const left = (await api('GET', '/admin/secrets')).secrets.filter((it) => it.legacy_residue).map((it) => it.name);
  assert.deepEqual(left, ['OPENAI_API_KEY']);
  const { entries } = await api('GET', '/admin/global-settings/history?action=secret_cleanup');
  assert.deepEqual(entries.map((it) => [it.key, it.changed_by, it.reason]), [['JWT_SECRET', 'ada', 'it is in the environment now']]);
  await page.getByText(/no environment source|not provided|kept/i).first().waitFor();
  const shown = await page.locator('body').innerText();
  for (const text of [shown, ...bodies]) assert.ok(!text.includes('residue-of-old'), 'a value is told');
});
