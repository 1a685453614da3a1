// The console without a mouse: sign in, search, edit, review, save, restore, open every page.
import assert from 'node:assert/strict';
import { ADMIN, BASE, journey, setting, tabTo } from './console.mjs';

await journey(async (page) => {
  const press = async (...keys) => { for (const key of keys) await page.keyboard.press(key); };
  await page.goto(`${BASE}/admin/`);
  await page.getByLabel('Access token').waitFor();
  await page.keyboard.insertText(ADMIN);
  await press('Enter');
  await page.getByRole('heading', { level: 1, name: 'Settings' }).waitFor();

  // The first Tab reaches the skip link.
  await page.reload();
  await page.getByRole('heading', { level: 1, name: 'Settings' }).waitFor();
  await press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Skip to content');
  await press('Enter');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'main');

  await press('/');
  await page.keyboard.type('cooldown');
  await page.getByText('1 of 9 settings').waitFor();
  await tabTo(page, page.getByRole('button', { name: 'Edit Cooldown minutes' }));
  await press('Enter');
  await page.keyboard.type('45');
  await page.getByText('1 unsaved change').waitFor();
  await tabTo(page, page.getByRole('button', { name: 'Review and save' }));
  await press('Enter');
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Reason').waitFor();
  await page.keyboard.type('calmer evenings');
  await press('Control+Enter');
  await dialog.waitFor({ state: 'detached' });
  await page.getByText('as revision 2').first().waitFor();
  assert.equal((await setting('BRUNE_COOLDOWN_MINUTES')).value, 45);
  assert.ok(await page.evaluate(() => document.activeElement !== document.body), 'the focus is lost');

  // Escape undoes the edit and returns the focus to the button.
  await press('/');
  await tabTo(page, page.getByRole('button', { name: 'Edit Cooldown minutes' }));
  await press('e');
  await page.keyboard.type('7');
  await press('Escape');
  await page.waitForFunction(() => document.activeElement.getAttribute('aria-label') === 'Edit Cooldown minutes');
  await press('h');
  await page.getByRole('heading', { level: 1, name: 'History' }).waitFor();
  const restore = page.getByRole('button', { name: 'Restore this value: version 1 of Cooldown minutes' });
  await restore.waitFor();
  await tabTo(page, restore);
  await press('Enter');
  await dialog.getByLabel('Reason').waitFor();
  await tabTo(page, dialog.getByLabel('Reason'));
  await page.keyboard.type('back again');
  await press('Control+Enter');
  await dialog.waitFor({ state: 'detached' });
  assert.equal((await setting('BRUNE_COOLDOWN_MINUTES')).value, 30);

  for (const [letter, name] of [['s', 'Settings'], ['p', 'Proposals'], ['i', 'Import and export'], ['e', 'Secrets and environment'], ['n', 'Sessions'], ['f', 'Fleet and audit'], ['h', 'History']]) {
    await press('g', letter);
    await page.getByRole('heading', { level: 1, name }).waitFor();
  }
  await press('Control+k');
  await page.keyboard.type('no such command');
  await page.getByText('No results').waitFor();
  await press('Control+a', 'Delete');
  await page.keyboard.type('prompt version');
  await press('ArrowDown', 'ArrowUp', 'Enter');
  await page.getByRole('textbox', { name: 'Prompt version' }).waitFor();
  await page.waitForFunction(() => document.activeElement.getAttribute('aria-label') === 'Prompt version');

  // Single-key shortcuts can be turned off.
  await press('Escape', '?');
  const preference = page.getByRole('checkbox', { name: 'Enable single-key shortcuts' });
  await tabTo(page, preference);
  await press('Space', 'Escape');
  await press('g', 'h');
  await press('Control+k', 'Escape');
  assert.equal(await page.getByRole('heading', { level: 1 }).textContent(), 'Settings');
});
