// A rollout: proposed with its stages, previewed, begun, held, advanced and reverted, and the sessions of the candidate ended.
import assert from 'node:assert/strict';
import { OTHER, USER, api, change, enter, journey, row, setting, tabTo, visit } from './console.mjs';

const PROMPT = 'BRUNE_PROMPT_VERSION';

const rollout = () => api('GET', '/admin/proposals/1/rollout');
const move = (action, reason) => api('POST', '/admin/proposals/1/rollout', { action, reason }, OTHER);
const section = (page) => page.getByRole('region', { name: 'Rollout', exact: true });
const banner = (page, text) => page.getByRole('region', { name: 'Notifications' }).getByRole('status').filter({ hasText: text });
const dialogOf = (page) => page.getByRole('dialog').last();
const editPrompt = async (page, value) => {
  await row(page, PROMPT).getByRole('button', { name: 'Edit Prompt version' }).click();
  await page.getByRole('textbox', { name: 'Prompt version', exact: true }).fill(value);
  await page.getByRole('button', { name: 'Review and save' }).click();
};

/** Takes a step of the rollout with a reason. */
async function take(page, step, action, reason) {
  await section(page).getByRole('button', { name: step }).click();
  await dialogOf(page).getByLabel('Reason').fill(reason);
  await dialogOf(page).getByRole('button', { name: action, exact: true }).click();
}

/** The fields show the guards that the service would store: refused starts judge no change that decides who may start. */
async function defaultGuards(page) {
  await row(page, 'BRUNE_COOLDOWN_MINUTES').getByRole('button', { name: 'Edit Cooldown minutes' }).click();
  await page.getByRole('spinbutton', { name: 'Cooldown minutes' }).fill('40');
  await page.getByRole('button', { name: 'Review and save' }).click();
  const dialog = dialogOf(page);
  await dialog.getByRole('button', { name: 'Propose instead' }).click();
  await dialog.getByLabel('Roll out in stages').check();
  const isChecked = (name) => dialog.getByLabel(name).isChecked();
  assert.deepEqual(await Promise.all(['Failed starts', 'Sessions cut short', 'Refused starts'].map(isChecked)), [true, true, false]);
  await page.keyboard.press('Escape');
  await page.getByRole('button', { name: 'Discard' }).click();
}

/** The review offers a rollout with the default stages, and shows errors at their fields. */
async function propose(page) {
  await editPrompt(page, '2');
  const dialog = dialogOf(page);
  await dialog.getByRole('button', { name: 'Propose instead' }).click();
  await dialog.getByLabel('Reason').fill('prompt 2 reads better');
  assert.equal(await dialog.getByRole('group', { name: 'Stage 1' }).isVisible(), false);
  await dialog.getByLabel('Roll out in stages').check();
  const field = (stage, name) => dialog.getByRole('group', { name: `Stage ${stage}` }).getByLabel(name);
  assert.deepEqual(await Promise.all([field(1, 'Share'), field(1, 'Users'), field(2, 'Share'), field(2, 'Minutes')].map((input) => input.inputValue())), ['10', '50', '50', '30']);
  const submit = () => dialog.getByRole('button', { name: 'Propose 1 change' }).click();

  // The browser compares the shares.
  await field(2, 'Share').fill('10');
  await submit();
  await dialog.getByRole('group', { name: 'Stage 2' }).getByText('Must be greater than the share of the stage before.').waitFor();
  await field(2, 'Share').fill('100');
  // Errors of the service are shown at their fields, which take the focus.
  const errors = [{ pointer: '/plan/rollout/stages/0/users', code: 'out_of_range', detail: 'must be smaller today' }];
  const problem = { type: 'about:blank', title: 'Validation failed', status: 400, code: 'validation_failed', detail: 'the rollout is invalid', errors };
  await page.route('**/admin/proposals', (route) => route.fulfill({ status: 400, contentType: 'application/problem+json', body: JSON.stringify(problem) }), { times: 1 });
  await submit();
  await dialog.getByRole('group', { name: 'Stage 1' }).getByText('Must be smaller today.').waitFor();
  assert.ok(await field(1, 'Users').evaluate((input) => input === document.activeElement));
  await field(2, 'Minutes').fill('60');
  await dialog.getByLabel('Longest duration').fill('1');
  await submit();
  await dialog.getByText('Must be longer than the minutes of all stages together.').waitFor();
  await dialog.getByLabel('Longest duration').fill('24');
  assert.ok(await dialog.getByLabel('Refused starts').isChecked());
  await dialog.getByLabel('Refused starts').uncheck();

  // A stage more, and one less.
  await dialog.getByRole('button', { name: 'Add a stage' }).click();
  assert.ok(await field(3, 'Share').evaluate((input) => input === document.activeElement));
  await dialog.getByRole('button', { name: 'Remove stage 3' }).click();

  // What was entered survives a reload.
  await page.reload();
  await page.getByRole('button', { name: 'Review and save' }).click();
  assert.deepEqual([await field(2, 'Share').inputValue(), await dialog.getByLabel('Refused starts').isChecked()], ['100', false]);
  await submit();
  await banner(page, 'Proposed as proposal 1.').waitFor();
  const { plan } = await api('GET', '/admin/proposals/1');
  assert.deepEqual(plan.rollout, {
    stages: [{ share: 10, users: 50, minutes: 10 }, { share: 100, users: 200, minutes: 60 }], guards: ['start_failed', 'cut_short'], then: 'promote', max_hours: 24,
  });
}

/** The preview says what the rollout would take; an edit of the plan is compared with the edition before. */
async function previewAndEdit(page) {
  await visit(page, '#/proposals/1');
  await section(page).getByText('The rollout has not begun.').waitFor();
  await section(page).getByText('stage 1 never has enough users').waitFor();
  await page.getByRole('region', { name: 'State' }).getByRole('button', { name: 'Edit…' }).click();
  const dialog = dialogOf(page);
  await dialog.getByLabel('After the last stage').selectOption('Wait for a person');
  await dialog.getByRole('button', { name: 'Write new edition' }).click();
  await page.getByText('Wrote edition 2 of proposal 1.').waitFor();
  const editions = page.getByRole('region', { name: 'Editions' });
  await editions.getByText('then for everybody; guards: failed starts, sessions cut short; held after 24 hours').waitFor();
  await editions.getByText('then wait for a person').waitFor();
}

/** The rollout begins, is held and resumed. */
async function beginAndHold(page) {
  await page.getByRole('region', { name: 'State' }).getByRole('button', { name: 'Begin the rollout…' }).click();
  await dialogOf(page).getByText('New sessions of 10 % of the users have the values below at once.').waitFor();
  await dialogOf(page).getByText('Rollout: 10 % until 50 users and 10 minutes, then 100 % until 200 users and 60 minutes').waitFor();
  await dialogOf(page).getByRole('button', { name: 'Begin the rollout', exact: true }).click();
  await page.getByText('Began the rollout of proposal 1.').waitFor();
  await section(page).getByText('10 % of the users', { exact: true }).waitFor();
  await section(page).getByRole('row', { name: /^Failed starts/ }).getByText('no failures').waitFor();
  await section(page).getByRole('row', { name: /^Refused starts/ }).getByText('judges nothing').waitFor();
  await section(page).getByText('50 more candidate users; 10 minutes').waitFor();
  await banner(page, 'A rollout is running: 10 % of the users, stage 1.').waitFor();
  assert.equal((await setting(PROMPT)).value, '1');

  await take(page, 'Hold…', 'Hold', 'reading the sessions');
  await section(page).getByText('Held by ada, just now. “reading the sessions”').waitFor();
  await banner(page, 'A rollout is held').waitFor();
  assert.equal((await rollout()).held.reason, 'person');
  // The button of the step is gone, and the focus stays with the steps.
  await page.waitForFunction(() => document.activeElement.textContent === 'Resume…');
  await take(page, 'Resume…', 'Resume', 'the sessions read well');
  await banner(page, 'A rollout is running').waitFor();
  assert.equal((await rollout()).held, null);
}

/** A step was decided for the state on the screen: it is refused if somebody else was faster. */
async function advance(page) {
  await section(page).getByRole('button', { name: 'Advance to 100 %…' }).click();
  await dialogOf(page).getByText('The share grows from 10 % to 100 %').waitFor();
  await move('hold', 'wait for me');
  await dialogOf(page).getByLabel('Reason').fill('looks good');
  await dialogOf(page).getByRole('button', { name: 'Advance', exact: true }).click();
  await dialogOf(page).getByText('The rollout has moved on').waitFor();
  assert.equal((await rollout()).stage, 1);
  await page.keyboard.press('Escape');
  await section(page).getByText('Held by ben').waitFor();
  await move('resume', 'go on');
  await section(page).getByRole('button', { name: 'Hold…' }).waitFor();
  await take(page, 'Advance to 100 %…', 'Advance', 'looks good');
  await section(page).getByText('100 % of the users', { exact: true }).waitFor();
  await banner(page, '100 % of the users, stage 2.').waitFor();
  // No stage follows.
  await section(page).getByText('End of the last stage waits for').waitFor();
}

/** An objection blocks the next steps of a rollout until the same person approves. */
async function objection(page) {
  const judge = (verdict) => api('POST', '/admin/proposals/1/verdicts', { edition: 2, verdict, note: 'read again' }, OTHER);
  const hint = page.getByRole('region', { name: 'State' }).getByText('with an objection, the rollout is neither widened nor applied');
  await judge('object');
  await hint.waitFor();
  await judge('approve');
  await hint.waitFor({ state: 'detached' });
}

/** A user who ends the session at once counts for a guard: in the line of the guard, in the chart, and in its table. */
async function failOnce(page) {
  await change({ BRUNE_COOLDOWN_MINUTES: 0 }, 'not part of the rollout');
  const { session_id: id } = await api('POST', '/brun-e/start', undefined, USER);
  await api('POST', `/brun-e/sessions/${id}/end`, undefined, USER);
  const line = section(page).getByRole('table', { name: 'Guards' }).getByRole('row', { name: /^Sessions cut short/ });
  await line.getByText('1 of 1 candidate user').waitFor();
  await line.getByText('leans to fine').first().waitFor();
  await line.getByRole('img', { name: 'Sessions cut short: evidence 1, between leaning to fine below 1 and a revert at 200' }).waitFor();
  await section(page).getByRole('img', { name: /^Evidence of harm by guard since/ }).waitFor();
  await section(page).getByText('Show as table').click();
  await section(page).getByRole('row', { name: /Sessions cut short candidate 1$/ }).waitFor();
}

/** The page of a session names the arm. */
async function traceSession(page) {
  const { session_id: id, config } = await api('POST', '/brun-e/start', undefined, USER);
  assert.deepEqual([config.prompt_version, config.proposal], ['2', 1]);
  await visit(page, `#/sessions/${id}`);
  await page.getByText('candidate Proposal 1, stage 2, 100 % of the users').waitFor();
  await page.getByText('and buckets below 10,000 of 10,000 are candidates').waitFor();
  return id;
}

/** A change of the rolling setting is proposed instead, or an emergency. A page that does not know of the rollout hears of it. */
async function meetRollout(page) {
  await visit(page, '#/settings');
  await row(page, PROMPT).getByRole('link', { name: 'proposal 1' }).waitFor();
  await editPrompt(page, '3');
  await dialogOf(page).getByText('Prompt version is rolling out.').waitFor();
  await dialogOf(page).getByRole('button', { name: 'Propose 1 change' }).waitFor();
  await page.keyboard.press('Escape');
  await page.route('**/admin/proposals?state=rolling**', (route) => route.fulfill({ contentType: 'application/json', body: '{"proposals":[],"next_cursor":null}' }));
  await page.reload();
  await page.getByRole('button', { name: 'Review and save' }).click();
  await dialogOf(page).getByLabel('Reason').fill('prompt 3');
  await dialogOf(page).getByRole('button', { name: 'Save 1 change' }).waitFor();
  await page.unroute('**/admin/proposals?state=rolling**');
  await dialogOf(page).getByRole('button', { name: 'Save 1 change' }).click();
  await dialogOf(page).getByText('The settings are rolling out.').waitFor();
  await dialogOf(page).getByRole('button', { name: 'Propose 1 change' }).waitFor();
  await dialogOf(page).getByRole('button', { name: 'Save as an emergency…' }).click();
  await page.getByRole('dialog', { name: 'Save as an emergency?' }).getByText('The rollout of proposal 1 is reverted.').waitFor();
  await page.keyboard.press('Escape');
  await page.keyboard.press('Escape');
  await page.getByRole('button', { name: 'Discard' }).click();
}

/** By keyboard: one button and a reason revert the rollout. The sessions of the candidate run on until they are ended. */
async function revert(page, session) {
  await visit(page, '#/proposals/1');
  await section(page).getByRole('link', { name: '1 running session' }).waitFor();
  await tabTo(page, section(page).getByRole('button', { name: 'Revert…' }));
  await page.keyboard.press('Enter');
  await page.keyboard.type('users report broken sessions');
  await page.keyboard.press('Control+Enter');
  await section(page).getByText('A person reverted the rollout. No new session has the proposed values.').waitFor();
  await section(page).getByRole('listitem').filter({ hasText: '100 %' }).getByText('reverted here').waitFor();
  await section(page).getByText('2 of 2 at the end').waitFor();
  await banner(page, 'A rollout is running').waitFor({ state: 'detached' });
  assert.deepEqual([(await setting(PROMPT)).value, (await api('GET', '/admin/proposals/1')).state], ['1', 'reverted']);
  assert.equal((await api('GET', `/admin/sessions/${session}`)).status, 'active');
  await take(page, 'End these sessions…', 'End these sessions', 'the prompt does harm');
  await page.getByText('Ended 1 session.').waitFor();
  await section(page).getByText('no running session').waitFor();
  const { status, end_reason: reason } = await api('GET', `/admin/sessions/${session}`);
  assert.deepEqual([status, reason], ['ended', 'the prompt does harm']);

  await visit(page, '#/proposals?show=closed');
  await page.getByRole('row', { name: /prompt 2 reads better/ }).getByText('reverted').waitFor();
  await visit(page, '#/history?key=(proposal)');
  for (const text of ['The rollout began for 10 % of the users.', 'The rollout was held by a person.', 'The rollout was resumed.', 'The rollout advanced to stage 2: 100 % of the users.', 'The rollout was reverted. A person reverted the rollout.']) {
    await page.locator('tbody tr').filter({ hasText: text }).first().waitFor();
  }
}

await journey(async (page) => {
  await enter(page);
  await defaultGuards(page);
  await propose(page);
  await previewAndEdit(page);
  await beginAndHold(page);
  await advance(page);
  await objection(page);
  await failOnce(page);
  const session = await traceSession(page);
  await meetRollout(page);
  await revert(page, session);
});
