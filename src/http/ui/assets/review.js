// The review dialog: the changes and their effect, the resolution of conflicts, the reason, saving or proposing.
import { idempotencyKeys, request } from './api.js';
import { valueDiff } from './diff.js';
import { emit, h, isolate, setChildren, showToast, subscribe } from './dom.js';
import { assignErrors, draft, errorOf, isRemoved, markConflicts, rebase, removeChange, requestBody, reviewInput, setReviewInput } from './draft.js';
import { label, pluralize, relativeTimeElement, toSentence, valueElement } from './format.js';
import { markOwnRevision } from './live.js';
import { removeNotice, showNotice } from './notices.js';
import { errorAlert, openDialog, reasonField, rememberReason, rolloutText, waitCheckbox } from './parts.js';
import { ProposeOptions, showEmergency } from './propose-options.js';
import { describeEffect, isEqual } from './rules.js';
import { session } from './session.js';
import { loadPinnedValues, loadSettings, store } from './store.js';
import { WhatIf } from './what-if.js';

/** Opens the dialog. Resolves when the dialog is closed. */
export function openReviewDialog() {
  const subscriptions = new AbortController();
  return openDialog((close) => {
    const review = new Review(close);
    for (const name of ['draft', 'pinned', 'settings', 'safety']) subscribe(name, () => review.draw(), subscriptions.signal);
    return review.dialogParts();
  }, { isStored: true }).finally(() => subscriptions.abort());
}

// More changes than this do not fit on the screen beside the reason.
const MAX_OVERVIEW = 5;

class Review {
  constructor(close) {
    Object.assign(this, { close, resolutions: new Map(), isSaving: false, idempotencyKeyOf: idempotencyKeys(), wasProposing: false, drawnState: null });
    this.reason = reasonField({ placeholder: 'Shorter cooldown in the evening' });
    this.wait = waitCheckbox();
    this.options = new ProposeOptions({
      verb: 'Save',
      onchange: () => {
        this.storeInput();
        this.draw();
      },
      onemergency: () => this.save({ emergency: true }),
      isValid: () => !this.submitButton.disabled && this.reason.validate(),
    });
    this.title = h('span');
    this.changes = h('div.stack');
    this.whatIf = new WhatIf();
    this.errors = h('div', { 'aria-live': 'assertive' });
    this.submitButton = h('button.primary', { type: 'submit' });
    this.submitHint = h('span');
    this.restoreInput();
    // The dialog begins with the changes: the focus in the reason would scroll to the end.
    if (draft.size > MAX_OVERVIEW) this.reason.input.removeAttribute('autofocus');
    this.saveFields = h('div.stack', { oninput: () => this.storeInput() }, this.options.element, this.reason.element, this.wait.element);
    this.draw();
  }

  /** Fills in what was entered before a reload, or before the dialog was closed. */
  restoreInput() {
    const { reason = '', isChosen = false, plan } = reviewInput;
    this.reason.input.value = reason;
    if (plan) this.options.plan.setText(plan);
    this.options.isChosen = isChosen;
  }

  storeInput() {
    setReviewInput({ reason: this.reason.input.value, isChosen: this.options.isChosen, plan: this.options.plan.text() });
  }

  dialogParts() {
    const hint = h('span.hint.push-left', null, h('kbd', null, 'Ctrl'), ' ', h('kbd', null, 'Enter'), ' ', this.submitHint);
    return {
      title: this.title,
      wide: true,
      body: [this.changes, this.whatIf.element, this.saveFields, this.errors],
      actions: [hint, h('button', { type: 'button', onclick: () => this.close() }, 'Cancel'), this.options.buttons, this.submitButton],
      submit: () => this.submit(),
    };
  }

  get conflicts() {
    return [...draft.values()].filter((entry) => entry.theirs);
  }

  draw() {
    const entries = [...draft.values()];
    const { conflicts } = this;
    if (entries.length === 0 && !this.isSaving) {
      this.close();
      return;
    }
    const hasConflicts = conflicts.length > 0;
    this.options.update(entries.map(({ key }) => key));
    const { isProposing } = this.options;
    // The note on a freeze is outdated once the freeze has ended.
    if (this.wasProposing && !isProposing) setChildren(this.errors);
    this.wasProposing = isProposing;
    this.title.textContent = isProposing ? 'Review and propose' : 'Review and save';
    this.wait.element.hidden = isProposing;
    // A hidden field and a disabled button lose the focus, and the keyboard would no longer reach the dialog.
    const losesFocus = hasConflicts && (this.saveFields.contains(document.activeElement) || document.activeElement === document.body);
    this.saveFields.hidden = hasConflicts;
    for (const optionButton of this.options.buttons) optionButton.disabled = hasConflicts;
    this.whatIf.element.hidden = hasConflicts || !session.hasSessions;
    this.whatIf.update(entries.some(errorOf) ? null : whatIfChange(entries));
    const verb = isProposing ? 'Propose' : 'Save';
    this.submitHint.textContent = hasConflicts ? 'to continue' : `to ${verb.toLowerCase()}`;
    this.submitButton.textContent = hasConflicts ? 'Continue' : `${verb} ${pluralize(entries.length, 'change')}`;
    this.submitButton.disabled = this.isSaving || (!hasConflicts && entries.some(errorOf));
    // Drawing unchanged content again would take the focus from its fields.
    const state = JSON.stringify([entries.map((entry) => [entry.key, entry.value, entry.theirs, errorOf(entry)]), [...store.pinned], store.runningSessions]);
    if (state === this.drawnState) return;
    this.drawnState = state;
    const count = !hasConflicts && entries.length > MAX_OVERVIEW && h('p.hint', null, `${entries.length} changes. The reason is asked for below the changes.`);
    setChildren(this.changes, count, hasConflicts ? conflicts.map((entry) => this.conflict(entry)) : entries.map((entry) => this.change(entry)));
    if (losesFocus) this.changes.querySelector('input')?.focus();
  }

  change(entry) {
    const { key, base, value, raw } = entry;
    const error = errorOf(entry);
    const effect = () => describeEffect(store.settings.get(key), store.runningSessions, store.pinned.get(key));
    return h('article.review-item', null,
      h('h3', null, isolate(label(key)), ' ', h('code.muted', null, isolate(key))),
      value === undefined ? h('p', null, isolate(raw || 'no value')) : h('div.long', null, valueDiff(base, value)),
      error ? h('p.error', null, isolate(toSentence(error)), isRemoved(entry) ? [' ', this.discardButton(key)] : ' Fix the value on the page before saving.') : h('p.hint', null, isolate(effect())));
  }

  discardButton(key) {
    const onclick = () => {
      removeChange(key);
      // The button is gone.
      this.reason.input.focus();
    };
    return h('button', { type: 'button', onclick, 'aria-label': `Discard the change of ${label(key)}` }, 'Discard the change');
  }

  /** Draws the base value, their value and mine side by side. */
  conflict({ key, base, value, theirs }) {
    const mergedList = mergeLists(base, value, theirs.value);
    const option = (choice, name, hint, optionValue) => h('label.option', null,
      h('span.row', null, h('input', {
        type: 'radio', name: `choice-${key}`, value: choice, checked: this.resolutions.get(key)?.choice === choice,
        onchange: () => this.resolutions.set(key, { choice, value: optionValue }),
      }), h('strong', null, name)),
      h('span.hint', null, hint), h('span.long', null, valueElement(optionValue)));
    return h('fieldset.conflict', null,
      h('legend', null, h('h3', null, isolate(label(key)), ' ', h('span.badge.warning', null, 'conflict'))),
      h('div.columns', null,
        h('div.option', null, h('strong', null, 'Original'), h('span.hint', null, 'value when you started editing'), h('span.long', null, valueElement(base))),
        option('theirs', 'Keep theirs', ['saved by ', isolate(theirs.updated_by), ', ', relativeTimeElement(theirs.updated_at)], theirs.value),
        value !== undefined && option('mine', 'Keep mine', 'replaces their value', value),
        mergedList && option('both', 'Merge both', 'additions and removals of both', mergedList)));
  }

  submit() {
    if (this.isSaving) return null;
    if (this.conflicts.length > 0) return this.resolveConflicts();
    return this.options.isProposing ? this.propose() : this.save();
  }

  resolveConflicts() {
    const unresolvedEntry = this.conflicts.find(({ key }) => !this.resolutions.has(key));
    if (unresolvedEntry) {
      setChildren(this.errors, h('p.error', null, isolate(`Choose a value for ${label(unresolvedEntry.key)}.`)));
      this.changes.querySelector(`[name="choice-${CSS.escape(unresolvedEntry.key)}"]`)?.focus();
      return;
    }
    setChildren(this.errors);
    for (const { key } of this.conflicts) rebase(key, this.resolutions.get(key).value);
    this.resolutions.clear();
    this.reason.input.focus();
  }

  save({ emergency = false } = {}) {
    return this.send(async (body, keys) => {
      const query = { wait: this.wait.isChecked() ? 'applied' : null, emergency };
      const idempotencyKey = this.idempotencyKeyOf('save', body, query);
      const { data } = await request('PATCH', '/admin/global-settings', { query, body, idempotencyKey });
      this.handleSaved(data, body.reason, keys);
    });
  }

  propose() {
    return this.send(async (body, keys) => {
      const { notice } = await this.options.propose(body, this.idempotencyKeyOf);
      this.removeFromDraft(keys);
      // The bar, which opened the dialog, is gone: the way to the proposal is next.
      notice.querySelector('a').focus();
    }, () => this.options.plan.validate());
  }

  /** Calls `perform(body, keys)` if the reason and `validate()` allow, and shows the error. */
  async send(perform, validate = () => true) {
    if (this.submitButton.disabled || !this.reason.validate() || !validate()) return;
    const body = requestBody(this.reason.value());
    this.setSaving(true);
    setChildren(this.errors);
    try {
      await perform(body, body.changes.map((change) => change.key));
    } catch (problem) {
      this.setSaving(false);
      await this.handleError(problem);
    }
  }

  setSaving(isSaving) {
    this.isSaving = isSaving;
    this.submitButton.disabled = isSaving;
  }

  handleSaved(data, reason, keys) {
    markOwnRevision(data.revision);
    rememberReason(reason);
    this.removeFromDraft(keys);
    const { length: count } = data.changed;
    const text = count === 0 ? 'No changes: the settings already had these values.'
      : `Saved ${pluralize(count, 'change')} as revision ${data.revision}. ${rolloutText(data)}`;
    showToast(text);
    if (data.proposal) showEmergency(data);
    else if (count > 0) showSavedNotice(data.revision, text);
    loadSettings().then(loadPinnedValues).catch(() => null);
  }

  /** Removes the changes of `keys` from the draft. Entries that were added during the request stay. */
  removeFromDraft(keys) {
    for (const key of keys) draft.delete(key);
    setReviewInput({});
    this.close();
    emit('draft');
  }

  async handleError(problem) {
    if (problem.code === 'version_conflict') {
      markConflicts(problem);
      setChildren(this.errors, h('p', null, 'Nothing was saved: another user has changed the same settings. Resolve the conflicts above and save again.'));
      loadSettings().catch(() => null);
      return;
    }
    const rejection = await this.options.handleRejection(problem);
    if (rejection) {
      setChildren(this.errors, rejection);
      return;
    }
    const hasErrors = problem.errors?.length > 0;
    const unassignedErrors = hasErrors ? assignErrors(this.options.plan.showErrors(problem.errors)) : [];
    emit('draft');
    const areAllShown = hasErrors && unassignedErrors.length === 0;
    setChildren(this.errors, areAllShown ? h('p.error', null, 'Nothing was saved. Fix the errors above.') : errorAlert(problem));
  }
}

/** Returns the change of `entries` for a what-if, which compares no versions. */
const whatIfChange = (entries) => ({ changes: entries.map(({ key, value }) => ({ key, value })) });

/** Applies the additions and removals of both sides to a list. Returns null if the result equals one of the sides. */
function mergeLists(base, mine, theirs) {
  if (![base, mine, theirs].every(Array.isArray)) return null;
  const keptItems = theirs.filter((item) => mine.includes(item) || !base.includes(item));
  const mergedItems = [...keptItems, ...mine.filter((item) => !base.includes(item) && !keptItems.includes(item))];
  return isEqual(mergedItems, mine) || isEqual(mergedItems, theirs) ? null : mergedItems;
}

const SAVED_NOTICE = 'saved';

/** Shows a notice after saving, with a button to revert the revision until a newer revision exists. */
function showSavedNotice(revision, text) {
  const revert = async () => {
    const { openRollback } = await import('./restore.js');
    openRollback({ toRevision: revision - 1 });
  };
  showNotice(SAVED_NOTICE, {
    kind: 'success', content: text,
    actions: [h('a', { href: `#/history?revision=${revision}` }, 'View'), h('button', { type: 'button', onclick: revert }, 'Revert…')],
  });
  savedRevision = revision;
}

let savedRevision = null;
// Only the newest revision can be reverted without further changes.
subscribe('change', ({ revision }) => { if (savedRevision !== null && revision > savedRevision) removeNotice(SAVED_NOTICE); });
