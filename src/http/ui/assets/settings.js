// The settings: what each is, who made it so, and the field to change it. Nothing is saved here; changes go into the draft.
import { draft, draftValue, errorOf, inducedErrors, removeChange, setChange } from './draft.js';
import { debounce, h, isolate, setChildren, subscribe, uniqueId } from './dom.js';
import { settingField } from './fields.js';
import { formatValue, label, pluralize, relativeTimeElement, sentenceCase, valueElement } from './format.js';
import { pageHeader, toSentence } from './parts.js';
import { replaceParameters } from './route.js';
import { describeConstraints, isEqual } from './rules.js';
import { session } from './session.js';
import { ensureSettings, loadPinnedValues, store } from './store.js';

/** How long rows may be made in one go, in ms: the page stays at hand while there are thousands. */
const SLICE = 12;
const FIRST = 40;

const SHOW = [
  ['', 'All'], ['draft', 'Changed here, not saved'], ['other', 'Not the default'], ['older', 'Held back by running sessions'],
];

export async function show(body, { search = '', category: of = '', show: which = '', edit }, signal) {
  await ensureSettings();
  const filter = { search, category: of, show: which };
  const list = h('div.settings');
  const found = h('p.muted', { role: 'status' });
  const none = h('div.card', { hidden: true }, h('div.empty', null, h('strong', null, 'No setting fits'), h('p', null, 'Search for less, or ',
    h('button', { type: 'button', onclick: () => { location.hash = '#/settings'; } }, 'show all of them'))));
  let rows = new Map();
  let [seen, keys] = [new Set(), []];
  let control = new AbortController();

  /** Shows those of `some` that fit, all of them unless it says which. */
  const apply = (some = rows.values()) => {
    const words = filter.search.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = ({ setting, text }) => words.every((word) => text.includes(word)) && (!filter.category || setting.category === filter.category)
      && { draft: draft.has(setting.key), other: !isEqual(setting.value, setting.default), older: store.older.has(setting.key), '': true }[filter.show];
    for (const row of some) {
      const hidden = !fits(row);
      if (hidden !== row.element.hidden) row.element.hidden = hidden;
      if (hidden) seen.delete(row);
      else seen.add(row);
    }
    const total = store.settings.size;
    if (rows.size < total) return;
    const groups = new Set([...seen].map((row) => row.element.parentNode));
    for (const group of list.children) group.hidden = !groups.has(group.querySelector('tbody'));
    setChildren(found, (seen.size === total ? pluralize(total, 'setting') : `${seen.size} of ${pluralize(total, 'setting')}`), ` at revision ${store.revision}`,
      store.running > 0 && `; ${pluralize(store.running, 'session')} running`);
    none.hidden = seen.size > 0;
  };

  // Rows are made in slices; what is in sight comes first.
  const build = () => {
    control.abort();
    control = new AbortController();
    rows = new Map();
    seen = new Set();
    setChildren(list);
    const groups = new Map();
    const all = [...store.settings.values()].sort((a, b) => order(a.category, b.category) || order(a.key, b.key));
    keys = all.map((it) => it.key);
    let next = 0;
    const slice = (most, until) => {
      const made = [];
      for (; next < all.length && most > 0 && performance.now() < until; next += 1, most -= 1) {
        const setting = all[next];
        const place = groups.get(setting.category) ?? groups.set(setting.category, group(list, setting.category)).get(setting.category);
        const row = new Row(setting);
        rows.set(setting.key, row);
        made.push(row);
        place.append(row.element);
      }
      apply(made);
      if (next < all.length) {
        const timer = setTimeout(() => slice(Infinity, performance.now() + SLICE));
        control.signal.addEventListener('abort', () => clearTimeout(timer));
      }
    };
    slice(FIRST, Infinity);
    // What the address asks for is not waited for.
    if (edit && store.settings.has(edit) && !rows.has(edit)) slice(Infinity, Infinity);
  };
  signal.addEventListener('abort', () => control.abort());

  const refilter = () => {
    replaceParameters(filter);
    apply();
  };
  const soon = debounce(60, refilter);
  const choice = (name, text, options) => h('label.field', null, text, h('select', {
    onchange: ({ target }) => { filter[name] = target.value; refilter(); },
  }, options.map(([value, it]) => h('option', { value, selected: value === filter[name] }, it))));
  const categories = [...new Set([...store.settings.values()].map((it) => it.category))].sort();
  setChildren(body,
    pageHeader('Settings', `Changes are gathered below, reviewed, and saved together with a reason.${session.sessions ? ' Sessions keep what they started with.' : ''}`),
    h('div.filters', { role: 'search' },
      h('label.field', null, h('span', null, 'Search ', h('kbd', { 'aria-hidden': 'true' }, '/')), h('input', {
        type: 'search', value: search, placeholder: 'name, key, value, person', autocomplete: 'off', oninput: ({ target }) => { filter.search = target.value; soon(); },
      })),
      choice('category', 'Category', [['', 'All'], ...categories.map((it) => [it, sentenceCase(it)])]),
      choice('show', 'Show', SHOW.filter(([which]) => which !== 'older' || session.sessions)), found),
    list, none);
  build();

  subscribe('settings', () => {
    const alike = keys.length === store.settings.size && keys.every((key) => store.settings.has(key));
    if (!alike) return build();
    for (const row of rows.values()) row.take(store.settings.get(row.setting.key));
    return apply();
  }, signal);
  subscribe('draft', () => { for (const row of rows.values()) row.drawDraft(); if (filter.show === 'draft') apply(); }, signal);
  subscribe('older', () => { for (const row of rows.values()) row.drawOlder(); apply(); }, signal);
  subscribe('key-e', (target) => rowOf(rows, target)?.edit(), signal);
  subscribe('key-h', (target) => { const row = rowOf(rows, target); if (row) location.hash = `#/history?key=${encodeURIComponent(row.setting.key)}`; }, signal);
  const again = setInterval(() => { if (document.visibilityState === 'visible') loadPinnedValues().catch(() => null); }, 30_000);
  signal.addEventListener('abort', () => clearInterval(again));
  loadPinnedValues().catch(() => null);
  if (edit) setTimeout(() => rows.get(edit)?.edit());
}

const order = (a, b) => (a < b ? -1 : Number(a > b));

const rowOf = (rows, target) => rows.get(target.closest?.('tr[data-key]')?.dataset.key);

function group(list, name) {
  const id = uniqueId('group');
  const place = h('tbody');
  list.append(h('section', { 'aria-labelledby': id }, h('h2', { id }, sentenceCase(name)), h('div.card', null, h('table.cards.fixed', { 'aria-labelledby': id },
    h('thead', null, h('tr', null, ['Setting', 'Value', 'Last change', 'In use'].map((it) => h('th', { scope: 'col' }, it)))), place))));
  return place;
}

/** One setting: its row, and its field while it is edited. */
class Row {
  constructor(setting) {
    Object.assign(this, { setting, field: null, fault: uniqueId('fault'), rule: uniqueId('rule') });
    this.value = h('div');
    this.notes = h('div.notes', { id: this.fault, 'aria-live': 'polite' });
    this.changed = h('td', { 'data-label': 'Last change' });
    this.older = h('td', { 'data-label': 'In use' });
    this.element = h('tr', { 'data-key': setting.key, onkeydown: (event) => this.key(event) },
      h('th', { scope: 'row' }, isolate(label(setting.key)), h('code.key', null, isolate(setting.key)), h('p.hint', null, isolate(setting.description ?? ''))),
      h('td', { 'data-label': 'Value' }, this.value, h('p.hint', { id: this.rule }, isolate(describeConstraints(setting))), this.notes), this.changed, this.older);
    this.draw();
    this.drawOlder();
    if (draft.has(setting.key)) this.drawDraft();
  }

  /** The setting as it stands now. */
  take(setting) {
    const news = setting.version !== this.setting.version;
    this.setting = setting;
    if (!news) return;
    if (!draft.has(setting.key)) this.close();
    this.draw();
    this.element.classList.remove('updated');
    void this.element.offsetWidth;
    this.element.classList.add('updated');
  }

  draw() {
    const { key, version, updated_by: by, updated_at: at, value, value_type: type } = this.setting;
    this.text = `${label(key)} ${key} ${this.setting.description} ${formatValue(value)} ${by}`.toLowerCase();
    setChildren(this.changed, h('a', { href: `#/history?key=${encodeURIComponent(key)}`, 'aria-label': `v${version}, history of ${label(key)}` }, `v${version}`), ' ',
      h('span.muted', null, isolate(by), ', ', relativeTimeElement(at)));
    if (this.field) return;
    // A switch is its own field.
    if (type === 'boolean') this.open();
    else {
      setChildren(this.value, h('div.row.value-row', null, valueElement(value),
        h('button.subtle', { type: 'button', 'aria-label': `Edit ${label(key)}`, onclick: () => this.edit() }, 'Edit')));
    }
  }

  open() {
    const { setting } = this;
    const now = draft.get(setting.key);
    this.field = settingField(setting, { value: now?.value ?? setting.value, raw: now?.raw }, { name: label(setting.key), describedby: `${this.rule} ${this.fault}` },
      (change) => setChange(this.setting, change), draftValue);
    setChildren(this.value, this.field.element);
  }

  edit() {
    if (!this.field) this.open();
    this.field.input.focus();
    this.field.input.select?.();
    this.drawDraft();
  }

  /** Back to reading, unless something is changed. */
  close() {
    this.field = null;
    this.draw();
    this.drawDraft();
  }

  /** As it was. */
  revert() {
    const had = this.element.contains(document.activeElement);
    this.field = null;
    removeChange(this.setting.key);
    this.draw();
    this.drawDraft();
    if (had) this.value.querySelector('button, input')?.focus();
  }

  key(event) {
    if (event.key === 'Escape' && this.field && this.value.contains(event.target)) {
      event.preventDefault();
      this.revert();
    }
  }

  drawDraft() {
    const entry = draft.get(this.setting.key);
    this.element.classList.toggle('edited', Boolean(entry));
    if (entry && !this.field) this.open();
    // The draft went: by being saved, thrown away, or because it is what stands.
    if (!entry && this.was && !this.element.contains(document.activeElement)) {
      this.was = false;
      this.field = null;
      this.draw();
    }
    this.was = Boolean(entry);
    const fault = entry ? errorOf(entry) : null;
    const caused = inducedErrors.get(this.setting.key);
    this.field?.input.setAttribute('aria-invalid', String(Boolean(fault)));
    const state = JSON.stringify([entry?.base, fault, entry?.fix, entry?.theirs, caused, Boolean(this.field)]);
    if (state === this.state) return;
    this.state = state;
    setChildren(this.notes, this.notesOf(entry, fault, caused));
  }

  notesOf(entry, fault, caused) {
    const { key } = this.setting;
    const name = label(key);
    const undo = h('button.subtle', { type: 'button', 'aria-label': `Undo the change of ${name}`, onclick: () => this.revert() }, 'Undo');
    return [
      entry?.theirs && h('p', null, h('span.badge.warning', null, 'changed meanwhile'), ' ', isolate(entry.theirs.updated_by), ' made it ', h('span.value', null, isolate(formatValue(entry.theirs.value))), '. You choose when you review.'),
      fault && h('p.error', null, isolate(toSentence(fault))),
      entry?.fix && entry.value !== undefined && h('p', null, h('button.subtle', { type: 'button', onclick: () => this.allow(entry) }, `Add it to ${label(entry.fix)} in this change`)),
      caused && h('p.error', null, isolate(toSentence(caused))),
      entry ? h('p.hint', null, 'was ', h('span.value', null, isolate(formatValue(entry.base))), ' ', undo)
        : this.field && this.setting.value_type !== 'boolean' && h('p', null, h('button.subtle', { type: 'button', 'aria-label': `Close the field of ${name}`, onclick: () => { this.close(); this.value.querySelector('button')?.focus(); } }, 'Close')),
    ];
  }

  /** Puts the value on the list that it has to be on. */
  allow({ fix, value }) {
    const list = store.settings.get(fix);
    setChange(list, { value: [...draftValue(fix), value] });
    this.field?.input.focus();
  }

  drawOlder() {
    const older = store.older.get(this.setting.key);
    const told = (older?.held ?? []).slice(0, 3).map((it) => h('span.block', null, `${it.sessions} running keep${it.sessions === 1 ? 's' : ''} `, h('span.value', null, isolate(formatValue(it.value)))));
    setChildren(this.older, older ? [told, h('a', { href: '#/sessions' }, 'Which?')] : h('span.muted', null, { hot: 'everywhere, at once', restart: 'after a restart' }[this.setting.applies] ?? (store.running ? 'by every session' : 'from the next session on')));
  }
}
