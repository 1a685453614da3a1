// The dialogs of a proposal: a verdict, the application, the withdrawal. Each is bound to the edition on the screen.
import { fetchJson, idempotencyKeys, newIdempotencyKey, request } from './api.js';
import { valueDiff } from './diff.js';
import { h, isolate, setChildren } from './dom.js';
import { label, pluralize } from './format.js';
import { markOwnRevision } from './live.js';
import { button } from './page.js';
import { errorAlert, openDialog, openReasonDialog, reasonField } from './parts.js';
import { rolloutPlanText } from './rollout-text.js';

const MAX_NOTE_LENGTH = 500;

export const proposalPath = (number) => `/admin/proposals/${number}`;

/** The texts of the dialogs by step. `note` is the label of an optional note, `reason` the label of a required text. */
const DIALOGS = {
  approve: { title: 'Approve', action: 'Approve', note: 'Note (optional)', verdict: 'approve', doneText: 'Approved' },
  'approve-and-apply': {
    title: 'Approve and apply', action: 'Approve and apply', note: 'Note (optional)', verdict: 'approve', applies: true, doneText: 'Approved and applied',
    about: 'The changes below become the current settings at once.',
  },
  object: {
    title: 'Object to', action: 'Object', reason: 'What has to change?', verdict: 'object', doneText: 'Objected to',
    about: 'Your objection blocks the proposal until you approve, or until somebody writes a new edition.',
  },
  acknowledge: {
    title: 'Acknowledge', action: 'Acknowledge', note: 'Note (optional)', verdict: 'acknowledge', doneText: 'Acknowledged',
    about: 'You confirm that you have looked at the change, which was applied without its approvals.',
  },
  apply: { title: 'Apply', action: 'Apply', applies: true, doneText: 'Applied', about: 'The changes below become the current settings at once.' },
  'begin-rollout': { title: 'Begin the rollout of', action: 'Begin the rollout', applies: true, doneText: 'Began the rollout of' },
  'approve-and-begin-rollout': { title: 'Approve and begin the rollout of', action: 'Approve and begin', note: 'Note (optional)', verdict: 'approve', applies: true, doneText: 'Approved, and began the rollout of' },
  emergency: {
    title: 'Apply as emergency:', action: 'Apply as emergency', applies: true, isEmergency: true, reason: 'Why the change cannot wait for approvals', doneText: 'Applied as emergency',
    about: 'The changes below become the current settings at once: without the missing approvals, before the scheduled time, and also during a freeze. An alert is sent, and sent again every day until another person acknowledges the change.',
  },
};

/**
 * Opens the dialog of `step` for the edition `proposal`. Returns a promise of `{ text, revision }` after the step,
 * `{ isOutdated: true }` if a newer edition exists, or undefined if cancelled. `onopen(close)` receives the function that
 * closes the dialog.
 */
export function openStepDialog(step, proposal, onopen) {
  return openDialog((close) => {
    onopen(close);
    return new StepDialog(textsOf(step, proposal), proposal, close).dialogParts();
  });
}

/** The blocks by a running rollout, which an emergency reverts. */
const OBSTRUCTIONS = ['rollout_running', 'rollout_conflict'];

/** The steps that begin a rollout, if the plan has one, instead of applying the changes. */
const ROLLOUT_STEPS = { apply: 'begin-rollout', 'approve-and-apply': 'approve-and-begin-rollout' };

function textsOf(step, { plan: { rollout }, blocks, state }) {
  const texts = DIALOGS[step];
  if (step === 'emergency') {
    const isObstructed = blocks.some(({ code }) => OBSTRUCTIONS.includes(code));
    const notes = [rollout && 'The rollout of the plan is skipped: the changes take effect for everybody.', isObstructed && 'The running rollout is reverted.'];
    return { ...texts, about: [texts.about, ...notes].filter(Boolean).join(' ') };
  }
  if (step === 'object' && state === 'rolling') {
    return { ...texts, about: 'While you object, the rollout is neither widened nor applied for everybody. The guards and every person can still revert the rollout.' };
  }
  if (!rollout) return texts;
  const { share } = rollout.stages[0];
  return ROLLOUT_STEPS[step] ? { ...DIALOGS[ROLLOUT_STEPS[step]], about: `New sessions of ${share} % of the users have the values below at once. The others keep the current values.` } : texts;
}

class StepDialog {
  constructor(texts, proposal, close) {
    Object.assign(this, { texts, proposal, close, idempotencyKeyOf: idempotencyKeys() });
    this.note = texts.note && h('textarea', { name: 'note', rows: 2, maxlength: String(MAX_NOTE_LENGTH), dir: 'auto', autofocus: true });
    this.reason = texts.reason && reasonField({ text: texts.reason, placeholder: texts.isEmergency && 'Users cannot start a session' });
    this.errors = h('div', { 'aria-live': 'assertive' });
    this.submitButton = h(`button${texts.isEmergency ? '.danger' : '.primary'}`, { type: 'submit', autofocus: !texts.note && !texts.reason }, texts.action);
  }

  dialogParts() {
    const { number, edition, reason, changes, state, plan: { rollout } } = this.proposal;
    // The values of an applied proposal are the current ones.
    const isUndecided = state === 'open' || state === 'rolling';
    const change = ({ key, value, current_value: current }) => h('article.review-item', null,
      h('h3', null, isolate(label(key)), ' ', h('code.muted', null, isolate(key))), h('div.long', { tabindex: '0', role: 'group', 'aria-label': `Change of ${label(key)}` }, valueDiff(current, value)));
    return {
      title: `${this.texts.title} edition ${edition} of proposal ${number}`,
      about: this.texts.about,
      wide: true,
      body: [
        h('p', null, 'Reason: ', isolate(reason)),
        // An emergency skips the rollout.
        isUndecided && rollout && !this.texts.isEmergency && h('p', null, `Rollout: ${rolloutPlanText(rollout)}.`),
        isUndecided && h('div.stack', null, changes.map(change)),
        this.note && h('label.field', null, this.texts.note, this.note),
        this.reason && this.reason.element,
        this.errors,
      ],
      actions: [button('Cancel', () => this.close()), this.submitButton],
      submit: () => this.submit(),
    };
  }

  async submit() {
    if (this.submitButton.disabled || (this.reason && !this.reason.validate())) return;
    this.submitButton.disabled = true;
    setChildren(this.errors);
    try {
      this.close(await this.isOutdated() ? { isOutdated: true } : await this.send());
    } catch (problem) {
      if (problem.code === 'edition_outdated') {
        this.close({ isOutdated: true });
        return;
      }
      setChildren(this.errors, errorAlert(problem));
      this.submitButton.disabled = false;
    }
  }

  /** Whether the service has other content than the screen. Only the number of the edition is part of the request. */
  async isOutdated() {
    const { edition, digest } = await fetchJson(proposalPath(this.proposal.number));
    return edition !== this.proposal.edition || digest !== this.proposal.digest;
  }

  async send() {
    const { number, edition, changes } = this.proposal;
    const { verdict, applies, isEmergency, doneText } = this.texts;
    const note = this.reason ? this.reason.value() : this.note?.value.trim();
    const path = `${proposalPath(number)}/${verdict ? 'verdicts' : 'apply'}`;
    const body = verdict ? { edition, verdict, ...(note && { note }), ...(applies && { apply: true }) }
      : { edition, ...(isEmergency && { reason: this.reason.value() }) };
    const { data } = await request('POST', path, { query: { emergency: isEmergency }, body, idempotencyKey: this.idempotencyKeyOf(body) });
    // The response to a verdict has the change as a member; the response to an application is the change.
    const outcome = verdict ? data.changed : data;
    // The begin of a rollout is no revision.
    const revision = applies && !outcome?.rollout ? outcome?.revision : null;
    if (revision) markOwnRevision(revision);
    const result = revision ? `: ${pluralize(changes.length, 'change')} as revision ${revision}` : '';
    return { text: `${doneText} proposal ${number}${result}.`, revision };
  }
}

/** Opens the dialog to withdraw a proposal. Returns a promise of `{ text }`, or undefined if cancelled. */
export const openWithdrawDialog = ({ number }) => openReasonDialog({
  title: `Withdraw proposal ${number}`,
  about: 'A withdrawn proposal stays in the list and is never applied.',
  action: 'Withdraw',
  placeholder: 'Replaced by another proposal',
  isDestructive: true,
}, async (reason) => {
  await request('POST', `${proposalPath(number)}/withdraw`, { body: { reason }, idempotencyKey: newIdempotencyKey() });
  return { text: `Withdrew proposal ${number}.` };
});
