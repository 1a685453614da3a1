// Whatever people write is shown as text, on every page: scripts, markup, text of the other direction, 10,000 characters.
import assert from 'node:assert/strict';
import { ADMIN, USER, api, change, enter, journey, visit } from './console.mjs';

const MARKUP = '<img src=x onerror="window.pwned=1"><script>window.pwned=1</script><b class=pwned>"\'&lt;</b>';
const LONG = `${MARKUP} שלום عليكم ${'x'.repeat(10_000)}`;
// What the service refuses to store is put into its answers.
const MARKS = `\u200f\u202e${LONG}`;
const FIELDS = new Set(['reason', 'changed_by', 'updated_by', 'description', 'detail', 'host', 'user_id', 'how_to', 'used_for', 'category', 'subject', 'catalog', 'plan', 'level', 'ended_by', 'end_reason', 'last_error', 'request_id', 'prompt_id', 'model', 'name', 'version', 'sink', 'topic']);
const VALUES = new Set(['value', 'old_value', 'new_value', 'current', 'imported', 'current_value', 'base_value', 'your_value', 'default']);

/** `data` with what people write replaced, and each key made longer, everywhere in the same way. */
function spoil(data, name) {
  if (Array.isArray(data)) return data.map((it) => spoil(it, VALUES.has(name) ? 'value' : name));
  if (data && typeof data === 'object') return Object.fromEntries(Object.entries(data).map(([it, value]) => [it, spoil(value, it)]));
  if (typeof data !== 'string') return data;
  if (name === 'key' || name === 'keys' || name === 'member_of') return data + MARKUP;
  return FIELDS.has(name) || VALUES.has(name) ? data + MARKS : data;
}

/** Nothing of it ran, became an element, broke the layout, or turns the text beside it. */
async function sound(page, where) {
  const found = await page.evaluate(() => {
    const turns = (it) => [...it.childNodes].some((node) => node.nodeType === 3 && /[\u200f\u202e]/.test(node.data));
    const keepsToItself = (it) => ['isolate', 'isolate-override', 'plaintext'].includes(getComputedStyle(it).unicodeBidi);
    const all = [...document.querySelectorAll('main *, dialog *, .banners *, .top *, .toasts *')];
    return {
      ran: Boolean(window.pwned),
      made: document.querySelectorAll('.pwned, body img, body script').length,
      wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
      turned: all.filter((it) => turns(it) && !keepsToItself(it) && !it.closest('input, textarea, select, option')).map((it) => it.outerHTML.slice(0, 120)).slice(0, 3),
    };
  });
  assert.deepEqual(found, { ran: false, made: 0, wide: 0, turned: [] }, where);
}

await journey(async (page) => {
  await enter(page, '#/settings', ADMIN);
  const views = async (places) => {
    for (const width of [1280, 390]) {
      await page.setViewportSize({ width, height: 800 });
      for (const hash of places) {
        await visit(page, hash);
        await page.waitForLoadState('networkidle', { timeout: 2000 }).catch(() => null);
        await sound(page, `${hash} at ${width} px`);
      }
    }
  };
  const [entry] = (await api('GET', '/admin/global-settings/history')).entries;
  if (entry.key.startsWith('HOSTILE')) await stored(page, views);
  const places = ['#/settings?search=', '#/history', `#/history/${entry.id}`, '#/transfer', '#/secrets', '#/sessions', '#/fleet'];
  if (!entry.key.startsWith('HOSTILE')) places.push(`#/sessions/${(await api('POST', '/brun-e/start', undefined, USER)).session_id}`);

  // And what never gets in: everything that is told.
  await page.route('**/admin/**', async (route) => {
    const request = route.request();
    if (request.resourceType() !== 'fetch') return route.continue();
    const response = await route.fetch();
    if (!response.headers()['content-type']?.includes('json')) return route.fulfill({ response });
    return route.fulfill({ response, json: spoil(await response.json()) });
  });
  await page.reload();
  await page.locator('main > .page').waitFor();
  await views(places);
  await page.keyboard.press('Control+k');
  await sound(page, 'the palette');
});

/** What is stored: values and reasons of the other administrator, whose name is no better. */
async function stored(page, views) {
  await change({ HOSTILE_TEXT: LONG, HOSTILE_LIST: [LONG.slice(0, 9000), MARKUP] }, MARKUP);
  const { entries: [entry] } = await api('GET', '/admin/global-settings/history?key=HOSTILE_TEXT');
  await views(['#/settings?search=', '#/settings?edit=HOSTILE_TEXT', '#/history', `#/history/${entry.id}`, '#/history?key=HOSTILE_TEXT']);
  await visit(page, '#/history');
  assert.ok((await page.locator('main').innerText()).includes(entry.changed_by.slice(0, 20)));
  await page.setViewportSize({ width: 1280, height: 800 });
  await change({ HOSTILE_TEXT: `${LONG}y` }, MARKUP);
  await page.locator('.banners').getByText(MARKUP).first().waitFor();
  await sound(page, 'the banner');
  await visit(page, '#/settings');
  await page.getByRole('switch').first().click();
  await page.getByRole('button', { name: 'Review and save' }).click();
  await page.getByLabel('Reason').fill('x');
  await sound(page, 'the review');
  await page.keyboard.press('Escape');
  await page.getByRole('button', { name: 'Discard' }).click();
}
