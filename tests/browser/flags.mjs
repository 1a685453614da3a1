// A page that reads from one instance shows what is changed through another.
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
  const asked = [];
  page.on('response', (response) => {
    const url = new URL(response.url());
    const method = response.request().method();
    // A preflight is no reading.
    if (url.origin === READ && method !== 'OPTIONS') asked.push({ method, url, status: response.status() });
  });
  const shows = async (id, text) => {
    await page.waitForFunction(([id, text]) => document.getElementById(id).textContent === text, [id, text]);
  };
  await page.goto(PAGE);
  await page.evaluate(([read, user]) => window.start(read, user), [READ, USER]);
  await shows('minutes', '30');
  const took = [];
  for (let version = 1; version <= 5; version++) {
    await change(40 + version, version);
    const began = performance.now();
    await shows('minutes', String(40 + version));
    took.push(Math.round(performance.now() - began));
  }
  await shows('changes', '5');
  console.log(`shown after ${took} ms`);
  const [first, ...rest] = asked.filter(({ url }) => url.pathname === '/ofrep/v1/evaluate/flags');
  assert.equal(first.url.search, '');
  // Each reading was asked for by an event, and none by a timer.
  assert.ok(rest.length >= 5, `${rest.length} readings for 5 changes`);
  for (const { url } of rest) assert.match(url.search, /^\?flagConfigEtag=%22r\d+-[0-9a-f]{8}%22&/);
  const streams = asked.filter(({ url }) => url.pathname === '/ofrep/v1/events');
  assert.deepEqual(streams.map(({ method, status }) => [method, status]), [['GET', 200]]);

  // The same page from an origin that is not named is told nothing.
  const before = asked.length;
  await page.goto(STRANGER);
  const refused = page.evaluate(([read, user]) => window.start(read, user), [READ, USER]);
  await assert.rejects(refused);
  assert.equal(await page.locator('#minutes').textContent(), '');
  assert.equal(asked.length, before);
});
