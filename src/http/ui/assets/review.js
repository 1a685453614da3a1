// The review dialog: the changes and their effect, the resolution of conflicts, the reason, saving.
import { newIdempotencyKey, request } from './api.js';
import { valueDiff } from './diff.js';
import { emit, h, isolate, setChildren, showToast, subscribe } from './dom.js';
import { assignErrors, clearStoredDraft, draft, errorOf, markConflicts, rebase, requestBody } from './draft.js';
import { label, pluralize, relativeTimeElement, toSentence, valueElement } from './format.js';
import { markOwnRevision } from './live.js';
import { errorAlert, openDialog, reasonField, rememberReason, rolloutText, waitCheckbox } from './parts.js';
import { describeEffect, isEqual } from './rules.js';
import { loadPinnedValues, loadSettings, store } from './store.js';

/** Opens the dialog. Resolves when the dialog is closed. */
export function openReviewDialog() {
  const subscriptions = new AbortController();
  return openDialog((close) => {
    const review = new Review(close);
    subscribe('draft', () => review.draw(), subscriptions.signal);
    subscribe('pinned', () => review.draw(), subscriptions.signal);
    return review.dialogParts();
  }).finally(() => subscriptions.abort());
}

class Review {
  constructor(close) {
    Object.assign(this, { close, resolutions: new Map(), isSaving: false, lastRequest: null, drawnState: null });
    this.reason = reasonField();
    this.wait = waitCheckbox();
    this.changes = h('div.stack');
    this.errors = h('div', { 'aria-live': 'assertive' });
    this.submitButton = h('button.primary', { type: 'submit' });
    this.saveFields = h('div.stack', null, this.reason.element, this.wait.element);
    this.draw();
  }

  dialogParts() {
    const hint = h('span.hint.push-left', null, h('kbd', null, 'Ctrl'), ' ', h('kbd', null, 'Enter'), ' to submit');
    return {
      title: 'Review and save',
      wide: true,
      body: [this.changes, this.saveFields, this.errors],
      actions: [hint, h('button', { type: 'button', onclick: () => this.close() }, 'Cancel'), this.submitButton],
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
    // Drawing unchanged content again would take the focus from its fields.
    const state = JSON.stringify([entries.map((entry) => [entry.key, entry.value, entry.theirs, errorOf(entry)]), [...store.pinned], store.runningSessions]);
    if (state === this.drawnState) return;
    this.drawnState = state;
    const hasConflicts = conflicts.length > 0;
    this.saveFields.hidden = hasConflicts;
    this.submitButton.textContent = hasConflicts ? 'Continue' : `Save ${pluralize(entries.length, 'change')}`;
    this.submitButton.disabled = this.isSaving || (!hasConflicts && entries.some(errorOf));
    setChildren(this.changes, hasConflicts ? conflicts.map((entry) => this.conflict(entry)) : entries.map((entry) => this.change(entry)));
  }

  change(entry) {
    const { key, base, value, raw } = entry;
    const error = errorOf(entry);
    const effect = () => describeEffect(store.settings.get(key), store.runningSessions, store.pinned.get(key));
    return h('article.review-item', null,
      h('h3', null, isolate(label(key)), ' ', h('code.muted', null, isolate(key))),
      value === undefined ? h('p', null, isolate(raw || 'no value')) : h('div.long', null, valueDiff(base, value)),
      error ? h('p.error', null, isolate(toSentence(error)), ' Fix the value on the page before saving.') : h('p.hint', null, isolate(effect())));
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
    return this.conflicts.length > 0 ? this.resolveConflicts() : this.save();
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

  async save() {
    if (this.submitButton.disabled || !this.reason.validate()) return;
    const body = requestBody(this.reason.value());
    const keys = body.changes.map((change) => change.key);
    // A retry of the same request reuses its idempotency key. If only the response was lost, the service repeats it.
    const requestText = JSON.stringify(body);
    if (this.lastRequest?.text !== requestText) this.lastRequest = { text: requestText, idempotencyKey: newIdempotencyKey() };
    this.setSaving(true);
    setChildren(this.errors);
    try {
      const query = { wait: this.wait.isChecked() ? 'applied' : null };
      const { data } = await request('PATCH', '/admin/global-settings', { query, body, idempotencyKey: this.lastRequest.idempotencyKey });
      this.handleSaved(data, body.reason, keys);
    } catch (problem) {
      this.setSaving(false);
      this.handleError(problem);
    }
  }

  setSaving(isSaving) {
    this.isSaving = isSaving;
    this.submitButton.disabled = isSaving;
  }

  handleSaved(data, reason, keys) {
    markOwnRevision(data.revision);
    rememberReason(reason);
    // Entries that were added during the request stay in the draft.
    for (const key of keys) draft.delete(key);
    this.close();
    emit('draft');
    clearStoredDraft();
    const { length: count } = data.changed;
    const text = count === 0 ? 'No changes: the settings already had these values.'
      : `Saved ${pluralize(count, 'change')} as revision ${data.revision}. ${rolloutText(data)}`;
    showToast(text);
    if (count > 0) showSavedBanner(data.revision, text);
    loadSettings().then(loadPinnedValues).catch(() => null);
  }

  handleError(problem) {
    if (problem.code === 'version_conflict') {
      markConflicts(problem);
      setChildren(this.errors, h('p', null, 'Nothing was saved: another user has changed the same settings. Resolve the conflicts above and save again.'));
      loadSettings().catch(() => null);
      return;
    }
    const hasErrors = problem.errors?.length > 0;
    const unassignedErrors = hasErrors ? assignErrors(problem.errors) : [];
    emit('draft');
    const areAllShown = hasErrors && unassignedErrors.length === 0;
    setChildren(this.errors, areAllShown ? h('p.error', null, 'Nothing was saved. Fix the errors above.') : errorAlert(problem));
  }
}

/** Applies the additions and removals of both sides to a list. Returns null if the result equals one of the sides. */
function mergeLists(base, mine, theirs) {
  if (![base, mine, theirs].every(Array.isArray)) return null;
  const keptItems = theirs.filter((item) => mine.includes(item) || !base.includes(item));
  const mergedItems = [...keptItems, ...mine.filter((item) => !base.includes(item) && !keptItems.includes(item))];
  return isEqual(mergedItems, mine) || isEqual(mergedItems, theirs) ? null : mergedItems;
}

/** Shows a banner after saving, with buttons to revert the revision and to dismiss. */
function showSavedBanner(revision, text) {
  const revert = async () => {
    const { openRollback } = await import('./restore.js');
    openRollback({ toRevision: revision - 1 });
  };
  const banner = h('div.banner.success', null, h('span', null, text), h('span.row', null,
    h('a', { href: `#/history?revision=${revision}` }, 'View'),
    h('button', { type: 'button', onclick: revert }, 'Revert…'),
    h('button', { type: 'button', onclick: () => banner.remove() }, 'Dismiss')));
  const container = document.querySelector('.banners');
  // Only the newest revision can be reverted without further changes.
  for (const previous of container.querySelectorAll('.success')) previous.remove();
  container.append(banner);
}
