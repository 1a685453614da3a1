// A console page for a journey: signed in, watched for what it must never do, and held to WCAG by axe.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { withPage } from './chromium.mjs';

export const { BASE, ADMIN, OTHER, EXPIRED, USER } = process.env;

/** Asks the API as `token`'s bearer; the answer's JSON. Anything but success is a failure of the script. */
export async function api(method, path, body, token = OTHER) {
  const headers = { Authorization: `Bearer ${token}` };
  if (body) headers['Content-Type'] = 'application/json';
  const response = await fetch(BASE + path, { method, headers, body: body && JSON.stringify(body) });
  const text = await response.text();
  assert.ok(response.ok, `${method} ${path}: ${response.status} ${text}`);
  return text && JSON.parse(text);
}

/** Changes `values` (by key) as the other administrator. */
export async function change(values, reason = 'somebody else was here') {
  const changes = await Promise.all(Object.entries(values).map(async ([key, value]) => {
    const { version } = await api('GET', `/admin/global-settings/${key}`);
    return { key, value, version };
  }));
  return api('PATCH', '/admin/global-settings', { reason, changes });
}

/** What a setting is now. */
export const setting = (key) => api('GET', `/admin/global-settings/${key}`);

/** Runs `script(page, watch)` in a page that must break no policy, ask no other host and fail in no script. */
export const journey = (script, options) => withPage(async (page) => {
  const wrong = [];
  page.on('pageerror', (error) => wrong.push(`a script failed: ${error.stack}`));
  page.on('console', (message) => {
    if (/content security policy|trusted ?type/i.test(message.text())) wrong.push(message.text());
  });
  page.on('request', (request) => {
    const url = new URL(request.url());
    if (url.origin !== new URL(BASE).origin && !['blob:', 'data:'].includes(url.protocol)) wrong.push(`asked ${url.origin}`);
  });
  await page.addInitScript(() => {
    addEventListener('securitypolicyviolation', (event) => console.error(`content security policy: ${event.violatedDirective} ${event.blockedURI}`));
  });
  await script(page);
  assert.deepEqual(wrong, []);
}, options);

/** Opens the console at `hash`, signed in by the start-up link's way. */
export async function enter(page, hash = '#/settings', token = ADMIN) {
  await page.goto(`${BASE}/admin/#token=${token}`);
  await page.getByRole('heading', { level: 1, name: 'Settings' }).waitFor();
  assert.ok(!page.url().includes('token'), page.url());
  if (hash !== '#/settings') await visit(page, hash);
}

/** Goes to another page of the console, and waits until it is there. */
export async function visit(page, hash) {
  const before = await page.locator('main > .page').elementHandle();
  await page.evaluate((to) => {
    if (location.hash === to) dispatchEvent(new HashChangeEvent('hashchange'));
    else location.hash = to;
  }, hash);
  await page.waitForFunction((old) => document.querySelector('main > .page') && document.querySelector('main > .page') !== old, before);
}

/** The row of a setting. */
export const row = (page, key) => page.locator(`tr[data-key="${key}"]`);

const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** Holds what is on the page to WCAG 2.2 AA; returns what is serious, and how many faults there are in all. */
export async function accessible(page, where) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run(document, {
    runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
  }));
  const told = violations.map((it) => `${it.impact} ${it.id}: ${it.help}\n  ${it.nodes.slice(0, 4).map((node) => `${node.target} ${node.failureSummary}`).join('\n  ')}`);
  if (told.length) console.log(`${where}:\n${told.join('\n')}`);
  const serious = violations.filter((it) => ['serious', 'critical'].includes(it.impact)).map((it) => `${where}: ${it.id}`);
  return { serious, total: told.length };
}

/** Presses Tab until `locator` has the focus. */
export async function tabTo(page, locator, key = 'Tab', most = 150) {
  for (let i = 0; i < most; i++) {
    if (await locator.evaluate((it) => it === document.activeElement, null, { timeout: 5000 })) return;
    await page.keyboard.press(key);
  }
  assert.fail(`${most} times ${key} did not reach ${locator}`);
}
