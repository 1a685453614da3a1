// The bytes of a first and of a repeat visit, as the browser's network stack counts them: heads and bodies, on the wire.
import assert from 'node:assert/strict';
import { withPage } from './chromium.mjs';
import { ADMIN, BASE, enter } from './console.mjs';

/** Most bytes of a first visit: 0.5 s on a line of 1.5 Mbit/s. */
const FIRST_VISIT = 90_000;

/** Most bytes of the files of all pages and dialogs together, which few visits open. */
const ALL_PAGES = 190_000;

/** Records every request of `page` from now on; returns a function that returns them. */
async function record(page) {
  const session = await page.context().newCDPSession(page);
  const requests = new Map();
  const request = (id) => requests.get(id) ?? requests.set(id, { head: 0, body: 0, total: 0, cached: false }).get(id);
  session.on('Network.requestWillBeSent', (event) => { request(event.requestId).url = event.request.url; });
  session.on('Network.requestServedFromCache', (event) => { request(event.requestId).cached = true; });
  session.on('Network.responseReceivedExtraInfo', (event) => { request(event.requestId).status = event.statusCode; });
  session.on('Network.responseReceived', ({ requestId, response }) => {
    request(requestId).head = response.encodedDataLength;
    request(requestId).cached ||= response.fromDiskCache;
  });
  session.on('Network.dataReceived', (event) => { request(event.requestId).body += event.encodedDataLength; });
  session.on('Network.loadingFinished', (event) => { request(event.requestId).total = event.encodedDataLength; });
  // A page that is left aborts its requests.
  session.on('Network.loadingFailed', (event) => { request(event.requestId).isAborted = true; });
  await session.send('Network.enable');
  // A request sent before the recording began has no URL here: it belongs to an earlier recording.
  const recorded = () => [...requests.values()].filter(({ url }) => url?.startsWith(BASE));
  // The stream of events does not end; it is counted as far as it got.
  const isPending = ({ url, total, cached, isAborted }) => !total && !cached && !isAborted && !url.includes('/stream');
  const nextFinish = () => new Promise((resolve) => {
    for (const name of ['Network.loadingFinished', 'Network.loadingFailed']) session.once(name, resolve);
  });
  /** Returns the requests once each has ended. */
  return async () => {
    while (recorded().some(isPending)) await nextFinish();
    return recorded().map((request) => ({ ...request, bytes: request.total || request.head + request.body }));
  };
}

/** Opens the settings page and waits for everything that it loads; returns its requests. */
async function visit(page, open) {
  const recorded = await record(page);
  await open(page);
  await page.locator('main tr[data-key] button').first().waitFor();
  await page.getByText('Live', { exact: true }).waitFor();
  return recorded();
}

const sum = (requests) => requests.reduce((bytes, request) => bytes + request.bytes, 0);
const isFile = ({ url }) => url.includes('/assets/') || new URL(url).pathname.endsWith('/admin/');
const table = (requests) => requests.map(({ url, bytes, status }) => `${bytes} ${status ?? 'cache'} ${url}`).join('\n');

await withPage(async (firstPage) => {
  // All visits in one context, which has the cache and the cookie.
  const context = await firstPage.context().browser().newContext();
  const page = await context.newPage();
  const first = await visit(page, enter);
  assert.ok(first.filter(isFile).length > 15, table(first));
  assert.ok(sum(first) < FIRST_VISIT, `${sum(first)} bytes:\n${table(first)}`);
  // All files are of the version that the document names, so an upgraded service never runs with modules of before.
  const versions = first.map(({ url }) => url.match(/\/assets\/([\w-]+)\//)?.[1]).filter(Boolean);
  assert.equal(new Set(versions).size, 1, table(first));

  // All pages and dialogs together, which few visits open.
  const tour = await record(page);
  for (const hash of ['#/proposals', '#/history', '#/transfer', '#/fleet', '#/secrets', '#/sessions']) {
    await page.evaluate((to) => { location.hash = to; }, hash);
    await page.locator(`main > .page.${hash.slice(2)} h1`).waitFor();
  }
  const dialogs = ['review', 'restore', 'proposal', 'proposal-edit', 'rollout'].map((name) => `assets/${versions[0]}/${name}.js`);
  await page.evaluate((paths) => Promise.all(paths.map((path) => import(new URL(path, document.baseURI)))), dialogs);
  const all = sum(first.filter(isFile)) + sum((await tour()).filter(isFile));
  assert.ok(all < ALL_PAGES, `${all} bytes`);

  const again = await context.newPage();
  const repeat = await visit(again, () => again.goto(`${BASE}/admin/`));
  const files = repeat.filter(isFile);
  assert.ok(files.length > 15, table(repeat));
  for (const file of files) {
    const isDocument = !file.url.includes('/assets/');
    assert.equal(file.body, 0, table(files));
    if (isDocument) assert.equal(file.status, 304, table(files));
    else assert.ok(file.cached && file.bytes === 0, table(files));
  }
  console.log(`first visit: ${sum(first)} bytes, ${sum(first.filter(isFile))} of them files (all pages: ${all}); repeat visit: ${sum(repeat)} bytes, ${sum(files)} of them files`);

  // A browser accepts gzip, and its tags bind reads and writes all the same.
  const outcome = await again.evaluate(async (token) => {
    const address = `${location.pathname}global-settings`;
    const headers = { Authorization: `Bearer ${token}` };
    const read = await fetch(address, { headers });
    const tag = read.headers.get('etag');
    const body = JSON.stringify({ reason: 'a test', changes: [{ key: 'BRUNE_COOLDOWN_MINUTES', value: 44 }] });
    const write = (match) => fetch(address, {
      method: 'PATCH', headers: { ...headers, 'If-Match': match, 'Content-Type': 'application/json' }, body,
    });
    const written = await write(tag);
    const stale = await write(tag);
    const held = await fetch(address, { headers: { ...headers, 'If-None-Match': written.headers.get('etag') } });
    const history = await fetch(`${address}/history`, { headers });
    await history.json();
    return [written.status, stale.status, held.status, history.headers.get('vary')];
  }, ADMIN);
  assert.deepEqual(outcome, [200, 412, 304, 'accept-encoding']);
});
