// Releases: a revision gets a name, the name is on the timeline, is compared with now and with another, and is restored.
import assert from 'node:assert/strict';
import { api, change, enter, journey, setting, visit } from './console.mjs';

const COOLDOWN = 'BRUNE_COOLDOWN_MINUTES';

await journey(async (page) => {
  await change({ [COOLDOWN]: 45 }, 'calmer evenings');
  await enter(page, '#/history?revision=2');
  const dialog = page.getByRole('dialog');

  await page.getByRole('button', { name: 'Name this revision…' }).click();
  await dialog.getByLabel('Name').fill('Winter Evenings');
  await page.keyboard.press('Control+Enter');
  await dialog.getByText('Enter a name of 1 to 64 characters').waitFor();
  await dialog.getByLabel('Name').fill('winter');
  await page.keyboard.press('Control+Enter');
  await dialog.getByText('Enter a note of 3 to 500 characters').waitFor();
  await page.keyboard.type('calm evenings');
  await page.keyboard.press('Control+Enter');
  await dialog.waitFor({ state: 'detached' });
  await page.getByRole('heading', { level: 1 }).getByRole('link', { name: 'winter' }).waitFor();

  await change({ [COOLDOWN]: 60, BRUNE_SESSION_MAX_MINUTES: 20 }, 'calmer still');
  await api('POST', '/admin/releases', { name: 'spring', note: 'short sessions' });
  await change({ BRUNE_MAX_SESSIONS_PER_DAY: 5 }, 'more of them');

  // The mark on the timeline leads to the release.
  await visit(page, '#/history');
  await page.getByRole('link', { name: /^Release winter, revision 2, named .*; release spring, revision 3/ }).waitFor();
  await page.getByRole('link', { name: 'Releases', exact: true }).click();
  await page.getByRole('heading', { level: 1, name: 'Releases' }).waitFor();
  assert.deepEqual(await page.locator('tbody tr').evaluateAll((rows) => rows.map((row) => row.dataset.id)), ['spring', 'winter']);

  // A name is used once.
  await page.getByRole('button', { name: 'Name the current revision…' }).click();
  await dialog.getByLabel('Name').fill('winter');
  await dialog.getByLabel('Note').fill('again');
  await page.keyboard.press('Control+Enter');
  await dialog.getByText('Another release has the name winter').waitFor();
  await page.keyboard.press('Escape');

  await page.getByRole('link', { name: 'winter', exact: true }).click();
  await page.getByRole('heading', { level: 1, name: 'Release winter' }).waitFor();
  await page.getByText('3 settings of winter (revision 2) differ from the current settings (revision 4).').waitFor();
  await page.getByLabel('Compare with').selectOption('spring');
  await page.getByText('2 settings of winter (revision 2) differ from spring (revision 3).').waitFor();
  assert.ok(page.url().endsWith('?to=spring'));
  await page.reload();
  await page.getByText('2 settings of winter (revision 2) differ from spring (revision 3).').waitFor();

  await page.getByRole('button', { name: 'Restore release winter' }).click();
  await page.getByRole('dialog', { name: 'Roll back to release winter' }).getByText('Session max minutes').first().waitFor();
  await dialog.getByLabel('Reason').fill('winter again');
  await page.keyboard.press('Control+Enter');
  await dialog.waitFor({ state: 'detached' });
  assert.deepEqual([(await setting(COOLDOWN)).value, (await setting('BRUNE_SESSION_MAX_MINUTES')).value], [45, 30]);
  await page.getByLabel('Compare with').selectOption('');
  await page.getByText('No differences').waitFor();

  await page.getByRole('button', { name: 'Archive…' }).click();
  await dialog.getByLabel('Reason').fill('spring has come');
  await dialog.getByRole('button', { name: 'Archive release' }).click();
  await page.getByText('archived', { exact: true }).waitFor();

  // The trail tells of the names in words.
  await visit(page, '#/history?key=(release)');
  const entries = page.locator('tbody tr');
  await entries.filter({ hasText: 'Named revision 2.' }).getByRole('link', { name: 'Release winter' }).waitFor();
  await entries.filter({ hasText: 'Archived.' }).filter({ hasText: 'spring has come' }).waitFor();
});
