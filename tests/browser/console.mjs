// Support for journeys: a watched page of the console, requests to the API, checks for accessibility.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { withPage } from './chromium.mjs';

export const { BASE, ADMIN, OTHER, EXPIRED, USER } = process.env;

/** Sends an API request with `token` and returns the JSON of the response. Fails unless the status is a success. */
export async function api(method, path, body, token = OTHER, moreHeaders = {}) {
  const headers = { Authorization: `Bearer ${token}`, ...moreHeaders };
  if (body) headers['Content-Type'] = 'application/json';
  const response = await fetch(BASE + path, { method, headers, body: body && JSON.stringify(body) });
  const text = await response.text();
  assert.ok(response.ok, `${method} ${path}: ${response.status} ${text}`);
  return text && JSON.parse(text);
}

/** Changes settings as the other administrator. `values` maps keys to values. */
export async function change(values, reason = 'changed by somebody else') {
  const changes = await Promise.all(Object.entries(values).map(async ([key, value]) => {
    const { version } = await setting(key);
    return { key, value, version };
  }));
  return api('PATCH', '/admin/global-settings', { reason, changes });
}

/** Reads a setting. */
export const setting = (key) => api('GET', `/admin/global-settings/${key}`);

/** Runs `script(page)`. Fails on a script error, a violation of the content security policy, or a request to another host. */
export const journey = (script, options) => withPage(async (page) => {
  const violations = [];
  page.on('pageerror', (error) => violations.push(`script error: ${error.stack}`));
  page.on('console', (message) => {
    if (/content security policy|trusted ?type/i.test(message.text())) violations.push(message.text());
  });
  page.on('request', (request) => {
    const url = new URL(request.url());
    if (url.origin !== new URL(BASE).origin && !['blob:', 'data:'].includes(url.protocol)) violations.push(`request to ${url.origin}`);
  });
  await page.addInitScript(() => {
    addEventListener('securitypolicyviolation', (event) => console.error(`content security policy: ${event.violatedDirective} ${event.blockedURI}`));
  });
  await script(page);
  // A response must not be rewritten after its page was closed.
  await page.unrouteAll({ behavior: 'wait' });
  assert.deepEqual(violations, []);
}, options);

/**
 * Returns a function `before(action)`: the next `method` request to `pattern` waits for `action()`.
 *
 * Call it before the first page: a request that is sent while the interception is being switched on may get no answer.
 */
export async function interception(page, method, pattern) {
  let pendingAction = null;
  await page.route(pattern, async (route) => {
    const action = route.request().method() === method ? pendingAction : null;
    if (action) {
      pendingAction = null;
      await action();
    }
    return route.continue();
  });
  return (action) => { pendingAction = action; };
}

/**
 * Returns a function `rewrite(edit)`: from then on the body of each response to GET `pattern` is `edit(body)`. Null ends the
 * rewriting. Call it before the first page, like `interception`.
 */
export async function rewriting(page, pattern) {
  let currentEdit = null;
  await page.route(pattern, async (route) => {
    const edit = currentEdit;
    if (!edit || route.request().method() !== 'GET') return route.fallback();
    const response = await route.fetch();
    return route.fulfill({ response, json: edit(await response.json()) });
  });
  return (edit) => { currentEdit = edit; };
}

/** Opens the console with a sign-in link, and then the page `hash`. */
export async function enter(page, hash = '#/settings', token = ADMIN) {
  await page.goto(`${BASE}/admin/#token=${token}`);
  await page.getByRole('heading', { level: 1, name: 'Settings' }).waitFor();
  assert.ok(!page.url().includes('token'), page.url());
  if (hash !== '#/settings') await visit(page, hash);
}

/** Opens another page of the console, and waits until the page is shown. */
export async function visit(page, hash) {
  const previousPage = await page.locator('main > .page').elementHandle();
  await page.evaluate((newHash) => {
    if (location.hash === newHash) dispatchEvent(new HashChangeEvent('hashchange'));
    else location.hash = newHash;
  }, hash);
  await page.waitForFunction((previous) => {
    const current = document.querySelector('main > .page');
    return current && current !== previous;
  }, previousPage);
}

/** Returns the time `duration` ms from now by the clock of the service, in ISO form. */
export async function timeAfter(duration) {
  const { now } = await api('GET', '/admin/me');
  return new Date(Date.parse(now) + duration).toISOString();
}

/** Returns the table row of a setting. */
export const row = (page, key) => page.locator(`tr[data-key="${key}"]`);

const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** Checks the page for WCAG 2.2 AA with axe. Returns the serious violations, and the number of all violations. */
export async function accessible(page, view) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run(document, {
    runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
  }));
  const describe = ({ impact, id, help, nodes }) => {
    const examples = nodes.slice(0, 4).map((node) => `${node.target} ${node.failureSummary}`);
    return `${impact} ${id}: ${help}\n  ${examples.join('\n  ')}`;
  };
  if (violations.length > 0) console.log(`${view}:\n${violations.map(describe).join('\n')}`);
  const serious = violations.filter(({ impact }) => ['serious', 'critical'].includes(impact)).map(({ id }) => `${view}: ${id}`);
  return { serious, total: violations.length };
}

/** Presses Tab until `locator` has the focus. */
export async function tabTo(page, locator, key = 'Tab', limit = 150) {
  for (let presses = 0; presses < limit; presses++) {
    if (await locator.evaluate((element) => element === document.activeElement, null, { timeout: 5000 })) return;
    await page.keyboard.press(key);
  }
  assert.fail(`${locator} has no focus after pressing ${key} ${limit} times`);
}
