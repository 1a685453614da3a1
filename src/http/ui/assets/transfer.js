// Settings as a document: taken out in three formats, and brought in over a plan that says what each entry would do.
import { fetchJson, newIdempotencyKey, Problem, request, serviceUrl } from './api.js';
import { valueDiff } from './diff.js';
import { h, isolate, setChildren, subscribe, uniqueId } from './dom.js';
import { label, pluralize, relativeTimeElement, valueElement } from './format.js';
import { markOwnRevision } from './live.js';
import { badge, button, labeledField, link, table, tableRow } from './page.js';
import { errorAlert, pageHeader, reasonField, rememberReason, rolloutText, toSentence, waitCheckbox } from './parts.js';
import { isEqual } from './rules.js';

const PATH = '/admin/config/import';
// What the service takes as one body.
const MOST = 1024 * 1024;
const TOO_LONG = 'More than 1 MiB, the most that the service takes: nothing was sent.';
const KINDS = { json: ['JSON', 'application/json'], yaml: ['YAML', 'application/yaml'], env: ['.env', 'text/plain'] };
// The classes of a plan in the order they are shown: the mark's colour, its words for one and for many.
const CLASSES = {
  conflict: ['warning', 'conflict'],
  change: ['accent', 'change'],
  invalid: ['danger', 'not allowed', 'not allowed'],
  unknown: ['', 'unknown key'],
  locked: ['', 'not written here', 'not written here'],
  same: ['', 'stands already', 'stand already'],
};
const CANNOT = {
  invalid: 'Its value breaks a rule.',
  unknown: 'Left out: no such setting.',
  locked: 'Only the environment sets it.',
  same: 'Nothing to do.',
};
const mayBeTaken = (it) => !CANNOT[it.class];

const p = (...content) => h('p', null, content);
const code = (key) => h('code', null, isolate(key));
const formOf = (spec, submit, ...content) => h(spec, { novalidate: true, onsubmit: (event) => { event.preventDefault(); submit(); } }, content);
const listOf = (items, draw) => h('ul.error-list', null, items.map((it) => h('li', null, draw(it))));

/** The page of export and import. */
export function show(body, parameters, signal) {
  setChildren(body, pageHeader('Import and export', 'Settings as a file: to keep, to compare, or to carry from one installation to another.'),
    exporting(), importing(signal));
}

function exporting() {
  const keys = h('div');
  const list = () => fetchJson('/admin/config').then(({ entries }) => setChildren(keys, valueElement(entries.filter((it) => it.locked).map((it) => it.key))), (problem) => setChildren(keys, errorAlert(problem)));
  return h('section', null, h('h2', null, 'Export'), h('div.card.padded.stack', null,
    p('Every setting as it stands now, with the revision it is of. All three hold the same and can be imported again.'),
    h('div.row', null, Object.entries(KINDS).map(([kind, [name]]) => h('a.button', { href: serviceUrl(`/admin/config/export?format=${kind}`), download: true }, `Download ${name}`))),
    h('details', { ontoggle: list }, h('summary', null, 'What is left out: secrets, and keys that are locked'), keys)));
}

function importing(signal) {
  const [fault, outcome] = [h('p.error', { id: uniqueId('fault'), role: 'alert', hidden: true }), h('div')];
  // Whether the kind was chosen by hand, and how often the document has changed.
  let [chosen, version] = [false, 0];
  const changed = () => {
    if (!chosen) kind.value = kindOf(text.value);
    forget();
  };
  const text = h('textarea.mono', { name: 'document', rows: '9', spellcheck: 'false', dir: 'ltr', 'aria-describedby': fault.id, oninput: changed });
  const kind = h('select', {
    name: 'kind', onchange: () => {
      chosen = true;
      forget();
    },
  }, Object.entries(KINDS).map(([value, [name]]) => h('option', { value }, name)));
  const file = h('input', { type: 'file', onchange: () => take(file.files[0]) });
  const refuse = (...words) => {
    setChildren(fault, words);
    fault.hidden = words.length === 0;
    text.setAttribute('aria-invalid', !fault.hidden);
  };
  // A plan, or a fault, of a document that has changed since is of no use.
  const forget = () => {
    version += 1;
    refuse();
    setChildren(outcome);
  };
  const take = async (given) => {
    if (!given) return;
    forget();
    if (given.size > MOST) return refuse(isolate(given.name), ': ', TOO_LONG);
    // What is not UTF-8, or a folder, cannot be read.
    const content = await given.text().catch(() => '\uFFFD');
    if (content.includes('\uFFFD')) return refuse(isolate(given.name), ' cannot be read as text in UTF-8.');
    text.value = content;
    chosen = false;
    kind.value = kindOf(content, given.name);
    await look();
  };
  const look = async () => {
    forget();
    const mine = version;
    if (!text.value.trim()) {
      refuse('Choose a file, or paste a document first.');
      return text.focus();
    }
    if (new Blob([text.value]).size > MOST) return refuse(TOO_LONG);
    const given = { body: text.value, type: KINDS[kind.value][1] };
    try {
      const plan = await planOf(given, signal);
      if (mine === version) review(outcome, given, plan, signal, start);
    } catch (problem) {
      if (mine === version) setChildren(outcome, problem.code === 'malformed_request' ? unreadable(problem, text, kind.value) : errorAlert(problem, look));
    }
  };
  const start = () => {
    text.value = file.value = '';
    forget();
    text.focus();
  };
  const zone = formOf('form.card.padded.stack.drop-zone', look,
    h('div.row', null, labeledField('Drop a file anywhere on this page, or choose one', file)),
    labeledField('Or paste the document here', text), fault,
    h('div.row', null, labeledField('It is written as', kind), h('button.primary', { type: 'submit' }, 'Show what it would do'),
      h('span.hint', null, 'Nothing is stored yet.')));
  dropping(zone, take, signal);
  return h('section', null, h('h2', null, 'Import'), h('div.stack', null, zone, outcome));
}

/** Takes files that are dropped anywhere, and shows where they would go. */
function dropping(zone, take, signal) {
  const on = (name, over, then) => document.addEventListener(name, (event) => {
    const { types, files } = event.dataTransfer;
    if (!types.includes('Files')) return;
    event.preventDefault();
    zone.classList.toggle('drag-over', over(event));
    then?.(files[0]);
  }, { signal });
  on('dragover', () => true);
  on('dragleave', (event) => event.relatedTarget !== null);
  on('drop', () => false, take);
}

/** How a document is written: by the file's name, or else by how it begins. */
function kindOf(text, name = '') {
  const end = /.*\.(json|ya?ml|env)\b/i.exec(name)?.[1].toLowerCase();
  if (end) return end === 'yml' ? 'yaml' : end;
  if (/^\s*[{[]/.test(text)) return 'json';
  return /^(?:\s|#.*\n)*(?:export\s+)?\w+\s*=/.test(text) ? 'env' : 'yaml';
}

// Keys that the catalog does not have are left out, whatever their values are: what is sent to be imported holds only what was chosen.
const planOf = async (given, signal) => (await request('POST', PATH, { ...given, query: { dry_run: true, on_unknown: 'skip' }, signal })).data;

/** What keeps the document from being read, each fault with the line it is on. */
function unreadable({ message, errors }, text, kind) {
  const lines = text.value.split('\n');
  const go = (number, at = 0) => {
    const from = lines.slice(0, number - 1).join('\n').length + (number > 1);
    text.focus();
    text.setSelectionRange(from + at, from + lines[number - 1].length);
  };
  const item = ({ detail, pointer }) => {
    const { number, at } = spot(lines, detail, pointer, kind);
    return [p(pointer && [code(pointer), ': '], isolate(toSentence(detail))),
      number > 0 && [excerpt(lines[number - 1], number, at), button(`Go to line ${number}`, () => go(number, at), null, 'button.subtle')]];
  };
  return h('div.note.danger', { role: 'alert' }, p(h('strong', null, 'The document cannot be read; nothing was stored')),
    listOf(errors.length ? errors : [{ detail: message }], item));
}

/** The line of a fault, and where in it if that is told; found by the fault's words, or by the name that it points at. */
function spot(lines, detail, pointer, kind) {
  const [, line, column] = /\bline (\d+)(?:,? column (\d+))?/.exec(detail) ?? [];
  const name = pointer?.split('/').at(-1);
  const number = line ? Math.min(line, lines.length) : name ? lines.findIndex((it) => it.includes(name)) + 1 : 0;
  if (!column) return { number };
  // The service counts bytes in JSON and characters in YAML.
  const bytes = new TextEncoder().encode(lines[number - 1]).slice(0, column - 1);
  return { number, at: kind === 'json' ? new TextDecoder().decode(bytes).length : column - 1 };
}

/** A line with its number; the mark has a caret under it. */
function excerpt(line, number, at) {
  const from = Math.max(0, (at ?? 0) - 60);
  return h('pre.excerpt', { dir: 'ltr' }, h('span.muted', null, `${number} │ `), from > 0 && '…',
    line.slice(from, at ?? 120), at !== undefined && [h('mark', null, line[at] ?? ' '), line.slice(at + 1, from + 120)], line.length > from + 120 && '…');
}

/** What the document would do, what of it is wanted, and why. */
function review(place, given, plan, signal, start) {
  const [reason, waits] = [reasonField(), waitCheckbox()];
  const [news, stage, wrong, tally] = [h('div'), h('div.stack'), h('div', { 'aria-live': 'polite' }), h('p', { role: 'status' })];
  const submit = h('button.primary', { type: 'submit' });
  const title = h('h3', { tabindex: '-1' }, 'What it would do');
  let [ready, busy] = [null, false];

  const some = () => Object.keys(CLASSES).filter((name) => plan.counts[name]);
  const counted = (name) => pluralize(plan.counts[name], ...CLASSES[name].slice(1));
  const chosen = () => plan.entries.filter((it) => it.taken);
  const sum = () => {
    const [n, all] = [chosen().length, plan.entries.filter(mayBeTaken).length];
    tally.textContent = `Chosen: ${n} of ${pluralize(all, 'entry', 'entries')} that can be imported.`;
    submit.textContent = `Import ${pluralize(n, 'setting')}`;
    submit.disabled = n === 0;
    form.hidden = all === 0;
    ready = null;
  };
  const draw = () => {
    let view = '';
    const rows = h('tbody');
    const turn = (next) => {
      view = next;
      for (const it of chips) it.setAttribute('aria-pressed', it.value === view);
      const names = view ? [view] : some().filter((name) => name !== 'same');
      setChildren(rows, names.flatMap((name) => plan.entries.filter((it) => it.class === name)).map((it) => entryRow(it, sum)));
      frame.hidden = rows.children.length === 0;
      sum();
    };
    const chip = (value, text) => h('button', { type: 'button', value, onclick: () => turn(value) }, text);
    const chips = [chip('', 'Whatever differs'), ...some().map((name) => chip(name, counted(name)))];
    const all = (name, taken, text) => button(text, () => {
      for (const it of plan.entries) if (it.class === name) it.taken = taken;
      turn(view);
    }, null, 'button.subtle');
    const bulk = (name, yes, no) => plan.counts[name] > 1 && h('div.row', null, [[yes, true], [no, false]].map(([text, taken]) => all(name, taken, `${text} all ${counted(name)}`)));
    const frame = h('div.plan', null, table('The plan', COLUMNS, rows));
    setChildren(stage, hint(plan, given), plan.entries.length > 0 && h('div.row.class-filter', { role: 'group', 'aria-label': 'Which entries are listed' }, chips),
      bulk('conflict', 'Take the document’s in', 'Keep what stands in'), bulk('change', 'Tick', 'Untick'), frame);
    turn('');
  };
  const again = async () => {
    const was = new Map(plan.entries.map((it) => [it.key, it]));
    plan = await planOf(given, signal);
    // What is no longer as it was seen is to be chosen again.
    const moved = plan.entries.filter((it) => {
      const old = was.get(it.key);
      const stood = it.class === old?.class && isEqual(it.current, old.current);
      it.taken = stood && old.taken;
      return !stood;
    });
    draw();
    const note = movedNote(moved);
    setChildren(news, note);
    note.focus();
  };
  const attempt = async (work) => {
    if (busy) return;
    busy = true;
    setChildren(wrong);
    await work().catch((problem) => setChildren(wrong, errorAlert(problem)));
    busy = false;
  };
  const send = async () => {
    if (!reason.check()) return;
    const wanted = chosen();
    try {
      // The same once more is the same intention: the service answers as the first time if that did arrive.
      const why = reason.value();
      if (ready?.why !== why) ready = { why, once: newIdempotencyKey(), ...await requestOf(plan, wanted, signal) };
      const query = { plan_id: ready.plan_id, on_unknown: 'skip', reason: why, wait: waits.checked() && 'applied' };
      const { data } = await request('POST', PATH, { ...ready, query });
      markOwnRevision(data.revision);
      rememberReason(reason.value());
      finish(place, data, plan, start);
    } catch (problem) {
      if (problem.code !== 'plan_outdated') throw problem;
      await again();
    }
  };
  const form = formOf('form.card.padded.stack', () => attempt(send), h('h3', null, 'Import it'), tally, reason.element, waits.element, wrong, h('div.row', null, submit));

  // A conflict is decided by whoever looks; until then what stands stays.
  for (const it of plan.entries) it.taken = it.class === 'change';
  setChildren(place, h('div.stack', null, title, news, stage, form));
  draw();
  title.focus();
  subscribe('change', ({ revision }) => {
    if (busy || !title.isConnected || revision <= plan.base_revision) return;
    setChildren(news, h('div.note.warning', { role: 'status' }, p('Somebody has changed settings since this plan was drawn up.'),
      p(button('Plan again, and keep my choices', () => attempt(again)))));
  }, signal);
}

/** What is to be known of the plan as a whole. */
function hint({ entries, counts }, { body }) {
  if (entries.length === 0) return h('div.note', null, 'The document holds no settings, so there is nothing to import.');
  if (counts.same === entries.length) return h('div.note.success', null, 'Nothing would change: all of it stands here already.');
  return !/\brevision["']?\s*[:=]\s*\d/.test(body) && h('p.hint', null, 'The document does not say which revision it is of, so what was changed here since cannot be told: every difference is a plain change.');
}

const COLUMNS = { Key: '', 'What it is': '', 'What stands here → the document': '', Choice: '' };

function entryRow(entry, onchange) {
  const { key, current, imported, detail } = entry;
  // Who was faster is told with a time; everything else as the service says it.
  const faster = /^changed here by (.+) at (\S+)$/s.exec(detail);
  return tableRow(COLUMNS, null, code(key),
    [badge(...CLASSES[entry.class]), detail && h('p.hint', null, faster ? ['Changed here by ', isolate(faster[1]), ' ', relativeTimeElement(faster[2])] : isolate(toSentence(detail)))],
    imported === null ? [current !== null && valueElement(current), h('p.hint', null, 'The document’s value is not told.')] : isEqual(current, imported) ? valueElement(current) : valueDiff(current, imported),
    choiceOf(entry, onchange));
}

function choiceOf(entry, onchange) {
  const { key, class: of } = entry;
  if (CANNOT[of]) return h('span.hint', null, CANNOT[of]);
  const name = uniqueId('choice');
  const choice = (type, taken, text, label) => h('label.check', null, h('input', {
    type, name, checked: entry.taken === taken, 'aria-label': label, onchange: ({ target }) => {
      entry.taken = target.checked === taken;
      onchange();
    },
  }), h('span', null, text));
  if (of === 'change') return choice('checkbox', true, 'Import', `Import ${key}`);
  return h('fieldset', null, h('legend.visually-hidden', null, 'What is to stand for ', isolate(key)),
    choice('radio', false, 'Keep what stands'), choice('radio', true, 'Take the document’s'));
}

/** The request that imports what is wanted: a document of that alone, whose plan must say just what was reviewed. */
async function requestOf({ base_revision: revision }, wanted, signal) {
  const settings = Object.fromEntries(wanted.map(({ key, imported }) => [key, imported]));
  const body = JSON.stringify({ format_version: 1, revision, settings });
  const anew = await planOf({ body }, signal);
  if (anew.base_revision !== revision) throw new Problem(409, { code: 'plan_outdated' });
  const broken = anew.entries.filter((it) => !mayBeTaken(it));
  if (broken.length) throw new Problem(400, {
    title: 'What is chosen does not go together',
    detail: `${broken.map((it) => `${it.key}: ${it.detail}`).join('; ')}. Nothing was imported`,
  });
  return { body, plan_id: anew.plan_id };
}

const movedNote = (moved) => h('div.note.warning', { role: 'alert', tabindex: '-1' },
  p(h('strong', null, 'The settings have moved; nothing was imported')),
  p(moved.length ? 'This is no longer as you saw it, so choose again here; your other choices are kept.' : 'What moved is not in this document. Your choices are kept: look, and import again.'),
  listOf(moved, (it) => [code(it.key), `: ${CLASSES[it.class][1]} now`]));

/** What came of it, and what did not. */
function finish(place, data, plan, start) {
  const { changed, revision } = data;
  const title = h('h3', { tabindex: '-1' }, changed.length ? `Imported: ${pluralize(changed.length, 'setting')} changed` : 'Nothing was changed');
  const left = plan.entries.filter((it) => it.class !== 'same' && !it.taken);
  const columns = { Key: '', Change: '', Version: '' };
  setChildren(place, h('div.stack', null, h('div.note.success', null, title,
    p(changed.length > 0 && ['It is revision ', link(`#/history?revision=${revision}`, `${revision}, in the history`), '. '], rolloutText(data))),
  changed.length > 0 && table('What was changed', columns, changed.map((it) => tableRow(columns, null, [isolate(label(it.key)), h('div.hint', null, code(it.key))],
    valueDiff(it.old_value, it.new_value), it.version))),
  left.length > 0 && h('div.card.padded', null, h('h3', null, `Left out: ${pluralize(left.length, 'entry', 'entries')}`),
    listOf(left, (it) => [code(it.key), ': ', mayBeTaken(it) ? 'not chosen, so what stands here was kept' : isolate(it.detail ?? CLASSES[it.class][1])])),
  p(button('Import another document', start))));
  title.focus();
}
