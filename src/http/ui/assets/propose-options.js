// Proposing a change instead of saving it: which settings need approvals, the plan of the proposal, and the emergency. Shared
// by the review, the rollback and the import.
import { request } from './api.js';
import { emit, h, isolate, setChildren } from './dom.js';
import { label, pluralize } from './format.js';
import { button, link } from './page.js';
import { openDialog, rememberReason } from './parts.js';
import { planFields } from './plan-fields.js';
import { followEmergency, followProposal } from './proposal-notices.js';
import { loadSafety, safety } from './safety-state.js';
import { loadSettings, store } from './store.js';
import { formatSchedule } from './time-fields.js';

const approvalsText = (needed) => pluralize(needed, 'approval');
const peopleText = (needed) => (needed === 1 ? 'another person' : 'other people');

/** Creates the note on settings that need approvals. */
function approvalNote(settings) {
  const greatest = Math.max(...settings.map(({ needed }) => needed));
  const item = ({ key, needed }, index) => [index > 0 && (index === settings.length - 1 ? ' and ' : ', '),
    h('strong', null, isolate(label(key))), ` needs ${approvalsText(needed)}`];
  return h('div.note', null, h('p', null, settings.map(item), ` by ${peopleText(greatest)}. `,
    settings.length > 1 && `The proposal needs ${approvalsText(greatest)}. `, 'Nothing changes until then.'));
}

function freezeNote(freeze, onended) {
  const { ends_at: end, reason } = freeze;
  const endFreeze = async () => {
    const { openEndFreezeDialog } = await import('./safety-dialogs.js');
    if (await openEndFreezeDialog(freeze)) onended();
  };
  return h('div.note.warning', null,
    h('p', null, h('strong', null, 'Settings are frozen'), ` until ${formatSchedule(end)}`, reason ? [': “', isolate(reason), '”. '] : '. ',
      'A proposal can be approved meanwhile, and applied after the freeze.'),
    reason && h('p', null, button('End freeze…', endFreeze)));
}

/**
 * The choice between saving, proposing, and an emergency. `verb` is “Save”, “Restore” or “Import”; `onchange` is called when
 * the choice has changed; `onemergency` when the user has confirmed an emergency; `isValid` says whether an emergency could
 * be sent.
 *
 * `element` has the notes and the plan, `buttons` belong beside the button that submits.
 */
export class ProposeOptions {
  constructor({ verb, onchange, onemergency, isValid }) {
    Object.assign(this, { verb, onchange, isChosen: false, keys: [], reportedKeys: new Map(), reportedFreeze: null, reportedRollout: null, drawnState: null });
    this.plan = planFields();
    this.notes = h('div.stack');
    this.element = h('div.stack', null, this.notes, this.plan.element);
    this.toggleButton = button('', () => this.toggle());
    this.emergencyButton = button(`${verb} as an emergency…`, async () => {
      if (isValid() && await confirmEmergency(verb, this.keys.length, this.rollout)) onemergency();
    }, null, 'button.danger');
    this.buttons = [this.emergencyButton, this.toggleButton];
    this.draw();
  }

  /** Returns the settings of the change that need approvals: `[{ key, needed }]`. */
  get protectedSettings() {
    const needed = (key) => this.reportedKeys.get(key) ?? store.settings.get(key)?.approvals ?? 0;
    return this.keys.map((key) => ({ key, needed: needed(key) })).filter((setting) => setting.needed > 0);
  }

  get freeze() {
    const freeze = safety.freeze ?? this.reportedFreeze;
    return freeze && Date.parse(freeze.ends_at) > Date.now() ? freeze : null;
  }

  /** Returns the settings of the change that roll out. */
  get rollingKeys() {
    return this.keys.filter((key) => safety.rollout?.keys.includes(key));
  }

  /** Returns the number of the proposal whose rollout prevents the change, or null. */
  get rollout() {
    const { rollout } = safety;
    return rollout && (this.rollingKeys.length > 0 || rollout.proposal === this.reportedRollout) ? rollout.proposal : null;
  }

  /** Whether the change can only be proposed, or saved as an emergency. */
  get isRequired() {
    return this.protectedSettings.length > 0 || this.freeze !== null || this.rollout !== null;
  }

  get isProposing() {
    return this.isChosen || this.isRequired;
  }

  /** Sets the settings that would be changed. */
  update(keys) {
    this.keys = keys;
    this.plan.setKeys(keys);
    this.draw();
  }

  toggle() {
    this.isChosen = !this.isChosen;
    this.draw();
    this.onchange();
  }

  draw() {
    const { protectedSettings, freeze, rollingKeys, isProposing, isRequired, verb } = this;
    this.plan.element.hidden = !isProposing;
    this.emergencyButton.hidden = !isRequired;
    this.toggleButton.hidden = isRequired;
    this.toggleButton.textContent = this.isChosen ? `${verb} instead` : 'Propose instead';
    // Drawing unchanged notes again would take the focus from their buttons.
    const state = JSON.stringify([protectedSettings, freeze, rollingKeys, isProposing]);
    if (state === this.drawnState) return;
    this.drawnState = state;
    setChildren(this.notes,
      freeze && freezeNote(freeze, () => this.handleFreezeEnd()),
      rollingKeys.length > 0 && rollingNote(rollingKeys, safety.rollout),
      protectedSettings.length > 0 && approvalNote(protectedSettings),
      isProposing && !isRequired && h('p.hint', null, 'No approval is needed. Others can read and discuss the proposal before somebody applies it, or it is applied at its time.'));
    this.notes.hidden = !this.notes.firstChild;
  }

  handleFreezeEnd() {
    this.draw();
    this.onchange();
    // The button of the note is gone.
    this.buttons.find((element) => !element.hidden)?.focus();
  }

  /** Sends the proposal, and shows a notice with a link. Returns `{ proposal, notice }`. */
  async propose(body, idempotencyKeyOf) {
    const plan = this.plan.value();
    const proposal = { ...body, ...(plan && { plan }) };
    const { data } = await request('POST', '/admin/proposals', { body: proposal, idempotencyKey: idempotencyKeyOf('propose', proposal) });
    rememberReason(body.reason);
    emit('proposals');
    return { proposal: data, notice: followProposal(data) };
  }

  /**
   * Handles the rejections after which the change can still be proposed: switches to proposing, and returns the note to show.
   * Returns null for other problems.
   */
  async handleRejection({ code, body }) {
    if (code === 'approval_required') {
      for (const { key, needed } of body.keys) this.reportedKeys.set(key, needed);
      loadSettings().catch(() => null);
      this.draw();
      this.onchange();
      return rejectionNote('The change needs approvals', 'The catalog has changed since this page was loaded. Propose the change instead.');
    }
    if (code === 'change_frozen') {
      // Without the list of freezes, the rejection has at least the end.
      await loadSafety().then(() => { this.reportedFreeze = null; }, () => { this.reportedFreeze = { id: body.freeze, ends_at: body.until }; });
      this.draw();
      this.onchange();
      return rejectionNote('Settings are frozen', 'Propose the change instead, or end the freeze.');
    }
    if (code === 'rollout_running' || code === 'rollout_conflict') {
      this.reportedRollout = body.proposal;
      await loadSafety().catch(() => null);
      this.draw();
      this.onchange();
      return rolloutNote(code, body, this.rollingKeys.length > 0);
    }
    return null;
  }
}

const wayAfterRollout = (number) => h('p', null, 'Propose the change, which can be applied after the rollout of ', link(`#/proposals/${number}`, `proposal ${number}`), '. An emergency reverts the rollout.');

/** Creates the note on settings that roll out. */
const rollingNote = (keys, { proposal: number }) => h('div.note.warning', null,
  h('p', null, h('strong', null, isolate(keys.map(label).join(', ')), keys.length === 1 ? ' is rolling out.' : ' are rolling out.')), wayAfterRollout(number));

/** Creates the note on a rejection because of the running rollout. `isExplained`: the note on the settings is shown already. */
function rolloutNote(code, { proposal: number, errors = [] }, isExplained) {
  const isRunning = code === 'rollout_running';
  return h('div.note.warning', { role: 'alert' },
    h('p', null, h('strong', null, isRunning ? 'The settings are rolling out. ' : 'The change conflicts with the running rollout. '), 'Nothing was changed.'),
    errors.length > 0 && h('ul.bulleted', null, errors.map(({ key, detail }) => h('li', null, isolate([key && label(key), detail].filter(Boolean).join(' '))))),
    !isExplained && wayAfterRollout(number));
}

const rejectionNote = (title, text) => h('div.note.warning', { role: 'alert' },
  h('p', null, h('strong', null, `${title}. Nothing was changed.`)), h('p', null, text));

/** Asks for a confirmation of an emergency. Resolves to true if confirmed. */
function confirmEmergency(verb, count, rollout) {
  return openDialog((close) => ({
    title: `${verb} as an emergency?`,
    about: 'Only if the change cannot wait for other people, or for the end of a freeze. All other rules hold.',
    body: [h('ul.bulleted', null,
      h('li', null, 'The change takes effect at once, without approvals.'),
      rollout !== null && h('li', null, `The rollout of proposal ${rollout} is reverted.`),
      h('li', null, 'An alert with your name and the reason is sent at once.'),
      h('li', null, 'The emergency stays open, with a reminder every 24 hours, until another person acknowledges it.'))],
    // Enter must not confirm by accident.
    actions: [h('button', { type: 'button', autofocus: true, onclick: () => close(false) }, 'Cancel'),
      h('button.danger', { type: 'submit' }, `${verb} ${pluralize(count, 'change')} as an emergency`)],
    submit: () => close(true),
  }));
}

/** Shows a notice after an emergency: `data` is the response of the write. */
export function showEmergency({ proposal: number }) {
  emit('proposals');
  followEmergency(number).catch(() => null);
}
