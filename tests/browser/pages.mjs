// Every page in light, dark or narrow: no serious violation of WCAG, no horizontal scrolling. With SHOTS, a screenshot of
// each view.
import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { ADMIN, USER, accessible, api, change, enter, journey, row, visit } from './console.mjs';

const { SHOTS } = process.env;
const MODES = { light: [1360, 900, 'light'], dark: [1360, 900, 'dark'], narrow: [390, 844, 'light'] };

/** Creates test data: changes by two users, a rejected change, a session before the changes. */
async function createTestData() {
  const start = (name) => api('POST', '/brun-e/start', undefined, USER.replace('ana', name));
  await start('ana');
  await change({ BRUNE_COOLDOWN_MINUTES: 45, BRUNE_SESSION_MAX_MINUTES: 20 }, 'calmer evenings');
  await change({ BRUNE_OPENAI_REALTIME_MODEL_ALLOWLIST: ['gpt-realtime-2.1', 'gpt-realtime-2.1-mini', 'gpt-next'] }, 'the next model may be tried');
  await change({ BRUNE_COOLDOWN_MINUTES: 60 }, 'calmer still');
  await change({ BRUNE_PROMPT_VERSION: '2' }, 'prompt 2 reads better');
  await api('PATCH', '/admin/global-settings', { reason: 'a mistake', changes: [{ key: 'JWT_SECRET', value: 'no', version: 1 }] }).catch(() => null);
  const { version } = await api('GET', '/admin/global-settings/BRUNE_PROMPT_VERSION');
  await api('POST', '/admin/global-settings/rollback', { key: 'BRUNE_PROMPT_VERSION', to_version: 1, version, reason: 'too chatty' }, ADMIN);
}

const editSettings = async (page) => {
  await row(page, 'BRUNE_COOLDOWN_MINUTES').getByRole('button', { name: 'Edit Cooldown minutes' }).click();
  await page.getByRole('spinbutton', { name: 'Cooldown minutes' }).fill('90');
  await page.getByRole('switch', { name: 'Eligibility require plan' }).click();
  await row(page, 'BRUNE_MAX_SESSIONS_PER_DAY').getByRole('button', { name: 'Edit Max sessions per day' }).click();
  await page.getByRole('spinbutton', { name: 'Max sessions per day' }).fill('99');
  await page.getByText('Must be between 1 and 20').waitFor();
};

/** The views: name, hash, actions before and after the check. */
const VIEWS = [
  ['settings', '#/settings', async (page) => { await page.getByText('running session').first().waitFor(); }],
  ['settings-nothing', '#/settings?search=nothing+of+that+name', null],
  ['settings-edited', '#/settings', editSettings],
  ['review', null, async (page) => {
    await page.getByRole('spinbutton', { name: 'Max sessions per day' }).fill('9');
    await page.getByText('invalid').waitFor({ state: 'detached' });
    await page.getByRole('button', { name: 'Review and save' }).click();
    await page.getByRole('dialog').getByText('running session').first().waitFor();
  }, async (page) => page.keyboard.press('Escape')],
  ['conflict', null, async (page) => {
    await change({ BRUNE_COOLDOWN_MINUTES: 120 + Math.floor(Math.random() * 100) }, 'two hours');
    await page.getByText('1 conflict').waitFor();
    await page.getByRole('button', { name: 'Review and save' }).click();
    await page.getByRole('group', { name: 'Cooldown minutes' }).waitFor();
  }, async (page) => {
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: 'Discard' }).click();
  }],
  ['list', '#/settings?edit=BRUNE_OPENAI_REALTIME_MODEL_ALLOWLIST', async (page) => {
    await page.getByRole('button', { name: /Edit as text/ }).click();
    await page.getByRole('textbox', { name: /as text/ }).fill('[\n  "gpt-realtime-2.1",\n  "gpt-next" "gpt-5"\n]');
    await page.getByText('Line 3').waitFor();
  }, async (page) => page.keyboard.press('Escape')],
  ['keys', '#/settings', async (page) => { await page.keyboard.press('?'); }, async (page) => page.keyboard.press('Escape')],
  ['palette', '#/settings', async (page) => { await page.keyboard.press('Control+k'); await page.keyboard.type('prompt'); }, async (page) => page.keyboard.press('Escape')],
  ['history', '#/history', null],
  ['history-of-a-key', '#/history?key=BRUNE_COOLDOWN_MINUTES', null],
  ['history-entry', async () => `#/history/${(await api('GET', '/admin/global-settings/history?action=update')).entries[0].id}`, null],
  ['restore', '#/history?key=BRUNE_COOLDOWN_MINUTES', async (page) => {
    await page.getByRole('button', { name: /^Restore/ }).last().click();
    await page.getByRole('dialog').waitFor();
  }, async (page) => page.keyboard.press('Escape')],
  ['transfer', '#/transfer', null],
  ['unreadable', '#/transfer', async (page) => {
    await page.getByLabel('Or paste a document').fill('{"format_version": 1,\n "settings": {"BRUNE_COOLDOWN_MINUTES": 45,,}}');
    await page.getByRole('button', { name: 'Preview changes' }).click();
    await page.getByRole('button', { name: 'Go to line 2' }).waitFor();
  }],
  ['plan', '#/transfer', async (page) => {
    const settings = { BRUNE_COOLDOWN_MINUTES: 7, BRUNE_PROMPT_VERSION: '9', BRUNE_MAX_SESSIONS_PER_DAY: 999, NOWHERE: 1, JWT_SECRET: 'x' };
    await page.getByLabel('Or paste a document').fill(JSON.stringify({ format_version: 1, revision: 1, settings }, null, 2));
    await page.getByRole('button', { name: 'Preview changes' }).click();
    await page.getByRole('radio', { name: 'Keep current value' }).first().waitFor();
  }],
  ['secrets', '#/secrets', null],
  ['sessions', '#/sessions', null],
  ['session', async () => `#/sessions/${(await api('GET', '/admin/sessions')).sessions[0].session_id}`, null],
  ['fleet', '#/fleet', async (page) => { await page.getByRole('button', { name: /Verify/ }).click(); await page.getByText('The audit chain is intact').first().waitFor(); }],
  ['nowhere', '#/nowhere', null],
];

const { MODE } = process.env;
const [width, height, colorScheme] = MODES[MODE];
const errors = [];
let violations = 0;
await journey(async (page) => {
  await createTestData();
  await page.goto(`${process.env.BASE}/admin/`);
  await page.getByLabel('Access token').waitFor();
  for (const [name, hash, prepare, leave] of [['sign-in'], ...VIEWS]) {
    if (name === 'settings') await enter(page);
    else if (hash) await visit(page, typeof hash === 'function' ? await hash() : hash);
    await prepare?.(page);
    await page.waitForFunction(() => document.getAnimations().every((animation) => animation.playState === 'finished'));
    const { serious, total } = await accessible(page, name);
    errors.push(...serious);
    violations += total;
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    if (overflow > 0) errors.push(`${name}: ${overflow} px too wide`);
    if (SHOTS) {
      await mkdir(SHOTS, { recursive: true });
      await page.screenshot({ path: `${SHOTS}/${name}-${MODE}.png` });
    }
    await leave?.(page);
  }
}, { viewport: { width, height }, colorScheme });
assert.deepEqual(errors, []);
console.log(`${VIEWS.length + 1} views, ${MODE}: axe found ${violations} violations, none serious`);
