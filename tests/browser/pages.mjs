// Every page in light, dark or narrow: no serious violation of WCAG, no horizontal scrolling. With SHOTS, a screenshot of
// each view.
import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { ADMIN, OTHER, USER, accessible, api, change, enter, journey, row, setting, timeAfter, visit } from './console.mjs';

const { SHOTS } = process.env;
const MODES = { light: [1360, 900, 'light'], dark: [1360, 900, 'dark'], narrow: [390, 844, 'light'] };

/** Creates test data: changes by two users, a rejected change, a session and a refused start before the changes. */
async function createTestData() {
  const start = (name) => api('POST', '/brun-e/start', undefined, USER.replace('ana', name));
  await start('ana');
  // Refused, because an administrator has no plan.
  await api('POST', '/brun-e/start').catch(() => null);
  await change({ BRUNE_COOLDOWN_MINUTES: 45, BRUNE_SESSION_MAX_MINUTES: 20 }, 'calmer evenings');
  await change({ BRUNE_OPENAI_REALTIME_MODEL_ALLOWLIST: ['gpt-realtime-2.1', 'gpt-realtime-2.1-mini', 'gpt-next'] }, 'the next model may be tried');
  await change({ BRUNE_COOLDOWN_MINUTES: 60 }, 'calmer still');
  await change({ BRUNE_PROMPT_VERSION: '2' }, 'prompt 2 reads better');
  await api('PATCH', '/admin/global-settings', { reason: 'a mistake', changes: [{ key: 'JWT_SECRET', value: 'no', version: 1 }] }).catch(() => null);
  await api('POST', '/admin/releases', { name: 'winter', note: 'calm evenings', revision: 2 });
  const { version } = await api('GET', '/admin/global-settings/BRUNE_PROMPT_VERSION');
  await api('POST', '/admin/global-settings/rollback', { key: 'BRUNE_PROMPT_VERSION', to_version: 1, version, reason: 'too chatty' }, ADMIN);
}

const PROMPT = 'BRUNE_PROMPT_ID';
const MODEL = 'BRUNE_OPENAI_REALTIME_MODEL';
const proposals = {};

/** Creates proposals in every state. The signed-in user is ada. */
async function createProposals() {
  const propose = async (reason, changes, token = OTHER, plan = undefined) => {
    const { number } = await api('POST', '/admin/proposals', { reason, changes, plan }, token);
    return number;
  };
  const judge = (number, edition, verdict, note, token) => api('POST', `/admin/proposals/${number}/verdicts`, { edition, verdict, note }, token);
  const at = await timeAfter(5 * 86_400_000);
  const levels = { key: 'BRUNE_ELIGIBILITY_ALLOWED_LEVELS', value: ['b1', 'b2', 'c1'], version: 1 };
  // Applied: an emergency, and a withdrawn proposal.
  proposals.emergency = (await api('PATCH', '/admin/global-settings?emergency=true', { reason: 'the prompt is broken', changes: [{ key: PROMPT, value: 'pmpt_fallback', version: 1 }] })).proposal;
  const withdrawn = await propose('a shorter prompt', [{ key: PROMPT, value: 'pmpt_short', version: 2 }]);
  await api('POST', `/admin/proposals/${withdrawn}/withdraw`, { reason: 'not this week' });
  proposals.failed = await propose('tonight', [{ key: PROMPT, value: 'pmpt_night', version: 2 }], ADMIN, { at: await timeAfter(5000) });
  // Two editions, an approval of the first, an objection to the second, and an overlap.
  proposals.open = await propose('the smaller model is good enough', [{ key: MODEL, value: 'gpt-realtime-2.1-mini', version: 1 }], OTHER);
  await judge(proposals.open, 1, 'approve', 'I tried it', ADMIN);
  const edited = { reason: 'the smaller model is good enough, and costs a third', changes: [{ key: MODEL, value: 'gpt-realtime-2.1-mini', version: 1 }, levels], plan: { at, grace_minutes: 60 } };
  await api('PUT', `/admin/proposals/${proposals.open}`, edited, OTHER, { 'If-Match': '"e1"' });
  await judge(proposals.open, 2, 'object', 'Which users did you ask?', OTHER);
  proposals.own = await propose('more levels', [levels, { key: PROMPT, value: 'pmpt_levels', version: 2 }], ADMIN);
  proposals.next = await propose('a calmer prompt', [{ key: PROMPT, value: 'pmpt_calm', version: 2 }]);
  proposals.stale = await propose('an even better prompt', [{ key: PROMPT, value: 'pmpt_better', version: 2 }]);
}

const VERSION = 'BRUNE_PROMPT_VERSION';
const rolloutPage = () => `#/proposals/${proposals.rollout}`;
const moveRollout = (action, reason) => api('POST', `/admin/proposals/${proposals.rollout}/rollout`, { action, reason });
const sectionOfRollout = (page) => page.getByRole('region', { name: 'Rollout', exact: true });

/** Proposes a rollout to all users, so that the arm of the user of the tests is known. */
async function proposeRollout() {
  const { version } = await setting(VERSION);
  const plan = { rollout: { stages: [{ share: 100, users: 50, minutes: 10 }] } };
  const proposal = await api('POST', '/admin/proposals', { reason: 'prompt 3 reads best', changes: [{ key: VERSION, value: '3', version }], plan });
  proposals.rollout = proposal.number;
}

/** Begins the rollout. The user meets a guard once, and runs a session. */
async function beginRollout(page) {
  await api('POST', `/admin/proposals/${proposals.rollout}/apply`, { edition: 1 });
  const running = await api('GET', '/admin/sessions?status=active');
  for (const { session_id: id } of running.sessions) await api('POST', `/admin/sessions/${id}/end`, { reason: 'make room' });
  await change({ BRUNE_COOLDOWN_MINUTES: 0 }, 'no waiting');
  const { session_id: id } = await api('POST', '/brun-e/start', undefined, USER);
  await api('POST', `/brun-e/sessions/${id}/end`, undefined, USER);
  proposals.session = (await api('POST', '/brun-e/start', undefined, USER)).session_id;
  await page.reload();
  await sectionOfRollout(page).getByText('Show as table').click();
  await page.getByText('A rollout is running').last().waitFor();
}

/** Changes the setting of the open proposals. */
const makeStale = () => api('PATCH', '/admin/global-settings?emergency=true', { reason: 'back again', changes: [{ key: PROMPT, value: 'pmpt_brune_default', version: 2 }] });

const openStep = async (page, name) => {
  await page.getByRole('region', { name: 'State' }).getByRole('button', { name, exact: true }).click();
  await page.getByRole('dialog').waitFor();
};
const leaveDialog = async (page) => page.keyboard.press('Escape');

/** Freezes the settings and stops session starts, with another freeze ahead. */
async function restrict(page) {
  const time = (hours) => timeAfter(hours * 3_600_000);
  await api('POST', '/admin/freezes', { reason: 'big launch, so that nobody is surprised', ends_at: await time(4) });
  await api('POST', '/admin/freezes', { reason: 'weekend', starts_at: await time(20), ends_at: await time(60) });
  await api('POST', '/admin/starts/stop', { reason: 'the provider is down', minutes: 30 });
  await page.evaluate(() => document.dispatchEvent(new Event('visibilitychange')));
  await page.getByRole('region', { name: 'Notifications' }).getByRole('button', { name: 'Show all' }).click();
  await page.getByRole('region', { name: 'Notifications' }).getByText('weekend').waitFor();
}

const showLess = (page) => page.getByRole('button', { name: 'Show less' }).click();

const closeDialog = async (page) => page.keyboard.press('Escape');
const openFleetDialog = (name) => async (page) => {
  await page.getByRole('button', { name, exact: true }).first().click();
  await page.getByRole('dialog').waitFor();
};

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
  }],
  ['review-what-if', null, async (page) => {
    await page.getByRole('button', { name: 'Show what-if' }).click();
    await page.getByText('The recorded settings explain').waitFor();
    await page.getByText('Examples of').click();
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
  ['review-protected', '#/settings', async (page) => {
    await row(page, PROMPT).getByRole('button', { name: 'Edit Prompt id' }).click();
    await page.getByRole('textbox', { name: 'Prompt id' }).fill('pmpt_winter');
    await page.getByRole('button', { name: 'Review and propose' }).click();
    await page.getByRole('dialog').getByText('needs 1 approval').waitFor();
    await page.getByLabel('Apply at').fill('2026-12-24T18:00');
  }],
  ['emergency', null, async (page) => {
    await page.getByLabel('Reason').fill('users cannot start');
    await page.getByRole('button', { name: 'Save as an emergency…' }).click();
    await page.getByRole('dialog', { name: 'Save as an emergency?' }).waitFor();
  }, async (page) => {
    await page.keyboard.press('Escape');
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
  ['proposals-waiting', '#/proposals', async (page) => { await page.getByText('emergency, not acknowledged').waitFor(); }],
  ['proposals-open', '#/proposals?show=open', null],
  ['proposals-closed', '#/proposals?show=closed', async (page) => { await page.getByText('Approvals were missing').waitFor(); }],
  ['proposals-nothing', '#/proposals?show=open&by=nobody', null],
  ['proposal-open', async () => `#/proposals/${proposals.open}`, async (page) => { await page.getByText('Which users did you ask?').first().waitFor(); }],
  ['proposal-own', async () => `#/proposals/${proposals.own}`, null],
  ['proposal-what-if', null, async (page) => {
    await page.getByRole('button', { name: 'Show what-if' }).click();
    await page.getByText('The recorded settings explain').waitFor();
  }],
  ['proposal-failed', async () => `#/proposals/${proposals.failed}`, null],
  ['proposal-emergency', async () => `#/proposals/${proposals.emergency}`, null],
  ['proposal-approve', async () => `#/proposals/${proposals.next}`, (page) => openStep(page, 'Approve and apply…'), leaveDialog],
  ['proposal-edit', async () => `#/proposals/${proposals.open}`, (page) => openStep(page, 'Edit…'), leaveDialog],
  ['proposal-outdated', async () => `#/proposals/${proposals.next}`, async (page) => {
    await page.getByRole('region', { name: 'State' }).waitFor();
    await api('PUT', `/admin/proposals/${proposals.next}`, { reason: 'the calmest prompt', changes: [{ key: PROMPT, value: 'pmpt_calmest', version: 2 }] }, OTHER, { 'If-Match': '"e1"' });
    await page.getByText('has written edition 2').waitFor();
  }],
  ['proposal-stale', async () => `#/proposals/${proposals.stale}`, async (page) => {
    await makeStale();
    await page.getByText('When the edition was written').waitFor();
  }],
  ['history', '#/history', null],
  ['history-of-a-key', '#/history?key=BRUNE_COOLDOWN_MINUTES', null],
  ['history-entry', async () => `#/history/${(await api('GET', '/admin/global-settings/history?action=update')).entries[0].id}`, null],
  ['history-of-decisions', '#/history?key=(proposal)', null],
  ['history-decision', async () => `#/history/${(await api('GET', '/admin/global-settings/history?key=(release)')).entries[0].id}`, null],
  ['revision', '#/history?revision=2', async (page) => { await page.getByRole('heading', { level: 1 }).getByRole('link', { name: 'winter' }).waitFor(); }],
  ['release-name', '#/history?revision=2', async (page) => {
    await page.getByRole('button', { name: 'Name this revision…' }).click();
    await page.keyboard.type('Not a name');
    await page.keyboard.press('Control+Enter');
    await page.getByText('Enter a name of').waitFor();
  }, closeDialog],
  ['releases', '#/history/releases', null],
  ['release', '#/history/releases/winter', async (page) => { await page.getByRole('table', { name: 'Differences' }).waitFor(); }],
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
  ['rollout-fields', '#/settings', async (page) => {
    await row(page, VERSION).getByRole('button', { name: 'Edit Prompt version' }).click();
    await page.getByRole('textbox', { name: 'Prompt version', exact: true }).fill('3');
    await page.getByRole('button', { name: 'Review and save' }).click();
    await page.getByRole('button', { name: 'Propose instead' }).click();
    await page.getByLabel('Roll out in stages').check();
    await page.getByLabel('Share in %').last().fill('5');
    await page.getByLabel('Reason').fill('prompt 3');
    await page.getByRole('button', { name: 'Propose 1 change' }).click();
    await page.getByText('Must be greater than the share of the stage before').waitFor();
  }, async (page) => {
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: 'Discard' }).click();
  }],
  ['rollout-preview', async () => {
    await proposeRollout();
    return rolloutPage();
  }, async (page) => { await page.getByRole('table', { name: 'Expected duration' }).waitFor(); }],
  ['rollout-running', null, beginRollout],
  ['rollout-revert', null, async (page) => {
    await sectionOfRollout(page).getByRole('button', { name: 'Revert…' }).click();
    await page.getByRole('dialog').waitFor();
  }, closeDialog],
  ['rollout-held', null, async (page) => {
    await moveRollout('hold', 'reading the sessions');
    await sectionOfRollout(page).getByText('Held by ben').waitFor();
  }],
  ['proposals-rolling', '#/proposals?show=rolling', async (page) => { await page.getByRole('row', { name: /prompt 3 reads best/ }).waitFor(); }],
  ['rollout-session', async () => `#/sessions/${proposals.session}`, async (page) => { await page.getByText('candidate').first().waitFor(); }],
  ['rollout-reverted', rolloutPage, async (page) => {
    await moveRollout('revert', 'users report broken sessions');
    await sectionOfRollout(page).getByText('A person reverted the rollout.').waitFor();
  }],
  ['secrets', '#/secrets', null],
  ['sessions', '#/sessions', null],
  ['session', async () => `#/sessions/${(await api('GET', '/admin/sessions')).sessions[0].session_id}`, null],
  ['fleet', '#/fleet', async (page) => { await page.getByRole('button', { name: /Verify/ }).click(); await page.getByText('The audit chain is intact').first().waitFor(); }],
  ['fleet-restricted', '#/fleet', restrict],
  ['freeze', null, openFleetDialog('Freeze settings…'), closeDialog],
  ['freeze-end', null, openFleetDialog('End freeze…'), closeDialog],
  ['banners', null, showLess],
  ['starts-resume', null, async (page) => {
    await page.getByRole('button', { name: 'Resume session starts…' }).click();
    await page.getByRole('dialog').getByLabel('Reason').fill('the provider is back');
    await page.keyboard.press('Control+Enter');
    await page.getByText('running Sessions can start.').waitFor();
  }],
  ['starts-stop', null, openFleetDialog('Stop session starts…'), closeDialog],
  ['review-frozen', '#/settings', async (page) => {
    await page.getByRole('switch', { name: 'Eligibility require plan' }).click();
    await page.getByRole('button', { name: 'Review and propose' }).click();
    await page.getByRole('dialog').getByText('big launch').waitFor();
  }, async (page) => {
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: 'Discard' }).click();
  }],
  ['nowhere', '#/nowhere', null],
];

const { MODE } = process.env;
const [width, height, colorScheme] = MODES[MODE];
const errors = [];
let violations = 0;
await journey(async (page) => {
  await createTestData();
  await createProposals();
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
  // Without animations: a change that arrives during a check would be checked half-way, in a color between two.
}, { viewport: { width, height }, colorScheme, reducedMotion: 'reduce' });
assert.deepEqual(errors, []);
console.log(`${VIEWS.length + 1} views, ${MODE}: axe found ${violations} violations, none serious`);
