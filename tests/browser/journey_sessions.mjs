// Sessions: the values that running sessions keep, ending a session. Fleet: instances, the audit chain, the outbox. Changes of
// others appear without a reload.
import assert from 'node:assert/strict';
import { USER, api, change, enter, journey, row, visit } from './console.mjs';

await journey(async (page) => {
  const session = await api('POST', '/brun-e/start', undefined, USER);
  await enter(page);
  await change({ BRUNE_SESSION_MAX_MINUTES: 20 }, 'shorter');
  await page.getByText('ben changed').waitFor();
  await row(page, 'BRUNE_SESSION_MAX_MINUTES').getByText('1 running session keeps 30').waitFor();

  await row(page, 'BRUNE_SESSION_MAX_MINUTES').getByRole('button', { name: 'Edit Session max minutes' }).click();
  await page.getByRole('spinbutton', { name: 'Session max minutes' }).fill('25');
  await page.getByRole('button', { name: 'Review and save' }).click();
  await page.getByText('Applies to new sessions only; 1 running session keeps 30.').waitFor();
  await page.keyboard.press('Escape');

  await visit(page, '#/sessions');
  await page.getByText('1 running session').waitFor();
  await page.getByRole('link', { name: session.session_id }).click();
  await page.getByText('changed').first().waitFor();
  await page.getByRole('button', { name: /^End session/ }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Reason').fill('it was forgotten');
  await page.keyboard.press('Control+Enter');
  await page.getByText('it was forgotten').first().waitFor();
  const response = await api('GET', `/admin/sessions/${session.session_id}`);
  assert.deepEqual([response.status, response.ended_by, response.end_reason], ['ended', 'ada', 'it was forgotten']);

  await visit(page, '#/fleet');
  await page.getByText('up to date').first().waitFor();
  await page.getByRole('button', { name: 'Verify now' }).click();
  await page.getByText('The audit chain is intact').first().waitFor();
  await page.getByText('ALERT_WEBHOOK_URL').first().waitFor();
});
