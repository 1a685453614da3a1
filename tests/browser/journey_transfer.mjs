// Export and import: syntax errors with their line, the preview, conflicts that are resolved entry by entry.
import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { change, enter, interception, journey, setting } from './console.mjs';

await journey(async (page) => {
  const beforeImport = await interception(page, 'POST', '**/admin/config/import?*plan_id=*');
  await enter(page, '#/transfer');
  const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: 'Download JSON' }).click()]);
  const document = JSON.parse(await new Response(Readable.toWeb(await download.createReadStream())).text());
  assert.equal(document.revision, 1);
  assert.equal(Object.keys(document.settings).length, 9);

  // Another user changes two settings after the export. The document is edited, too.
  await change({ BRUNE_COOLDOWN_MINUTES: 60, BRUNE_MAX_SESSIONS_PER_DAY: 7 }, 'after the export');
  Object.assign(document.settings, { BRUNE_COOLDOWN_MINUTES: 45, BRUNE_MAX_SESSIONS_PER_DAY: 5, BRUNE_SESSION_MAX_MINUTES: 20, BRUNE_PROMPT_VERSION: '2', JWT_SECRET: 'x', NOWHERE: 1 });
  const text = page.getByLabel('Or paste a document');
  const preview = page.getByRole('button', { name: 'Preview changes' });
  await text.fill('{"format_version": 1,\n "settings": {"BRUNE_COOLDOWN_MINUTES": 45,,}}');
  await preview.click();
  await page.getByRole('button', { name: 'Go to line 2' }).waitFor();

  await page.getByLabel(/Drop a file/).setInputFiles({ name: 'settings.json', mimeType: 'application/json', buffer: Buffer.from(JSON.stringify(document, null, 2)) });
  const row = (key) => page.getByRole('row').filter({ has: page.getByRole('rowheader', { name: key }) });
  for (const name of ['2 conflicts', '2 changes', '1 unknown key', '1 locked key']) await page.getByRole('button', { name, exact: true }).waitFor();
  const cooldown = row('BRUNE_COOLDOWN_MINUTES');
  await cooldown.getByText('ben').waitFor();
  await cooldown.getByRole('radio', { name: 'Import value' }).check();
  assert.ok(await row('BRUNE_MAX_SESSIONS_PER_DAY').getByRole('radio', { name: 'Keep current value' }).isChecked());
  await page.getByRole('checkbox', { name: 'Import BRUNE_PROMPT_VERSION' }).uncheck();

  // The settings change again before the import: nothing is stored, and the selection is kept.
  await page.getByLabel('Reason').fill('the settings of the other installation');
  beforeImport(() => change({ BRUNE_ELIGIBILITY_REQUIRE_PLAN: false }, 'in between'));
  const importButton = page.getByRole('button', { name: 'Import 2 settings' });
  await importButton.click();
  await page.getByText('Settings have changed. Nothing was imported.').waitFor();
  assert.equal((await setting('BRUNE_COOLDOWN_MINUTES')).value, 60);
  assert.ok(await cooldown.getByRole('radio', { name: 'Import value' }).isChecked());
  await importButton.click();
  await page.getByText('Imported 2 settings').first().waitFor();
  const keys = ['BRUNE_COOLDOWN_MINUTES', 'BRUNE_MAX_SESSIONS_PER_DAY', 'BRUNE_SESSION_MAX_MINUTES', 'BRUNE_PROMPT_VERSION'];
  const settings = await Promise.all(keys.map(setting));
  assert.deepEqual(settings.map(({ value }) => value), [45, 7, 20, '1']);
});
