// Restoring from the history: a value, a revision, a value that the current rules reject, a rollback without changes.
import assert from 'node:assert/strict';
import { api, change, enter, journey, setting, visit } from './console.mjs';

const COOLDOWN = 'BRUNE_COOLDOWN_MINUTES';

await journey(async (page) => {
  await change({ [COOLDOWN]: 45, BRUNE_SESSION_MAX_MINUTES: 20 }, 'calmer evenings');
  await change({ BRUNE_OPENAI_REALTIME_MODEL_ALLOWLIST: ['gpt-realtime-2.1', 'gpt-old'], BRUNE_OPENAI_REALTIME_MODEL: 'gpt-old' }, 'the old one');
  await change({ BRUNE_OPENAI_REALTIME_MODEL_ALLOWLIST: ['gpt-realtime-2.1'], BRUNE_OPENAI_REALTIME_MODEL: 'gpt-realtime-2.1' }, 'no, the new one');
  await enter(page, `#/history?key=${COOLDOWN}`);
  const dialog = page.getByRole('dialog');

  await page.getByRole('button', { name: 'Restore this value: version 1 of Cooldown minutes' }).click();
  await dialog.getByText('saved as version 3').waitFor();
  await dialog.getByLabel('Reason').fill('as it was');
  await dialog.getByRole('button', { name: 'Restore' }).click();
  await dialog.waitFor({ state: 'detached' });
  assert.deepEqual([(await setting(COOLDOWN)).value, (await setting(COOLDOWN)).version], [30, 3]);

  // The current rules reject the value, and the dialog cannot be submitted.
  await visit(page, '#/history?key=BRUNE_OPENAI_REALTIME_MODEL');
  await page.getByRole('button', { name: 'Restore this value: version 2 of Openai realtime model' }).click();
  await dialog.getByRole('alert').getByText('BRUNE_OPENAI_REALTIME_MODEL', { exact: true }).waitFor();
  assert.ok(await dialog.getByRole('button', { name: 'Restore' }).isDisabled());
  await page.keyboard.press('Escape');

  // A whole revision, from the page of an entry.
  const { entries: [entry] } = await api('GET', '/admin/global-settings/history?key=BRUNE_SESSION_MAX_MINUTES&action=update');
  await visit(page, `#/history/${entry.id}`);
  await page.getByText('calmer evenings').first().waitFor();
  await page.getByRole('button', { name: /^Roll back to revision/ }).click();
  await dialog.getByText('Session max minutes').first().waitFor();
  await dialog.getByLabel('Reason').fill('all of it back');
  await page.keyboard.press('Control+Enter');
  await dialog.waitFor({ state: 'detached' });
  assert.equal((await setting('BRUNE_SESSION_MAX_MINUTES')).value, 30);

  // A rollback without changes cannot be submitted.
  await page.getByRole('heading', { level: 1, name: 'History' }).waitFor();
  await visit(page, `#/history/${entry.id}`);
  await page.getByRole('button', { name: /^Roll back to revision/ }).click();
  await dialog.getByText(/no changes/i).first().waitFor();
  assert.ok(await dialog.getByRole('button', { name: 'Restore' }).isDisabled());
  await page.keyboard.press('Escape');

  // The filtered list can be downloaded.
  await visit(page, '#/history?changed_by=ada&action=rollback');
  assert.equal(await page.locator('tbody tr').filter({ hasText: 'as it was' }).count(), 1);
  const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'Download CSV' }).click()]);
  const csv = await new Response((await import('node:stream')).Readable.toWeb(await download.createReadStream())).text();
  assert.match(csv, /as it was/);
  assert.equal(csv.trim().split('\r\n').length, (await api('GET', '/admin/global-settings/history?changed_by=ada&action=rollback')).entries.length + 1, csv);
});
