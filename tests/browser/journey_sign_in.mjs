// Signing in by hand and by the start-up link, refused tokens, signing out.
import assert from 'node:assert/strict';
import { ADMIN, BASE, USER, EXPIRED, enter, journey } from './console.mjs';

await journey(async (page) => {
  await page.goto(`${BASE}/admin/`);
  const field = page.getByLabel('Access token');
  const button = page.getByRole('button', { name: 'Sign in' });
  for (const [token, told] of [['', 'Enter a token.'], ['nonsense', 'Invalid token'], [EXPIRED, 'Invalid token'], [USER, 'Access denied']]) {
    await field.fill(token);
    // Two refusals in a row look the same: the second is there when its answer is.
    const answered = token && page.waitForResponse((response) => response.url().endsWith('/admin/sign-in'));
    await button.click();
    await answered;
    await page.getByText(told).waitFor();
  }
  await field.fill(`Bearer ${ADMIN}`);
  await field.press('Enter');
  await page.getByRole('heading', { level: 1, name: 'Settings' }).waitFor();
  await page.getByText('Live').waitFor();
  const [cookie, ...others] = await page.context().cookies(`${BASE}/admin/`);
  assert.deepEqual(others, []);
  assert.equal(cookie.value, ADMIN);
  assert.ok(cookie.httpOnly && cookie.sameSite === 'Strict', JSON.stringify(cookie));
  // No script has the token, whatever it asks.
  const seen = await page.evaluate(() => JSON.stringify([document.cookie, { ...localStorage }, { ...sessionStorage }, document.documentElement.outerHTML, history.state]));
  assert.ok(!seen.includes(ADMIN));
  await page.reload();
  await page.getByRole('heading', { level: 1, name: 'Settings' }).waitFor();
  await page.getByRole('button', { name: 'Sign out' }).click();
  await field.waitFor();
  assert.deepEqual(await page.context().cookies(`${BASE}/admin/`), []);

  // The link of the start-up signs in, and its token leaves the address and what Back would lead to.
  await enter(page);
  await page.goBack().catch(() => null);
  assert.ok(!page.url().includes(ADMIN));
});
