// The time from navigation to an interactive settings page, for a signed-in user. The figures have no limit, because they
// depend on the load of the machine.
import assert from 'node:assert/strict';
import { BASE, enter, journey } from './console.mjs';

const ROUNDS = 5;

await journey(async (page) => {
  await page.addInitScript(() => {
    const observer = new MutationObserver(() => {
      if (!window.first && document.querySelector('main tr[data-key] button')) {
        // In the next task the page handles input.
        window.first = new Promise((resolve) => { setTimeout(() => resolve(performance.now())); });
      }
    });
    observer.observe(document, { childList: true, subtree: true });
  });
  await enter(page);
  const settings = (await (await page.request.get(`${BASE}/admin/global-settings`)).json()).settings.length;
  const allRows = async () => {
    await page.waitForFunction((count) => document.querySelectorAll('main tr[data-key]').length === count, settings, { polling: 20 });
    return page.evaluate(() => performance.now());
  };
  const rounds = [];
  for (let i = 0; i < ROUNDS; i++) {
    // Starting on another page of the service excludes the browser's time for a new site.
    await page.goto(`${BASE}/livez`);
    await page.goto(`${BASE}/admin/#/settings`);
    await page.waitForFunction(() => window.first);
    const first = await page.evaluate(() => window.first);
    const all = await allRows();
    const bytes = await page.evaluate(() => performance.getEntriesByType('resource')
      .filter((entry) => entry.name.includes('/assets/'))
      .reduce((sum, entry) => sum + entry.decodedBodySize, 0));
    rounds.push({ first, all, bytes });
  }
  const median = (name) => Math.round(rounds.map((round) => round[name]).sort((a, b) => a - b)[ROUNDS >> 1]);
  // The search works while rows are still being created.
  await page.getByRole('searchbox').fill('nothing of that name');
  await page.getByText('No matching settings').waitFor();
  assert.ok(median('first') > 0);
  console.log(`${settings} settings: interactive after ${median('first')} ms, all rows after ${median('all')} ms (medians of ${ROUNDS}); this page loaded ${median('bytes')} bytes of assets`);
});
