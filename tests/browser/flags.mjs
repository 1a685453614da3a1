// A page that reads flags from an instance shows changes that are saved through another instance.
import assert from 'node:assert/strict';
import { withPage } from './chromium.mjs';

const { PAGE, STRANGER, WRITTEN, READ, ADMIN, USER } = process.env;

async function change(value, version) {
  const changes = [{ key: 'BRUNE_COOLDOWN_MINUTES', value, version }];
  const response = await fetch(`${WRITTEN}/admin/global-settings`, {
    method: 'PATCH',
    headers: { Authorization: `Bearer ${ADMIN}`, 'Content-Type': 'application/json' },
    body: JSON.stringify({ reason: 'a test', changes }),
  });
  assert.equal(response.status, 200, await response.text());
}

await withPage(async (page) => {
  const requests = [];
  page.on('response', (response) => {
    const url = new URL(response.url());
    const method = response.request().method();
    // Preflight requests do not count.
    if (url.origin === READ && method !== 'OPTIONS') requests.push({ method, url, status: response.status() });
  });
  const waitForText = async (id, text) => {
    await page.waitForFunction(([elementId, expected]) => document.getElementById(elementId).textContent === expected, [id, text]);
  };
  await page.goto(PAGE);
  await page.evaluate(([read, user]) => window.start(read, user), [READ, USER]);
  await waitForText('minutes', '30');
  const durations = [];
  for (let version = 1; version <= 5; version++) {
    await change(40 + version, version);
    const start = performance.now();
    await waitForText('minutes', String(40 + version));
    durations.push(Math.round(performance.now() - start));
  }
  await waitForText('changes', '5');
  console.log(`shown after ${durations} ms`);
  const [first, ...rest] = requests.filter(({ url }) => url.pathname === '/ofrep/v1/evaluate/flags');
  assert.equal(first.url.search, '');
  // Each request was caused by an event, and none by a timer.
  assert.ok(rest.length >= 5, `${rest.length} requests for 5 changes`);
  for (const { url } of rest) assert.match(url.search, /^\?flagConfigEtag=%22r\d+-[0-9a-f]{8}%22&/);
  const streams = requests.filter(({ url }) => url.pathname === '/ofrep/v1/events');
  assert.deepEqual(streams.map(({ method, status }) => [method, status]), [['GET', 200]]);

  // A page from an origin that is not allowed receives nothing.
  const requestCount = requests.length;
  await page.goto(STRANGER);
  const rejection = page.evaluate(([read, user]) => window.start(read, user), [READ, USER]);
  await assert.rejects(rejection);
  assert.equal(await page.locator('#minutes').textContent(), '');
  assert.equal(requests.length, requestCount);
});
