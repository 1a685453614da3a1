// What this instance was started with: whether each secret is there and from where, never a value; and the environment.
import { call, read } from './api.js';
import { announce, fill, h, said, settle } from './dom.js';
import { count } from './format.js';
import { empty, failure, head, keepReason, sentence, withReason } from './parts.js';
import { keep } from './route.js';

const SOURCES = {
  env: ({ variable }) => ['environment variable ', h('code', null, variable)],
  file: ({ file_variable: variable }) => ['the file that ', h('code', null, variable), ' names'],
  credential: () => 'a credential file of the platform',
  legacy_db: () => 'the database, where an older release left it',
  none: () => h('span.soft', null, 'nowhere'),
};
const WHY = { no_environment_source: 'nothing else provides it, so that it would be lost. Provide it as below, restart, and clean up again.' };
const OUTSIDE = ['env', 'file', 'credential'];

/** The page of secrets and the environment. */
export async function show(body, { search = '', set = '' }, signal) {
  const [secrets, environment] = await Promise.all([read('/admin/secrets', null, { signal }), read('/admin/environment', null, { signal })]);
  const [residue, list] = [h('div'), h('div.card')];
  const draw = (all) => {
    fill(list, secretsTable(all));
    fill(residue, residueNote(all, async (reason) => {
      const { data } = await call('POST', '/admin/secrets/cleanup', { body: { reason } });
      keepReason(reason);
      // The result stands even if the list cannot be read again.
      await read('/admin/secrets').then((it) => draw(it.secrets), (problem) => fill(list, failure(problem)));
      return data;
    }));
  };
  draw(secrets.secrets);
  fill(body,
    head('Secrets and environment', 'What this instance was started with; a change counts after a restart. The value of a secret is shown nowhere.'),
    h('section', null, h('h2', null, 'Secrets'), h('div.stack', null, residue, list)),
    h('section', null, h('h2', null, 'Settings that the environment still names'), drift(environment.drift)),
    h('section', null, h('h2', null, 'Environment'), controls(environment.controls, { search, set })));
}

const table = (name, columns, rows) => h('table.cards', { 'aria-label': name },
  h('thead', null, h('tr', null, columns.map((it) => h('th', { scope: 'col' }, it)))), rows);
const restart = (it) => it.restart_required && h('span.mark', null, 'needs a restart');

function secretsTable(all) {
  if (all.length === 0) return empty('No secrets', 'The catalog of this service declares none.');
  const columns = ['Secret', 'State', 'Comes from', 'How to provide it'];
  return table('Secrets', columns, h('tbody', null, all.map((it) => h('tr', null,
    h('th', { scope: 'row' }, h('code', null, said(it.name)), h('p.hint', null, said(it.used_for))),
    h('td', { 'data-label': columns[1] }, h('div.names', null, h('span', null, state(it)), it.legacy_residue && h('span', null, h('span.mark.warn', null, 'residue in the database')))),
    h('td', { 'data-label': columns[2] }, (SOURCES[it.source] ?? (() => said(it.source)))(it)),
    h('td', { 'data-label': columns[3] }, h('details', null, h('summary', { 'aria-label': `${it.present ? 'Replace it' : 'Provide it'}: ${it.name}` }, it.present ? 'Replace it' : 'Provide it'),
      h('div.names', null, h('p', null, said(it.how_to)), copyable(it.variable), copyable(it.file_variable), h('span', null, restart(it)))))))));
}

const state = ({ present, required }) => (present ? h('span.mark.good', null, 'present')
  : required ? h('span.mark.bad', null, 'required and missing') : h('span.mark', null, 'missing, not required'));

/** A name with a button that copies it. */
function copyable(name) {
  const text = h('code', null, name);
  const copy = () => (navigator.clipboard?.writeText(name) ?? Promise.reject()).then(() => announce(`Copied ${name}`), () => {
    // Browsers lend the clipboard to pages over HTTPS, and may refuse.
    getSelection().selectAllChildren(text);
    announce(`${name} is selected: copy it with the keyboard.`);
  });
  return h('span.row', null, text, h('button.quiet', { type: 'button', 'aria-label': `Copy ${name}`, onclick: copy }, 'Copy'));
}

/** What an older release left in the database, and how to be rid of it. */
function residueNote(all, clean) {
  const left = all.filter((it) => it.legacy_residue);
  if (left.length === 0) return null;
  const names = (some) => some.map((it) => [h('code', null, said(it.name)), ' ']);
  const [goes, stays] = [true, false].map((it) => left.filter(({ source }) => OUTSIDE.includes(source) === it));
  const note = h('div.note.warn');
  const open = async () => {
    const done = await withReason({
      title: 'Clean up what is left of secrets', action: 'Clean up', bad: true,
      about: 'Their values are taken out of the settings and out of the history, for good. What this instance uses comes from elsewhere and stays.',
      body: [goes.length > 0 && h('p', null, 'To be removed: ', names(goes)), stays.length > 0 && h('p', null, 'To be kept, for nothing else provides it: ', names(stays))],
    }, clean);
    if (done) result(done);
  };
  return fill(note, h('p', null, h('strong', null, `The database still holds ${count(left.length, 'secret')} that an older release stored`)),
    h('p', null, names(left)), h('p', null, 'They are read by nobody who has another source, and are in every backup.'),
    h('p', null, h('button', { type: 'button', onclick: open }, 'Clean up…')));
}

function result({ removed, kept }) {
  const place = document.querySelector('.page.secrets section > .stack');
  place?.querySelector(':scope > .result')?.remove();
  const note = h(`div.note.result${kept.length ? '.warn' : '.good'}`, { tabindex: '-1' },
    h('p', null, h('strong', null, removed.length ? `Removed ${count(removed.length, 'secret')} from the database` : 'Nothing was removed')),
    removed.length > 0 && h('ul.chips', null, removed.map((it) => h('li.chip', null, said(it)))),
    kept.map(({ name, why }) => h('p', null, 'Kept ', h('code', null, said(name)), ': ', said(WHY[why] ?? sentence(why)))));
  place?.prepend(note);
  note.focus();
  announce(`Removed ${removed.length}, kept ${kept.length}.`);
}

function drift(all) {
  if (all.length === 0) return h('p.soft', null, 'None: no setting is set in the environment as well, so nobody is misled by a value that does not count.');
  const columns = ['Setting', 'The environment says', 'What to do'];
  return h('div.stack', null, h('p', null, 'Settings live in the database. The environment was read once, when the database was empty, and is ignored since.'),
    h('div.card', null, table('Settings that the environment still names', columns, h('tbody', null, all.map(({ key, differs }) => h('tr', null,
      h('th', { scope: 'row' }, h('code', null, said(key))),
      h('td', { 'data-label': columns[1] }, differs ? h('span.mark.warn', null, 'something else') : h('span.mark', null, 'the same')),
      h('td', { 'data-label': columns[2] }, differs && ['If the environment is right, ', h('a', { href: `#/settings?search=${encodeURIComponent(key)}`, 'aria-label': `change the setting ${key}` }, 'change the setting'), '. '],
        differs ? 'Then take it out of the environment.' : 'Take it out of the environment: it has no effect.')))))));
}

function controls(all, filter) {
  const columns = ['Control', 'Counts now', 'Set by', 'To change it'];
  const rows = all.map((it) => ({
    it, text: `${it.name} ${it.value ?? ''} ${it.description}`.toLowerCase(),
    element: h('tr', null, h('th', { scope: 'row' }, h('code', null, said(it.name)), h('p.hint', null, said(it.description))),
      h('td', { 'data-label': columns[1] }, effective(it)),
      h('td', { 'data-label': columns[2] }, it.source === 'env' ? h('span.mark.brand', null, 'environment') : h('span.mark', null, 'default')),
      h('td', { 'data-label': columns[3] }, copyable(it.name), restart(it))),
  }));
  const [found, none] = [h('p.hint', { role: 'status' }), empty('Nothing like that', 'Search for less, or list what is at its default too.')];
  const frame = table('Controls of the environment', columns, h('tbody', null, rows.map((it) => it.element)));
  const apply = () => {
    const words = filter.search.toLowerCase().split(/\s+/).filter(Boolean);
    for (const { it, text, element } of rows) element.hidden = !words.every((word) => text.includes(word)) || (filter.set !== '' && it.source !== 'env');
    const n = rows.filter(({ element }) => !element.hidden).length;
    found.textContent = n === rows.length ? count(n, 'control') : `${n} of ${count(rows.length, 'control')}`;
    frame.hidden = n === 0;
    none.hidden = n > 0;
    keep(filter);
  };
  const soon = settle(60, apply);
  apply();
  return [h('div.filters', { role: 'search' },
    h('label.field', null, h('span', null, 'Search ', h('kbd', { 'aria-hidden': 'true' }, '/')), h('input', {
      type: 'search', value: filter.search, placeholder: 'name, value, what it does', autocomplete: 'off', oninput: ({ target }) => { filter.search = target.value; soon(); },
    })),
    h('label.check', null, h('input', { type: 'checkbox', checked: filter.set !== '', onchange: ({ target }) => { filter.set = target.checked ? 'here' : ''; apply(); } }), h('span', null, 'Only what the environment sets')), found),
  h('div.card', null, frame, none)];
}

function effective({ value }) {
  if (value === '***') return h('span.mark', null, 'set, not shown');
  return value === null || value === undefined ? h('span.soft', null, 'not set') : h('span.value.long', { dir: 'auto' }, value === '' ? 'empty text' : value);
}
