// The notices of own proposals and emergencies, until the proposal has ended and an emergency is acknowledged.
import { fetchJson } from './api.js';
import { isolate, subscribe } from './dom.js';
import { pluralize } from './format.js';
import { link, revisionLink } from './page.js';
import { removeNotice, showNotice } from './notices.js';
import { proposalHash } from './proposal-text.js';
import { safety } from './safety-state.js';
import { formatSchedule } from './time-fields.js';

const followedNumbers = new Set();

const subjectOf = (number) => `proposal ${number}`;
const peopleText = (count) => (count === 1 ? 'another person' : 'other people');

/** Creates the sentence about the next step of an open proposal. */
function nextStep({ standing: { needed, approvals, objections }, plan }) {
  const missing = needed - approvals.length;
  const needs = missing > 0 && `needs ${pluralize(missing, approvals.length > 0 ? 'more approval' : 'approval')} by ${peopleText(missing)}`;
  const schedule = plan.at && `${plan.rollout ? 'begins to roll out' : 'is applied'} on ${formatSchedule(plan.at)}`;
  const step = plan.rollout ? 'begun' : 'applied';
  const next = [needs, schedule].filter(Boolean).join(' and ');
  if (objections.length > 0) return [objections.map(({ given_by: person }, index) => [index > 0 && ', ', isolate(person)]), ' objected.'];
  if (next) return `It ${next}.`;
  return safety.freeze ? `It can be ${step} by anybody after the freeze, which ends on ${formatSchedule(safety.freeze.ends_at)}.` : `It can be ${step} by anybody.`;
}

/** Shows the notice of `proposal`, or removes the notice if nothing is left to tell. */
function draw(proposal) {
  const { number, state, applied_revision: revision, bypassed_by: bypassedBy, acknowledged_by: acknowledgedBy } = proposal;
  const numberLink = (text) => link(proposalHash(number), `${text} ${number}`);
  const show = (kind, ...content) => showNotice(subjectOf(number), { kind, content, onremove: () => followedNumbers.delete(number) });
  if (state === 'open') return show('success', 'Proposed as ', numberLink('proposal'), '. ', nextStep(proposal));
  if (state === 'rolling') return show('success', numberLink('Proposal'), ' is rolling out.');
  if (bypassedBy && !acknowledgedBy) {
    return show('', 'Saved as an emergency, revision ', String(revision), '. Another person has to acknowledge ', numberLink('proposal'), '.');
  }
  followedNumbers.delete(number);
  if (bypassedBy) return show('success', isolate(acknowledgedBy), ' has acknowledged ', numberLink('proposal'), '.');
  if (state === 'applied') return show('success', numberLink('Proposal'), ' was applied as ', revisionLink(revision, 'revision'), '.');
  if (state === 'reverted') return show('', numberLink('Proposal'), ' was reverted, and nothing was changed.');
  if (state === 'failed') return show('', numberLink('Proposal'), ' failed, and nothing was changed.');
  removeNotice(subjectOf(number));
  return null;
}

/** Shows the notice of a proposal of the user, and keeps the notice current. Returns its element. */
export function followProposal(proposal) {
  followedNumbers.add(proposal.number);
  return draw(proposal);
}

/** Shows the notice of an emergency of the user. */
export const followEmergency = async (number) => followProposal(await fetchJson(`/admin/proposals/${number}`));

// Published after each change, after each step of a proposal, and every minute.
subscribe('safety', () => {
  for (const number of followedNumbers) {
    fetchJson(`/admin/proposals/${number}`, null, { retryAfterSignIn: false }).then((proposal) => {
      if (followedNumbers.has(number)) draw(proposal);
    }, () => null);
  }
});
// Published by the page of the proposal, which reads the proposal every few seconds.
subscribe('proposal-loaded', (proposal) => { if (followedNumbers.has(proposal.number)) draw(proposal); });
