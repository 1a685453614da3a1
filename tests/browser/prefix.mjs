// The console and the viewer of the API under a path, behind a proxy that takes it off.
import assert from 'node:assert/strict';
import { ADMIN, BASE, change, journey, row, setting } from './console.mjs';

const { origin } = new URL(BASE);

await journey(async (page) => {
  const lost = [];
  page.on('response', (response) => {
    if (response.status() >= 400 && response.status() !== 401) lost.push(`${response.status()} ${response.url()}`);
    if (!response.url().startsWith(`${BASE}/`) && !response.url().startsWith('data:')) lost.push(`outside: ${response.url()}`);
  });
  // The root leads to the console.
  await page.goto(`${BASE}/`);
  assert.equal(new URL(page.url()).pathname, new URL(`${BASE}/admin/`).pathname);
  await page.goto(`${BASE}/admin`);
  await page.getByLabel('Access token').fill(ADMIN);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('heading', { level: 1, name: 'Settings' }).waitFor();
  await page.getByText('Live', { exact: true }).waitFor();
  // The cookie is of this path only.
  assert.deepEqual(await page.context().cookies(`${origin}/elsewhere/`), []);
  assert.equal((await page.context().cookies(`${BASE}/admin/`)).length, 1);
  // A change of somebody else comes over the stream.
  await change({ BRUNE_COOLDOWN_MINUTES: 44 });
  await page.waitForFunction(() => document.querySelector('tr[data-key="BRUNE_COOLDOWN_MINUTES"]')?.textContent.includes('44'));
  assert.equal((await setting('BRUNE_COOLDOWN_MINUTES')).value, 44);
  await row(page, 'BRUNE_COOLDOWN_MINUTES').waitFor();
  for (const hash of ['#/history', '#/transfer', '#/fleet', '#/secrets', '#/sessions']) {
    await page.evaluate((to) => { location.hash = to; }, hash);
    await page.locator('main > .page h1').waitFor();
  }
  await page.reload();
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.getByLabel('Access token').waitFor();
  assert.equal(new URL(page.url()).pathname, new URL(`${BASE}/admin/`).pathname);
  assert.deepEqual(lost, []);
});

await journey(async (page) => {
  const asked = [];
  page.on('request', (request) => asked.push(request.url()));
  await page.goto(`${BASE}/docs`);
  assert.equal(page.url(), `${BASE}/docs/`);
  // Tried out, a request goes to the service under its path.
  await page.locator('.opblock-summary-path', { hasText: '/livez' }).first().click();
  await page.getByRole('button', { name: 'Try it out' }).click();
  const tried = page.waitForResponse((response) => response.url().endsWith('/livez') && response.ok());
  await page.getByRole('button', { name: 'Execute' }).click();
  assert.equal((await tried).url(), `${BASE}/livez`);
  assert.ok(asked.includes(`${BASE}/openapi.json`), asked.join('\n'));
});
