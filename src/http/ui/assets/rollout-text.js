// The texts of rollouts: guards, stages, and why a rollout is held or was reverted.
import { pluralize } from './format.js';

/** The guards by their codes, with the failure of the user. */
export const GUARDS = {
  start_failed: { title: 'Failed starts', about: 'a session could not be opened' },
  cut_short: { title: 'Sessions cut short', about: 'ended by the user within a minute, or reported as failed' },
  refused: { title: 'Refused starts', about: 'the user was not eligible' },
};

/** The steps after the last stage. */
export const COMPLETIONS = { promote: 'Apply the change for everybody', hold: 'Wait for a person' };

const HELD_REASONS = {
  inconclusive: 'Three times the users of the stage have not made the evidence clear.',
  max_hours: 'The longest duration of the plan is over.',
  assignment_off: 'The number of users with the proposed values does not match the share, so the counts cannot be trusted.',
  completed: 'The last stage is complete, and the plan leaves the application for everybody to a person.',
  unreadable: 'The counts could not be read for five minutes.',
  invalid: 'The settings are invalid, or the change can no longer be applied.',
  not_approved: 'The change lacks approvals, or somebody objects. Have the proposal approved, then resume.',
  restored: 'The database was restored from a copy, or promoted from a standby, and may lack sessions.',
};

const REVERT_CAUSES = {
  guard: 'A guard showed harm.',
  person: 'A person reverted the rollout.',
  emergency: 'An emergency changed a setting of the rollout.',
  invalid: 'The settings with the change were invalid.',
};

/** Returns the title of a guard. A newer release of the service may have other guards. */
export const guardTitle = (guard) => GUARDS[guard]?.title ?? guard;

/** Returns why a rollout is held, as a sentence; null for a hold by a person, who has given a reason. */
export const heldText = (reason) => (reason === 'person' ? null : HELD_REASONS[reason] ?? reason);

/** Returns why a rollout was reverted, as a sentence. */
export const revertText = (cause) => REVERT_CAUSES[cause] ?? cause ?? 'The rollout was reverted.';

const stageText = ({ share, users, minutes }) => `${share} % until ${pluralize(users, 'user')}${minutes > 0 ? ` and ${pluralize(minutes, 'minute')}` : ''}`;

/** Returns the stages of a plan: “10 % until 50 users and 10 minutes, then 50 % until 200 users”. */
export const stagesText = ({ stages = [] }) => stages.map(stageText).join(', then ');

/** Returns a plan's rollout as one line, for the comparison of editions. */
export function rolloutPlanText(rollout) {
  const { guards = [], then, max_hours: hours } = rollout;
  const completion = then === 'hold' ? 'then wait for a person' : 'then for everybody';
  return `${stagesText(rollout)}, ${completion}; guards: ${guards.map((guard) => guardTitle(guard).toLowerCase()).join(', ')}; held after ${pluralize(hours, 'hour')}`;
}

/** Returns whether a rollout ended with its application for everybody. */
export const isPromotion = (ended) => ended?.outcome === 'promoted';

/**
 * Returns the steps that a person can take with a rollout: `{ steps, hint }`. A step is `{ id, text, disabled, isDestructive }`;
 * `hint` says why steps are disabled. `ownEdition` is an edition that the person has written, if any.
 */
export function rolloutSteps({ stage, stages, held, ended, running }, { standing }, ownEdition) {
  const endSessions = running?.sessions > 0 && !isPromotion(ended) && { id: 'end-sessions', text: 'End these sessions…', isDestructive: true };
  if (ended) return { steps: [endSessions].filter(Boolean), hint: null };
  // The service lets nobody widen an own change of a protected setting.
  const isOwn = ownEdition !== undefined && standing.needed > 0;
  const nextStage = stages[stage];
  return {
    steps: [
      { id: 'revert', text: 'Revert…', isDestructive: true },
      held ? { id: 'resume', text: 'Resume…' } : { id: 'hold', text: 'Hold…' },
      nextStage && { id: 'advance', text: `Advance to ${nextStage.share} %…`, disabled: isOwn },
      { id: 'promote', text: 'Apply for everybody…', disabled: isOwn },
      endSessions,
    ].filter(Boolean),
    hint: isOwn ? `You wrote edition ${ownEdition.edition}, so another person has to give more users the proposed values.` : null,
  };
}
