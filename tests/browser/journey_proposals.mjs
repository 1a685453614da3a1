// Proposals of two people: an edit during an approval, an objection, a schedule, a failure, an emergency, conflicts.
import assert from 'node:assert/strict';
import { ADMIN, OTHER, api, enter, journey, rewriting, setting, timeAfter, visit } from './console.mjs';

const COOLDOWN = 'BRUNE_COOLDOWN_MINUTES';
const PROMPT = 'BRUNE_PROMPT_VERSION';
const DAY = 86_400_000;

/** Proposes a change as ada, and returns the number. */
async function propose(key, value, reason, plan) {
  const { version } = await setting(key);
  const { number } = await api('POST', '/admin/proposals', { reason, changes: [{ key, value, version }], plan }, ADMIN);
  return number;
}

const proposal = (number) => api('GET', `/admin/proposals/${number}`);
const step = (page, name) => page.getByRole('region', { name: 'State' }).getByRole('button', { name, exact: true });
const dialogOf = (page) => page.getByRole('dialog');

/** Opens the dialog of a step, and submits the dialog. */
async function perform(page, name, action) {
  await step(page, name).click();
  await dialogOf(page).getByRole('button', { name: action, exact: true }).click();
}

/** Ben approves an edition while ada writes the next: the approval is refused, and asked for again. */
async function approveAgainstEdit(ada, ben) {
  const number = await propose(COOLDOWN, 45, 'calmer evenings');
  const rewriteProposal = await rewriting(ben, `**/admin/proposals/${number}`);
  await enter(ben, '#/settings', OTHER);
  await ben.getByRole('link', { name: 'Proposals 1 waiting for you' }).click();
  await ben.getByRole('heading', { level: 1, name: 'Proposals' }).waitFor();
  await ben.getByRole('row', { name: /calmer evenings/ }).getByText('approved 0 of 1').waitFor();
  await ben.getByRole('link', { name: `Proposal ${number}`, exact: true }).click();
  await step(ben, 'Approve and apply…').click();
  await dialogOf(ben).getByRole('heading', { name: `Approve and apply edition 1 of proposal ${number}` }).waitFor();

  // The page of ben does not hear of the edit, so the service refuses the approval.
  const outdated = await proposal(number);
  rewriteProposal(() => outdated);
  await visit(ada, `#/proposals/${number}`);
  assert.ok(await step(ada, 'Approve…').isDisabled());
  await ada.getByText('You wrote edition 1, so another person has to approve the proposal.').waitFor();
  await step(ada, 'Edit…').click();
  await dialogOf(ada).getByRole('spinbutton', { name: 'Cooldown minutes' }).fill('50');
  await dialogOf(ada).getByLabel('Reason').fill('calmer evenings, longer');
  await dialogOf(ada).getByRole('button', { name: 'Write new edition' }).click();
  await ada.getByText(`Wrote edition 2 of proposal ${number}.`).waitFor();

  const refusal = ben.waitForResponse((response) => response.url().endsWith('/verdicts'));
  await dialogOf(ben).getByRole('button', { name: 'Approve and apply', exact: true }).click();
  assert.equal((await (await refusal).json()).code, 'edition_outdated');
  rewriteProposal(null);
  const notice = ben.getByRole('alert').filter({ hasText: 'ada has written edition 2' });
  await notice.getByText('45').waitFor();
  await notice.getByText('50').waitFor();
  assert.deepEqual((await proposal(number)).verdicts, []);
  assert.equal((await setting(COOLDOWN)).value, 30);

  await perform(ben, 'Approve and apply…', 'Approve and apply');
  await ben.getByText(`Approved and applied proposal ${number}: 1 change as revision 2.`).waitFor();
  assert.equal((await setting(COOLDOWN)).value, 50);
  await ben.getByRole('link', { name: 'The history shows revision 2' }).waitFor();
  // The count beside the link of the page is gone.
  await ben.getByRole('link', { name: 'Proposals', exact: true }).waitFor();
}

/** An edit closes the dialog of an approval, and the page shows the new edition. */
async function hearOfEdit(ada, ben) {
  const number = await propose(PROMPT, '2', 'reads better');
  await visit(ben, `#/proposals/${number}`);
  await step(ben, 'Approve…').click();
  await dialogOf(ben).waitFor();
  await api('PUT', `/admin/proposals/${number}`, { reason: 'reads best', changes: [{ key: PROMPT, value: '3', version: 1 }] }, ADMIN, { 'If-Match': '"e1"' });
  await ben.getByText('ada has written edition 2').waitFor();
  await dialogOf(ben).waitFor({ state: 'detached' });
  await ben.waitForFunction(() => document.activeElement.textContent.includes('ada has written edition 2'));
  await ben.getByRole('button', { name: 'Dismiss' }).first().click();
  await ben.getByRole('heading', { name: 'Editions' }).waitFor();

  // One of two approvals does not suffice.
  await perform(ben, 'Approve…', 'Approve');
  await ben.getByText('You have approved this edition. 1 more approval of other people is needed.').waitFor();

  // An objection blocks; the withdrawal ends the proposal.
  await step(ben, 'Object…').click();
  await dialogOf(ben).getByRole('button', { name: 'Object', exact: true }).click();
  await dialogOf(ben).getByText('Enter a reason of at least 3 characters.').waitFor();
  await dialogOf(ben).getByLabel('What has to change?').fill('too chatty');
  await dialogOf(ben).getByRole('button', { name: 'Object', exact: true }).click();
  await ben.getByText(`Objected to proposal ${number}.`).waitFor();
  await visit(ada, `#/proposals/${number}`);
  await ada.getByText('ben objects: “too chatty”.').waitFor();
  assert.equal(await step(ada, 'Apply…').count(), 0);
  await step(ada, 'Withdraw…').click();
  await dialogOf(ada).getByLabel('Reason').fill('ben is right');
  await dialogOf(ada).getByRole('button', { name: 'Withdraw', exact: true }).click();
  await ada.getByText('Withdrawn by ada: “ben is right”.').waitFor();
  await visit(ada, '#/proposals?show=closed');
  await ada.getByRole('row', { name: /reads best/ }).getByText('withdrawn').waitFor();
}

/** A schedule is entered in local time, and sent with its offset. Returns the number. */
async function schedule(ada, ben) {
  const number = await propose(COOLDOWN, 60, 'calm holidays');
  await visit(ada, `#/proposals/${number}`);
  await step(ada, 'Edit…').click();
  const dialog = dialogOf(ada);
  const field = dialog.getByLabel('Apply at');
  await field.fill('2001-01-01T02:00');
  await dialog.getByRole('button', { name: 'Write new edition' }).click();
  await dialog.getByText('The time must be in the future.').waitFor();
  const day = (await timeAfter(3 * DAY)).slice(0, 10);
  await field.fill(`${day}T02:00`);
  // The time zone of the browser is five and a half hours ahead of UTC.
  await dialog.getByText('UTC+05:30').waitFor();
  await dialog.getByLabel('Grace period in minutes').fill('60');
  const sent = ada.waitForRequest((request) => request.method() === 'PUT');
  await dialog.getByRole('button', { name: 'Write new edition' }).click();
  assert.deepEqual((await sent).postDataJSON().plan, { at: `${day}T02:00:00+05:30`, grace_minutes: 60 });
  await ada.getByText(`Wrote edition 2 of proposal ${number}.`).waitFor();
  await visit(ben, `#/proposals/${number}`);
  await perform(ben, 'Approve…', 'Approve');
  await ben.getByText(/Nothing is left to do: the service applies the proposal on .* UTC\+05:30 by itself\./).waitFor();
  await visit(ben, '#/proposals?show=open');
  await ben.getByRole('row', { name: /calm holidays/ }).getByText(/Scheduled for .* UTC\+05:30/).waitFor();
  return number;
}

/** A proposal that was due without its approvals is edited and open again, then applied as an emergency. */
async function failAndApplyAsEmergency(ada, ben) {
  const number = await propose(COOLDOWN, 0, 'users cannot start', { at: await timeAfter(8000) });
  await visit(ada, `#/proposals/${number}`);
  await ada.getByText('Nothing was changed: approvals were missing, or somebody objected').waitFor();
  await step(ada, 'Edit and open again…').click();
  await dialogOf(ada).getByRole('button', { name: 'Clear the time' }).click();
  await dialogOf(ada).getByRole('button', { name: 'Write new edition' }).click();
  await ada.getByText(`Wrote edition 2 of proposal ${number}.`).waitFor();
  await step(ada, 'Apply as emergency…').click();
  await dialogOf(ada).getByLabel('Why the change cannot wait for approvals').fill('nobody else is awake');
  await dialogOf(ada).getByRole('button', { name: 'Apply as emergency', exact: true }).click();
  await ada.getByText('ada applied the change as an emergency. Nobody has acknowledged the change yet.').waitFor();
  assert.ok(await step(ada, 'Acknowledge…').isDisabled());
  assert.equal((await setting(COOLDOWN)).value, 0);

  await visit(ben, '#/proposals');
  await ben.getByRole('row', { name: /users cannot start/ }).getByText('emergency, not acknowledged').waitFor();
  await ben.getByRole('link', { name: `Proposal ${number}`, exact: true }).click();
  await perform(ben, 'Acknowledge…', 'Acknowledge');
  await ben.getByText('ben has acknowledged the change.').waitFor();
}

/** An approved proposal waits for the end of a freeze. */
async function waitForFreeze(ben) {
  const number = await propose(COOLDOWN, 5, 'back to normal');
  const { id } = await api('POST', '/admin/freezes', { reason: 'holidays', ends_at: await timeAfter(DAY) });
  await visit(ben, `#/proposals/${number}`);
  await ben.getByText(/Settings are frozen until .* UTC\+05:30: holidays\./).waitFor();
  await perform(ben, 'Approve…', 'Approve');
  await ben.getByText(`Approved proposal ${number}.`).waitFor();
  await ben.getByText('approved 1 of 1').waitFor();
  assert.ok(await step(ben, 'Apply…').isDisabled());
  await api('POST', `/admin/freezes/${id}/end`, { reason: 'all are back' });
  // The page hears of the end by itself.
  await ben.getByText('The proposal can be applied now.').waitFor();
  await perform(ben, 'Apply…', 'Apply');
  await ben.getByText(`Applied proposal ${number}: 1 change as revision`).waitFor();
}

/** A setting was changed meanwhile: three values side by side, and two edits at once. */
async function resolveConflicts(ada, number) {
  await visit(ada, `#/proposals/${number}`);
  const changes = ada.getByRole('region', { name: 'Changes' });
  for (const [title, value] of [['When the edition was written', '50'], ['Now', '0'], ['Proposed', '60']]) {
    await changes.locator('.option').filter({ hasText: title }).getByText(value, { exact: true }).waitFor();
  }
  await ada.getByText('Cooldown minutes was changed since this edition was written.').waitFor();
  await step(ada, 'Edit…').click();
  const dialog = dialogOf(ada);
  await dialog.getByRole('spinbutton', { name: 'Cooldown minutes' }).fill('40');

  // Ben writes an edition first.
  const { version } = await setting(COOLDOWN);
  await api('PUT', `/admin/proposals/${number}`, { reason: 'half an hour', changes: [{ key: COOLDOWN, value: 31, version }] }, OTHER, { 'If-Match': '"e2"' });
  await dialog.getByRole('button', { name: 'Write new edition' }).click();
  await dialog.getByText('ben has written edition 3').waitFor();
  await dialog.getByRole('button', { name: 'Replace edition 3 with my values' }).click();

  // An emergency changes the setting before ada saves.
  await api('PATCH', '/admin/global-settings?emergency=true', { reason: 'still too long', changes: [{ key: COOLDOWN, value: 1, version }] }, OTHER);
  await dialog.getByRole('button', { name: 'Write new edition' }).click();
  await dialog.getByText('Nothing was saved: another user has changed the same settings.').waitFor();
  await dialog.getByText('Current value: 1, saved by ben').waitFor();
  await dialog.getByRole('button', { name: 'Write new edition' }).click();
  await ada.getByText(`Wrote edition 4 of proposal ${number}.`).waitFor();
  assert.equal((await proposal(number)).changes[0].value, 40);

  // Any two editions can be compared.
  await ada.getByRole('combobox', { name: 'Compare', exact: true }).selectOption('Edition 1');
  await ada.getByRole('combobox', { name: 'with', exact: true }).selectOption('Edition 3');
  await ada.getByRole('region', { name: 'Editions' }).locator('ins, .value').filter({ hasText: '31' }).first().waitFor();
}

/** The last approval begins a rollout. The author of the change cannot give more users the values; another person applies the change. */
async function limitAuthors(ada, ben) {
  const plan = { rollout: { stages: [{ share: 20, users: 50, minutes: 10 }, { share: 40, users: 50, minutes: 10 }] } };
  const number = await propose(COOLDOWN, 33, 'a third of an hour more', plan);
  await visit(ben, `#/proposals/${number}`);
  await perform(ben, 'Approve and begin the rollout…', 'Approve and begin');
  await ben.getByText(`Approved, and began the rollout of proposal ${number}.`).waitFor();
  await visit(ada, `#/proposals/${number}`);
  const rollout = ada.getByRole('region', { name: 'Rollout', exact: true });
  await rollout.getByText('You wrote edition 1, so another person has to give more users the proposed values.').waitFor();
  assert.ok(await rollout.getByRole('button', { name: 'Advance to 40 %…' }).isDisabled());
  assert.ok(await rollout.getByRole('button', { name: 'Apply for everybody…' }).isDisabled());
  assert.ok(await ben.getByRole('button', { name: 'Advance to 40 %…' }).isEnabled());

  // Ben applies the change for everybody.
  const { value } = await setting(COOLDOWN);
  assert.notEqual(value, 33);
  await ben.getByRole('button', { name: 'Apply for everybody…' }).click();
  await dialogOf(ben).getByLabel('Reason').fill('checked by hand');
  await dialogOf(ben).getByRole('button', { name: 'Apply for everybody', exact: true }).click();
  await rollout.getByText('Applied for everybody by ben').waitFor();
  await ada.getByRole('region', { name: 'State' }).getByText('Applied by ben.').waitFor();
  assert.equal((await setting(COOLDOWN)).value, 33);
}

/** Lists of more than one page: the newest 50 first, the others on request. The first page of all has no closed proposal. */
async function pageThrough(ada) {
  const { version } = await setting('BRUNE_PROMPT_ID');
  const changes = [{ key: 'BRUNE_PROMPT_ID', value: 'pmpt_other', version }];
  for (let index = 0; index < 52; index++) await api('POST', '/admin/proposals', { reason: 'one of many', changes });
  await visit(ada, '#/proposals?show=open&key=BRUNE_PROMPT_ID');
  const rows = ada.getByRole('row', { name: /one of many/ });
  await rows.nth(49).waitFor();
  assert.equal(await rows.count(), 50);
  await ada.getByRole('button', { name: 'Load more' }).click();
  await rows.nth(51).waitFor();
  await visit(ada, '#/proposals?show=closed');
  await ada.getByRole('row', { name: /reads best/ }).waitFor();
  await ada.getByRole('combobox', { name: 'State' }).selectOption('applied');
  await ada.getByRole('row', { name: /reads best/ }).waitFor({ state: 'detached' });
  await ada.getByRole('row', { name: /calmer evenings, longer/ }).waitFor();
  assert.equal(await rows.count(), 0);
}

await journey(async (ada) => {
  await enter(ada);
  const ben = await ada.context().browser().newPage({ timezoneId: 'Asia/Kolkata' });
  await approveAgainstEdit(ada, ben);
  await hearOfEdit(ada, ben);
  const scheduled = await schedule(ada, ben);
  await failAndApplyAsEmergency(ada, ben);
  await resolveConflicts(ada, scheduled);
  await limitAuthors(ada, ben);
  await waitForFreeze(ben);
  await pageThrough(ada);
  await ben.unrouteAll({ behavior: 'wait' });
  await ben.close();
}, { timezoneId: 'Asia/Kolkata' });
