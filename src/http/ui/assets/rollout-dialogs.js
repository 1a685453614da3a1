// The dialogs of a rollout: each step asks for a reason, and is refused if the rollout has moved on meanwhile.
import { fetchJson, idempotencyKeys, request } from './api.js';
import { pluralize } from './format.js';
import { openReasonDialog, rememberReason } from './parts.js';

export const rolloutPath = (number) => `/admin/proposals/${number}/rollout`;

const endOfHold = (held) => (held ? ' The hold ends.' : '');

/** The texts of the dialogs by step. `about` receives the rollout. */
const DIALOGS = {
  hold: {
    title: 'Hold the rollout', action: 'Hold', doneText: 'The rollout is held.', placeholder: 'Reading the sessions of this stage',
    about: ({ share }) => `The share stays at ${share} % until a person decides. The guards can still revert the rollout.`,
  },
  resume: {
    title: 'Resume the rollout', action: 'Resume', doneText: 'The rollout is resumed.', placeholder: 'The sessions read well',
    about: () => 'The users and minutes of the stage, and the hours of the plan, are counted from now on. The evidence of the guards stays.',
  },
  advance: {
    title: 'Advance to the next stage', action: 'Advance', doneText: 'The next stage has begun.', placeholder: 'Checked by hand',
    about: ({ share, stage, stages, held }) => `The share grows from ${share} % to ${stages[stage]?.share} % of the users at once, without waiting for the users and minutes of stage ${stage}.${endOfHold(held)}`,
  },
  promote: {
    title: 'Apply for everybody', action: 'Apply for everybody', doneText: 'The change is applied for everybody.', placeholder: 'Checked by hand',
    about: ({ share, held }) => `New sessions of all users have the proposed values at once, instead of ${share} % of the users. The change cannot be reverted by itself afterwards.${endOfHold(held)}`,
  },
  revert: {
    title: 'Revert the rollout', action: 'Revert', doneText: 'The rollout is reverted.', placeholder: 'Users report broken sessions', isDestructive: true,
    about: () => 'No session that starts from now on has the proposed values, on any instance. Running sessions keep their settings until they end.',
  },
};

/** Returns what a step of a rollout changes, for a comparison. */
export const stateOf = ({ state, stage, held }) => JSON.stringify([state, stage, held?.reason, held?.since]);

/** Opens the dialog of `step`. Returns a promise of `{ text, rollout }` after the step, or undefined if cancelled. */
export function openRolloutDialog(step, shownRollout) {
  const { title, action, about, doneText, ...options } = DIALOGS[step];
  const path = rolloutPath(shownRollout.proposal);
  const idempotencyKeyOf = idempotencyKeys();
  return openReasonDialog({ ...options, title: `${title} of proposal ${shownRollout.proposal}`, about: about(shownRollout), action }, async (reason) => {
    // A revert is right in any state. Another step was decided for the state on the screen.
    if (step !== 'revert' && stateOf(await fetchJson(path)) !== stateOf(shownRollout)) {
      throw Object.assign(new Error('nothing was sent. Close the dialog, and decide again for the state that the page shows then'), { title: 'The rollout has moved on' });
    }
    // The service refuses to advance from another stage than the one on the screen.
    const body = { action: step, reason, ...(step === 'advance' && { stage: shownRollout.stage }) };
    const { data } = await request('POST', path, { body, idempotencyKey: idempotencyKeyOf(body) });
    rememberReason(reason);
    return { text: doneText, rollout: data };
  });
}

/** Opens the dialog that ends the running sessions with the proposed values. Returns a promise of `{ text }`. */
export function openEndSessionsDialog({ proposal: number, running: { sessions } }) {
  const idempotencyKeyOf = idempotencyKeys();
  return openReasonDialog({
    title: `End the sessions of proposal ${number}`,
    about: `${pluralize(sessions, 'running session')} ${sessions === 1 ? 'has' : 'have'} the proposed values. Their users are disconnected, and may start another session if the rules allow. The reason is stored with each session, not in the history of the settings.`,
    action: 'End these sessions',
    placeholder: 'The prompt does harm',
    isDestructive: true,
  }, async (reason) => {
    const body = { reason };
    const { data } = await request('POST', `${rolloutPath(number)}/end-sessions`, { body, idempotencyKey: idempotencyKeyOf(body) });
    rememberReason(reason);
    return { text: `Ended ${pluralize(data.ended, 'session')}.` };
  });
}
