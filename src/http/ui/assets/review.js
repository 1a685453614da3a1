// The review: what will be changed and what that means, where somebody else was faster, why, and then all of it or nothing.
import { newIdempotencyKey, request } from './api.js';
import { valueDiff } from './diff.js';
import { assignErrors, draft, errorOf, markConflicts, rebase, requestBody } from './draft.js';
import { emit, h, isolate, setChildren, showToast, subscribe } from './dom.js';
import { label, pluralize, relativeTimeElement, valueElement } from './format.js';
import { markOwnRevision } from './live.js';
import { errorAlert, openDialog, reasonField, rememberReason, rolloutText, toSentence, waitCheckbox } from './parts.js';
import { describeEffect, isEqual } from './rules.js';
import { loadPinnedValues, loadSettings, store } from './store.js';

/** Opens it; the promise is kept when it is closed. */
export function openReviewDialog() {
  const control = new AbortController();
  return openDialog((close) => {
    const view = new Review(close);
    subscribe('draft', () => view.draw(), control.signal);
    subscribe('older', () => view.draw(), control.signal);
    return view.parts();
  }).finally(() => control.abort());
}

class Review {
  constructor(close) {
    Object.assign(this, { close, choices: new Map(), saving: false, sent: null, drawn: null });
    this.reason = reasonField();
    this.wait = waitCheckbox();
    this.place = h('div.stack');
    this.wrong = h('div', { 'aria-live': 'assertive' });
    this.button = h('button.primary', { type: 'submit' });
    this.ask = h('div.stack', null, this.reason.element, this.wait.element);
    this.draw();
  }

  parts() {
    return {
      title: 'Review and save', wider: true, body: [this.place, this.ask, this.wrong],
      actions: [h('span.hint.push-left', null, h('kbd', null, 'Ctrl'), ' ', h('kbd', null, 'Enter'), ' saves'), h('button', { type: 'button', onclick: () => this.close() }, 'Back'), this.button],
      submit: () => this.submit(),
    };
  }

  get met() {
    return [...draft.values()].filter((it) => it.theirs);
  }

  draw() {
    const [all, met] = [[...draft.values()], this.met];
    if (all.length === 0 && !this.saving) return this.close();
    // Redrawing what did not change would take the focus from it.
    const state = JSON.stringify([all.map((it) => [it.key, it.value, it.theirs, errorOf(it)]), [...store.older], store.running]);
    if (state === this.drawn) return null;
    this.drawn = state;
    this.ask.hidden = met.length > 0;
    this.button.textContent = met.length > 0 ? 'Go on with these' : `Save ${pluralize(all.length, 'change')}`;
    this.button.disabled = this.saving || (met.length === 0 && all.some(errorOf));
    return setChildren(this.place, met.length > 0 ? met.map((it) => this.conflict(it)) : all.map((it) => this.change(it)));
  }

  change(entry) {
    const setting = store.settings.get(entry.key);
    const fault = errorOf(entry);
    return h('article.review-item', null, h('h3', null, isolate(label(entry.key)), ' ', h('code.muted', null, isolate(entry.key))),
      entry.value === undefined ? h('p', null, isolate(entry.raw || 'no value')) : h('div.long', null, valueDiff(entry.base, entry.value)),
      fault ? h('p.error', null, isolate(toSentence(fault)), ' Mend it on the page; nothing is saved until then.') : h('p.hint', null, isolate(describeEffect(setting, store.running, store.older.get(entry.key)))));
  }

  /** Yours, theirs, and what both began from, side by side. */
  conflict(entry) {
    const { key, base, value, theirs } = entry;
    const both = merged(base, value, theirs.value);
    const option = (choice, name, about, it) => h('label.option', null,
      h('span.row', null, h('input', { type: 'radio', name: `choice-${key}`, value: choice, checked: this.choices.get(key)?.choice === choice, onchange: () => this.choices.set(key, { choice, value: it }) }), h('strong', null, name)),
      h('span.hint', null, about), h('span.long', null, valueElement(it)));
    return h('fieldset.conflict', null, h('legend', null, h('h3', null, isolate(label(key)), ' ', h('span.badge.warning', null, 'changed by somebody else meanwhile'))),
      h('div.columns', null,
        h('div.option', null, h('strong', null, 'Before'), h('span.hint', null, 'what you began from'), h('span.long', null, valueElement(base))),
        option('theirs', 'Keep theirs', ['by ', isolate(theirs.updated_by), ', ', relativeTimeElement(theirs.updated_at)], theirs.value),
        value !== undefined && option('yours', 'Take yours', 'over theirs, as a new version', value),
        both && option('both', 'Take both', 'what each of you added and removed', both)));
  }

  submit() {
    if (this.saving) return null;
    return this.met.length > 0 ? this.decide() : this.save();
  }

  decide() {
    const open = this.met.find((it) => !this.choices.has(it.key));
    if (open) {
      setChildren(this.wrong, h('p.error', null, isolate(`Choose what ${label(open.key)} is to be.`)));
      this.place.querySelector(`[name="choice-${CSS.escape(open.key)}"]`)?.focus();
      return;
    }
    setChildren(this.wrong);
    for (const { key } of this.met) rebase(key, this.choices.get(key).value);
    this.choices.clear();
    this.reason.element.querySelector('input').focus();
  }

  async save() {
    if (this.button.disabled || !this.reason.check()) return;
    const asked = requestBody(this.reason.value());
    const keys = asked.changes.map((it) => it.key);
    // The same question has the same key: a repeat after a lost answer is answered with the first one.
    const text = JSON.stringify(asked);
    if (this.sent?.text !== text) this.sent = { text, key: newIdempotencyKey() };
    this.busy(true);
    setChildren(this.wrong);
    try {
      const { data } = await request('PATCH', '/admin/global-settings', { query: { wait: this.wait.checked() ? 'applied' : null }, body: asked, once: this.sent.key });
      this.saved(data, asked.reason, keys);
    } catch (problem) {
      this.busy(false);
      this.refused(problem);
    }
  }

  busy(on) {
    this.saving = on;
    this.button.disabled = on;
  }

  saved(data, reason, keys) {
    markOwnRevision(data.revision);
    rememberReason(reason);
    for (const key of keys) draft.delete(key);
    this.close();
    emit('draft');
    sessionStorage.removeItem('brune.draft');
    const text = data.changed.length === 0 ? 'Nothing changed: that is what stood already.' : `Saved ${pluralize(data.changed.length, 'change')} as revision ${data.revision}. ${rolloutText(data) ?? ''}`;
    showToast(text);
    if (data.changed.length > 0) receipt(data.revision, text);
    loadSettings().then(loadPinnedValues).catch(() => null);
  }

  refused(problem) {
    if (problem.code === 'version_conflict') {
      markConflicts(problem);
      setChildren(this.wrong, h('p', null, 'Somebody was faster. Nothing was saved; choose below for each setting, and save again.'));
      loadSettings().catch(() => null);
      return;
    }
    const left = problem.errors?.length ? assignErrors(problem.errors) : [];
    emit('draft');
    const all = problem.errors?.length > 0 && left.length === 0;
    setChildren(this.wrong, all ? h('p.error', null, 'Nothing was saved; see above what to mend.') : errorAlert(problem));
  }
}

/** A list of both: what either added is in, and what either removed is out. Null where there is nothing to bring together. */
function merged(base, yours, theirs) {
  if (![base, yours, theirs].every(Array.isArray)) return null;
  const kept = theirs.filter((item) => yours.includes(item) || !base.includes(item));
  const both = [...kept, ...yours.filter((item) => !base.includes(item) && !kept.includes(item))];
  return isEqual(both, yours) || isEqual(both, theirs) ? null : both;
}

/** What was saved, and the way back, until it is put away. */
function receipt(revision, text) {
  const line = h('div.banner.success', null, h('span', null, text), h('span.row', null,
    h('a', { href: `#/history?revision=${revision}` }, 'See it'),
    h('button', { type: 'button', onclick: async () => (await import('./restore.js')).openRollback({ toRevision: revision - 1 }) }, 'Take it back…'),
    h('button', { type: 'button', 'aria-label': 'Put this line away', onclick: () => line.remove() }, 'Put away')));
  const place = document.querySelector('.banners');
  for (const old of place.querySelectorAll('.success')) old.remove();
  place.append(line);
}
