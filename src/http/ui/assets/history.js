// Who changed what, when and why: found again, read, kept as a file, and taken back.
import { read } from './api.js';
import { announce, fill, h, hear, said } from './dom.js';
import { address, timeline, values } from './charts.js';
import { difference } from './diff.js';
import { clock, count, exact, label, shown, time, timeExact, words } from './format.js';
import { download, empty, failure, head, more } from './parts.js';
import { restore } from './restore.js';
import { keep } from './route.js';
import { load, store } from './store.js';

const PATH = '/admin/global-settings/history';
const FILTERS = ['key', 'changed_by', 'action', 'request_id', 'revision', 'since', 'until'];
const NAMES = { key: 'Setting', changed_by: 'Person', action: 'Kind', request_id: 'Request', revision: 'Change set', since: 'From', until: 'To' };
const KINDS = { update: 'brand', rollback: 'warn', refused: 'bad' };
const ACTIONS = ['seed', 'import', 'update', 'reset', 'rollback', 'refused', 'secret_cleanup'];

/** The history that the filters find, or one entry of it. */
export async function show(body, parameters, signal) {
  await (store.revision || load().catch(() => null));
  const [id] = parameters.rest;
  return id ? showEntry(body, id, signal) : showList(body, parameters, signal);
}

async function showList(body, parameters, signal) {
  let filters = Object.fromEntries(FILTERS.filter((it) => parameters[it]).map((it) => [it, parameters[it]]));
  let drawn = new AbortController();
  const [top, chips, pictures, found] = [h('div'), h('div'), h('div.stack'), h('section', { 'aria-label': 'Entries' })];
  const set = (changes) => {
    filters = Object.fromEntries(Object.entries({ ...filters, ...changes }).filter(([, value]) => value));
    keep(filters);
    draw();
  };
  const form = filterForm(set);
  const draw = async () => {
    drawn.abort();
    drawn = new AbortController();
    const both = AbortSignal.any([signal, drawn.signal]);
    form.take(filters);
    fill(chips, drawChips(filters, set, form));
    const list = listOf({ ...filters }, both, () => {
      draw().then(() => found.querySelector('h2').focus());
    });
    fill(top, headOf(filters, list));
    fill(found, list.element);
    await list.first();
    if (!both.aborted) drawPictures(pictures, { ...filters }, both);
  };
  fill(body, top, form.element, chips, pictures, found);
  await draw();
}

/** Of a change set the head tells who made it, and takes all of it back; otherwise what is found may be kept as a file. */
function headOf(filters, list) {
  const keepAs = h('div.row', { role: 'group', 'aria-label': 'Download what is found' }, drawDownload(filters));
  const revision = Number(filters.revision);
  if (!revision) return head('History', 'Every change of a setting: who, when, why, and how to take it back.', keepAs);
  return head(`Change set ${revision}`, 'Everything that was changed at once, under one revision.', backBefore(revision, list.again), keepAs);
}

const backBefore = (revision, then) => revision > 1 && h('button', {
  type: 'button', onclick: () => restore({ toRevision: revision - 1 }).then((done) => done && then()),
}, `Back to before ${revision === store.revision ? 'this change set' : `change set ${revision}`}`);

function filterForm(set) {
  const keys = [...store.settings.keys()];
  const only = (text) => {
    const wanted = text.trim();
    const near = keys.filter((it) => it.toLowerCase().includes(wanted.toLowerCase().replaceAll(' ', '_')));
    return keys.includes(wanted) || near.length !== 1 ? wanted : near[0];
  };
  const key = h('input', { type: 'search', name: 'key', list: 'history-keys', autocomplete: 'off', spellcheck: 'false', placeholder: 'All settings',
    oninput: () => (keys.includes(key.value) || key.value === '') && set({ key: key.value }), onchange: () => set({ key: only(key.value) }) });
  const by = h('input', { name: 'changed_by', autocomplete: 'off', dir: 'auto', onchange: () => set({ changed_by: by.value.trim() }) });
  const action = h('select', { name: 'action', onchange: () => set({ action: action.value }) },
    h('option', { value: '' }, 'All'), ACTIONS.map((value) => h('option', { value }, words(value))));
  const moment = (name) => h('input', { type: 'datetime-local', name, onchange: ({ target }) => set({ [name]: toTime(target.value, name === 'until') }) });
  const [since, until] = [moment('since'), moment('until')];
  const zone = clock.utc ? ' (UTC)' : '';
  const field = (text, it) => h('label.field', null, text, it);
  const element = h('form.filters', { role: 'search', 'aria-label': 'Filter the history', novalidate: true, onsubmit: (event) => {
    event.preventDefault();
    set({ key: only(key.value), changed_by: by.value.trim() });
  } }, field('Setting', key), h('datalist', { id: 'history-keys' }, keys.map((value) => h('option', { value }, label(value)))),
  field('Person', by), field('Kind of change', action), field(`From${zone}`, since), field(`To${zone}`, until), h('button', { type: 'submit' }, 'Filter'));
  const take = (filters) => {
    for (const it of [key, by, action]) if (it.value !== (filters[it.name] ?? '')) it.value = filters[it.name] ?? '';
    for (const it of [since, until]) if (it !== document.activeElement) it.value = toField(filters[it.name]);
  };
  return { element, take, key };
}

/** A time as the field has it, in the zone in which times are shown. */
function toField(text) {
  const date = new Date(text ?? NaN);
  if (Number.isNaN(date.getTime())) return '';
  return new Date(date - (clock.utc ? 0 : date.getTimezoneOffset() * 60_000)).toISOString().slice(0, 19);
}

/** What is asked for as the end is meant with its whole second, or minute. */
function toTime(text, end) {
  if (!text) return '';
  const whole = end ? (text.length > 16 ? text.slice(0, 19) : `${text}:59`) + '.999' : text;
  const date = new Date(clock.utc ? `${whole}Z` : whole);
  return Number.isNaN(date.getTime()) ? '' : date.toISOString();
}

function drawChips(filters, set, form) {
  const all = Object.entries(filters);
  if (all.length === 0) return null;
  const leave = (changes) => {
    set(changes);
    form.key.focus();
  };
  return h('div.row.active-filters', null, h('ul.chips', { 'aria-label': 'Filters' }, all.map(([name, value]) => {
    const text = name === 'since' || name === 'until' ? moment(value) : value;
    return h('li.chip', null, `${NAMES[name]}: `, said(text), h('button', {
      type: 'button', 'aria-label': `Remove the filter ${NAMES[name]}`, onclick: () => leave({ [name]: '' }),
    }, '×'));
  })), all.length > 1 && h('button.quiet', { type: 'button', onclick: () => leave(Object.fromEntries(FILTERS.map((it) => [it, '']))) }, 'Remove all filters'));
}

const moment = (text) => (Number.isNaN(Date.parse(text)) ? text : exact(text));

/** The entries, newest first: `{ element, first(), again }`. */
function listOf(filters, signal, again) {
  const rows = h('tbody');
  const [place, news] = [h('div'), h('span', { 'aria-live': 'polite' })];
  let newest = 0;
  const pages = more(rows, async (cursor) => {
    const { entries, next_cursor: next } = await read(PATH, { ...filters, cursor, limit: 50 }, { signal });
    newest = Math.max(newest, ...entries.map((it) => it.revision ?? 0));
    return { rows: entries, next };
  }, (entries) => entries.map((it) => drawRow(it, signal, again)));
  const element = h('div', null, h('div.row.newest', null, h('h2', { tabindex: '-1' }, 'Newest first'), news), place);
  const first = async () => {
    const n = await pages.first();
    if (signal.aborted) return;
    fill(place, n === 0 ? nothing(filters) : [n !== null && h('div.card', null, table(rows)), pages.end]);
    follow(filters, signal, news, () => newest, again);
  };
  return { element, first, again };
}

const table = (rows) => h('table.cards.history-table', null,
  h('thead', null, h('tr', null, ['Setting', 'Change', 'Why', 'Who and when', 'Change set'].map((it) => h('th', { scope: 'col' }, it)))), rows);

function nothing(filters) {
  if (Object.keys(filters).length === 0) return empty('Nothing has been changed yet', 'Change a setting, and it is written here with its reason.');
  const part = (filters.key ?? '').toLowerCase();
  const near = part && !store.settings.has(filters.key) ? [...store.settings.keys()].filter((it) => it.toLowerCase().includes(part)).slice(0, 6) : [];
  return empty('Nothing fits these filters', near.length
    ? ['Did you mean ', near.map((key, index) => [index ? ', ' : '', h('a', { href: address({ ...filters, key }) }, said(label(key)))]), '?']
    : ['Remove one of them, or ', h('a', { href: '#/history' }, 'see the whole history'), '.']);
}

const mark = ({ action }) => h(`span.mark${KINDS[action] ? `.${KINDS[action]}` : ''}`, null, words(action));

const entryOf = ({ id }) => `#/history/${encodeURIComponent(id)}`;

function drawRow(entry, signal, again) {
  const { key, reason, revision, changed_by: by, changed_at: at, request_id: request } = entry;
  return h('tr', null,
    h('th', { scope: 'row' }, h('a', { href: address({ key }) }, said(label(key))), ' ', mark(entry), h('div.hint', null, h('code', null, said(key)))),
    h('td', { 'data-label': 'Change' }, change(entry)),
    h('td', { 'data-label': 'Why' }, h('div.reason', null, said(reason))),
    h('td', { 'data-label': 'Who and when' }, h('a', { href: address({ changed_by: by }) }, said(by)),
      h('div', null, h('a', { href: entryOf(entry) }, time(at), h('span.unseen', null, ', the entry of ', said(label(key)))))),
    h('td', { 'data-label': 'Change set' }, revision === null ? h('span.soft', null, 'none') : h('a', { href: address({ revision }) }, `revision ${revision}`),
      h('div.hint', null, h('a', { href: address({ request_id: request }), title: `request ${request}` }, 'its request')), restoreOf(entry, signal, again)));
}

/** What changed, or why there is nothing to be seen. */
function change({ action, old_value: before, new_value: after }) {
  if (action === 'refused') return h('span.soft', null, 'Refused. What was sent is not kept.');
  if (action === 'secret_cleanup') return h('span.soft', null, 'A secret’s residue was removed. Its value is not kept.');
  return difference(before, after);
}

/** Restores the value after this entry; where that is the current one it says so, until it no longer is. */
function restoreOf(entry, signal, again) {
  const { key, version } = entry;
  const place = h('div.restore');
  let before = null;
  const draw = () => {
    const now = store.settings.get(key)?.version;
    if (!version || now === undefined || before === (now === version)) return;
    before = now === version;
    fill(place, before ? h('span.mark.good', null, 'current') : h('button', {
      type: 'button', 'aria-label': `Restore this value: version ${version} of ${label(key)}`,
      onclick: () => restore({ key, toVersion: version }).then((done) => done && again()),
    }, 'Restore this value'));
  };
  draw();
  hear('settings', draw, signal);
  return place;
}

/** Tells of newer changes that fit, and leaves in peace what is read. */
function follow(filters, signal, place, newest, again) {
  let waiting = new Set();
  const draw = (text) => fill(place, h('button.quiet', { type: 'button', onclick: again }, `${text} · show`));
  hear('change', (it) => {
    // Our own restore reads the list again by itself, a little later than its news may come.
    setTimeout(() => {
      if (signal.aborted || it.revision <= newest() || !fits(it, filters)) return;
      waiting.add(it.revision);
      draw(count(waiting.size, 'newer change'));
    }, 400);
  }, signal);
  hear('resync', () => draw('There may be newer changes'), signal);
}

function fits(it, { key, changed_by: by, action, request_id: request, revision, since, until }) {
  const at = Date.parse(it.changed_at);
  return (!key || it.truncated || it.keys.includes(key)) && (!by || by === it.changed_by) && (!action || action === it.action)
    && (!request || request === it.request_id) && (!revision || Number(revision) === it.revision)
    && (!since || at >= Date.parse(since)) && (!until || at <= Date.parse(until));
}

/** The pictures come after the list, which they are not needed for. */
async function drawPictures(place, filters, signal) {
  try {
    const chart = filters.key && read(PATH, { key: filters.key, limit: 200 }, { signal });
    const data = await read(`${PATH}/timeline`, filters, { signal });
    const entries = chart ? (await chart).entries : [];
    if (signal.aborted) return;
    const target = (since, until) => address({ ...filters, since, until });
    const [over, of] = [data.buckets.length > 0 && timeline(data, target), filters.key && values(filters.key, entries)];
    fill(place, over && card('When', over), of && card('Its values', of));
  } catch (problem) {
    if (problem.name !== 'AbortError') fill(place, failure(problem, () => drawPictures(place, filters, signal)));
  }
}

const card = (title, figure) => h('section.card.padded', null, h('h2', null, title), figure);

const MOST = 50_000;

/** Buttons that keep what is found as a file. */
function drawDownload(filters) {
  const told = h('span.hint', { role: 'status' });
  const place = h('span.row');
  const buttons = ['CSV', 'JSON'].map((kind) => h('button', { type: 'button', 'aria-label': `Download ${kind}`, onclick: async ({ target }) => {
    const control = new AbortController();
    const stop = h('button', { type: 'button', 'aria-label': 'Cancel the download', onclick: () => control.abort() }, 'Cancel');
    fill(place, stop);
    stop.focus();
    try {
      const { entries, all } = await gather(filters, control.signal, (n) => { told.textContent = `${count(n, 'entry', 'entries')} …`; });
      save(kind, entries);
      told.textContent = '';
      announce(all ? `${count(entries.length, 'entry', 'entries')} in the file` : `The file has the newest ${count(MOST, 'entry', 'entries')} and stops there; narrow the time for the others.`);
    } catch (problem) {
      told.textContent = problem.name === 'AbortError' ? 'cancelled' : `not downloaded: ${problem.message}`;
    }
    fill(place, buttons);
    target.focus();
  } }, `${kind}`));
  fill(place, buttons);
  return [h('span.hint', null, 'Download'), place, told];
}

async function gather(filters, signal, tell) {
  const entries = [];
  let cursor = null;
  do {
    const page = await read(PATH, { ...filters, limit: 200, cursor }, { signal });
    entries.push(...page.entries);
    cursor = page.next_cursor;
    tell(entries.length);
  } while (cursor && entries.length < MOST);
  return { entries, all: !cursor };
}

const COLUMNS = ['changed_at', 'changed_by', 'action', 'key', 'old_value', 'new_value', 'version', 'revision', 'reason', 'request_id', 'id'];

function save(kind, entries) {
  const name = `history-${new Date().toISOString().slice(0, 19).replaceAll(':', '')}.${kind.toLowerCase()}`;
  if (kind === 'JSON') return download(name, 'application/json', `${JSON.stringify(entries, null, 2)}\n`);
  const lines = entries.map((it) => COLUMNS.map((column) => cell(it[column], column.endsWith('_value'))).join(','));
  return download(name, 'text/csv', [COLUMNS.join(','), ...lines, ''].join('\r\n'));
}

/** RFC 4180; what a spreadsheet would take for a formula gets an apostrophe. */
function cell(value, json) {
  const text = value === null || value === undefined ? '' : json ? JSON.stringify(value) : String(value);
  return `"${(/^[=+\-@\t\r]/.test(text) ? `'${text}` : text).replaceAll('"', '""')}"`;
}

async function showEntry(body, id, signal) {
  const entry = await read(`${PATH}/${encodeURIComponent(id)}`, null, { signal });
  const { key, version, revision, changed_by: by, changed_at: at, reason, request_id: request } = entry;
  const again = () => { location.hash = address({ key }); };
  const others = h('section');
  const back = version && entry.old_value !== null && store.settings.has(key) && h('button', {
    type: 'button', onclick: () => restore({ auditId: id, key, version }).then((done) => done && again()),
  }, 'Back to the value before');
  const field = (name, ...what) => h('div', null, h('dt', null, name), h('dd', null, what));
  fill(body, head(['Change of ', said(label(key))], [h('code', null, said(key)), ' ', mark(entry)], copyLink()),
    h('div.card.padded.stack', null, h('div', null, h('h2', null, 'What changed'), change(entry)),
      h('dl.fields', null,
        field('Why', said(reason)), field('Who', h('a', { href: address({ changed_by: by }) }, said(by))), field('When', timeExact(at), ` · `, time(at)),
        version && [field('Before', shown(entry.old_value)), field('After', shown(entry.new_value)), field('Version', version)],
        field('Change set', revision ? h('a', { href: address({ revision }) }, `revision ${revision}`) : 'none, nothing was changed'),
        field('Request', h('a.mono', { href: address({ request_id: request }) }, said(request))), field('Entry', h('span.mono', null, said(id)))),
      h('div.row', null, restoreOf(entry, signal, again), back, h('a', { href: address({ key }) }, 'All changes of this setting'))),
    others);
  if (revision) drawOthers(others, entry, signal, again);
}

async function drawOthers(place, { id, revision }, signal, again) {
  const rows = h('tbody');
  let n = 0;
  const pages = more(rows, async (cursor) => {
    const { entries, next_cursor: next } = await read(PATH, { revision, cursor, limit: 50 }, { signal });
    return { rows: entries.filter((it) => it.id !== id), next };
  }, (entries) => entries.map((it) => drawRow(it, signal, again)));
  n = await pages.first();
  if (signal.aborted) return;
  fill(place, h('h2', null, 'Changed with it'), h('div.row', null, h('p.soft', null, n === 0 ? 'Nothing else: this change set has one entry.' : null), backBefore(revision, again)),
    n !== 0 && h('div.card', null, table(rows)), pages.end);
}

function copyLink() {
  const place = h('span.row');
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(location.href);
      announce('The link is copied');
    } catch {
      // Without TLS a browser copies nothing by itself.
      const field = h('input', { readonly: true, value: location.href, 'aria-label': 'Link to this entry' });
      fill(place, field);
      field.select();
    }
  };
  fill(place, h('button', { type: 'button', onclick: copy }, 'Copy link'));
  return place;
}
