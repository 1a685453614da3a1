// The steps that a person can take with a proposal: the next one, and the others. The service checks every step again.
import { pluralize } from './format.js';
import { formatSchedule } from './time-fields.js';

// Blocks that an emergency bypasses. All other rules hold in an emergency too.
const BYPASSED_BLOCKS = ['not_approved', 'not_due', 'change_frozen', 'not_rollable', 'rollout_running', 'rollout_conflict'];

/** Returns the form of a name in which two names of one person are equal, as the database compares names. */
const comparableName = (name) => name.normalize('NFKC').trim().toLowerCase();

/** Returns whether two names are names of one person. */
export const isSamePerson = (a, b) => comparableName(a) === comparableName(b);

/** Returns an edition that `person` has written, or undefined. */
export const ownEditionOf = (editions, person) => editions.find(({ written_by: author }) => isSamePerson(author, person));

/**
 * Returns the steps of a proposal for `person`: `{ primary, secondary, hint }`.
 *
 * `primary` is the step that is next, or null. A step is `{ id, text, disabled }`. `hint` explains the step in a sentence, or
 * why the step is disabled. `editions` are all editions of the proposal.
 */
export function stepsOf(proposal, editions, person) {
  const { state, bypassed_by: bypassedBy, acknowledged_by: acknowledgedBy } = proposal;
  const ownEdition = ownEditionOf(editions, person);
  if (state === 'open') return openSteps(proposal, ownEdition, person);
  if (state === 'rolling') return rollingSteps(proposal, ownEdition, person);
  if (state === 'failed') {
    return {
      primary: { id: 'edit', text: 'Edit and open again…' },
      secondary: [{ id: 'withdraw', text: 'Withdraw…' }],
      hint: 'A failed proposal is not tried again by itself. A new edition opens the proposal again, and needs new approvals.',
    };
  }
  if (state === 'applied' && bypassedBy && !acknowledgedBy) return emergencySteps(bypassedBy, ownEdition, person);
  return { primary: null, secondary: [], hint: null };
}

function emergencySteps(bypassedBy, ownEdition, person) {
  const acknowledge = { id: 'acknowledge', text: 'Acknowledge…' };
  const disabledBecause = (hint) => ({ primary: { ...acknowledge, disabled: true }, secondary: [], hint });
  if (isSamePerson(bypassedBy, person)) return disabledBecause('You applied the emergency, so another person has to acknowledge the change.');
  if (ownEdition) return disabledBecause(`You wrote edition ${ownEdition.edition}, so another person has to acknowledge the change.`);
  return { primary: acknowledge, secondary: [], hint: 'An acknowledgement says that a second person has looked at the change. It approves nothing.' };
}

/** Returns the verdicts that are possible while the proposal rolls out. The section of the rollout has the other steps. */
function rollingSteps({ standing: { needed, approvals, objections } }, ownEdition, person) {
  const isMine = ({ given_by: author }) => isSamePerson(author, person);
  const isBlocked = approvals.length < needed || objections.length > 0;
  const mayApprove = isBlocked && !ownEdition && !approvals.some(isMine);
  return {
    primary: mayApprove ? { id: 'approve', text: 'Approve…' } : null,
    // An author cannot end an objection by an approval, and can hold or revert the rollout.
    secondary: ownEdition || objections.some(isMine) ? [] : [{ id: 'object', text: 'Object…' }],
    hint: isBlocked ? 'Without enough approvals, or with an objection, the rollout is neither widened nor applied for everybody.' : null,
  };
}

function openSteps(proposal, ownEdition, person) {
  const { standing: { needed, approvals, objections }, blocks } = proposal;
  const isMine = ({ given_by: author }) => isSamePerson(author, person);
  const hasObjected = objections.some(isMine);
  const codes = blocks.map(({ code }) => code);
  const edit = { id: 'edit', text: 'Edit…' };
  const secondary = [
    !hasObjected && { id: 'object', text: 'Object…' },
    edit,
    { id: 'withdraw', text: 'Withdraw…' },
    codes.length > 0 && codes.every((code) => BYPASSED_BLOCKS.includes(code)) && { id: 'emergency', text: 'Apply as emergency…', isDestructive: true },
  ].filter(Boolean);
  const steps = (primary, hint, additionalSteps = []) => ({
    primary, hint, secondary: [...additionalSteps, ...secondary].filter(({ id }) => id !== primary?.id),
  });
  if (codes.includes('version_conflict') || codes.includes('invalid')) {
    return steps(edit, 'The proposal can only be applied after an edit. A person who writes an edition can no longer approve the proposal.');
  }
  if (!codes.includes('not_approved')) return approvedSteps(proposal, codes, steps, !ownEdition && !approvals.some(isMine));
  const approve = { id: 'approve', text: 'Approve…' };
  const disabledApprove = { ...approve, disabled: true };
  if (ownEdition) return steps(disabledApprove, `You wrote edition ${ownEdition.edition}, so another person has to approve the proposal.`);
  const missingApprovals = needed - approvals.length;
  if (approvals.some(isMine)) {
    const waitsFor = missingApprovals > 0 ? `${pluralize(missingApprovals, 'more approval')} of other people ${missingApprovals === 1 ? 'is' : 'are'} needed.` : 'An objection blocks the proposal.';
    return steps(disabledApprove, `You have approved this edition. ${waitsFor}`);
  }
  const isLastApproval = missingApprovals <= 1 && objections.every(isMine) && codes.length === 1;
  const objectionEnds = hasObjected ? 'Your approval ends your objection. ' : '';
  if (!isLastApproval) return steps(approve, objectionEnds || null);
  const { plan: { rollout } } = proposal;
  return steps({ id: 'approve-and-apply', text: rollout ? 'Approve and begin the rollout…' : 'Approve and apply…' },
    `${objectionEnds}Your approval is the last one needed: you can ${rollout ? 'begin the rollout' : 'apply the proposal'} at once.`, [{ id: 'approve', text: 'Approve only…' }]);
}

/** Returns the steps of a proposal that has enough approvals. */
function approvedSteps({ plan }, codes, steps, mayApprove) {
  const additionalSteps = mayApprove ? [{ id: 'approve', text: 'Approve…' }] : [];
  const apply = { id: 'apply', text: plan.rollout ? 'Begin the rollout…' : 'Apply…' };
  if (codes.length === 0) return steps(apply, plan.rollout ? 'The rollout can begin now.' : 'The proposal can be applied now.', additionalSteps);
  const disabledApply = { ...apply, disabled: true };
  if (codes.includes('predecessor')) return steps(disabledApply, `Proposal ${plan.after} has to be applied first.`, additionalSteps);
  if (codes.includes('not_due')) return steps(null, `Nothing is left to do: the service ${plan.rollout ? 'begins the rollout' : 'applies the proposal'} on ${formatSchedule(plan.at)} by itself.`, additionalSteps);
  return steps(disabledApply, 'The proposal can be applied when the reasons above no longer exist.', additionalSteps);
}
