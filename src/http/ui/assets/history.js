// Who changed what, when and why: found again, read, kept as a file, and taken back.
import { fetchJson } from './api.js';
import { debounce, h, isolate, setChildren, showToast, subscribe } from './dom.js';
import { timelineChart, valueChart } from './charts.js';
import { valueDiff } from './diff.js';
import { dateTimeElement, formatDateTime, humanize, label, pluralize, relativeTimeElement, timePreference, valueElement } from './format.js';
import { badge, button, definitionList, historyHash, labeledField, link, liveTable, morph, muted, pageReader, revisionLink, selectField, settingLink, tableRow } from './page.js';
import { emptyState, errorAlert, pageHeader, saveFile } from './parts.js';
import { openRollback } from './restore.js';
import { replaceParameters } from './route.js';
import { loadSettings, store } from './store.js';

const PATH = '/admin/global-settings/history';
const NAMES = { key: 'Setting', changed_by: 'Person', action: 'Kind', request_id: 'Request', revision: 'Change set', since: 'From', until: 'To' };
const KINDS = { update: 'accent', rollback: 'warning', refused: 'danger' };
const ACTIONS = ['seed', 'import', 'update', 'reset', 'rollback', 'refused', 'secret_cleanup'];

/** The history that the filters find, or one entry of it. */
export async function show(body, parameters, signal) {
  await (store.revision || loadSettings().catch(() => null));
  const [id] = parameters.rest;
  return id ? showEntry(body, id, signal) : showList(body, parameters, signal);
}

async function showList(body, parameters, signal) {
  let filters;
  let drawn = new AbortController();
  const [top, chips, pictures, found] = [h('div'), h('div'), h('div.stack'), h('section', { 'aria-label': 'Entries' })];
  const take = (all) => { filters = Object.fromEntries(Object.keys(NAMES).filter((it) => all[it]).map((it) => [it, all[it]])); };
  const set = (changes) => {
    take({ ...filters, ...changes });
    replaceParameters(filters);
    draw();
  };
  const form = filterForm(set);
  const draw = async () => {
    drawn.abort();
    drawn = new AbortController();
    const both = AbortSignal.any([signal, drawn.signal]);
    const [title, news] = [h('h2', { tabindex: '-1' }, 'Newest first'), h('span', { role: 'status' })];
    const again = () => draw().then(() => found.querySelector('h2').focus());
    form.take(filters);
    setChildren(chips, drawChips(filters, set, form));
    setChildren(top, headOf(filters, again));
    const list = entries(filters, both, again, {
      name: 'Entries, newest first', none: nothing(filters), news, top: h('div.row.list-header', null, title, news), offer: (n) => `${pluralize(n, 'newer change')} · show`, anew: again,
    });
    setChildren(found, list.element);
    await list.first();
    if (!both.aborted) drawPictures(pictures, filters, both);
  };
  take(parameters);
  setChildren(body, top, form.element, chips, pictures, found);
  await draw();
}

/** Of a change set the head tells who made it, and takes all of it back; otherwise what is found may be kept as a file. */
function headOf(filters, again) {
  const keepAs = h('div.row', { role: 'group', 'aria-label': 'Download what is found' }, drawDownload(filters));
  const revision = Number(filters.revision);
  if (!revision) return pageHeader('History', 'Every change of a setting: who, when, why, and how to take it back.', keepAs);
  return pageHeader(`Change set ${revision}`, 'Everything that was changed at once, under one revision.', backBefore(revision, again), keepAs);
}

const backBefore = (revision, then) => revision > 1 && restoring(`Back to before ${revision === store.revision ? 'this change set' : `change set ${revision}`}`, { toRevision: revision - 1 }, then);

/** A button that goes back to `target`. */
const restoring = (text, target, then, name) => button(text, () => openRollback(target).then((done) => done && then()), name);

function filterForm(set) {
  const keys = [...store.settings.keys()];
  const only = (text) => {
    const wanted = text.trim();
    const near = like(wanted);
    return keys.includes(wanted) || near.length !== 1 ? wanted : near[0];
  };
  const key = h('input', { type: 'search', name: 'key', list: 'history-keys', autocomplete: 'off', spellcheck: 'false', placeholder: 'All settings',
    oninput: () => (keys.includes(key.value) || key.value === '') && set({ key: key.value }), onchange: () => set({ key: only(key.value) }) });
  const by = h('input', { name: 'changed_by', autocomplete: 'off', dir: 'auto', onchange: () => set({ changed_by: by.value.trim() }) });
  const action = selectField('Kind of change', 'action', ACTIONS, '', (value) => set({ action: value }));
  const [since, until] = ['since', 'until'].map((name) => h('input', { type: 'datetime-local', name, onchange: ({ target }) => set({ [name]: toTime(target.value, name === 'until') }) }));
  const zone = timePreference.utc ? ' (UTC)' : '';
  const element = h('form.filters', { role: 'search', 'aria-label': 'Filter the history', novalidate: true, onsubmit: (event) => {
    event.preventDefault();
    set({ key: only(key.value), changed_by: by.value.trim() });
  } }, labeledField('Setting', key), h('datalist', { id: 'history-keys' }, keys.map((value) => h('option', { value }, label(value)))),
  labeledField('Person', by), action, labeledField(`From${zone}`, since), labeledField(`To${zone}`, until), h('button', { type: 'submit' }, 'Filter'));
  const take = (filters) => {
    for (const it of [key, by, action.querySelector('select')]) if (it.value !== (filters[it.name] ?? '')) it.value = filters[it.name] ?? '';
    for (const it of [since, until]) if (it !== document.activeElement) it.value = toField(filters[it.name]);
  };
  return { element, take, key };
}

/** The keys that have `text` in them. */
const like = (text) => [...store.settings.keys()].filter((it) => it.toLowerCase().includes(text.toLowerCase().replaceAll(' ', '_')));

/** A time as the field has it, in the zone in which times are shown. */
function toField(text) {
  const date = new Date(text);
  return Number.isNaN(+date) ? '' : new Date(date - (timePreference.utc ? 0 : date.getTimezoneOffset() * 60_000)).toISOString().slice(0, 19);
}

/** What is asked for as the end is meant with its whole second, or minute. */
function toTime(text, end) {
  if (!text) return '';
  const whole = end ? `${text.length > 16 ? text.slice(0, 19) : `${text}:59`}.999` : text;
  return new Date(timePreference.utc ? `${whole}Z` : whole).toISOString();
}

function drawChips(filters, set, form) {
  const all = Object.entries(filters);
  if (all.length === 0) return null;
  const leave = (names) => {
    set(Object.fromEntries(names.map((it) => [it, ''])));
    form.key.focus();
  };
  return h('div.row.active-filters', null, h('ul.chips', { 'aria-label': 'Filters' }, all.map(([name, value]) => {
    const isTime = (name === 'since' || name === 'until') && Date.parse(value);
    return h('li.chip', null, `${NAMES[name]}: `, isolate(isTime ? formatDateTime(value) : value), button('×', () => leave([name]), `Remove the filter ${NAMES[name]}`));
  })), all.length > 1 && button('Remove all filters', () => leave(Object.keys(NAMES)), null, 'button.subtle'));
}

const COLUMNS = { Setting: 'w14', Change: '', Why: 'w14', 'Who and when': '', 'Change set': '' };

/** The list of what `filters` find; `again` draws anew what shows it. */
function entries(filters, signal, again, parts) {
  const list = liveTable({
    columns: COLUMNS, load: pageReader(PATH, 'entries', filters, signal), id: (it) => it.id, date: (it) => Date.parse(it.changed_at), draw: (it) => drawRow(it, again), ...parts,
  });
  // Our own restore reads the list again by itself, a little later than its news may come.
  const look = debounce(400, () => signal.aborted || list.again().catch(() => null));
  for (const name of ['change', 'resync']) subscribe(name, look, signal);
  subscribe('settings', list.refresh, signal);
  return list;
}

function nothing(filters) {
  if (Object.keys(filters).length === 0) return emptyState('Nothing has been changed yet', 'Change a setting, and it is written here with its reason.');
  const near = filters.key && !store.settings.has(filters.key) ? like(filters.key).slice(0, 6) : [];
  return emptyState('Nothing fits these filters', near.length
    ? ['Did you mean ', near.map((key, index) => [index ? ', ' : '', link(historyHash({ ...filters, key }), isolate(label(key)))]), '?']
    : ['Remove one of them, or ', link('#/history', 'see the whole history'), '.']);
}

const kind = ({ action }) => badge(KINDS[action], humanize(action));

const drawRow = (entry, again) => tableRow(COLUMNS, { 'data-id': entry.id },
  [settingLink(entry.key), ' ', kind(entry), h('div.hint', null, h('code', null, isolate(entry.key)))],
  change(entry), h('div.reason-text', null, isolate(entry.reason)),
  [by(entry), h('div', null, link(`#/history/${entry.id}`, relativeTimeElement(entry.changed_at), h('span.visually-hidden', null, ', the entry of ', isolate(label(entry.key)))))],
  [entry.revision === null ? muted('none') : revisionLink(entry.revision, 'revision'),
    h('div.hint', null, h('a', { href: historyHash({ request_id: entry.request_id }), title: `request ${entry.request_id}` }, 'its request')), h('div.restore', null, restoreOf(entry, again))]);

const by = ({ changed_by: by }) => link(historyHash({ changed_by: by }), isolate(by));

/** What changed, or why there is nothing to be seen. */
function change({ action, old_value: before, new_value: after }) {
  if (action === 'refused') return muted('Refused. What was sent is not kept.');
  return action === 'secret_cleanup' ? muted('A secret’s residue was removed. Its value is not kept.') : valueDiff(before, after);
}

/** Restores the value after this entry; where that is the current one it says so. */
function restoreOf({ key, version }, again) {
  const now = store.settings.get(key)?.version;
  if (!version || !now) return null;
  return now === version ? badge('success', 'current') : restoring('Restore this value', { key, toVersion: version }, again, `Restore this value: version ${version} of ${label(key)}`);
}

/** The pictures come after the list, which they are not needed for. */
async function drawPictures(place, filters, signal) {
  const { key } = filters;
  try {
    const [data, { entries: all }] = await Promise.all([fetchJson(`${PATH}/timeline`, filters, { signal }), key ? fetchJson(PATH, { key, limit: 200 }, { signal }) : {}]);
    const over = data.buckets.length > 0 && timelineChart(data, (since, until) => historyHash({ ...filters, since, until }));
    const of = key && valueChart(key, all);
    setChildren(place, over && card('When', over), of && card('Its values', of));
  } catch (problem) {
    if (problem.name !== 'AbortError') setChildren(place, errorAlert(problem, () => drawPictures(place, filters, signal)));
  }
}

const card = (title, figure) => h('section.card.padded', null, h('h2', null, title), figure);

const MOST = 50_000;
const entriesOf = (n) => pluralize(n, 'entry', 'entries');

/** Buttons that keep what is found as a file. */
function drawDownload(filters) {
  const [told, place] = [h('span.hint', { role: 'status' }), h('span.row')];
  const start = (kind) => async ({ target }) => {
    const control = new AbortController();
    const stop = button('Cancel', () => control.abort(), 'Cancel the download');
    setChildren(place, stop);
    stop.focus();
    try {
      const [all, step] = [[], pageReader(PATH, 'entries', filters, control.signal)];
      let cursor = null;
      do {
        const { rows, next } = await step(cursor, 200);
        all.push(...rows);
        cursor = next;
        setChildren(told, `${entriesOf(all.length)} …`);
      } while (cursor && all.length < MOST);
      save(kind, all);
      setChildren(told);
      showToast(cursor ? `The file has the newest ${entriesOf(MOST)} and stops there; narrow the time for the others.` : `${entriesOf(all.length)} in the file`);
    } catch (problem) {
      setChildren(told, problem.name === 'AbortError' ? 'cancelled' : `not downloaded: ${problem.message}`);
    }
    setChildren(place, buttons);
    target.focus();
  };
  const buttons = ['CSV', 'JSON'].map((kind) => button(kind, start(kind), `Download ${kind}`));
  setChildren(place, buttons);
  return [h('span.hint', null, 'Download'), place, told];
}

const FIELDS = ['changed_at', 'changed_by', 'action', 'key', 'old_value', 'new_value', 'version', 'revision', 'reason', 'request_id', 'id'];

function save(kind, all) {
  const name = `history-${new Date().toISOString().slice(0, 19).replaceAll(':', '')}.${kind.toLowerCase()}`;
  if (kind === 'JSON') return saveFile(name, 'application/json', `${JSON.stringify(all, null, 2)}\n`);
  const lines = all.map((it) => FIELDS.map((field) => quoted(field.endsWith('_value') && it[field] !== null ? JSON.stringify(it[field]) : it[field] ?? '')).join(','));
  return saveFile(name, 'text/csv', [FIELDS.join(','), ...lines, ''].join('\r\n'));
}

/** RFC 4180; what a spreadsheet would take for a formula gets an apostrophe. */
const quoted = (value) => `"${String(value).replace(/^[=+\-@\t\r]/, '\'$&').replaceAll('"', '""')}"`;

async function showEntry(body, id, signal) {
  const entry = await fetchJson(`${PATH}/${encodeURIComponent(id)}`, null, { signal });
  const { key, version, revision, changed_at: at, request_id: request } = entry;
  const again = () => { location.hash = historyHash({ key }); };
  const [state, others] = [h('span'), h('section')];
  const draw = () => morph(state, h('span', null, restoreOf(entry, again)));
  draw();
  subscribe('settings', draw, signal);
  setChildren(body, pageHeader(['Change of ', isolate(label(key))], [h('code', null, isolate(key)), ' ', kind(entry)], copyLink()),
    h('div.card.padded.stack', null, h('div', null, h('h2', null, 'What changed'), change(entry)),
      definitionList('dl.field-list', {
        Why: isolate(entry.reason), Who: by(entry), When: [dateTimeElement(at), ' · ', relativeTimeElement(at)],
        Before: version && valueElement(entry.old_value), After: version && valueElement(entry.new_value), Version: version,
        'Change set': revision ? revisionLink(revision, 'revision') : 'none, nothing was changed',
        Request: h('a.mono', { href: historyHash({ request_id: request }) }, isolate(request)), Entry: h('span.mono', null, isolate(id)),
      }),
      h('div.row', null, state, version && entry.old_value !== null && store.settings.has(key) && restoring('Back to the value before', { auditId: id, key, version }, again),
        link(historyHash({ key }), 'All changes of this setting'))),
    others);
  if (!revision) return;
  const load = pageReader(PATH, 'entries', { revision }, signal);
  const list = entries({}, signal, again, {
    name: 'Changed with it', none: h('p.empty', null, 'Nothing else: this change set has one entry.'),
    load: (...page) => load(...page).then(({ rows, next }) => ({ rows: rows.filter((it) => it.id !== id), next })),
  });
  setChildren(others, h('div.row.list-header', null, h('h2', null, 'Changed with it'), backBefore(revision, again)), list.element);
  list.first();
}

function copyLink() {
  const place = h('span.row');
  const copy = () => (navigator.clipboard?.writeText(location.href) ?? Promise.reject()).then(() => showToast('The link is copied'), () => {
    // Without TLS a browser copies nothing by itself.
    const field = h('input', { readonly: true, value: location.href, 'aria-label': 'Link to this entry' });
    setChildren(place, field);
    field.select();
  });
  return setChildren(place, button('Copy link', copy));
}
