// A token expires under somebody's hands, or an answer is lost: they go on where they were, and nothing happens twice.
import assert from 'node:assert/strict';
import { ADMIN, BASE, EXPIRED, enter, journey, row, setting } from './console.mjs';

await journey(async (page) => {
  await enter(page);
  const draw = row(page, 'BRUNE_COOLDOWN_MINUTES');
  await draw.getByRole('button', { name: 'Edit Cooldown minutes' }).click();
  await page.getByRole('spinbutton', { name: 'Cooldown minutes' }).fill('45');
  await page.getByRole('button', { name: 'Review and save' }).click();
  await page.getByLabel('Reason').fill('calmer evenings');

  const [cookie] = await page.context().cookies(`${BASE}/admin/`);
  await page.context().addCookies([{ ...cookie, value: EXPIRED }]);
  await page.keyboard.press('Control+Enter');
  const again = page.getByRole('dialog', { name: 'Sign in again' });
  await again.waitFor();
  assert.equal((await setting('BRUNE_COOLDOWN_MINUTES')).value, 30);
  // There is no way around it, and nothing behind it is lost.
  await page.keyboard.press('Escape');
  await again.getByLabel('Token').fill('nonsense');
  await again.getByRole('button', { name: 'Sign in' }).click();
  await again.getByText('Invalid token').waitFor();
  await again.getByLabel('Token').fill(ADMIN);
  await again.getByRole('button', { name: 'Sign in' }).click();
  await page.getByText('Saved 1 change as revision 2').first().waitFor();
  assert.equal((await setting('BRUNE_COOLDOWN_MINUTES')).value, 45);

  // An answer is lost on its way: the same once more is the same change, and not a conflict with itself.
  // The stream, which would tell of it, is away as well.
  await page.route('**/admin/global-settings/stream', (route) => route.abort());
  await page.reload();
  await page.getByText('Disconnected').waitFor();
  await page.getByRole('button', { name: 'Edit Cooldown minutes' }).click();
  await page.getByRole('spinbutton', { name: 'Cooldown minutes' }).fill('50');
  await page.getByRole('button', { name: 'Review and save' }).click();
  await page.getByLabel('Reason').fill('fifty');
  let lost = false;
  await page.route('**/admin/global-settings', async (route) => {
    if (lost || route.request().method() !== 'PATCH') return route.continue();
    lost = true;
    await route.fetch();
    return route.abort();
  });
  await page.keyboard.press('Control+Enter');
  await page.getByText('Service unreachable').first().waitFor();
  assert.equal((await setting('BRUNE_COOLDOWN_MINUTES')).value, 50);
  await page.keyboard.press('Control+Enter');
  await page.getByText('Saved 1 change as revision 3').first().waitFor();
  assert.equal((await setting('BRUNE_COOLDOWN_MINUTES')).version, 3);
});
