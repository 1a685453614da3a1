// The console and the API documentation under a path prefix, behind a proxy that removes the prefix.
import assert from 'node:assert/strict';
import { ADMIN, BASE, change, journey, row, setting } from './console.mjs';

const { origin } = new URL(BASE);

await journey(async (page) => {
  const errors = [];
  page.on('response', (response) => {
    if (response.status() >= 400 && response.status() !== 401) errors.push(`${response.status()} ${response.url()}`);
    if (!response.url().startsWith(`${BASE}/`) && !response.url().startsWith('data:')) errors.push(`outside of the prefix: ${response.url()}`);
  });
  // The root redirects to the console.
  await page.goto(`${BASE}/`);
  assert.equal(new URL(page.url()).pathname, new URL(`${BASE}/admin/`).pathname);
  await page.goto(`${BASE}/admin`);
  await page.getByLabel('Access token').fill(ADMIN);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('heading', { level: 1, name: 'Settings' }).waitFor();
  await page.getByText('Live', { exact: true }).waitFor();
  // The cookie is limited to the prefix.
  assert.deepEqual(await page.context().cookies(`${origin}/elsewhere/`), []);
  assert.equal((await page.context().cookies(`${BASE}/admin/`)).length, 1);
  // The event stream delivers a change of another user.
  await change({ BRUNE_COOLDOWN_MINUTES: 44 });
  await page.waitForFunction(() => document.querySelector('tr[data-key="BRUNE_COOLDOWN_MINUTES"]')?.textContent.includes('44'));
  assert.equal((await setting('BRUNE_COOLDOWN_MINUTES')).value, 44);
  await row(page, 'BRUNE_COOLDOWN_MINUTES').waitFor();
  for (const hash of ['#/history', '#/transfer', '#/fleet', '#/secrets', '#/sessions']) {
    await page.evaluate((newHash) => { location.hash = newHash; }, hash);
    await page.locator('main > .page h1').waitFor();
  }
  await page.reload();
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.getByLabel('Access token').waitFor();
  assert.equal(new URL(page.url()).pathname, new URL(`${BASE}/admin/`).pathname);
  assert.deepEqual(errors, []);
});

await journey(async (page) => {
  const urls = [];
  page.on('request', (request) => urls.push(request.url()));
  await page.goto(`${BASE}/docs`);
  assert.equal(page.url(), `${BASE}/docs/`);
  // “Try it out” sends the request to the service under the prefix.
  await page.locator('.opblock-summary-path', { hasText: '/livez' }).first().click();
  await page.getByRole('button', { name: 'Try it out' }).click();
  const response = page.waitForResponse((candidate) => candidate.url().endsWith('/livez') && candidate.ok());
  await page.getByRole('button', { name: 'Execute' }).click();
  assert.equal((await response).url(), `${BASE}/livez`);
  assert.ok(urls.includes(`${BASE}/openapi.json`), urls.join('\n'));
});
