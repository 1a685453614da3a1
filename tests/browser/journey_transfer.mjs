// A document goes out, and comes in again over a plan: faults with their line, conflicts that are decided one by one.
import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { change, enter, journey, setting } from './console.mjs';

await journey(async (page) => {
  await enter(page, '#/transfer');
  const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: 'Download JSON' }).click()]);
  const document = JSON.parse(await new Response(Readable.toWeb(await download.createReadStream())).text());
  assert.equal(document.revision, 1);
  assert.equal(Object.keys(document.settings).length, 9);

  // Somebody changes two of them after the document was made, which is edited too.
  await change({ BRUNE_COOLDOWN_MINUTES: 60, BRUNE_MAX_SESSIONS_PER_DAY: 7 }, 'after the export');
  Object.assign(document.settings, { BRUNE_COOLDOWN_MINUTES: 45, BRUNE_MAX_SESSIONS_PER_DAY: 5, BRUNE_SESSION_MAX_MINUTES: 20, BRUNE_PROMPT_VERSION: '2', JWT_SECRET: 'x', NOWHERE: 1 });
  const text = page.getByLabel('Or paste a document');
  const plan = page.getByRole('button', { name: 'Preview changes' });
  await text.fill('{"format_version": 1,\n "settings": {"BRUNE_COOLDOWN_MINUTES": 45,,}}');
  await plan.click();
  await page.getByRole('button', { name: 'Go to line 2' }).waitFor();

  await page.getByLabel(/Drop a file/).setInputFiles({ name: 'settings.json', mimeType: 'application/json', buffer: Buffer.from(JSON.stringify(document, null, 2)) });
  const row = (key) => page.getByRole('row').filter({ has: page.getByRole('rowheader', { name: key }) });
  for (const chip of ['2 conflicts', '2 changes', '1 unknown key', '1 locked key']) await page.getByRole('button', { name: chip, exact: true }).waitFor();
  await row('BRUNE_COOLDOWN_MINUTES').getByText('Changed here by').waitFor();
  await row('BRUNE_COOLDOWN_MINUTES').getByRole('radio', { name: 'Import value' }).check();
  assert.ok(await row('BRUNE_MAX_SESSIONS_PER_DAY').getByRole('radio', { name: 'Keep current value' }).isChecked());
  await page.getByRole('checkbox', { name: 'Import BRUNE_PROMPT_VERSION' }).uncheck();

  // It moves once more before it is applied: nothing is stored, and the choices stay.
  await page.getByLabel('Reason').fill('the settings of the other installation');
  let moved = false;
  await page.route('**/admin/config/import?*plan_id=*', async (route) => {
    if (!moved) {
      moved = true;
      await change({ BRUNE_ELIGIBILITY_REQUIRE_PLAN: false }, 'in between');
    }
    return route.continue();
  });
  const apply = page.getByRole('button', { name: 'Import 2 settings' });
  await apply.click();
  await page.getByText('Settings have changed. Nothing was imported.').waitFor();
  assert.equal((await setting('BRUNE_COOLDOWN_MINUTES')).value, 60);
  if (await row('BRUNE_COOLDOWN_MINUTES').getByRole('radio', { name: 'Keep current value' }).isChecked()) await row('BRUNE_COOLDOWN_MINUTES').getByRole('radio', { name: 'Import value' }).check();
  await apply.click();
  await page.getByText('Imported 2 settings').first().waitFor();
  const now = async (key) => (await setting(key)).value;
  assert.deepEqual([await now('BRUNE_COOLDOWN_MINUTES'), await now('BRUNE_MAX_SESSIONS_PER_DAY'), await now('BRUNE_SESSION_MAX_MINUTES'), await now('BRUNE_PROMPT_VERSION')], [45, 7, 20, '1']);
});
