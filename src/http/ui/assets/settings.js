// The settings page: value, constraints and last change of each setting, and the field to edit it. Edits go to the draft.
import { debounce, h, isolate, setChildren, subscribe, uniqueId } from './dom.js';
import { draft, draftValue, errorOf, inducedErrors, removeChange, setChange } from './draft.js';
import { settingField } from './fields.js';
import { formatValue, label, pluralize, relativeTimeElement, sentenceCase, toSentence, valueElement } from './format.js';
import { labeledField } from './page.js';
import { pageHeader } from './parts.js';
import { replaceParameters } from './route.js';
import { describeConstraints, isEqual, sessionsKeep } from './rules.js';
import { session } from './session.js';
import { ensureSettings, loadPinnedValues, store } from './store.js';

// Rows are created in slices of this many ms, so that a page with thousands of settings stays responsive.
const SLICE_DURATION = 12;
const FIRST_SLICE_ROWS = 40;
const PINNED_REFRESH_INTERVAL = 30_000;

const SHOW_OPTIONS = [['', 'All'], ['draft', 'Unsaved changes'], ['other', 'Changed from default'], ['older', 'Older value in use']];

const SHOW_FILTERS = {
  '': () => true,
  draft: ({ key }) => draft.has(key),
  other: (setting) => !isEqual(setting.value, setting.default),
  older: ({ key }) => store.pinned.has(key),
};

export async function show(body, { search = '', category = '', show: showOption = '', edit }, signal) {
  await ensureSettings();
  const list = new SettingList({ search, category, show: showOption });
  const description = `Edit settings, review the changes, and save them together with a reason.${session.hasSessions ? ' Running sessions keep the values they started with.' : ''}`;
  setChildren(body, pageHeader('Settings', description), filterForm(list), list.element, list.empty);
  list.build(edit);
  signal.addEventListener('abort', () => list.stop());
  subscribe('settings', () => list.update(), signal);
  subscribe('draft', () => list.updateDraft(), signal);
  subscribe('pinned', () => list.updatePinned(), signal);
  // Published by the banners, which are loaded after the first page.
  subscribe('safety', ({ openProposals }) => list.updateProposals(openProposals), signal);
  subscribe('shortcut-edit', (target) => list.rowAt(target)?.edit(), signal);
  subscribe('shortcut-history', (target) => {
    const row = list.rowAt(target);
    if (row) location.hash = `#/history?key=${encodeURIComponent(row.setting.key)}`;
  }, signal);
  const refresh = () => loadPinnedValues().catch(() => null);
  const timer = setInterval(() => { if (document.visibilityState === 'visible') refresh(); }, PINNED_REFRESH_INTERVAL);
  signal.addEventListener('abort', () => clearInterval(timer));
  refresh();
  // The field takes the focus once the page is in the document.
  if (edit) setTimeout(() => list.rows.get(edit)?.edit());
}

function filterForm(list) {
  const { filter } = list;
  const applySoon = debounce(60, () => list.applyFilter());
  const selectField = (name, text, options) => labeledField(text, h('select', {
    name,
    onchange: ({ target }) => {
      filter[name] = target.value;
      list.applyFilter();
    },
  }, options.map(([value, option]) => h('option', { value, selected: value === filter[name] }, option))));
  const oninput = ({ target }) => {
    filter.search = target.value;
    applySoon();
  };
  const searchField = labeledField(h('span', null, 'Search ', h('kbd', { 'aria-hidden': 'true' }, '/')),
    h('input', { type: 'search', value: filter.search, placeholder: 'Name, value or user', autocomplete: 'off', oninput }));
  const categories = [...new Set([...store.settings.values()].map((setting) => setting.category))].sort();
  return h('div.filters', { role: 'search' },
    searchField,
    selectField('category', 'Category', [['', 'All'], ...categories.map((category) => [category, sentenceCase(category)])]),
    selectField('show', 'Show', SHOW_OPTIONS.filter(([option]) => option !== 'older' || session.hasSessions)),
    list.summary);
}

const compare = (a, b) => (a < b ? -1 : Number(a > b));

/** The rows of all settings, by category. */
class SettingList {
  constructor(filter) {
    this.filter = filter;
    this.rows = new Map();
    this.visibleRows = new Set();
    this.openProposals = new Map();
    this.builtKeys = [];
    this.building = new AbortController();
    this.element = h('div.settings');
    this.summary = h('p.muted', { role: 'status' });
    const showAll = h('button', { type: 'button', onclick: () => { location.hash = '#/settings'; } }, 'show all settings');
    this.empty = h('div.card', { hidden: true }, h('div.empty', null,
      h('strong', null, 'No matching settings'), h('p', null, 'Change the filters, or ', showAll)));
  }

  /** Creates the rows in slices: the rows at the top first, the others while the browser is idle. */
  build(editedKey) {
    this.stop();
    this.building = new AbortController();
    this.rows = new Map();
    this.visibleRows = new Set();
    setChildren(this.element);
    const settings = [...store.settings.values()].sort((a, b) => compare(a.category, b.category) || compare(a.key, b.key));
    this.builtKeys = settings.map((setting) => setting.key);
    const groups = new Map();
    let next = 0;
    const buildSlice = (maxRows, deadline) => {
      const created = [];
      while (next < settings.length && created.length < maxRows && performance.now() < deadline) {
        const setting = settings[next];
        const row = new SettingRow(setting, this.openProposals.get(setting.key));
        if (!groups.has(setting.category)) groups.set(setting.category, this.addGroup(setting.category));
        groups.get(setting.category).append(row.element);
        this.rows.set(setting.key, row);
        created.push(row);
        next += 1;
      }
      this.filterRows(created);
      if (next < settings.length) {
        const timer = setTimeout(() => buildSlice(Infinity, performance.now() + SLICE_DURATION));
        this.building.signal.addEventListener('abort', () => clearTimeout(timer));
      }
    };
    buildSlice(FIRST_SLICE_ROWS, Infinity);
    // The row that the URL opens for editing must exist when the page appears.
    if (editedKey && store.settings.has(editedKey) && !this.rows.has(editedKey)) buildSlice(Infinity, Infinity);
  }

  stop() {
    this.building.abort();
  }

  /** Adds the table of a category, and returns its `<tbody>`. */
  addGroup(category) {
    const id = uniqueId('group');
    const rows = h('tbody');
    const titles = ['Setting', 'Value', 'Last changed', 'Applied'].map((title) => h('th', { scope: 'col' }, title));
    this.element.append(h('section', { 'aria-labelledby': id }, h('h2', { id }, sentenceCase(category)),
      h('div.card', null, h('table.cards.fixed', { 'aria-labelledby': id }, h('thead', null, h('tr', null, titles)), rows))));
    return rows;
  }

  applyFilter() {
    replaceParameters(this.filter);
    this.filterRows();
  }

  /** Shows the rows that match the filter, of `rows` or of all rows. */
  filterRows(rows = this.rows.values()) {
    const terms = this.filter.search.toLowerCase().split(/\s+/).filter(Boolean);
    const matches = ({ setting, searchText }) => terms.every((term) => searchText.includes(term))
      && (!this.filter.category || setting.category === this.filter.category)
      && SHOW_FILTERS[this.filter.show]?.(setting);
    for (const row of rows) {
      const hidden = !matches(row);
      // Setting an unchanged attribute would still cost a style recalculation.
      if (hidden !== row.element.hidden) row.element.hidden = hidden;
      if (hidden) this.visibleRows.delete(row);
      else this.visibleRows.add(row);
    }
    // The groups and the summary follow once all rows exist.
    if (this.rows.size === store.settings.size) this.drawSummary();
  }

  drawSummary() {
    const total = pluralize(store.settings.size, 'setting');
    const visible = this.visibleRows.size;
    const visibleGroups = new Set([...this.visibleRows].map((row) => row.element.parentNode));
    for (const group of this.element.children) group.hidden = !visibleGroups.has(group.querySelector('tbody'));
    setChildren(this.summary, visible === store.settings.size ? total : `${visible} of ${total}`, ` · revision ${store.revision}`,
      store.runningSessions > 0 && ` · ${pluralize(store.runningSessions, 'running session')}`);
    this.empty.hidden = visible > 0;
  }

  /** Updates the rows after the settings were loaded again. */
  update() {
    const isSameCatalog = this.builtKeys.length === store.settings.size && this.builtKeys.every((key) => store.settings.has(key));
    // A release may add, remove or move settings.
    if (!isSameCatalog) {
      this.build();
      return;
    }
    for (const row of this.rows.values()) row.update(store.settings.get(row.setting.key));
    this.filterRows();
  }

  updateDraft() {
    for (const row of this.rows.values()) row.drawDraft();
    if (this.filter.show === 'draft') this.filterRows();
  }

  updatePinned() {
    for (const row of this.rows.values()) row.drawApplied();
    this.filterRows();
  }

  /** Shows the open proposals of each setting. `openProposals` has their numbers by key. */
  updateProposals(openProposals) {
    this.openProposals = openProposals;
    for (const row of this.rows.values()) row.drawApproval(openProposals.get(row.setting.key));
  }

  /** Returns the row that contains `element`. */
  rowAt(element) {
    return this.rows.get(element?.closest?.('tr[data-key]')?.dataset.key);
  }
}

const MAX_LISTED_VALUES = 3;

/** The row of a setting. `field` is set while the setting is edited. */
class SettingRow {
  constructor(setting, proposals) {
    Object.assign(this, { setting, field: null, proposals: null, hadDraft: false, drawnNotes: null, drawnApproval: null });
    this.notesId = uniqueId('notes');
    this.constraintsId = uniqueId('constraints');
    this.value = h('div');
    this.approval = h('p.approval', { hidden: true });
    this.notes = h('div.notes', { id: this.notesId, 'aria-live': 'polite' });
    this.lastChanged = h('td', { 'data-label': 'Last changed' });
    this.applied = h('td', { 'data-label': 'Applied' });
    this.element = h('tr', { 'data-key': setting.key, onkeydown: (event) => this.handleKey(event) },
      h('th', { scope: 'row' }, isolate(label(setting.key)), h('code.key', null, isolate(setting.key)), h('p.hint', null, isolate(setting.description ?? '')), this.approval),
      h('td', { 'data-label': 'Value' }, this.value, h('p.hint', { id: this.constraintsId }, isolate(describeConstraints(setting))), this.notes),
      this.lastChanged, this.applied);
    this.draw();
    this.drawApplied();
    this.drawApproval(proposals);
    if (draft.has(setting.key)) this.drawDraft();
  }

  /** Shows the current state of the setting, highlighted if changed. */
  update(setting) {
    const isChanged = setting.version !== this.setting.version;
    this.setting = setting;
    this.drawApproval();
    if (!isChanged) return;
    if (!draft.has(setting.key)) this.close();
    this.draw();
    // Reading the width between the two calls restarts the animation.
    this.element.classList.remove('updated');
    void this.element.offsetWidth;
    this.element.classList.add('updated');
  }

  draw() {
    const { key, version, updated_by: user, updated_at: time, value, value_type: type, description } = this.setting;
    const name = label(key);
    this.searchText = `${name} ${key} ${description} ${formatValue(value)} ${user}`.toLowerCase();
    setChildren(this.lastChanged,
      h('a', { href: `#/history?key=${encodeURIComponent(key)}`, 'aria-label': `v${version}, history of ${name}` }, `v${version}`), ' ',
      h('span.muted', null, isolate(user), ', ', relativeTimeElement(time)));
    if (this.field) return;
    // A switch is edited in place.
    if (type === 'boolean') {
      this.open();
      return;
    }
    setChildren(this.value, h('div.row.value-row', null, valueElement(value),
      h('button.subtle', { type: 'button', 'aria-label': `Edit ${name}`, onclick: () => this.edit() }, 'Edit')));
  }

  /** Replaces the value by a field. */
  open() {
    const { setting } = this;
    const entry = draft.get(setting.key);
    const labels = { name: label(setting.key), describedby: `${this.constraintsId} ${this.notesId}` };
    this.field = settingField(setting, { value: entry?.value ?? setting.value, raw: entry?.raw }, labels,
      (change) => setChange(this.setting, change), draftValue);
    setChildren(this.value, this.field.element);
  }

  edit() {
    if (!this.field) this.open();
    this.field.input.focus();
    // A switch and a select have no text to select.
    this.field.input.select?.();
    this.drawDraft();
  }

  /** Replaces the field by the value. */
  close() {
    this.field = null;
    this.draw();
    this.drawDraft();
  }

  /** Removes the change from the draft. */
  revert() {
    const hadFocus = this.element.contains(document.activeElement);
    this.field = null;
    removeChange(this.setting.key);
    this.draw();
    this.drawDraft();
    if (hadFocus) this.value.querySelector('button, input')?.focus();
  }

  handleKey(event) {
    if (event.key === 'Escape' && this.field && this.value.contains(event.target)) {
      event.preventDefault();
      this.revert();
    }
  }

  drawDraft() {
    const { key } = this.setting;
    const entry = draft.get(key);
    this.element.classList.toggle('edited', Boolean(entry));
    if (entry && !this.field) this.open();
    // The entry was saved or discarded. A focused field stays open.
    if (!entry && this.hadDraft && !this.element.contains(document.activeElement)) {
      this.field = null;
      this.draw();
    }
    this.hadDraft = Boolean(entry);
    const error = entry ? errorOf(entry) : null;
    const inducedError = inducedErrors.get(key);
    this.field?.input.setAttribute('aria-invalid', String(Boolean(error)));
    // Unchanged notes are not drawn again, because the live region would announce them at each keystroke.
    const notes = JSON.stringify([entry?.base, error, entry?.missingFrom, entry?.theirs, inducedError, Boolean(this.field)]);
    if (notes === this.drawnNotes) return;
    this.drawnNotes = notes;
    setChildren(this.notes, this.noteElements(entry, error, inducedError));
  }

  noteElements(entry, error, inducedError) {
    const theirs = entry?.theirs;
    const canAddToList = entry?.missingFrom && entry.value !== undefined;
    return [
      theirs && h('p', null, h('span.badge.warning', null, 'conflict'), ' ', isolate(theirs.updated_by), ' changed the value to ',
        h('span.value', null, isolate(formatValue(theirs.value))), '. Resolve the conflict in the review.'),
      error && h('p.error', null, isolate(toSentence(error))),
      canAddToList && h('p', null, h('button.subtle', { type: 'button', onclick: () => this.addToList(entry) }, `Add to ${label(entry.missingFrom)}`)),
      inducedError && h('p.error', null, isolate(toSentence(inducedError))),
      entry ? this.undoNote(entry) : this.closeNote(),
    ];
  }

  undoNote({ base }) {
    const undo = h('button.subtle', { type: 'button', 'aria-label': `Undo change to ${label(this.setting.key)}`, onclick: () => this.revert() }, 'Undo');
    return h('p.hint', null, 'Saved value: ', h('span.value', null, isolate(formatValue(base))), ' ', undo);
  }

  closeNote() {
    if (!this.field || this.setting.value_type === 'boolean') return null;
    const onclick = () => {
      this.close();
      this.value.querySelector('button')?.focus();
    };
    return h('p', null, h('button.subtle', { type: 'button', 'aria-label': `Close the field of ${label(this.setting.key)}`, onclick }, 'Close'));
  }

  /** Adds the value to the list setting that must contain the value. */
  addToList({ missingFrom, value }) {
    setChange(store.settings.get(missingFrom), { value: [...draftValue(missingFrom), value] });
    this.field?.input.focus();
  }

  /** Draws the approvals that a change needs, and links to the open proposals of the setting. */
  drawApproval(proposals = this.proposals) {
    this.proposals = proposals;
    const { approvals } = this.setting;
    const state = `${approvals} ${proposals ?? ''}`;
    if (state === this.drawnApproval) return;
    this.drawnApproval = state;
    const proposalLink = (number, index) => [index > 0 ? ', ' : '', h('a', { href: `#/proposals/${number}` }, `proposal ${number}`)];
    this.approval.hidden = approvals === 0 && !proposals;
    setChildren(this.approval,
      approvals > 0 && h('span.badge', null, `needs ${pluralize(approvals, 'approval')}`), ' ',
      proposals && h('span.hint', null, 'Open: ', [...proposals].reverse().map(proposalLink)));
  }

  /** Draws where the value is in effect, or which other values running sessions keep: older ones, and those of a rollout. */
  drawApplied() {
    const pinned = store.pinned.get(this.setting.key);
    if (pinned) {
      const line = ({ sessions, value, proposal }) => h('span.block', null, `${sessionsKeep(sessions)} `, h('span.value', null, isolate(formatValue(value))), proposal && ` of the rollout of proposal ${proposal}`);
      setChildren(this.applied, (pinned.held ?? []).slice(0, MAX_LISTED_VALUES).map(line), h('a', { href: '#/sessions' }, 'View sessions'));
      return;
    }
    const scope = store.runningSessions > 0 ? 'in all sessions' : 'in new sessions';
    const text = { hot: 'immediately', restart: 'after a restart' }[this.setting.applies] ?? scope;
    setChildren(this.applied, h('span.muted', null, text));
  }
}
