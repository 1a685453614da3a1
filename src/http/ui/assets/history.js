// The history page: the list of changes with filters and charts, and the page of a single entry.
import { fetchJson } from './api.js';
import { timelineChart, valueChart } from './charts.js';
import { decisionSentence, decisionSubject, isDecision } from './decisions.js';
import { valueDiff } from './diff.js';
import { debounce, h, isolate, setChildren, showToast, subscribe } from './dom.js';
import { dateTimeElement, formatDateTime, humanize, label, pluralize, relativeTimeElement, timePreference, valueElement } from './format.js';
import { downloadButtons } from './history-export.js';
import { liveTable, morph, pageReader } from './live-table.js';
import { badge, button, definitionList, historyHash, labeledField, link, muted, revisionLink, selectField, settingLink, tableRow } from './page.js';
import { emptyState, errorAlert, pageHeader } from './parts.js';
import { loadReleases, openNameDialog, showReleases } from './releases.js';
import { openRollback } from './restore.js';
import { replaceParameters } from './route.js';
import { loadSettings, store } from './store.js';
import { formatTimeInput, parseTimeInput } from './time-fields.js';

const PATH = '/admin/global-settings/history';
const FILTER_LABELS = { key: 'Setting', changed_by: 'Changed by', action: 'Action', request_id: 'Request', revision: 'Revision', since: 'From', until: 'To' };
const ACTION_KINDS = { update: 'accent', rollback: 'warning', refused: 'danger' };
const ACTIONS = ['seed', 'import', 'update', 'reset', 'rollback', 'refused', 'secret_cleanup', 'decision'];
const MAX_SUGGESTIONS = 6;

/** Shows the list of entries, or the entry in the path. */
export async function show(body, parameters, signal) {
  // The history can be read even if the settings are invalid.
  if (store.revision === 0) await loadSettings().catch(() => null);
  const [id, name] = parameters.rest;
  if (id === 'releases') await showReleases(body, name, parameters, signal);
  else await (id ? showEntry(body, id, signal) : showList(body, parameters, signal));
}

async function showList(body, parameters, signal) {
  let filters = {};
  let drawing = new AbortController();
  const header = h('div');
  const chips = h('div');
  const charts = h('div.stack');
  const list = h('section', { 'aria-label': 'Entries' });
  const setFilters = (values) => {
    // The service rejects unknown parameters.
    filters = Object.fromEntries(Object.keys(FILTER_LABELS).filter((name) => values[name]).map((name) => [name, values[name]]));
  };
  const changeFilters = (changes) => {
    setFilters({ ...filters, ...changes });
    replaceParameters(filters);
    draw();
  };
  const form = filterForm(changeFilters);
  const draw = async () => {
    // Responses for earlier filters must not replace the newer list.
    drawing.abort();
    drawing = new AbortController();
    const drawSignal = AbortSignal.any([signal, drawing.signal]);
    const reload = () => draw().then(() => list.querySelector('h2').focus());
    const updates = h('span', { role: 'status' });
    form.setValues(filters);
    setChildren(chips, filterChips(filters, changeFilters, form));
    setChildren(header, listHeader(filters, reload));
    const entries = entryTable(filters, drawSignal, reload, {
      name: 'Entries, newest first',
      empty: emptyList(filters),
      updates,
      header: h('div.row.list-header', null, h('h2', { tabindex: '-1' }, 'Newest first'), updates),
      newItemsLabel: (count) => `Show ${pluralize(count, 'new change')}`,
      showNewItems: reload,
    });
    setChildren(list, entries.element);
    await entries.load();
    // The list does not wait for the charts.
    if (!drawSignal.aborted) drawCharts(charts, filters, drawSignal);
  };
  setFilters(parameters);
  setChildren(body, header, form.element, chips, charts, list);
  await draw();
}

/** Creates the page header. With a filter by revision, the header offers to roll back. */
function listHeader(filters, onrestored) {
  const downloads = h('div.row', { role: 'group', 'aria-label': 'Download these entries' }, downloadButtons(PATH, filters));
  const revision = Number(filters.revision);
  if (!revision) return pageHeader('History', 'All changes of settings: who, when and why. Earlier values can be restored.', link('#/history/releases', 'Releases'), downloads);
  const names = h('span');
  showNames(names, revision);
  return pageHeader([`Revision ${revision} `, names], 'The changes that were saved together as this revision.',
    nameButton(revision, () => showNames(names, revision)), previousRevisionButton(revision, onrestored), downloads);
}

/** Shows the releases of `revision` as badges. */
async function showNames(container, revision) {
  const releases = await loadReleases().catch(() => []);
  setChildren(container, releases.filter((release) => release.revision === revision).map(({ name }) => [
    h('a.badge.accent', { href: `#/history/releases/${encodeURIComponent(name)}` }, isolate(name)), ' ']));
}

const nameButton = (revision, onnamed) => button('Name this revision…', async () => {
  if (await openNameDialog(revision)) onnamed?.();
});

const previousRevisionButton = (revision, onrestored) => revision > 1
  && rollbackButton(`Roll back to revision ${revision - 1}`, { toRevision: revision - 1 }, onrestored);

const rollbackButton = (text, target, onrestored, ariaLabel) => button(text, async () => {
  if (await openRollback(target)) onrestored();
}, ariaLabel);

/** Creates the filter form: `{ element, keyInput, setValues(filters) }`. */
function filterForm(changeFilters) {
  const keys = [...store.settings.keys()];
  // Part of a name is enough if only one setting matches.
  const resolveKey = (text) => {
    const key = text.trim();
    const matches = matchingKeys(key);
    return keys.includes(key) || matches.length !== 1 ? key : matches[0];
  };
  const keyInput = h('input', {
    type: 'search', name: 'key', list: 'history-keys', autocomplete: 'off', spellcheck: 'false', placeholder: 'All settings',
    oninput: () => { if (keys.includes(keyInput.value) || keyInput.value === '') changeFilters({ key: keyInput.value }); },
    onchange: () => changeFilters({ key: resolveKey(keyInput.value) }),
  });
  const userInput = h('input', { name: 'changed_by', autocomplete: 'off', dir: 'auto', onchange: () => changeFilters({ changed_by: userInput.value.trim() }) });
  const actionField = selectField('Action', 'action', ACTIONS, '', (action) => changeFilters({ action }));
  const timeInput = (name) => h('input', {
    type: 'datetime-local', name,
    onchange: ({ target }) => changeFilters({ [name]: parseTimeInput(target.value, name === 'until') }),
  });
  const timeInputs = [timeInput('since'), timeInput('until')];
  const zone = timePreference.utc ? ' (UTC)' : '';
  const onsubmit = (event) => {
    event.preventDefault();
    changeFilters({ key: resolveKey(keyInput.value), changed_by: userInput.value.trim() });
  };
  const element = h('form.filters', { role: 'search', 'aria-label': 'Filter the history', novalidate: true, onsubmit },
    labeledField('Setting', keyInput), h('datalist', { id: 'history-keys' }, keys.map((value) => h('option', { value }, label(value)))),
    labeledField('Changed by', userInput), actionField,
    labeledField(`From${zone}`, timeInputs[0]), labeledField(`To${zone}`, timeInputs[1]),
    h('button', { type: 'submit' }, 'Filter'));
  const setValues = (filters) => {
    for (const input of [keyInput, userInput, actionField.querySelector('select')]) {
      const value = filters[input.name] ?? '';
      if (input.value !== value) input.value = value;
    }
    // A date field that is being typed in would be reset.
    for (const input of timeInputs) if (input !== document.activeElement) input.value = formatTimeInput(filters[input.name]);
  };
  return { element, keyInput, setValues };
}

/** Returns the keys that contain `text`. */
function matchingKeys(text) {
  const part = text.toLowerCase().replaceAll(' ', '_');
  return [...store.settings.keys()].filter((key) => key.toLowerCase().includes(part));
}

function filterChips(filters, changeFilters, form) {
  const entries = Object.entries(filters);
  if (entries.length === 0) return null;
  const remove = (names) => {
    changeFilters(Object.fromEntries(names.map((name) => [name, ''])));
    form.keyInput.focus();
  };
  const chip = ([name, value]) => {
    const isTime = (name === 'since' || name === 'until') && Date.parse(value);
    return h('li.chip', null, `${FILTER_LABELS[name]}: `, isolate(isTime ? formatDateTime(value) : value),
      button('×', () => remove([name]), `Remove filter ${FILTER_LABELS[name]}`));
  };
  return h('div.row.active-filters', null, h('ul.chips', { 'aria-label': 'Filters' }, entries.map(chip)),
    entries.length > 1 && button('Clear filters', () => remove(Object.keys(FILTER_LABELS)), null, 'button.subtle'));
}

const COLUMNS = { Setting: 'w14', Change: '', Reason: 'w14', 'Changed by': 'w10', Revision: 'w8' };

/** Creates the table of entries that match `filters`. `onrestored` is called after a rollback. */
function entryTable(filters, signal, onrestored, options) {
  const entries = liveTable({
    columns: COLUMNS,
    load: pageReader(PATH, 'entries', filters, signal),
    id: (entry) => entry.id,
    date: (entry) => Date.parse(entry.changed_at),
    draw: (entry) => entryRow(entry, onrestored),
    ...options,
  });
  // After a rollback of this page `onrestored` loads the list anyway. The delay avoids loading twice.
  const refreshSoon = debounce(400, () => { if (!signal.aborted) entries.refresh().catch(() => null); });
  for (const name of ['change', 'resync']) subscribe(name, refreshSoon, signal);
  subscribe('settings', () => entries.redraw(), signal);
  return entries;
}

function emptyList(filters) {
  if (Object.keys(filters).length === 0) return emptyState('No changes yet', 'Changes of settings are listed here with their reasons.');
  const suggestions = filters.key && !store.settings.has(filters.key) ? matchingKeys(filters.key).slice(0, MAX_SUGGESTIONS) : [];
  const suggestion = (key, index) => [index > 0 ? ', ' : '', link(historyHash({ ...filters, key }), isolate(label(key)))];
  return emptyState('No matching entries', suggestions.length > 0
    ? ['Did you mean ', suggestions.map(suggestion), '?']
    : ['Remove a filter, or ', link('#/history', 'show the whole history'), '.']);
}

const actionBadge = ({ action }) => badge(ACTION_KINDS[action], humanize(action));
const subject = (entry) => (isDecision(entry) ? decisionSubject(entry) : settingLink(entry.key));
const userLink = ({ changed_by: user }) => link(historyHash({ changed_by: user }), isolate(user));

function entryRow(entry, onrestored) {
  const { id, key, reason, changed_at: time, revision, request_id: request } = entry;
  return tableRow(COLUMNS, { 'data-id': id },
    [subject(entry), ' ', actionBadge(entry), !isDecision(entry) && h('div.hint', null, h('code', null, isolate(key)))],
    changeContent(entry),
    h('div.reason-text', null, isolate(reason)),
    [userLink(entry), h('div', null, link(`#/history/${id}`, relativeTimeElement(time), h('span.visually-hidden', null, ', entry of ', isDecision(entry) ? 'a decision' : isolate(label(key)))))],
    [revision === null ? muted('none') : revisionLink(revision, 'revision'),
      h('div.hint', null, h('a', { href: historyHash({ request_id: request }), title: `Request ${request}` }, 'same request')),
      h('div.restore', null, restoreAction(entry, onrestored))]);
}

/** Draws the change of an entry, or why there is no value to show. */
function changeContent(entry) {
  const { action, old_value: before, new_value: after } = entry;
  if (isDecision(entry)) return decisionSentence(entry);
  if (action === 'refused') return muted('Rejected. The submitted value is not stored.');
  return action === 'secret_cleanup' ? muted('A secret was deleted. Its value is not stored.') : valueDiff(before, after);
}

/** Creates a button that restores the value of an entry, or a badge if the value is current. */
function restoreAction({ key, version }, onrestored) {
  const currentVersion = store.settings.get(key)?.version;
  if (!version || !currentVersion) return null;
  if (currentVersion === version) return badge('success', 'current');
  return rollbackButton('Restore this value', { key, toVersion: version }, onrestored, `Restore this value: version ${version} of ${label(key)}`);
}

async function drawCharts(container, filters, signal) {
  const { key } = filters;
  const card = (title, figure) => h('section.card.padded', null, h('h2', null, title), figure);
  try {
    const [timeline, { entries }, releases] = await Promise.all([
      fetchJson(`${PATH}/timeline`, filters, { signal }),
      key ? fetchJson(PATH, { key, limit: 200 }, { signal }) : {},
      // The chart is useful without the releases.
      loadReleases(signal).catch(() => []),
    ]);
    const activity = timeline.buckets.length > 0
      && timelineChart(timeline, (since, until) => historyHash({ ...filters, since, until }), releases);
    const values = key && valueChart(key, entries);
    setChildren(container, activity && card('Activity', activity), values && card('Values', values));
  } catch (problem) {
    if (problem.name !== 'AbortError') setChildren(container, errorAlert(problem, () => drawCharts(container, filters, signal)));
  }
}

async function showEntry(body, id, signal) {
  const entry = await fetchJson(`${PATH}/${encodeURIComponent(id)}`, null, { signal });
  const { key, version, revision, old_value: before } = entry;
  const openHistory = () => { location.hash = historyHash({ key }); };
  const restore = h('span');
  const drawRestore = () => morph(restore, h('span', null, restoreAction(entry, openHistory)));
  drawRestore();
  subscribe('settings', drawRestore, signal);
  const canUndo = version && before !== null && store.settings.has(key);
  const sameRevision = h('section');
  const hasSetting = !isDecision(entry);
  setChildren(body, pageHeader(hasSetting ? ['Change to ', isolate(label(key))] : 'Decision',
    [hasSetting ? h('code', null, isolate(key)) : decisionSubject(entry), ' ', actionBadge(entry)], copyLinkButton()),
    h('div.card.padded.stack', null,
      h('div', null, h('h2', null, hasSetting ? 'Change' : 'Decision'), changeContent(entry)),
      entryDetails(entry),
      h('div.row', null, restore, canUndo && rollbackButton('Undo this change', { auditId: id, key, version }, openHistory),
        revision && nameButton(revision),
        link(historyHash({ key }), hasSetting ? 'History of this setting' : 'All decisions of this kind'))),
    sameRevision);
  if (revision) showSameRevision(sameRevision, entry, openHistory, signal);
}

function entryDetails(entry) {
  const { id, version, revision, changed_at: time, request_id: request } = entry;
  return definitionList('dl.field-list', {
    Reason: entry.reason && isolate(entry.reason),
    [isDecision(entry) ? 'Decided by' : 'Changed by']: userLink(entry),
    Time: [dateTimeElement(time), ' · ', relativeTimeElement(time)],
    Before: version && valueElement(entry.old_value),
    After: version && valueElement(entry.new_value),
    Version: version,
    Revision: revision ? revisionLink(revision, 'revision') : !isDecision(entry) && 'none, because no value was changed',
    Request: h('a.mono', { href: historyHash({ request_id: request }) }, isolate(request)),
    'Entry ID': h('span.mono', null, isolate(id)),
  });
}

/** Shows the other entries of the same revision. */
function showSameRevision(container, { id, revision }, onrestored, signal) {
  const loadPage = pageReader(PATH, 'entries', { revision }, signal);
  const loadOthers = async (cursor, limit) => {
    const { rows, next } = await loadPage(cursor, limit);
    return { rows: rows.filter((entry) => entry.id !== id), next };
  };
  const entries = entryTable({}, signal, onrestored, {
    name: 'Other changes of this revision',
    empty: h('p.empty', null, 'The revision has no other changes.'),
    load: loadOthers,
  });
  setChildren(container,
    h('div.row.list-header', null, h('h2', null, 'Other changes of this revision'), previousRevisionButton(revision, onrestored)), entries.element);
  entries.load();
}

function copyLinkButton() {
  const container = h('span.row');
  const showField = () => {
    const input = h('input', { readonly: true, value: location.href, 'aria-label': 'Link to this entry' });
    setChildren(container, input);
    input.select();
  };
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(location.href);
      showToast('Link copied.');
    } catch {
      // Without TLS a page has no clipboard.
      showField();
    }
  };
  return setChildren(container, button('Copy link', copy));
}
