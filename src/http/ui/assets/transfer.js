// Settings as a document: taken out in three formats, and brought in over a plan that says what each entry would do.
import { call, newKey, Problem, read } from './api.js';
import { difference } from './diff.js';
import { announce, fill, h, hear, said, unique } from './dom.js';
import { count, label, shown, time } from './format.js';
import { ours } from './live.js';
import { applied, failure, head, keepReason, reasonField, sentence, waitBox } from './parts.js';

const PATH = '/admin/config/import';
// What the service takes as one body.
const MOST = 1024 * 1024;
const KINDS = { json: ['JSON', 'application/json'], yaml: ['YAML', 'application/yaml'], env: ['.env', 'text/plain'] };
// The classes of a plan in the order they are shown: the mark's words, its colour, and how a count of them reads.
const CLASSES = {
  conflict: ['conflict', '.warn', (n) => count(n, 'conflict')],
  change: ['change', '.brand', (n) => count(n, 'change')],
  invalid: ['not allowed', '.bad', (n) => `${n} not allowed`],
  unknown: ['unknown key', '.bad', (n) => count(n, 'unknown key')],
  locked: ['not written here', '', (n) => `${n} not written here`],
  same: ['stands already', '', (n) => (n === 1 ? '1 stands already' : `${n} stand already`)],
};
const TAKEN = ['change', 'conflict'];

/** The page of export and import. */
export function show(body, parameters, signal) {
  fill(body, head('Import and export', 'Settings as a file: to keep, to compare, or to carry from one installation to another.'),
    exporting(), importing(signal));
}

function exporting() {
  const link = (kind) => h('a.button', { href: `/admin/config/export?format=${kind}`, download: true }, `Download ${KINDS[kind][0]}`);
  const keys = h('div.stack');
  const list = async ({ target }) => {
    if (!target.open || keys.firstChild) return;
    try {
      const locked = (await read('/admin/config')).entries.filter((it) => it.locked);
      const of = (title, wanted) => h('div', null, h('p.hint', null, title),
        h('ul.chips', null, locked.filter((it) => (it.category === 'secret') === wanted).map((it) => h('li.chip', null, said(it.key)))));
      fill(keys, of('Secrets, which are in no file that this service writes', true), of('What only the environment sets', false));
    } catch (problem) {
      fill(keys, failure(problem));
    }
  };
  return h('section', null, h('h2', null, 'Export'), h('div.card.padded.stack', null,
    h('p', null, 'Every setting as it stands now, with the revision it is of. All three hold the same and can be imported again.'),
    h('div.row', null, Object.keys(KINDS).map(link)),
    h('details', { ontoggle: list }, h('summary', null, 'What is left out: secrets, and keys that are locked'), keys)));
}

function importing(signal) {
  const [fault, outcome] = [h('p.fault', { id: unique('fault'), role: 'alert', hidden: true }), h('div')];
  let [told, asked] = [true, 0];
  const text = h('textarea.mono', {
    name: 'document', rows: '9', spellcheck: 'false', autocomplete: 'off', autocapitalize: 'off', dir: 'ltr', 'aria-describedby': fault.id,
    oninput: () => {
      if (told) kind.value = kindOf(text.value);
      forget();
    },
  });
  const kind = h('select', {
    name: 'kind', onchange: () => {
      told = false;
      forget();
    },
  }, Object.entries(KINDS).map(([value, [name]]) => h('option', { value }, name)));
  const file = h('input', { type: 'file', accept: '.json,.yaml,.yml,.env,.txt', onchange: () => take(file.files[0]) });
  // A plan, or a fault, of a document that has changed since is of no use.
  const forget = () => {
    asked += 1;
    refuse('');
    fill(outcome);
  };
  const refuse = (...words) => {
    fill(fault, words);
    fault.hidden = words[0] === '';
    text.setAttribute('aria-invalid', String(!fault.hidden));
  };
  const take = async (chosen) => {
    if (!chosen) return;
    forget();
    if (chosen.size > MOST) return refuse(said(chosen.name), ` has ${tooLong(chosen.size)}`);
    try {
      text.value = new TextDecoder('utf-8', { fatal: true }).decode(await chosen.arrayBuffer());
    } catch {
      return refuse(said(chosen.name), ' cannot be read as text in UTF-8.');
    }
    told = true;
    kind.value = kindOf(text.value, chosen.name);
    await look();
  };
  const look = async () => {
    forget();
    const mine = asked;
    const size = new Blob([text.value]).size;
    if (text.value.trim() === '') {
      refuse('Choose a file, or paste a document first.');
      return text.focus();
    }
    if (size > MOST) return refuse(`The document has ${tooLong(size)}`);
    const given = { body: text.value, type: KINDS[kind.value][1] };
    try {
      const plan = await planOf(given, signal);
      if (mine === asked) review(outcome, given, plan, signal, start);
    } catch (problem) {
      if (mine !== asked || problem.name === 'AbortError') return;
      fill(outcome, problem.code === 'malformed_request' ? unreadable(problem, text, kind.value) : failure(problem, look));
    }
  };
  const start = () => {
    text.value = file.value = '';
    forget();
    text.focus();
  };
  const zone = h('form.card.padded.stack.drop', { novalidate: true, onsubmit: (event) => { event.preventDefault(); look(); } },
    h('div.row', null, h('label.field', null, 'Drop a file anywhere on this page, or choose one', file)),
    h('label.field', null, 'Or paste the document here', text), fault,
    h('div.row', null, h('label.field', null, 'It is written as', kind), h('button.main', { type: 'submit' }, 'Show what it would do'),
      h('span.hint', null, 'Nothing is stored yet.')));
  dropping(zone, take, signal);
  return h('section', null, h('h2', null, 'Import'), h('div.stack', null, zone, outcome));
}

const tooLong = (size) => `${size.toLocaleString('en')} bytes, and the service takes ${MOST.toLocaleString('en')} (1 MiB) at most: nothing was sent. Import it in parts.`;

/** Takes files that are dropped anywhere, and shows where they would go. */
function dropping(zone, take, signal) {
  const on = (name, then) => document.addEventListener(name, (event) => {
    if (!event.dataTransfer?.types.includes('Files') || document.querySelector('dialog[open]')) return;
    event.preventDefault();
    then(event);
  }, { signal });
  on('dragover', () => zone.classList.add('over'));
  on('dragleave', ({ relatedTarget }) => { if (!relatedTarget) zone.classList.remove('over'); });
  on('drop', ({ dataTransfer }) => {
    zone.classList.remove('over');
    take(dataTransfer.files[0]);
  });
}

/** How a document is written: by the file's name, or else by how it begins. */
function kindOf(text, name = '') {
  const end = /\.(json|ya?ml|env)(\.[\w-]+)?$/i.exec(name)?.[1].toLowerCase();
  if (end) return end === 'yml' ? 'yaml' : end;
  if (/^\s*[{[]/.test(text)) return 'json';
  if (/^# brune:/m.test(text)) return 'env';
  const line = text.split('\n').find((it) => /^\s*[^#\s]/.test(it)) ?? '{';
  return /^\s*(export\s+)?\w+\s*=/.test(line) ? 'env' : /^\s*\{/.test(line) ? 'json' : 'yaml';
}

const planOf = async (given, signal) => (await call('POST', PATH, { ...given, query: { dry_run: true }, signal })).data;

/** What keeps the document from being read, each fault with the line it is on. */
function unreadable({ message, errors }, text, kind) {
  const faults = errors.length ? errors : [{ detail: message }];
  const lines = text.value.split('\n');
  const go = (number, at) => {
    const from = lines.slice(0, number - 1).reduce((sum, line) => sum + line.length + 1, 0);
    text.focus();
    text.setSelectionRange(from + (at ?? 0), from + (at === null ? lines[number - 1].length : at + 1));
  };
  const item = ({ detail, pointer }) => {
    const { number, at } = spot(lines, detail, pointer, kind);
    return h('li', null, h('p', null, pointer && [h('code', null, said(pointer)), ': '], said(sentence(detail))),
      number && [excerpt(lines[number - 1], number, at),
        h('button.quiet', { type: 'button', onclick: () => go(number, at) }, `Go to line ${number}`)]);
  };
  return h('div.note.bad', { role: 'alert' }, h('p', null, h('strong', null, 'The document cannot be read; nothing was stored')),
    h('ul.faults', null, faults.slice(0, 20).map(item)),
    faults.length > 20 && h('p', null, `And ${faults.length - 20} more.`));
}

/** The line of a fault, and where in it; found by the fault's words, or by the name that it points at. */
function spot(lines, detail, pointer, kind) {
  const found = /\bline (\d+)(?:,? column (\d+))?/.exec(detail);
  const name = pointer?.split('/').at(-1).replaceAll('~1', '/').replaceAll('~0', '~');
  const number = found ? Math.min(Number(found[1]), lines.length) : name ? lines.findIndex((it) => it.includes(name)) + 1 : 0;
  if (!number || !found?.[2]) return { number, at: null };
  return { number, at: offset(lines[number - 1], Number(found[2]) - 1, kind) };
}

/** The service counts bytes in JSON and characters in YAML. */
function offset(line, column, kind) {
  if (kind === 'json') return new TextDecoder().decode(new TextEncoder().encode(line).slice(0, column)).length;
  return [...line].slice(0, column).join('').length;
}

/** A line with its number; the mark has a caret under it. */
function excerpt(line, number, at) {
  const from = Math.max(0, (at ?? 0) - 60);
  const part = (begin, end) => line.slice(begin, end);
  const to = Math.max(at ?? 0, from) + 60;
  return h('pre.excerpt', { dir: 'ltr' }, h('span.soft', null, `${number} │ `), from > 0 && '…',
    at === null ? part(0, to) : [part(from, at), h('mark', { title: `column ${at + 1}` }, part(at, at + 1) || ' '), part(at + 1, to)],
    line.length > to && '…');
}

const alike = (one, other) => JSON.stringify(one) === JSON.stringify(other);
const mayBeTaken = (it) => TAKEN.includes(it.class);

/** What the document would do, what of it is wanted, and why. */
function review(place, given, plan, signal, start) {
  // A conflict is decided by whoever looks; until then what stands stays.
  const taken = new Map(plan.entries.filter(mayBeTaken).map((it) => [it.key, it.class === 'change']));
  const [reason, waits] = [reasonField(), waitBox()];
  reason.element.querySelector('input').removeAttribute('autofocus');
  const [news, stage, wrong, tally] = [h('div'), h('div.stack'), h('div', { 'aria-live': 'polite' }), h('p', { role: 'status' })];
  const button = h('button.main', { type: 'submit' });
  const title = h('h3', { tabindex: '-1' }, 'What it would do');
  let [view, ready, busy, over] = ['', null, false, false];

  const chosen = () => plan.entries.filter((it) => mayBeTaken(it) && taken.get(it.key));
  const sum = () => {
    const [n, all] = [chosen().length, plan.entries.filter(mayBeTaken).length];
    tally.textContent = n === 0 ? 'Nothing is chosen, so there is nothing to import.' : `${n} of ${count(all, 'entry', 'entries')} that can be imported ${n === 1 ? 'is' : 'are'} chosen; the rest stays as it is here.`;
    button.textContent = `Import ${count(n, 'setting')}`;
    button.disabled = n === 0;
  };
  const choose = (key, on) => {
    taken.set(key, on);
    sum();
  };
  const chooseAll = (name, on) => {
    for (const it of plan.entries) if (it.class === name) taken.set(it.key, on);
    for (const field of stage.querySelectorAll(`[data-choice=${name}]`)) field.checked = on === (field.value !== 'keep');
    sum();
  };
  const draw = () => {
    const rows = h('tbody');
    const turn = (next) => {
      view = next;
      for (const chip of chips.children) chip.setAttribute('aria-pressed', String(chip.value === view));
      fill(rows, inView(plan, view).map((it) => row(it, taken.get(it.key), choose)));
      table.hidden = rows.children.length === 0;
    };
    const chip = (value, text) => h('button', { type: 'button', value, onclick: () => turn(value) }, text);
    const some = Object.keys(CLASSES).filter((name) => plan.counts[name]);
    const chips = h('div.row.classes', { role: 'group', 'aria-label': 'Which entries are listed' },
      chip('', 'Whatever differs'), some.map((name) => chip(name, CLASSES[name][2](plan.counts[name]))));
    const table = h('div.card', null, h('table.cards.plan', { 'aria-label': 'The plan' }, h('thead', null, h('tr', null,
      ['Key', 'What it is', 'What stands here → the document', 'Choice'].map((it) => h('th', { scope: 'col' }, it)))), rows));
    fill(stage, hints(plan, given), plan.entries.length > 0 && chips, TAKEN.map((name) => bulk(name, plan.counts[name] ?? 0, chooseAll)), table);
    turn(view && plan.counts[view] ? view : '');
    form.hidden = taken.size === 0;
    sum();
  };
  const again = async () => {
    const before = plan;
    plan = await planOf(given, signal);
    const moved = movedSince(before, plan);
    for (const it of plan.entries) if (mayBeTaken(it) && !taken.has(it.key)) taken.set(it.key, false);
    for (const key of [...taken.keys()]) if (!plan.entries.some((it) => it.key === key && mayBeTaken(it))) taken.delete(key);
    // What was chosen over another value is to be chosen again.
    for (const it of moved) if (taken.has(it.key)) taken.set(it.key, false);
    draw();
    const line = movedNote(moved, plan);
    fill(news, line);
    line.focus();
  };
  const attempt = async (work) => {
    if (busy) return;
    busy = true;
    fill(wrong);
    button.setAttribute('aria-disabled', 'true');
    await work().catch((problem) => {
      if (problem.name !== 'AbortError') fill(wrong, failure(problem));
    });
    button.removeAttribute('aria-disabled');
    busy = false;
  };
  const send = async () => {
    if (!reason.check()) return;
    const wanted = chosen();
    const choice = JSON.stringify([plan.plan_id, wanted.map((it) => it.key), reason.value()]);
    try {
      // The same once more is the same intention: the service answers as the first time if that did arrive.
      if (ready?.choice !== choice) ready = { choice, once: newKey(), ...await requestOf(given, plan, wanted, signal) };
      const { query, body, type, once } = ready;
      const { data } = await call('POST', PATH, { query: { ...query, reason: reason.value(), wait: waits.checked() ? 'applied' : null }, body, type, once });
      over = true;
      ours(data.revision);
      keepReason(reason.value());
      finish(place, data, plan, wanted, start);
    } catch (problem) {
      if (problem.code !== 'plan_outdated') throw problem;
      await again();
    }
  };
  const form = h('form.card.padded.stack', {
    novalidate: true,
    onsubmit: (event) => {
      event.preventDefault();
      if (!button.disabled) attempt(send);
    },
  }, h('h3', null, 'Import it'), tally, reason.element, waits.element, wrong, h('div.row', null, button));

  fill(place, h('div.stack', null, title, news, stage, form));
  draw();
  title.focus();
  announce(`The plan: ${Object.keys(CLASSES).filter((name) => plan.counts[name]).map((name) => CLASSES[name][2](plan.counts[name])).join(', ') || 'no entries'}.`);
  hear('change', ({ revision }) => {
    if (over || busy || !title.isConnected || revision <= plan.base_revision) return;
    fill(news, h('div.note.warn', { role: 'status' }, h('p', null, 'Somebody has changed settings since this plan was drawn up.'),
      h('p', null, h('button', { type: 'button', onclick: () => attempt(again) }, 'Plan again, and keep my choices'))));
  }, signal);
}

const inView = ({ entries }, view) => Object.keys(CLASSES)
  .filter((name) => (view ? name === view : name !== 'same')).flatMap((name) => entries.filter((it) => it.class === name));

/** What is to be known of the plan as a whole. */
function hints({ entries, counts }, { body }) {
  if (entries.length === 0) return h('div.note', null, h('p', null, 'The document holds no settings, so there is nothing to import.'));
  if (counts.same === entries.length) return h('div.note.good', null, h('p', null, 'Nothing would change: all of it stands here already.'));
  const ofRevision = /(^|[\s{,])["']?revision["']?\s*:\s*\d|^# brune:revision=\d/m.test(body);
  return [!ofRevision && h('p.hint', null, 'The document does not say which revision it is of, so nobody can tell what was changed here after it was written: every difference is a plain change.')];
}

/** Buttons that decide all entries of a class at once. */
function bulk(name, n, chooseAll) {
  if (n < 2) return null;
  const [all, none] = name === 'conflict' ? [`Take the document’s in all ${n} conflicts`, `Keep what stands in all ${n} conflicts`] : [`Tick all ${n} changes`, `Untick all ${n} changes`];
  return h('div.row', null, [[all, true], [none, false]].map(([text, on]) => h('button.quiet', { type: 'button', onclick: () => chooseAll(name, on) }, text)));
}

function row(entry, on, choose) {
  const { key, current, imported } = entry;
  const [words, colour] = CLASSES[entry.class];
  const cell = (text, ...parts) => h('td', { 'data-label': text }, parts);
  return h('tr', null, h('th', { scope: 'row' }, h('code', null, said(key))),
    cell('What it is', h(`span.mark${colour}`, null, words), entry.detail && h('p.hint', null, detailOf(entry))),
    cell('What stands here → the document', entry.class === 'same' ? shown(current) : imported === null ? untold(entry) : difference(current, imported)),
    cell('Choice', choiceOf(entry, on, choose)));
}

/** Who was faster is told with a time; everything else as the service says it. */
function detailOf({ class: of, detail }) {
  const faster = of === 'conflict' && /^changed here by (.+) at (\S+)$/s.exec(detail);
  return faster ? ['Changed here by ', said(faster[1]), ' ', time(faster[2])] : said(sentence(detail));
}

const untold = ({ current }) => [current !== null && [h('span.hint', null, 'stands: '), shown(current)], h('p.hint', null, 'The document’s value is not told.')];

const CANNOT = {
  invalid: 'Cannot be taken: its value breaks a rule. Mend it in the document.',
  unknown: 'Cannot be taken: there is no such setting here.',
  locked: 'Cannot be taken: only the environment sets it.',
  same: 'Nothing to do.',
};

function choiceOf({ key, class: of }, on, choose) {
  if (CANNOT[of]) return h('span.hint', null, CANNOT[of]);
  if (of === 'change') {
    return h('label.check', null, h('input', {
      type: 'checkbox', checked: on, 'data-choice': of, 'aria-label': `Import ${key}`, onchange: ({ target }) => choose(key, target.checked),
    }), h('span', null, 'Import'));
  }
  const name = unique('conflict');
  const radio = (value, text) => h('label.check', null, h('input', {
    type: 'radio', name, value, checked: on === (value === 'take'), 'data-choice': of, onchange: () => choose(key, value === 'take'),
  }), h('span', null, text));
  return h('fieldset', null, h('legend.unseen', null, 'What is to stand for ', said(key)), radio('keep', 'Keep what stands'), radio('take', 'Take the document’s'));
}

/**
 * The request that imports what is wanted: the document itself where it is taken as a whole, else one of the chosen
 * values alone, whose plan must say just what was reviewed.
 */
async function requestOf(given, plan, wanted, signal) {
  const conflicts = plan.counts.conflict ?? 0;
  const took = wanted.filter((it) => it.class === 'conflict').length;
  const whole = !plan.counts.invalid && !plan.counts.unknown && wanted.length - took === (plan.counts.change ?? 0) && (took === 0 || took === conflicts);
  if (whole) return { ...given, query: { plan_id: plan.plan_id, on_conflict: conflicts ? (took ? 'overwrite' : 'skip') : null } };
  const settings = Object.fromEntries(wanted.map(({ key, imported }) => [key, imported]));
  const part = { body: JSON.stringify({ format_version: 1, revision: plan.base_revision, settings }), type: KINDS.json[1] };
  const anew = await planOf(part, signal);
  const told = new Map(anew.entries.map((it) => [it.key, it]));
  const broken = anew.entries.filter((it) => it.class === 'invalid');
  const asSeen = ({ key, current, imported }) => told.get(key)?.class === 'change' && alike(told.get(key).current, current) && alike(told.get(key).imported, imported);
  if (broken.length) throw new Problem(400, {
    title: 'What is chosen does not go together', errors: broken,
    detail: `${broken.length === 1 ? `${broken[0].key}: ${broken[0].detail}` : 'rules tie these settings to others'}. Nothing was imported; choose otherwise`,
  });
  if (!wanted.every(asSeen)) throw new Problem(409, { code: 'plan_outdated', title: 'The settings have moved' });
  return { ...part, query: { plan_id: anew.plan_id } };
}

/** The entries that are no longer what they were, with what they were. */
function movedSince(before, plan) {
  const was = new Map(before.entries.map((it) => [it.key, it]));
  return plan.entries.filter((it) => it.class !== was.get(it.key)?.class || !alike(it.current, was.get(it.key).current))
    .map((it) => ({ ...it, was: was.get(it.key) }));
}

function movedNote(moved, { base_revision: revision }) {
  const change = ({ key, current, was, class: of }) => h('li', null, h('code', null, said(key)), `: ${CLASSES[of][0]} now`,
    was && !alike(was.current, current) && [', and what stands here changed: ', difference(was.current, current)]);
  return h('div.note.warn', { role: 'alert', tabindex: '-1' },
    h('p', null, h('strong', null, 'The settings have moved; nothing was imported')),
    moved.length === 0
      ? h('p', null, `What moved up to revision ${revision} is not in this document. Your choices are kept: look, and import again.`)
      : [h('p', null, 'This is no longer as you saw it, so choose again here; your other choices are kept.'), h('ul.faults', null, moved.slice(0, 20).map(change)),
        moved.length > 20 && h('p', null, `And ${moved.length - 20} more.`)]);
}

/** What came of it, and what did not. */
function finish(place, data, plan, wanted, start) {
  const { changed, revision } = data;
  const title = h('h3', { tabindex: '-1' }, changed.length ? `Imported: ${count(changed.length, 'setting')} changed` : 'Nothing was changed');
  const keys = new Set(wanted.map((it) => it.key));
  const left = plan.entries.filter((it) => it.class !== 'same' && !keys.has(it.key));
  const why = (it) => (it.class === 'change' ? 'not chosen' : it.class === 'conflict' ? 'what stands here was kept' : it.detail ?? CLASSES[it.class][0]);
  fill(place, h('div.stack', null, h('div.note.good', null, title,
    h('p', null, changed.length ? ['It is revision ', h('a', { href: `#/history?revision=${revision}` }, `${revision}, in the history`), '. '] : 'All of it stood here already. ', applied(data))),
  changed.length > 0 && h('div.card', null, h('table.cards', { 'aria-label': 'What was changed' },
    h('thead', null, h('tr', null, ['Key', 'Change', 'Version'].map((it) => h('th', { scope: 'col' }, it)))),
    h('tbody', null, changed.map((it) => h('tr', null, h('th', { scope: 'row' }, said(label(it.key)), h('div.hint', null, h('code', null, said(it.key)))),
      h('td', { 'data-label': 'Change' }, difference(it.old_value, it.new_value)), h('td', { 'data-label': 'Version' }, it.version)))))),
  left.length > 0 && h('div.card.padded', null, h('h3', null, `Left out: ${count(left.length, 'entry', 'entries')}`),
    h('ul.faults', null, left.map((it) => h('li', null, h('code', null, said(it.key)), ': ', said(why(it)))))),
  h('p', null, h('button', { type: 'button', onclick: start }, 'Import another document'))));
  title.focus();
  announce(changed.length ? `Imported: ${count(changed.length, 'setting')} changed, revision ${revision}.` : 'Nothing was changed.');
}
