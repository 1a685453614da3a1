// The texts of proposals: their state, why they failed, and why they cannot take effect now.
import { h, isolate } from './dom.js';
import { label, pluralize, relativeTimeElement, toSentence } from './format.js';
import { badge, link, muted, revisionLink } from './page.js';
import { formatSchedule, localTimes } from './time-fields.js';

const FAILURES = {
  stale: 'a setting was changed in the meantime',
  invalid: 'the settings would be invalid',
  missed: 'the time and its grace period had passed',
  not_approved: 'approvals were missing, or somebody objected',
  predecessor: 'the earlier proposal was not applied',
};

/** Returns why a proposal failed, without a full stop. */
export const failureText = (failure) => FAILURES[failure] ?? failure;

export const proposalHash = (number) => `#/proposals/${number}`;

/** Creates a link to a proposal. */
export const proposalLink = (number) => link(proposalHash(number), `Proposal ${number}`);

/** Creates a `<time>` with date, time and offset. */
export const scheduleElement = (time) => h('time', { datetime: time }, formatSchedule(time));

/** Returns the count of approvals: “approved 1 of 2”. */
const approvalText = ({ needed, approvals }) => (needed === 0 ? 'no approval needed' : `approved ${Math.min(approvals, needed)} of ${needed}`);

/** Creates the badges of an open proposal. */
function openBadges(summary) {
  const { needed, approvals, objections } = summary;
  const isApproved = approvals >= needed && objections === 0;
  return [
    badge(isApproved ? 'success' : 'warning', approvalText(summary)),
    objections > 0 && [' ', badge('danger', pluralize(objections, 'objection'))],
  ];
}

/**
 * Creates the badges of a proposal's state. `summary` is an entry of the list: `{ state, needed, approvals, objections, due_at,
 * failure, bypassed_by, acknowledged, applied_revision, ended_at }`.
 */
export function stateBadges(summary) {
  const { state, bypassed_by: bypassedBy, acknowledged, ended_at: endedAt } = summary;
  if (state === 'open') return openBadges(summary);
  const kind = { failed: 'danger', applied: 'success', rolling: 'accent', reverted: 'danger' }[state] ?? '';
  return [
    badge(kind, state), endedAt && [' ', relativeTimeElement(endedAt)],
    bypassedBy && [' ', badge(acknowledged ? '' : 'danger', acknowledged ? 'emergency' : 'emergency, not acknowledged')],
  ];
}

/** Creates the state of a proposal in words, for the list. */
export function stateElement(summary) {
  const { state, due_at: dueAt, failure, applied_revision: revision } = summary;
  return [
    stateBadges(summary),
    state === 'open' && dueAt && h('div.hint', null, 'Scheduled for ', scheduleElement(dueAt)),
    state === 'rolling' && h('div.hint', null, `${summary.share} % of the users, stage ${summary.stage}`, summary.held && [' ', badge('warning', 'held')]),
    state === 'failed' && h('div.hint', null, toSentence(failureText(failure))),
    revision && h('div.hint', null, revisionLink(revision)),
  ];
}

/** Returns the summary of a complete proposal, for `stateBadges`. */
export const summaryOf = (proposal) => ({
  ...proposal,
  needed: proposal.standing.needed,
  approvals: proposal.standing.approvals.length,
  objections: proposal.standing.objections.length,
  acknowledged: Boolean(proposal.acknowledged_by),
});

/** Creates the sentences of a block, one for each reason. */
export function blockSentences({ code, detail }, { standing, plan, changes }) {
  const { needed, approvals, objections } = standing;
  if (code === 'not_approved') {
    const missingApprovals = needed - approvals.length;
    return [
      missingApprovals > 0 && `${pluralize(missingApprovals, needed === missingApprovals ? 'approval' : 'more approval')} of ${missingApprovals === 1 ? 'another person is' : 'other people are'} needed.`,
      ...objections.map(({ given_by: person, note }) => [isolate(person), ' objects', note ? [': “', isolate(note), '”.'] : '.',
        ' The objection ends with the approval of the same person, or with a new edition.']),
    ].filter(Boolean);
  }
  if (code === 'not_due') return [['The scheduled time is ', scheduleElement(plan.at), ', ', relativeTimeElement(plan.at), '.']];
  if (code === 'predecessor') return [[proposalLink(plan.after), ' has to be applied first.']];
  if (code === 'version_conflict') {
    const isConflicting = ({ key, version, current_version: current }) => version !== current || detail.includes(key);
    return changes.filter(isConflicting).map(({ key }) => [isolate(label(key)), ' was changed since this edition was written. Edit the proposal to use the current value.']);
  }
  return [isolate(toSentence(localTimes(detail)))];
}

/** Creates the keys of a proposal as names of settings. */
export function keyNames(keys, limit = 3) {
  const names = keys.slice(0, limit).map((key, index) => [index > 0 && ', ', h('span', { title: key }, isolate(label(key)))]);
  return [names, keys.length > limit && muted(` and ${keys.length - limit} more`)];
}
