// The page of secrets (presence and source, never a value) and of environment variables.
import { fetchJson, request } from './api.js';
import { debounce, h, isolate, setChildren, showToast } from './dom.js';
import { pluralize, valueElement } from './format.js';
import { badge, button, labeledField, muted, table, tableRow } from './page.js';
import { emptyState, errorAlert, openReasonDialog, pageHeader, rememberReason } from './parts.js';
import { replaceParameters } from './route.js';

const p = (...content) => h('p', null, content);
const code = (text) => h('code', null, isolate(text));

const SOURCES = {
  env: ({ variable }) => ['environment variable ', code(variable)],
  file: ({ file_variable: variable }) => ['file named by ', code(variable)],
  credential: () => 'credential file of the platform',
  legacy_db: () => 'database (stored by an older release)',
  none: () => muted('none'),
};

/** Shows the page. `search` and `set` filter the environment variables. */
export async function show(body, { search = '', set = '' }, signal) {
  const [{ secrets }, environment] = await Promise.all(['secrets', 'environment'].map((name) => fetchJson(`/admin/${name}`, null, { signal })));
  const result = h('div');
  const legacyNote = h('div');
  const list = h('div');
  const draw = (currentSecrets) => {
    setChildren(list, secretTable(currentSecrets));
    setChildren(legacyNote, legacySecretsNote(currentSecrets, deleteLegacySecrets, (data) => showCleanupResult(result, data)));
  };
  const deleteLegacySecrets = async (reason) => {
    const { data } = await request('POST', '/admin/secrets/cleanup', { body: { reason } });
    rememberReason(reason);
    // The deletion has succeeded, even if the list cannot be loaded again.
    await fetchJson('/admin/secrets').then((response) => draw(response.secrets), (problem) => setChildren(list, errorAlert(problem)));
    return data;
  };
  draw(secrets);
  setChildren(body,
    pageHeader('Secrets and environment', 'The configuration of this instance. A change takes effect after a restart. Values of secrets are never shown.'),
    h('section', null, h('h2', null, 'Secrets'), h('div.stack', null, result, legacyNote, list)),
    h('section', null, h('h2', null, 'Settings in the environment'), environmentDrift(environment.drift)),
    h('section', null, h('h2', null, 'Environment variables'), variableList(environment.controls, { search, set })));
}

const nameCell = (name, description) => [code(name), h('p.hint', null, isolate(description))];

const SECRET_COLUMNS = { Secret: '', Status: '', Source: '', Instructions: '' };

const secretTable = (secrets) => table('Secrets', SECRET_COLUMNS, secrets.map((secret) => {
  const action = secret.present ? 'How to replace' : 'How to provide';
  return tableRow(SECRET_COLUMNS, null,
    nameCell(secret.name, secret.used_for),
    [statusBadge(secret), secret.legacy_residue && [' ', badge('warning', 'stored in the database')]],
    SOURCES[secret.source](secret),
    h('details', null, h('summary', { 'aria-label': `${action}: ${secret.name}` }, action),
      h('div.instructions', null, p(isolate(secret.how_to)), copyableName(secret.variable), copyableName(secret.file_variable))));
}));

function statusBadge({ present: isPresent, required: isRequired }) {
  if (isPresent) return badge('success', 'present');
  return isRequired ? badge('danger', 'missing') : badge('', 'not set (optional)');
}

/** Creates a name with a button to copy it. */
function copyableName(name) {
  const element = code(name);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(name);
      showToast(`Copied ${name}.`);
    } catch {
      // Browsers provide the clipboard only over HTTPS, and may deny access.
      getSelection().selectAllChildren(element);
      showToast(`Selected ${name}. Copy the name with the keyboard.`);
    }
  };
  return h('span.row', null, element, button('Copy', copy, `Copy ${name}`, 'button.subtle'));
}

/**
 * Creates the note about secrets that an older release stored in the database. `deleteSecrets(reason)` is called after a
 * confirmation, `ondeleted(response)` after the dialog is closed.
 */
function legacySecretsNote(secrets, deleteSecrets, ondeleted) {
  const storedSecrets = secrets.filter((secret) => secret.legacy_residue);
  if (storedSecrets.length === 0) return null;
  // The service keeps a secret that has no other source.
  const hasNoOtherSource = ({ source }) => ['legacy_db', 'none'].includes(source);
  const nameList = (title, names) => names.length > 0 && p(title, names.map(({ name }) => [code(name), ' ']));
  const confirm = async () => {
    const response = await openReasonDialog(dialog, deleteSecrets);
    if (response) ondeleted(response);
  };
  const dialog = {
    title: 'Delete secrets from the database',
    action: 'Delete',
    isDestructive: true,
    about: 'The values are deleted permanently from the settings and from the history.',
    body: [
      nameList('Deleted: ', storedSecrets.filter((secret) => !hasNoOtherSource(secret))),
      nameList('Kept, because there is no other source: ', storedSecrets.filter(hasNoOtherSource)),
    ],
  };
  return h('div.note.warning', null,
    p(h('strong', null, `The database contains ${pluralize(storedSecrets.length, 'secret')} stored by an older release`)),
    p('The secrets are part of every backup. The service uses them only without another source.'),
    p(button('Delete…', confirm)));
}

function showCleanupResult(container, { removed, kept }) {
  const title = removed.length > 0 ? `Deleted ${pluralize(removed.length, 'secret')} from the database` : 'No secrets were deleted';
  const note = h(`div.note${kept.length > 0 ? '.warning' : '.success'}`, { tabindex: '-1' },
    p(h('strong', null, title)),
    removed.length > 0 && valueElement(removed),
    // A missing source is the only reason to keep a secret.
    kept.map(({ name }) => p('Kept ', code(name), ', because there is no other source. Provide the secret as described below, restart the service, and delete again.')));
  setChildren(container, note);
  note.focus();
  showToast(`Deleted ${removed.length}, kept ${kept.length}.`);
}

const DRIFT_COLUMNS = { Setting: '', 'Environment value': '', Recommendation: '' };

/** Draws the settings that also have an environment variable, which is ignored. */
function environmentDrift(entries) {
  if (entries.length === 0) return h('p.muted', null, 'None: no environment variable has the name of a setting.');
  const row = ({ key, differs: isDifferent }) => tableRow(DRIFT_COLUMNS, null, code(key),
    isDifferent ? badge('warning', 'different') : badge('', 'same'),
    [isDifferent && ['If the environment value is correct, ',
      h('a', { href: `#/settings?search=${encodeURIComponent(key)}`, 'aria-label': `edit the setting ${key}` }, 'edit the setting'), '. '],
    'Remove the variable: it has no effect.']);
  return h('div.stack', null,
    p('Settings are stored in the database. Their environment variables were imported into the empty database once, and are ignored since then.'),
    table('Settings in the environment', DRIFT_COLUMNS, entries.map(row)));
}

const VARIABLE_COLUMNS = { Variable: '', Value: '', Source: '', 'Copy name': '' };

/** Draws the environment variables of the service, with a filter. */
function variableList(variables, filter) {
  const rows = variables.map(({ name, description, value, source }) => tableRow(VARIABLE_COLUMNS, null,
    nameCell(name, description),
    value === '***' ? badge('', 'set, hidden') : valueElement(value),
    source === 'env' ? badge('accent', 'environment') : badge('', 'default'),
    copyableName(name)));
  const summary = h('p.hint', { role: 'status' });
  const empty = emptyState('No matching variables', 'Change the search, or show default values as well.');
  const variableTable = table('Environment variables', VARIABLE_COLUMNS, rows);
  const applyFilter = () => {
    // The text of a row covers all columns.
    const terms = filter.search.toLowerCase().split(/\s+/);
    const matches = (row, index) => terms.every((term) => row.textContent.toLowerCase().includes(term))
      && (!filter.set || variables[index].source === 'env');
    rows.forEach((row, index) => { row.hidden = !matches(row, index); });
    const visible = rows.filter((row) => !row.hidden).length;
    const total = pluralize(rows.length, 'variable');
    summary.textContent = visible === rows.length ? total : `${visible} of ${total}`;
    variableTable.hidden = visible === 0;
    empty.hidden = visible > 0;
    replaceParameters(filter);
  };
  applyFilter();
  return [h('div.filters', { role: 'search' }, variableFilters(filter, applyFilter), summary), variableTable, empty];
}

function variableFilters(filter, applyFilter) {
  const applySoon = debounce(60, applyFilter);
  const searchInput = h('input', {
    type: 'search', value: filter.search, placeholder: 'Name or value', autocomplete: 'off',
    oninput: ({ target }) => {
      filter.search = target.value;
      applySoon();
    },
  });
  const setInput = h('input', {
    type: 'checkbox', checked: filter.set !== '',
    onchange: ({ target }) => {
      filter.set = target.checked ? 'here' : '';
      applyFilter();
    },
  });
  return [
    labeledField(h('span', null, 'Search ', h('kbd', { 'aria-hidden': 'true' }, '/')), searchInput),
    h('label.check', null, setInput, h('span', null, 'Only variables that are set')),
  ];
}
