// What this instance was started with: whether each secret is there and from where, never a value; and the environment.
import { fetchJson, request } from './api.js';
import { debounce, h, isolate, setChildren, showToast } from './dom.js';
import { pluralize, valueElement } from './format.js';
import { badge, button, labeledField, muted, table, tableRow } from './page.js';
import { emptyState, errorAlert, openReasonDialog, pageHeader, rememberReason } from './parts.js';
import { replaceParameters } from './route.js';

const SOURCES = {
  env: ({ variable }) => ['environment variable ', code(variable)],
  file: ({ file_variable: variable }) => ['the file that ', code(variable), ' names'],
  credential: () => 'a credential file of the platform',
  legacy_db: () => 'the database, where an older release left it',
  none: () => muted('nowhere'),
};

const p = (...content) => h('p', null, content);
const code = (text) => h('code', null, isolate(text));

/** The page of secrets and the environment. */
export async function show(body, { search = '', set = '' }, signal) {
  const [{ secrets }, environment] = await Promise.all(['secrets', 'environment'].map((it) => fetchJson(`/admin/${it}`, null, { signal })));
  const [done, residue, list] = [h('div'), h('div'), h('div')];
  const draw = (all) => {
    setChildren(list, secretsTable(all));
    setChildren(residue, residueNote(all, async (reason) => {
      const { data } = await request('POST', '/admin/secrets/cleanup', { body: { reason } });
      rememberReason(reason);
      // The result stands even if the list cannot be read again.
      await fetchJson('/admin/secrets').then((it) => draw(it.secrets), (problem) => setChildren(list, errorAlert(problem)));
      return data;
    }, (data) => result(done, data)));
  };
  draw(secrets);
  setChildren(body,
    pageHeader('Secrets and environment', 'What this instance was started with; a change counts after a restart. The value of a secret is shown nowhere.'),
    h('section', null, h('h2', null, 'Secrets'), h('div.stack', null, done, residue, list)),
    h('section', null, h('h2', null, 'Settings that the environment still names'), drift(environment.drift)),
    h('section', null, h('h2', null, 'Environment'), controls(environment.controls, { search, set })));
}

const named = ({ name }, about) => [code(name), h('p.hint', null, isolate(about))];

const SECRETS = { Secret: '', State: '', 'Comes from': '', 'How to provide it': '' };

const secretsTable = (all) => table('Secrets', SECRETS, all.map((it) => {
  const action = it.present ? 'Replace it' : 'Provide it';
  return tableRow(SECRETS, null, named(it, it.used_for), [state(it), it.legacy_residue && [' ', badge('warning', 'residue in the database')]], SOURCES[it.source](it),
    h('details', null, h('summary', { 'aria-label': `${action}: ${it.name}` }, action),
      h('div.instructions', null, p(isolate(it.how_to)), copyable(it.variable), copyable(it.file_variable))));
}));

const state = ({ present, required }) => (present ? badge('success', 'present') : required ? badge('danger', 'required and missing') : badge('', 'missing, not required'));

/** A name with a button that copies it. */
function copyable(name) {
  const text = code(name);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(name);
      showToast(`Copied ${name}`);
    } catch {
      // Browsers lend the clipboard to pages over HTTPS, and may refuse.
      getSelection().selectAllChildren(text);
      showToast(`${name} is selected: copy it with the keyboard.`);
    }
  };
  return h('span.row', null, text, button('Copy', copy, `Copy ${name}`, 'button.subtle'));
}

/** What an older release left in the database, and how to be rid of it. */
function residueNote(all, clean, tell) {
  const left = all.filter((it) => it.legacy_residue);
  if (left.length === 0) return null;
  const names = (title, some) => some.length > 0 && p(title, some.map((it) => [code(it.name), ' ']));
  // Where the database is the only source, the service keeps it.
  const isOnly = ({ source }) => ['legacy_db', 'none'].includes(source);
  const open = async () => {
    const data = await openReasonDialog({
      title: 'Clean up what is left of secrets', action: 'Clean up', bad: true,
      about: 'Their values are taken out of the settings and out of the history, for good.',
      body: [names('To be removed: ', left.filter((it) => !isOnly(it))), names('To be kept, for nothing else provides it: ', left.filter(isOnly))],
    }, clean);
    if (data) tell(data);
  };
  return h('div.note.warning', null, p(h('strong', null, `The database still holds ${pluralize(left.length, 'secret')} that an older release stored`)),
    p('They are in every backup, and are read only where there is no other source.'),
    p(button('Clean up…', open)));
}

function result(place, { removed, kept }) {
  const note = h(`div.note${kept.length ? '.warning' : '.success'}`, { tabindex: '-1' },
    p(h('strong', null, removed.length ? `Removed ${pluralize(removed.length, 'secret')} from the database` : 'Nothing was removed')),
    removed.length > 0 && valueElement(removed),
    // There is one reason to keep something.
    kept.map(({ name }) => p('Kept ', code(name), ': nothing else provides it. Provide it as below, restart, and clean up again.')));
  setChildren(place, note);
  note.focus();
  showToast(`Removed ${removed.length}, kept ${kept.length}.`);
}

function drift(all) {
  if (all.length === 0) return h('p.muted', null, 'None: no setting is set in the environment as well.');
  const columns = { Setting: '', 'The environment says': '', 'What to do': '' };
  return h('div.stack', null, p('Settings live in the database. The environment was read once, when the database was empty, and is ignored since.'),
    table('Settings that the environment still names', columns, all.map(({ key, differs }) => tableRow(columns, null, code(key),
      differs ? badge('warning', 'something else') : badge('', 'the same'),
      [differs && ['If the environment is right, ', h('a', { href: `#/settings?search=${encodeURIComponent(key)}`, 'aria-label': `change the setting ${key}` }, 'change the setting'), '. '],
        'Take it out of the environment: it has no effect.']))));
}

function controls(all, filter) {
  const columns = { Control: '', 'Counts now': '', 'Set by': '', 'To change it': '' };
  const rows = all.map((it) => tableRow(columns, null, named(it, it.description), it.value === '***' ? badge('', 'set, not shown') : valueElement(it.value),
    it.source === 'env' ? badge('accent', 'environment') : badge('', 'default'), copyable(it.name)));
  const [found, none] = [h('p.hint', { role: 'status' }), emptyState('Nothing like that', 'Search for less, or list what is at its default too.')];
  const frame = table('Controls of the environment', columns, rows);
  const apply = () => {
    const words = filter.search.toLowerCase().split(/\s+/);
    const fits = (it, i) => words.every((word) => it.textContent.toLowerCase().includes(word)) && (!filter.set || all[i].source === 'env');
    rows.forEach((it, i) => { it.hidden = !fits(it, i); });
    const n = rows.filter((it) => !it.hidden).length;
    found.textContent = n === rows.length ? pluralize(n, 'control') : `${n} of ${pluralize(rows.length, 'control')}`;
    frame.hidden = n === 0;
    none.hidden = n > 0;
    replaceParameters(filter);
  };
  const soon = debounce(60, apply);
  apply();
  return [h('div.filters', { role: 'search' },
    labeledField(h('span', null, 'Search ', h('kbd', { 'aria-hidden': 'true' }, '/')), h('input', {
      type: 'search', value: filter.search, placeholder: 'name, value, what it does', autocomplete: 'off', oninput: ({ target }) => { filter.search = target.value; soon(); },
    })),
    h('label.check', null, h('input', { type: 'checkbox', checked: filter.set !== '', onchange: ({ target }) => { filter.set = target.checked ? 'here' : ''; apply(); } }), h('span', null, 'Only what the environment sets')), found),
  frame, none];
}
