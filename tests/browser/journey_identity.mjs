// One browser, two people: nothing is sent under another name, and a draft stays with its author.
import assert from 'node:assert/strict';
import { ADMIN, BASE, EXPIRED, OTHER, api, enter, journey, row, setting, visit } from './console.mjs';

const COOLDOWN = 'BRUNE_COOLDOWN_MINUTES';
const edit = async (page, value) => {
  await row(page, COOLDOWN).getByRole('button', { name: 'Edit Cooldown minutes' }).click();
  await page.getByRole('spinbutton', { name: 'Cooldown minutes' }).fill(value);
  await page.getByRole('button', { name: 'Review and propose' }).click();
};
const setToken = async (page, value) => {
  const [cookie] = await page.context().cookies(`${BASE}/admin/`);
  await page.context().addCookies([{ ...cookie, value }]);
};
const expire = (page) => setToken(page, EXPIRED);
const writers = async () => (await api('GET', '/admin/proposals')).proposals.map(({ created_by: person }) => person);

await journey(async (page) => {
  await enter(page);
  const dialog = page.getByRole('dialog').last();
  const banners = page.getByRole('region', { name: 'Notifications' });
  const account = page.locator('.account');

  // The token of ada expires while a proposal is being sent, and ben signs in: nothing is sent, and ada's draft is kept.
  await edit(page, '45');
  await dialog.getByLabel('Reason').fill('words of ada');
  await expire(page);
  await page.keyboard.press('Control+Enter');
  const signIn = page.getByRole('dialog', { name: 'Sign in again' });
  await signIn.getByLabel('Token').fill(OTHER);
  await signIn.getByRole('button', { name: 'Sign in' }).click();
  await banners.getByText('You signed in as ben. Nothing was sent; ada was signed in before. The unsaved changes of ada are kept').waitFor();
  await account.getByText('ben').waitFor();
  assert.deepEqual(await writers(), []);
  await row(page, COOLDOWN).getByText('30', { exact: true }).waitFor();
  assert.ok(await page.getByRole('button', { name: 'Review and propose' }).isHidden());

  // Ben has a draft of his own. Ada finds her own draft, with the reason.
  await edit(page, '50');
  await dialog.getByRole('button', { name: 'Cancel' }).click();
  await expire(page);
  await page.evaluate(() => { location.hash = '#/history'; });
  await signIn.getByLabel('Token').fill(ADMIN);
  await signIn.getByRole('button', { name: 'Sign in' }).click();
  await account.getByText('ada').waitFor();
  await visit(page, '#/settings');
  assert.equal(await page.getByRole('spinbutton', { name: 'Cooldown minutes' }).inputValue(), '45');
  await page.getByRole('button', { name: 'Review and propose' }).click();
  assert.equal(await dialog.getByLabel('Reason').inputValue(), 'words of ada');

  // Another tab signs in as ben, in the cookie of all tabs, and ada's page sends nothing.
  await setToken(page, OTHER);
  await page.keyboard.press('Control+Enter');
  const otherUser = page.getByRole('dialog', { name: 'Signed in as ben' });
  await otherUser.getByText('This page was opened by ada, so nothing is sent from here.').waitFor();
  assert.deepEqual(await writers(), []);
  await otherUser.getByRole('button', { name: 'Continue as ben' }).click();
  await account.getByText('ben').waitFor();
  assert.equal(await page.getByRole('spinbutton', { name: 'Cooldown minutes' }).inputValue(), '50');
  await page.getByRole('button', { name: 'Review and propose' }).click();
  await dialog.getByLabel('Reason').fill('words of ben');
  await page.keyboard.press('Control+Enter');
  await banners.getByText('Proposed as proposal 1.').waitFor();
  assert.deepEqual(await writers(), ['ben']);
  assert.equal((await setting(COOLDOWN)).value, 30);
});
