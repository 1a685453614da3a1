// How soon the settings page can be used, from the navigation on, with the cookie of somebody who is signed in. Figures, no
// verdict: what the machine does besides is in them.
import assert from 'node:assert/strict';
import { BASE, enter, journey } from './console.mjs';

const ROUNDS = 5;

await journey(async (page) => {
  await page.addInitScript(() => {
    const watch = new MutationObserver(() => {
      if (!window.first && document.querySelector('main tr[data-key] button')) {
        // A turn later whatever is pressed is heard.
        window.first = new Promise((resolve) => { setTimeout(() => resolve(performance.now())); });
      }
    });
    watch.observe(document, { childList: true, subtree: true });
  });
  await enter(page);
  const settings = (await (await page.request.get(`${BASE}/admin/global-settings`)).json()).settings.length;
  const all = async () => {
    await page.waitForFunction((count) => document.querySelectorAll('main tr[data-key]').length === count, settings, { polling: 20 });
    return page.evaluate(() => performance.now());
  };
  const rounds = [];
  for (let i = 0; i < ROUNDS; i++) {
    // From another page of the service: what a browser takes to begin with a new site is not ours.
    await page.goto(`${BASE}/livez`);
    await page.goto(`${BASE}/admin/#/settings`);
    await page.waitForFunction(() => window.first);
    const first = await page.evaluate(() => window.first);
    rounds.push({ first, all: await all(), bytes: await page.evaluate(() => performance.getEntriesByType('resource').filter((it) => it.name.includes('/assets/')).reduce((sum, it) => sum + it.decodedBodySize, 0)) });
  }
  const middle = (name) => Math.round(rounds.map((it) => it[name]).sort((a, b) => a - b)[ROUNDS >> 1]);
  // While rows are still being made, a search is answered all the same.
  await page.getByRole('searchbox').fill('nothing of that name');
  await page.getByText('No matching settings').waitFor();
  assert.ok(middle('first') > 0);
  console.log(`${settings} settings: interactive after ${middle('first')} ms, all rows after ${middle('all')} ms (medians of ${ROUNDS}); this page loaded ${middle('bytes')} bytes of assets`);
});
