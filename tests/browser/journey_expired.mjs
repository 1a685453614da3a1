// A token expires while the user edits, or a response is lost: the draft is kept, and a retry saves the change only once.
import assert from 'node:assert/strict';
import { ADMIN, BASE, EXPIRED, enter, journey, row, setting } from './console.mjs';

await journey(async (page) => {
  await enter(page);
  const cooldown = row(page, 'BRUNE_COOLDOWN_MINUTES');
  await cooldown.getByRole('button', { name: 'Edit Cooldown minutes' }).click();
  await page.getByRole('spinbutton', { name: 'Cooldown minutes' }).fill('45');
  await page.getByRole('button', { name: 'Review and save' }).click();
  await page.getByLabel('Reason').fill('calmer evenings');

  const [cookie] = await page.context().cookies(`${BASE}/admin/`);
  await page.context().addCookies([{ ...cookie, value: EXPIRED }]);
  await page.keyboard.press('Control+Enter');
  const signIn = page.getByRole('dialog', { name: 'Sign in again' });
  await signIn.waitFor();
  assert.equal((await setting('BRUNE_COOLDOWN_MINUTES')).value, 30);
  // The dialog cannot be closed without signing in.
  await page.keyboard.press('Escape');
  await signIn.getByLabel('Token').fill('nonsense');
  await signIn.getByRole('button', { name: 'Sign in' }).click();
  await signIn.getByText('Invalid token').waitFor();
  await signIn.getByLabel('Token').fill(ADMIN);
  await signIn.getByRole('button', { name: 'Sign in' }).click();
  await page.getByText('Saved 1 change as revision 2').first().waitFor();
  assert.equal((await setting('BRUNE_COOLDOWN_MINUTES')).value, 45);

  // The response is lost after the change was saved: the retry is not a conflict with the own change. Without the event
  // stream the page cannot know that the change was saved.
  await page.route('**/admin/global-settings/stream', (route) => route.abort());
  let isLost = false;
  await page.route('**/admin/global-settings', async (route) => {
    if (isLost || route.request().method() !== 'PATCH') return route.continue();
    isLost = true;
    await route.fetch();
    return route.abort();
  });
  await page.reload();
  await page.getByText('Disconnected').waitFor();
  await page.getByRole('button', { name: 'Edit Cooldown minutes' }).click();
  await page.getByRole('spinbutton', { name: 'Cooldown minutes' }).fill('50');
  await page.getByRole('button', { name: 'Review and save' }).click();
  await page.getByLabel('Reason').fill('fifty');
  await page.keyboard.press('Control+Enter');
  await page.getByText('Service unreachable').first().waitFor();
  assert.equal((await setting('BRUNE_COOLDOWN_MINUTES')).value, 50);
  await page.keyboard.press('Control+Enter');
  await page.getByText('Saved 1 change as revision 3').first().waitFor();
  assert.equal((await setting('BRUNE_COOLDOWN_MINUTES')).version, 3);
});
