// Whatever people write is shown as text, on every page: scripts, markup, text of the other direction, 10,000 characters.
import assert from 'node:assert/strict';
import { ADMIN, api, change, enter, journey, visit } from './console.mjs';

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

async function sound(page, where) {
  const found = await page.evaluate(() => ({
    ran: Boolean(window.pwned), made: document.querySelectorAll('.pwned, main img, main script, dialog img, .banners img').length,
    wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    // An override that is not closed would turn what stands after it.
    open: [...document.querySelectorAll('main *')].filter((it) => it.childNodes.length && [...it.childNodes].some((node) => node.nodeType === 3 && /[\u200f\u202e]/.test(node.data)) && !['isolate', 'isolate-override', 'plaintext'].includes(getComputedStyle(it).unicodeBidi) && !it.closest('input, textarea, select, option, title')).map((it) => it.outerHTML.slice(0, 120)),
    shown: document.body.innerText.includes('<img src=x onerror'),
  }));
  assert.deepEqual({ ...found, shown: true, open: found.open.slice(0, 3) }, { ran: false, made: 0, wide: 0, open: [], shown: true }, where);
  return found.shown;
}

await journey(async (page) => {
  // What is stored: values and reasons of the other administrator, whose name is no better.
  const text = await api('GET', '/admin/global-settings/HOSTILE_TEXT');
  assert.equal(text.value, 'x');
  await change({ HOSTILE_TEXT: LONG, HOSTILE_LIST: [LONG.slice(0, 9000), MARKUP] }, MARKUP);
  await enter(page, '#/settings', ADMIN);
  const wrong = [];
  const views = async (places, must) => {
    for (const width of [1280, 390]) {
      await page.setViewportSize({ width, height: 800 });
      for (const hash of places) {
        await visit(page, hash);
        await page.waitForLoadState('networkidle', { timeout: 2000 }).catch(() => null);
        const shown = await sound(page, `${hash} at ${width} px`);
        if (must && !shown) wrong.push(`${hash} does not show it`);
      }
    }
  };
  const { entries: [entry] } = await api('GET', '/admin/global-settings/history?key=HOSTILE_TEXT');
  await views(['#/settings?search=', '#/settings?edit=HOSTILE_TEXT', '#/history', `#/history/${entry.id}`, '#/history?key=HOSTILE_TEXT'], true);
  await page.setViewportSize({ width: 1280, height: 800 });
  await change({ HOSTILE_TEXT: `${LONG}y` }, MARKUP);
  await page.locator('.banners').getByText(MARKUP).first().waitFor();
  await sound(page, 'the banner');
  await visit(page, '#/settings');
  await page.getByRole('switch').first().click();
  await page.getByRole('button', { name: 'Review and save' }).click();
  await page.getByLabel('Why?').fill('x');
  await sound(page, 'the review');
  await page.keyboard.press('Escape');
  await page.getByRole('button', { name: 'Discard' }).click();

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
  await views(['#/settings?search=', '#/history', `#/history/${entry.id}`, '#/transfer', '#/secrets', '#/sessions', '#/fleet'], false);
  await page.keyboard.press('Control+k');
  await sound(page, 'the palette');
  assert.deepEqual(wrong, []);
});
