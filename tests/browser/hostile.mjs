// User input is shown as text on every page: scripts, markup, right-to-left text, 10,000 characters.
import assert from 'node:assert/strict';
import { ADMIN, OTHER, USER, api, change, enter, journey, setting, timeAfter, visit } from './console.mjs';

const HOUR = 3_600_000;

const MARKUP = '<img src=x onerror="window.pwned=1"><script>window.pwned=1</script><b class=pwned>"\'&lt;</b>';
const LONG = `${MARKUP} שלום عليكم ${'x'.repeat(10_000)}`;
// The service does not store direction marks, so they are inserted into its responses.
const MARKS = `\u200f\u202e${LONG}`;
const FIELDS = new Set(['reason', 'changed_by', 'updated_by', 'description', 'detail', 'host', 'user_id', 'how_to', 'used_for', 'category', 'subject', 'catalog', 'plan', 'level', 'ended_by', 'end_reason', 'created_by', 'written_by', 'given_by', 'bypassed_by', 'set_by', 'stopped_by', 'made_by', 'archived_by', 'archive_reason', 'note', 'last_error', 'request_id', 'prompt_id', 'model', 'name', 'version', 'sink', 'topic']);
const VALUES = new Set(['value', 'old_value', 'new_value', 'current', 'imported', 'current_value', 'base_value', 'your_value', 'default', 'from', 'to']);

/** Returns `data` with hostile text appended to each user input and each key. */
function injectText(data, name) {
  if (Array.isArray(data)) return data.map((item) => injectText(item, VALUES.has(name) ? 'value' : name));
  if (data && typeof data === 'object') return Object.fromEntries(Object.entries(data).map(([property, value]) => [property, injectText(value, property)]));
  if (typeof data !== 'string') return data;
  if (name === 'key' || name === 'keys' || name === 'member_of') return data + MARKUP;
  return FIELDS.has(name) || VALUES.has(name) ? data + MARKS : data;
}

/** Asserts that no text ran as a script, became an element, widened the page, or reordered the text around. */
async function assertHarmless(page, view) {
  const result = await page.evaluate(() => {
    const hasMarks = (element) => [...element.childNodes].some((node) => node.nodeType === 3 && /[\u200f\u202e]/.test(node.data));
    const isIsolated = (element) => ['isolate', 'isolate-override', 'plaintext'].includes(getComputedStyle(element).unicodeBidi);
    const elements = [...document.querySelectorAll('main *, dialog *, .banners *, .top *, .toasts *')];
    return {
      hasRun: Boolean(window.pwned),
      elements: document.querySelectorAll('.pwned, body img, body script').length,
      overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
      notIsolated: elements.filter((element) => hasMarks(element) && !isIsolated(element) && !element.closest('input, textarea, select, option'))
        .map((element) => element.outerHTML.slice(0, 120)).slice(0, 3),
    };
  });
  assert.deepEqual(result, { hasRun: false, elements: 0, overflow: 0, notIsolated: [] }, view);
}

await journey(async (page) => {
  await enter(page, '#/settings', ADMIN);
  const checkViews = async (hashes) => {
    for (const width of [1280, 390]) {
      await page.setViewportSize({ width, height: 800 });
      for (const hash of hashes) {
        await visit(page, hash);
        await page.waitForLoadState('networkidle', { timeout: 2000 }).catch(() => null);
        await assertHarmless(page, `${hash} at ${width} px`);
      }
    }
  };
  const [entry] = (await api('GET', '/admin/global-settings/history')).entries;
  if (entry.key.startsWith('HOSTILE')) await checkStoredText(page, checkViews);
  const hashes = ['#/settings?search=', '#/history', `#/history/${entry.id}`, '#/transfer', '#/secrets', '#/sessions', '#/fleet'];
  if (!entry.key.startsWith('HOSTILE')) hashes.push(`#/sessions/${(await api('POST', '/brun-e/start', undefined, USER)).session_id}`);

  await createNotices(entry.key);
  hashes.push('#/history?key=(release)', '#/history/releases', '#/history/releases/hostile');
  hashes.push('#/proposals?show=open', `#/proposals/${await createProposal(entry.key)}`);

  // Text that the service would not store: every response is changed on its way.
  await page.route('**/admin/**', async (route) => {
    const request = route.request();
    if (request.resourceType() !== 'fetch') return route.continue();
    // The injected name of the user is not the subject of the cookie.
    const { 'x-brune-subject': _, ...headers } = request.headers();
    const response = await route.fetch({ headers });
    if (!response.headers()['content-type']?.includes('json')) return route.fulfill({ response });
    return route.fulfill({ response, json: injectText(await response.json()) });
  });
  await page.reload();
  await page.locator('main > .page').waitFor();
  await checkViews(hashes);
  await page.keyboard.press('Control+k');
  await assertHarmless(page, 'the palette');
});

/** Creates a proposal of the other administrator with two editions and an objection. Returns its number. */
async function createProposal(anyKey) {
  const [key, values] = anyKey.startsWith('HOSTILE') ? ['HOSTILE_LIST', [['a'], ['b']]] : ['BRUNE_COOLDOWN_MINUTES', [45, 50]];
  const { version } = await setting(key);
  const [first, second] = values.map((value) => ({ reason: MARKUP, changes: [{ key, value, version }] }));
  const { number } = await api('POST', '/admin/proposals', first);
  await api('PUT', `/admin/proposals/${number}`, second, OTHER, { 'If-Match': '"e1"' });
  await api('POST', `/admin/proposals/${number}/verdicts`, { edition: 2, verdict: 'object', note: MARKUP });
  return number;
}

/** Creates a release, a freeze ahead, and a stop of session starts, if the catalog has sessions. */
async function createNotices(anyKey) {
  await api('POST', '/admin/releases', { name: 'hostile', note: MARKUP, revision: 1 });
  await api('POST', '/admin/freezes', { reason: MARKUP, starts_at: await timeAfter(5 * HOUR), ends_at: await timeAfter(9 * HOUR) });
  if (!anyKey.startsWith('HOSTILE')) await api('POST', '/admin/starts/stop', { reason: MARKUP, minutes: 60 });
}

/** Checks stored text: values and reasons of the other administrator, and the name of that user. */
async function checkStoredText(page, checkViews) {
  await change({ HOSTILE_TEXT: LONG, HOSTILE_LIST: [LONG.slice(0, 9000), MARKUP] }, MARKUP);
  const { entries: [entry] } = await api('GET', '/admin/global-settings/history?key=HOSTILE_TEXT');
  await checkViews(['#/settings?search=', '#/settings?edit=HOSTILE_TEXT', '#/history', `#/history/${entry.id}`, '#/history?key=HOSTILE_TEXT']);
  await visit(page, '#/history');
  assert.ok((await page.locator('main').innerText()).includes(entry.changed_by.slice(0, 20)));
  await page.setViewportSize({ width: 1280, height: 800 });
  await change({ HOSTILE_TEXT: `${LONG}y` }, MARKUP);
  await page.locator('.banners').getByText(MARKUP).first().waitFor();
  await assertHarmless(page, 'the banner');
  await visit(page, '#/settings');
  await page.getByRole('switch').first().click();
  await page.getByRole('button', { name: 'Review and save' }).click();
  await page.getByLabel('Reason').fill('x');
  await assertHarmless(page, 'the review');
  await page.keyboard.press('Escape');
  await page.getByRole('button', { name: 'Discard' }).click();
}
