// The proposals page: the proposals that wait for the user, that are open, and that are closed; and the page of one proposal.
import { fetchJson } from './api.js';
import { h, isolate, setChildren } from './dom.js';
import { capitalize, label, pluralize, relativeTimeElement } from './format.js';
import { liveTable, poll } from './live-table.js';
import { labeledField, link, selectField, tableRow } from './page.js';
import { emptyState, pageHeader } from './parts.js';
import { keyNames, proposalHash, stateElement } from './proposal-text.js';
import { replaceParameters } from './route.js';
import { ensureSettings, store } from './store.js';

const PATH = '/admin/proposals';
const REFRESH_INTERVAL = 5000;
const CLOSED_STATES = ['applied', 'reverted', 'failed', 'withdrawn'];
const COLUMNS = { Proposal: '', Settings: 'w14', State: 'w-state', 'Proposed by': 'w10' };

/** The lists by the parameter `show`: name, query, and the text of an empty list. */
const LISTS = {
  waiting: {
    name: 'Waiting for me',
    query: { waiting_for_me: true },
    empty: ['Nothing waits for you', 'Proposals of other people appear here until you approve them or object, and emergencies until somebody acknowledges them.'],
  },
  open: {
    name: 'Open',
    query: { state: 'open' },
    empty: ['No open proposals', 'Edit a protected setting and choose “Propose” in the review to ask other people for their approval.'],
  },
  rolling: {
    name: 'Rolling out',
    query: { state: 'rolling' },
    empty: ['No rollout is running', 'A proposal with a rollout appears here while its change takes effect for a share of the users.'],
  },
  closed: {
    name: 'Closed',
    query: {},
    empty: ['No closed proposals', 'Applied, reverted, failed and withdrawn proposals appear here.'],
  },
};

/** Shows the lists, or the proposal in the path. */
export async function show(body, parameters, signal) {
  // Proposals can be read even if the settings are invalid.
  await ensureSettings().catch(() => null);
  const [number] = parameters.rest;
  if (number === undefined) {
    await showLists(body, parameters, signal);
    return;
  }
  // The page of a proposal needs more modules than the lists.
  const { showProposal } = await import('./proposal.js');
  await showProposal(body, number, signal);
}

async function showLists(body, parameters, signal) {
  const listName = LISTS[parameters.show] ? parameters.show : 'waiting';
  const { name } = LISTS[listName];
  const filters = { by: parameters.by ?? '', key: parameters.key ?? '', state: CLOSED_STATES.includes(parameters.state) ? parameters.state : '' };
  const list = h('section', { 'aria-label': name });
  const pollError = h('div');
  let proposals = null;
  const draw = async () => {
    const newTable = createTable(listName, filters, signal);
    proposals = newTable;
    await newTable.load();
    // The filters may have changed during the request.
    if (proposals === newTable) setChildren(list, newTable.element);
  };
  const changeFilters = (changes) => {
    Object.assign(filters, changes);
    replaceParameters({ show: listName, ...filters });
    return draw();
  };
  setChildren(body,
    pageHeader('Proposals', 'Changes that other people approve before they take effect, or that take effect at a time.'),
    tabs(listName), filterForm(listName, filters, changeFilters), pollError, list);
  await draw();
  poll(REFRESH_INTERVAL, () => proposals.refresh(), pollError, signal);
}

const tabs = (current) => h('nav.tabs', { 'aria-label': 'Lists of proposals' }, h('ul', null, Object.entries(LISTS).map(([listName, { name }]) =>
  h('li', null, h('a', { href: `#/proposals?show=${listName}`, 'aria-current': listName === current ? 'page' : null }, name)))));

function filterForm(listName, filters, changeFilters) {
  const keys = [...store.settings.keys()];
  const keyInput = h('input', {
    type: 'search', name: 'key', list: 'proposal-keys', value: filters.key, autocomplete: 'off', spellcheck: 'false', placeholder: 'All settings',
    onchange: () => changeFilters({ key: keyInput.value.trim() }),
  });
  const byInput = h('input', { name: 'by', value: filters.by, autocomplete: 'off', dir: 'auto', placeholder: 'Anybody', onchange: () => changeFilters({ by: byInput.value.trim() }) });
  const onsubmit = (event) => {
    event.preventDefault();
    changeFilters({ key: keyInput.value.trim(), by: byInput.value.trim() });
  };
  return h('form.filters', { role: 'search', 'aria-label': 'Filter the proposals', novalidate: true, onsubmit },
    labeledField('Setting', keyInput), h('datalist', { id: 'proposal-keys' }, keys.map((value) => h('option', { value }, label(value)))),
    labeledField('Proposed by', byInput),
    listName === 'closed' && selectField('State', 'state', CLOSED_STATES, filters.state, (state) => changeFilters({ state })),
    h('button', { type: 'submit' }, 'Filter'));
}

function createTable(listName, filters, signal) {
  const { name, query, empty: [title, description] } = LISTS[listName];
  const isFiltered = Object.values(filters).some(Boolean);
  const fullQuery = { ...query, ...Object.fromEntries(Object.entries(filters).filter(([, value]) => value)) };
  return liveTable({
    name: `${name}, newest first`,
    columns: COLUMNS,
    load: listName === 'closed' && !filters.state ? closedReader(fullQuery, signal) : (cursor, limit) => readPage(fullQuery, cursor, limit, signal),
    id: ({ number }) => String(number),
    // Numbers grow in the order of creation.
    date: ({ number }) => number,
    draw: (summary) => proposalRow(summary, listName),
    empty: isFiltered
      ? emptyState('No matching proposals', 'Change the filters, or ', link(`#/proposals?show=${listName}`, 'remove them'), '.')
      : emptyState(title, description),
    newItemsLabel: (count) => `Show ${pluralize(count, 'new proposal')}`,
  });
}

async function readPage(query, cursor, limit, signal) {
  const { proposals, next_cursor: next } = await fetchJson(PATH, { ...query, limit, cursor }, { signal });
  return { rows: proposals, next };
}

/** Returns a reader of the proposals that have ended. The service has no filter for them: few proposals have not ended. */
const closedReader = (query, signal) => async (cursor, limit) => {
  let next = cursor;
  let rows = [];
  do {
    const page = await readPage(query, next, limit, signal);
    rows = page.rows.filter(({ state }) => CLOSED_STATES.includes(state));
    next = page.next;
  } while (rows.length === 0 && next);
  return { rows, next };
};

/** Returns what a proposal in the list “Waiting for me” waits for. */
function nextStepText({ state, needed, approvals, objections, due_at: dueAt }) {
  if (state === 'rolling') return 'decide on the rollout';
  if (state !== 'open') return 'acknowledge';
  if (objections > 0) return 'objected: approve, or edit';
  if (approvals < needed) return 'approve';
  return dueAt ? 'nothing to do: applied at its time' : 'ready to apply';
}

function proposalRow(summary, listName) {
  const { number, reason, keys, created_by: person, created_at: time, edition } = summary;
  return tableRow(COLUMNS, { 'data-id': String(number) },
    [link(proposalHash(number), `Proposal ${number}`), h('p.reason-text', null, isolate(reason))],
    keyNames(keys),
    [listName === 'waiting' && h('div', null, h('strong', null, capitalize(nextStepText(summary)))), stateElement(summary)],
    [isolate(person), h('div.hint', null, relativeTimeElement(time), edition > 1 && `, edition ${edition}`)]);
}
