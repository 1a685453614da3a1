// Signing in with a pasted token and with a link, rejected tokens, signing out.
import assert from 'node:assert/strict';
import { ADMIN, BASE, USER, EXPIRED, enter, journey } from './console.mjs';

await journey(async (page) => {
  await page.goto(`${BASE}/admin/`);
  const field = page.getByLabel('Access token');
  const button = page.getByRole('button', { name: 'Sign in' });
  for (const [token, message] of [['', 'Enter a token.'], ['nonsense', 'Invalid token'], [EXPIRED, 'Invalid token'], [USER, 'Access denied']]) {
    await field.fill(token);
    // Two rejections in a row look the same, so the response is awaited as well.
    const response = token && page.waitForResponse((candidate) => candidate.url().endsWith('/admin/sign-in'));
    await button.click();
    await response;
    await page.getByText(message).waitFor();
  }
  await field.fill(`Bearer ${ADMIN}`);
  await field.press('Enter');
  await page.getByRole('heading', { level: 1, name: 'Settings' }).waitFor();
  await page.getByText('Live').waitFor();
  const [cookie, ...others] = await page.context().cookies(`${BASE}/admin/`);
  assert.deepEqual(others, []);
  assert.equal(cookie.value, ADMIN);
  assert.ok(cookie.httpOnly && cookie.sameSite === 'Strict', JSON.stringify(cookie));
  // The token is in no place that scripts can read.
  const readable = await page.evaluate(() => JSON.stringify([document.cookie, { ...localStorage }, { ...sessionStorage }, document.documentElement.outerHTML, history.state]));
  assert.ok(!readable.includes(ADMIN));
  await page.reload();
  await page.getByRole('heading', { level: 1, name: 'Settings' }).waitFor();
  await page.getByRole('button', { name: 'Sign out' }).click();
  await field.waitFor();
  assert.deepEqual(await page.context().cookies(`${BASE}/admin/`), []);

  // The sign-in link: its token disappears from the URL and from the browser's history.
  await enter(page);
  await page.goBack().catch(() => null);
  assert.ok(!page.url().includes(ADMIN));
});
