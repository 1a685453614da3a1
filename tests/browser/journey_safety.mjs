// Banners and the fleet page: a freeze and its end, a stop of session starts and its end, an emergency of another person.
import assert from 'node:assert/strict';
import { BASE, USER, api, enter, journey, setting, tabTo, timeAfter, visit } from './console.mjs';

const HOUR = 3_600_000;
const inputTime = (date) => new Date(date - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
const startStatus = async () => (await fetch(`${BASE}/brun-e/start`, { method: 'POST', headers: { Authorization: `Bearer ${USER}` } })).status;

await journey(async (page) => {
  await enter(page, '#/fleet');
  const dialog = page.getByRole('dialog').last();
  const banners = page.getByRole('region', { name: 'Notifications' });
  const banner = (text) => banners.getByRole('status').filter({ hasText: text });

  // A freeze is set and ended by keyboard.
  await page.getByText('No freeze is set').waitFor();
  await tabTo(page, page.getByRole('button', { name: 'Freeze settings…' }));
  await page.keyboard.press('Enter');
  await dialog.getByLabel('Reason').fill('big launch');
  await page.keyboard.press('Control+Enter');
  await dialog.getByText('The end is missing').waitFor();
  await dialog.getByLabel('Until').fill(inputTime(new Date(await timeAfter(2 * HOUR))));
  await page.keyboard.press('Control+Enter');
  await dialog.waitFor({ state: 'detached' });
  await banner('Settings are frozen until').getByText('big launch').waitFor();
  const row = page.getByRole('table', { name: 'Freezes' }).getByRole('row').filter({ hasText: 'big launch' });
  await row.getByText('in force').waitFor();
  assert.equal((await api('GET', '/admin/freezes')).active.set_by, 'ada');

  // A dismissed banner stays away, also after a reload, and the freeze stays on the fleet page.
  await banner('big launch').getByRole('button', { name: 'Dismiss' }).click();
  await banner('big launch').waitFor({ state: 'detached' });
  await page.reload();
  await row.getByRole('button', { name: 'End freeze: big launch' }).waitFor();
  await visit(page, '#/settings');
  await visit(page, '#/fleet');
  await row.getByRole('button', { name: 'End freeze: big launch' }).waitFor();
  assert.equal(await banner('big launch').count(), 0);

  // A freeze that begins within a day is announced, and can be cancelled.
  const time = (hours) => timeAfter(hours * HOUR);
  await api('POST', '/admin/freezes', { reason: 'weekend', starts_at: await time(3), ends_at: await time(9) });
  await api('POST', '/admin/freezes', { reason: 'next month', starts_at: await time(700), ends_at: await time(800) });
  await page.evaluate(() => document.dispatchEvent(new Event('visibilitychange')));
  await banner('Settings will be frozen from').getByText('weekend').waitFor();
  assert.equal(await banner('next month').count(), 0);
  await banner('weekend').getByRole('button', { name: 'Cancel freeze…' }).click();
  await dialog.getByLabel('Reason').fill('not needed');
  await page.keyboard.press('Control+Enter');
  await banner('weekend').waitFor({ state: 'detached' });
  await row.getByRole('button', { name: 'End freeze: big launch' }).click();
  await dialog.getByLabel('Reason').fill('the launch is over');
  await dialog.getByRole('button', { name: 'End freeze' }).click();
  await row.waitFor({ state: 'detached' });
  assert.equal((await api('GET', '/admin/freezes')).active, null);

  // Session starts are stopped and resumed.
  await page.getByRole('button', { name: 'Stop session starts…' }).click();
  await dialog.getByLabel('Minutes').fill('0');
  await dialog.getByLabel('Reason').fill('the provider is down');
  await page.keyboard.press('Control+Enter');
  await dialog.getByText('must be an integer between 1 and 1440').waitFor();
  await dialog.getByLabel('Minutes').fill('20');
  await page.keyboard.press('Control+Enter');
  await banner('Session starts are stopped until').getByText('the provider is down').waitFor();
  assert.equal(await startStatus(), 503);
  await visit(page, '#/settings');
  await tabTo(page, banner('the provider is down').getByRole('button', { name: 'Resume…' }));
  await page.keyboard.press('Enter');
  await dialog.getByLabel('Reason').fill('the provider is back');
  await page.keyboard.press('Control+Enter');
  await banner('the provider is down').waitFor({ state: 'detached' });
  assert.equal(await startStatus(), 201);

  // An emergency of another person waits for an acknowledgement.
  const { version } = await setting('BRUNE_COOLDOWN_MINUTES');
  await api('PATCH', '/admin/global-settings?emergency=true', { reason: 'users wait too long', changes: [{ key: 'BRUNE_COOLDOWN_MINUTES', value: 0, version }] });
  const link = banner('Emergency change by ben').getByRole('link', { name: 'View proposal 1' });
  await link.waitFor();
  assert.equal(await link.getAttribute('href'), '#/proposals/1');
  // The author cannot acknowledge the emergency, so only other people are asked.
  await page.evaluate(async (token) => fetch(new URL('../admin/proposals/1/verdicts', document.baseURI), {
    method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ edition: 1, verdict: 'acknowledge' }),
  }), null);
  await page.evaluate(() => document.dispatchEvent(new Event('visibilitychange')));
  await banner('Emergency change').waitFor({ state: 'detached' });
});
