// Decisions of the audit trail in plain words: proposals, freezes, stops of session starts, releases.
import { isolate } from './dom.js';
import { humanize } from './format.js';
import { link, revisionLink } from './page.js';
import { failureText, proposalHash, scheduleElement } from './proposal-text.js';
import { heldText, revertText } from './rollout-text.js';

const TITLES = { '(proposal)': 'Proposal', '(freeze)': 'Freeze', '(starts)': 'Session starts', '(release)': 'Release' };

/** Returns a share in basis points as percent. */
const percentOf = (share) => `${share / 100} %`;

// The events of each kind of decision. The reason, the author and the time are shown by the caller.
const SENTENCES = {
  written: ({ edition }) => (edition > 1 ? ['Edited, as edition ', edition, '. Approvals of earlier editions no longer count.'] : ['Proposed.']),
  approve: ({ edition }) => ['Edition ', edition, ' was approved.'],
  object: ({ edition }) => ['Somebody objected to edition ', edition, '.'],
  acknowledge: () => ['The emergency was acknowledged.'],
  applied: ({ revision }) => ['Applied as ', revisionLink(revision, 'revision'), '.'],
  bypassed: ({ revision }) => ['Applied as an emergency, without waiting for approvals, as ', revisionLink(revision, 'revision'), '.'],
  rolling: ({ share_bp: share }) => [`The rollout began for ${percentOf(share)} of the users.`],
  widened: ({ share_bp: share, stage }) => [`The rollout advanced to stage ${stage}: ${percentOf(share)} of the users.`],
  held: ({ held_reason: reason }) => ['The rollout was held', heldText(reason) ? `: ${heldText(reason)}` : ' by a person.'],
  reverted: ({ cause }) => [`The rollout was reverted. ${revertText(cause)}`],
  withdrawn: () => ['Withdrawn.'],
  failed: ({ failure }) => ['Not applied when due: ', failureText(failure), '.'],
  frozen: ({ starts_at: start, ends_at: end }) => ['Settings frozen from ', scheduleElement(start), ' to ', scheduleElement(end), '.'],
  freeze_ended: () => ['The freeze was ended early.'],
  stopped: ({ until }) => ['Session starts stopped until ', scheduleElement(until), '.'],
  resumed: ({ proposal }) => [proposal ? 'The rollout was resumed.' : 'Session starts resumed.'],
  released: ({ revision }) => ['Named ', revisionLink(revision, 'revision'), '.'],
  archived: () => ['Archived.'],
};

/** Returns whether an entry of the audit trail is a decision. */
export const isDecision = ({ action }) => action === 'decision';

/** Creates the subject of a decision: a link to the proposal or the release, or the name of the kind. */
export function decisionSubject({ key, new_value: details }) {
  const { proposal, release } = details ?? {};
  if (proposal) return link(proposalHash(proposal), `Proposal ${proposal}`);
  if (release) return link(`#/history/releases/${encodeURIComponent(release)}`, 'Release ', isolate(release));
  return TITLES[key] ?? isolate(key);
}

/** Creates the sentence of a decision. */
export function decisionSentence({ new_value: details }) {
  // A newer release of the service may write other events.
  return SENTENCES[details?.event]?.(details) ?? humanize(details?.event ?? 'A decision without details');
}
