// The plan of an import: what each entry would change, which entries are selected, the reason, the import itself or a
// proposal of the same changes.
import { idempotencyKeys, newIdempotencyKey, Problem, request } from './api.js';
import { valueDiff } from './diff.js';
import { h, isolate, setChildren, subscribe, uniqueId } from './dom.js';
import { capitalize, label, pluralize, relativeTimeElement, toSentence, valueElement } from './format.js';
import { markOwnRevision } from './live.js';
import { badge, button, link, table, tableRow } from './page.js';
import { errorAlert, reasonField, rememberReason, rolloutText, waitCheckbox } from './parts.js';
import { ProposeOptions, showEmergency } from './propose-options.js';
import { isEqual } from './rules.js';
import { ensureSettings, loadSettings, store } from './store.js';

const PATH = '/admin/config/import';

// The entry classes in display order: badge kind, singular, plural.
const CLASSES = {
  conflict: ['warning', 'conflict'],
  change: ['accent', 'change'],
  invalid: ['danger', 'invalid value'],
  unknown: ['', 'unknown key'],
  locked: ['', 'locked key'],
  same: ['', 'unchanged', 'unchanged'],
};
// The entry classes that cannot be imported.
const EXCLUSION_REASONS = {
  invalid: 'The value violates a rule.',
  unknown: 'Skipped: no such setting.',
  locked: 'Set by the environment only.',
  same: 'No change.',
};
// The settings have changed since the preview.
const OUTDATED_CODES = new Set(['plan_outdated', 'version_conflict']);
const isImportable = (entry) => !EXCLUSION_REASONS[entry.class];

const p = (...content) => h('p', null, content);
const code = (key) => h('code', null, isolate(key));
const errorList = (items, draw) => h('ul.error-list', null, items.map((item) => h('li', null, draw(item))));

/**
 * Shows `plan` in `container`.
 *
 * Options: `documentRequest` (the request of the document), `loadPlan(documentRequest, signal)`, `signal`, `onrestart()`.
 */
export function showImportPlan(container, plan, options) {
  const view = new ImportPlan(container, plan, options);
  setChildren(container, view.element);
  view.draw();
  view.title.focus();
  subscribe('change', ({ revision }) => view.handleChange(revision), options.signal);
}

class ImportPlan {
  constructor(container, plan, { documentRequest, loadPlan, signal, onrestart }) {
    Object.assign(this, { container, plan, documentRequest, loadPlan, signal, onrestart, selectedClass: '', preparedRequest: null, idempotencyKeyOf: idempotencyKeys(), isBusy: false });
    this.reason = reasonField();
    this.wait = waitCheckbox();
    this.title = h('h3', { tabindex: '-1' }, 'Preview');
    this.notice = h('div');
    this.content = h('div.stack');
    this.errors = h('div', { 'aria-live': 'polite' });
    this.selectionSummary = h('p', { role: 'status' });
    this.submitButton = h('button.primary', { type: 'submit' });
    this.options = new ProposeOptions({
      verb: 'Import',
      onchange: () => this.updateSelection(),
      onemergency: () => this.runExclusively(() => this.submit({ emergency: true })),
      isValid: () => !this.submitButton.disabled && this.reason.validate(),
    });
    for (const name of ['safety', 'settings']) subscribe(name, () => this.updateSelection(), signal);
    // The settings know which of them need approvals.
    ensureSettings().catch(() => null);
    const onsubmit = (event) => {
      event.preventDefault();
      this.runExclusively(() => this.submit());
    };
    this.form = h('form.card.padded.stack', { novalidate: true, onsubmit },
      h('h3', null, 'Import'), this.selectionSummary, this.options.element, this.reason.element, this.wait.element, this.errors,
      h('div.row', null, this.submitButton, this.options.buttons));
    this.element = h('div.stack', null, this.title, this.notice, this.content, this.form);
    // A conflict is imported only if the user decides so.
    for (const entry of plan.entries) entry.isSelected = entry.class === 'change';
  }

  get selectedEntries() {
    return this.plan.entries.filter((entry) => entry.isSelected);
  }

  countText(className) {
    const [, singular, plural] = CLASSES[className];
    return pluralize(this.plan.counts[className], singular, plural);
  }

  draw() {
    const { entries, counts } = this.plan;
    const classes = Object.keys(CLASSES).filter((className) => counts[className] > 0);
    const rows = h('tbody');
    this.rows = rows;
    this.table = h('div.plan', null, table('Entries of the document', COLUMNS, rows));
    const filterButton = (className, text) => h('button', { type: 'button', value: className, onclick: () => this.showClass(className) }, text);
    this.filterButtons = [filterButton('', 'All differences'), ...classes.map((className) => filterButton(className, this.countText(className)))];
    setChildren(this.content, planNote(this.plan, this.documentRequest),
      entries.length > 0 && h('div.row.class-filter', { role: 'group', 'aria-label': 'Filter entries' }, this.filterButtons),
      this.selectAllButtons('conflict', 'Import', 'Keep current values for'),
      this.selectAllButtons('change', 'Select', 'Deselect'),
      this.table);
    this.showClass('');
  }

  /** Lists the entries of a class, or of all classes that differ. */
  showClass(className) {
    this.selectedClass = className;
    for (const filterButton of this.filterButtons) filterButton.setAttribute('aria-pressed', String(filterButton.value === className));
    const shownClasses = className ? [className] : Object.keys(CLASSES).filter((name) => name !== 'same');
    const entries = shownClasses.flatMap((name) => this.plan.entries.filter((entry) => entry.class === name));
    setChildren(this.rows, entries.map((entry) => entryRow(entry, () => this.updateSelection())));
    this.table.hidden = entries.length === 0;
    this.updateSelection();
  }

  selectAllButtons(className, selectText, deselectText) {
    if (!(this.plan.counts[className] > 1)) return null;
    const selectAll = (text, isSelected) => button(`${text} all ${this.countText(className)}`, () => {
      for (const entry of this.plan.entries) if (entry.class === className) entry.isSelected = isSelected;
      this.showClass(this.selectedClass);
    }, null, 'button.subtle');
    return h('div.row', null, selectAll(selectText, true), selectAll(deselectText, false));
  }

  updateSelection() {
    const selectedCount = this.selectedEntries.length;
    const importableCount = this.plan.entries.filter(isImportable).length;
    this.selectionSummary.textContent = `${selectedCount} of ${pluralize(importableCount, 'entry', 'entries')} selected.`;
    this.options.update(this.selectedEntries.map(({ key }) => key));
    const { isProposing } = this.options;
    this.wait.element.hidden = isProposing;
    this.submitButton.textContent = `${isProposing ? 'Propose' : 'Import'} ${pluralize(selectedCount, 'setting')}`;
    for (const submitButton of [this.submitButton, ...this.options.buttons]) submitButton.disabled = selectedCount === 0;
    this.form.hidden = importableCount === 0;
    this.preparedRequest = null;
  }

  /** Runs `task` unless another task is running, and shows its error. */
  async runExclusively(task) {
    if (this.isBusy) return;
    this.isBusy = true;
    setChildren(this.errors);
    await task().catch(async (problem) => {
      const unassignedErrors = this.options.plan.showErrors(problem.errors ?? []);
      const isShown = problem.errors?.length > 0 && unassignedErrors.length === 0;
      const rejection = await this.options.handleRejection(problem);
      setChildren(this.errors, rejection ?? (isShown ? h('p.error', null, 'Nothing was proposed. Correct the plan.') : errorAlert(problem)));
    });
    this.isBusy = false;
  }

  async submit({ emergency = false } = {}) {
    if (!this.reason.validate()) return;
    const reason = this.reason.value();
    const isProposing = this.options.isProposing && !emergency;
    if (isProposing && !this.options.plan.validate()) return;
    try {
      if (isProposing) {
        await this.propose(reason);
        return;
      }
      // A retry of the same request reuses its idempotency key. If only the response was lost, the service repeats it.
      if (this.preparedRequest?.reason !== reason || this.preparedRequest.emergency !== emergency) {
        this.preparedRequest = { reason, emergency, idempotencyKey: newIdempotencyKey(), ...await this.selectionRequest() };
      }
      const { body, planId, idempotencyKey } = this.preparedRequest;
      const query = { plan_id: planId, on_unknown: 'skip', reason, wait: this.wait.isChecked() && 'applied', emergency };
      const { data } = await request('POST', PATH, { body, query, idempotencyKey });
      markOwnRevision(data.revision);
      rememberReason(reason);
      if (data.proposal) showEmergency(data);
      showImportResult(this.container, data, this.plan, this.onrestart);
    } catch (problem) {
      // Nothing was stored, because the settings have changed since the preview.
      if (!OUTDATED_CODES.has(problem.code)) throw problem;
      await this.reload();
    }
  }

  /** Proposes the selected entries, on the versions that the preview has shown. */
  async propose(reason) {
    if (store.revision < this.plan.base_revision) await loadSettings();
    const entries = this.selectedEntries;
    const isOutdated = ({ key, current }) => !isEqual(store.settings.get(key)?.value, current);
    if (entries.some(isOutdated)) throw new Problem(409, { code: 'plan_outdated' });
    const changes = entries.map(({ key, imported: value }) => ({ key, value, version: store.settings.get(key).version }));
    const { proposal } = await this.options.propose({ reason, changes }, this.idempotencyKeyOf);
    showProposalResult(this.container, proposal, this.onrestart);
  }

  /** Returns the request that imports the selected entries only: their document and the ID of its plan. */
  async selectionRequest() {
    const { base_revision: revision } = this.plan;
    const settings = Object.fromEntries(this.selectedEntries.map(({ key, imported }) => [key, imported]));
    const body = JSON.stringify({ format_version: 1, revision, settings });
    const plan = await this.loadPlan({ body }, this.signal);
    if (plan.base_revision !== revision) throw new Problem(409, { code: 'plan_outdated' });
    // A rule between two settings may require a value that is not selected.
    const excludedEntries = plan.entries.filter((entry) => !isImportable(entry));
    if (excludedEntries.length > 0) {
      throw new Problem(400, {
        title: 'The selected entries are not valid together',
        detail: `${excludedEntries.map(({ key, detail }) => `${key}: ${detail}`).join('; ')}. Nothing was imported`,
      });
    }
    return { body, planId: plan.plan_id };
  }

  /** Loads the plan again. The selection is kept for entries that are the same as before. */
  async reload() {
    const previousEntries = new Map(this.plan.entries.map((entry) => [entry.key, entry]));
    this.plan = await this.loadPlan(this.documentRequest, this.signal);
    const changedEntries = [];
    for (const entry of this.plan.entries) {
      const previous = previousEntries.get(entry.key);
      const isUnchanged = entry.class === previous?.class && isEqual(entry.current, previous.current);
      entry.isSelected = isUnchanged && previous.isSelected;
      if (!isUnchanged) changedEntries.push(entry);
    }
    this.draw();
    const note = outdatedNote(changedEntries);
    setChildren(this.notice, note);
    note.focus();
  }

  /** Offers to load the plan again after a change of settings. */
  handleChange(revision) {
    // An import of this page publishes a change as well.
    if (this.isBusy || !this.title.isConnected || revision <= this.plan.base_revision) return;
    setChildren(this.notice, h('div.note.warning', { role: 'status' }, p('Settings have changed since this preview was created.'),
      p(button('Update preview, keep selection', () => this.runExclusively(() => this.reload())))));
  }
}

/** Creates a note about the whole document, or null. */
function planNote({ entries, counts }, { body }) {
  if (entries.length === 0) return h('div.note', null, 'The document contains no settings.');
  if (counts.same === entries.length) return h('div.note.success', null, 'No changes: all settings already have these values.');
  const hasRevision = /\brevision["']?\s*[:=]\s*\d/.test(body);
  return !hasRevision && h('p.hint', null, 'The document has no revision, so conflicts with later changes cannot be detected.');
}

const outdatedNote = (changedEntries) => h('div.note.warning', { role: 'alert', tabindex: '-1' },
  p(h('strong', null, 'Settings have changed. Nothing was imported.')),
  p(changedEntries.length > 0 ? 'Select the entries below again. All other selections are kept.'
    : 'The changed settings are not part of the document. The selection is kept: check the preview and import again.'),
  errorList(changedEntries, (entry) => [code(entry.key), `: now ${CLASSES[entry.class][1]}`]));

const COLUMNS = { Key: '', Status: '', 'Current value → document': '', Selection: '' };

function entryRow(entry, onchange) {
  const { key, current, imported, detail } = entry;
  const isSame = isEqual(current, imported);
  const valueContent = () => (isSame ? valueElement(current) : valueDiff(current, imported));
  const hiddenValue = () => [current !== null && valueElement(current), h('p.hint', null, 'The value of the document is hidden.')];
  return tableRow(COLUMNS, null, code(key),
    [badge(...CLASSES[entry.class]), detail && h('p.hint', null, detailContent(detail))],
    imported === null ? hiddenValue() : valueContent(),
    selectionInput(entry, onchange));
}

/** Draws the detail of an entry. The time of a conflicting change becomes relative. */
function detailContent(detail) {
  const [, prefix, user, time] = /^(changed .*?by )(.+) at (\d{4}-\S+)$/s.exec(detail) ?? [];
  return user ? [capitalize(prefix), isolate(user), ' ', relativeTimeElement(time)] : isolate(toSentence(detail));
}

function selectionInput(entry, onchange) {
  const { key, class: className } = entry;
  if (!isImportable(entry)) return h('span.hint', null, EXCLUSION_REASONS[className]);
  const name = uniqueId('selection');
  const option = (type, isSelected, text, ariaLabel) => h('label.check', null, h('input', {
    type, name, checked: entry.isSelected === isSelected, 'aria-label': ariaLabel,
    onchange: ({ target }) => {
      entry.isSelected = target.checked === isSelected;
      onchange();
    },
  }), h('span', null, text));
  if (className === 'change') return option('checkbox', true, 'Import', `Import ${key}`);
  return h('fieldset', null, h('legend.visually-hidden', null, 'Value of ', isolate(key)),
    option('radio', false, 'Keep current value'), option('radio', true, 'Import value'));
}

function showProposalResult(container, { number, changes }, onrestart) {
  const title = h('h3', { tabindex: '-1' }, `Proposed ${pluralize(changes.length, 'change')}`);
  setChildren(container, h('div.stack', null,
    h('div.note.success', null, title, p('Nothing was imported yet. See ', link(`#/proposals/${number}`, `proposal ${number}`), '.')),
    p(button('Import another document', onrestart))));
  title.focus();
}

function showImportResult(container, data, plan, onrestart) {
  const { changed, revision } = data;
  const title = h('h3', { tabindex: '-1' }, changed.length > 0 ? `Imported ${pluralize(changed.length, 'setting')}` : 'No changes');
  const skippedEntries = plan.entries.filter((entry) => entry.class !== 'same' && !entry.isSelected);
  const skipReason = (entry) => (isImportable(entry) ? 'not selected' : isolate(entry.detail ?? CLASSES[entry.class][1]));
  const columns = { Key: '', Change: '', Version: '' };
  const changeRow = (change) => tableRow(columns, null,
    [isolate(label(change.key)), h('div.hint', null, code(change.key))], valueDiff(change.old_value, change.new_value), change.version);
  setChildren(container, h('div.stack', null,
    h('div.note.success', null, title,
      p(changed.length > 0 && ['Saved as ', link(`#/history?revision=${revision}`, `revision ${revision}`), '. '], rolloutText(data))),
    changed.length > 0 && table('Imported settings', columns, changed.map(changeRow)),
    skippedEntries.length > 0 && h('div.card.padded', null, h('h3', null, `Skipped ${pluralize(skippedEntries.length, 'entry', 'entries')}`),
      errorList(skippedEntries, (entry) => [code(entry.key), ': ', skipReason(entry)])),
    p(button('Import another document', onrestart))));
  title.focus();
}
