// Sessions: which settings the running ones still hold, which there are, what one of them keeps, ending one.
import { call, newKey, read } from './api.js';
import { announce, fill, h, hear, settle, svg } from './dom.js';
import { count, shown, time, words } from './format.js';
import { become, button, choice, every, facts, field, keyLink, link, listing, long, mark, paged, revisionLink, row, soft, table } from './page.js';
import { empty, failure, head, keepReason, withReason } from './parts.js';
import { keep } from './route.js';
import { same } from './rules.js';
import { load, store } from './store.js';

const KINDS = { starting: 'warn', active: 'good', ended: '', expired: '', failed: 'bad' };
const mark = ({ status }) => h('span.mark', { class: KINDS[status] ?? '' }, words(status));
const revisionLink = (n) => h('a', { href: `#/history?revision=${n}` }, `Revision ${n}`);
const over = (it) => time(it.ended_at ?? it.expires_at);
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

/** Shows the sessions, or the one that the path names. */
export async function show(body, { rest, status = '', user_id: user = '', revision = '' }, signal) {
  if (!store.revision) await load();
  return rest[0] ? one(body, rest[0], signal) : all(body, { status, user_id: user, revision }, signal);
}

async function all(body, filter, signal) {
  const [drain, wrong, place] = [h('div.stack'), h('div'), h('div')];
  let list;
  const readDrain = async () => become(drain, h('div.stack', null, drawDrain(await read('/admin/sessions/pins', null, { signal }))));
  const search = async () => {
    const mine = list = sessionList(filter, signal);
    await mine.first();
    // Another filter may have been chosen meanwhile.
    if (mine === list) fill(place, mine.element);
  };
  fill(body, head('Sessions', 'A session keeps the settings it started with until it ends; a change is for those that start after it.'), wrong,
    h('section', null, h('h2', null, 'What running sessions hold'), drain),
    h('section', null, h('h2', null, 'Sessions'), filters(filter, search), place));
  const again = every(15_000, () => Promise.all([readDrain(), list.again()]), wrong, signal);
  await Promise.all([readDrain().catch((problem) => fill(wrong, failure(problem, again))), search()]);
  body.addEventListener('ended', again);
}

function filters(filter, search) {
  const soon = settle(250, search);
  const set = (name) => ({ target }) => {
    filter[name] = target.value.trim();
    keep(filter);
    soon();
  };
  const options = ['', ...Object.keys(KINDS)].map((it) => h('option', { value: it, selected: it === filter.status }, it ? words(it) : 'every status'));
  return h('form.filters', { role: 'search', 'aria-label': 'Sessions', onsubmit: (event) => { event.preventDefault(); search(); } },
    h('label.field', null, 'Status', h('select', { name: 'status', onchange: set('status') }, options)),
    h('label.field', null, 'User, the whole name', h('input', { type: 'search', name: 'user_id', dir: 'auto', autocomplete: 'off', spellcheck: 'false', value: filter.user_id, oninput: set('user_id') })),
    h('label.field', null, 'Revision', h('input', { type: 'number', name: 'revision', min: 1, value: filter.revision, oninput: set('revision') })));
}

function sessionList(filter, signal) {
  const query = { ...filter };
  const list = listing({
    name: 'Sessions, newest first',
    columns: [['Session'], ['Status', 'w6'], ['Started', 'w8'], ['Over', 'w8'], ['Keeps'], ['Actions', 'w6']],
    load: async (cursor, limit) => {
      const { sessions, next_cursor: next } = await read('/admin/sessions', { ...query, limit, cursor }, { signal });
      return { rows: sessions, next };
    },
    id: (it) => it.session_id,
    date: (it) => +new Date(it.started_at),
    draw: (it) => drawRow(it, async () => {
      const done = await end(it);
      if (!done) return;
      list.change(done);
      list.rowOf(it.session_id)?.querySelector('a').focus();
      list.element.dispatchEvent(new Event('ended', { bubbles: true }));
    }),
    none: Object.values(query).some(Boolean)
      ? empty('No session is like that', 'Another status, user or revision may have some: ', h('a', { href: '#/sessions' }, 'see all'), '.')
      : empty('No session has been started yet', 'Users start one with ', h('code', null, 'POST /brun-e/start'), '; it is listed here at once.'),
  });
  return list;
}

const drawRow = (it, onclick) => h('tr', { 'data-id': it.session_id },
  h('th', { scope: 'row' }, h('div', null, long(it.user_id)), h('a.mono', { href: `#/sessions/${it.session_id}` }, it.session_id)),
  cell('Status', mark(it)), cell('Started', time(it.started_at)), cell('Over', over(it)),
  cell('Keeps', revisionLink(it.config.revision), ': ', long(`${it.config.model}, ${it.config.prompt_id} version ${it.config.prompt_version}, ${it.config.session_max_minutes} min`)),
  cell('', it.status === 'active' && h('button.bad', { type: 'button', 'aria-label': `End session ${it.session_id} of ${it.user_id}`, onclick }, 'End')));

/** Asks why, and ends it. What became of the session, or undefined if nobody wanted to after all. */
async function end(it) {
  let why;
  const once = newKey();
  const done = await withReason({
    title: 'End this session?',
    about: 'Its user is cut off from it now, and may start another one under today’s settings when the rules allow.',
    body: h('p', null, long(it.user_id), ', since ', time(it.started_at), ': ', h('code', null, it.session_id)),
    action: 'End the session',
    bad: true,
  }, async (reason) => {
    why = reason;
    const { data } = await call('POST', `/admin/sessions/${it.session_id}/end`, { body: { reason }, once });
    keepReason(reason);
    return data;
  });
  if (done) announce(outcome(done, why));
  return done;
}

const outcome = ({ status, end_reason: reason }, why) => {
  if (status === 'ended' && reason === why) return 'The session has ended.';
  return status === 'starting' ? 'The session is still starting, and was left alone: try again in a moment.' : `Nothing was done: the session was ${words(status)} before.`;
};

/** The running sessions by the revision they hold. */
function drawDrain({ revision, total, pins, settings }) {
  if (total === 0) return h('div.card', null, empty('No session runs', `Nothing holds older settings: whoever starts one now gets revision ${revision}.`));
  const older = pins.filter((it) => it.revision !== revision);
  const held = older.reduce((sum, it) => sum + it.sessions, 0);
  const last = older.reduce((a, b) => (new Date(a.drained_by) > new Date(b.drained_by) ? a : b), older[0]);
  const bars = older.length < pins.length ? pins : [{ revision, sessions: 0 }, ...pins];
  return [
    h('p', null, `${count(total, 'session runs', 'sessions run')}. `, held === 0 ? 'All of them hold the current revision.'
      : [`${held === total ? 'All' : held.toLocaleString('en')} began before the latest change; the last of them is over `, time(last.drained_by), ' at the latest.']),
    table('Running sessions by the revision they hold', [['Revision', 'w14'], ['Running sessions'], ['Over', 'w10']],
      h('tbody', null, bars.map((it) => bar(it, revision, total)))),
    settings.length > 0 && table('Settings of which running sessions hold older values', [['Setting', 'w14'], ['Is now'], ['But running sessions keep']],
      h('tbody', null, settings.map(olderValues))),
  ];
}

function bar({ revision, sessions, drained_by: by }, current, total) {
  const [isCurrent, percent] = [revision === current, sessions / total * 100];
  return h('tr', { 'data-id': `r${revision}` },
    h('th', { scope: 'row' }, revisionLink(revision), isCurrent && [' ', h('span.mark.brand', null, 'current')]),
    cell('Running sessions', svg('svg', { class: isCurrent ? 'bar-of current' : 'bar-of', width: '100%', height: '12', 'aria-hidden': 'true' },
      svg('rect', { width: '100%', height: '12', rx: '3' }), sessions > 0 && svg('rect', { width: `${Math.max(percent, 0.5)}%`, height: '12', rx: '3' })),
    sessions > 0 ? [h('a', { href: `#/sessions?status=active&revision=${revision}` }, count(sessions, 'session')), `, ${percent < 1 ? 'under 1' : Math.round(percent)} %`] : 'none has started since'),
    cell('Over', isCurrent ? h('span.soft', null, 'goes on') : time(by)));
}

const settingLink = (key) => h('th', { scope: 'row' }, h('a', { href: `#/history?key=${encodeURIComponent(key)}` }, said(label(key))));

const olderValues = ({ key, value, held }) => h('tr', { 'data-id': key }, settingLink(key), cell('Is now', shown(value)),
  cell('But running sessions keep', held.map((it) => h('div', null, `${it.sessions.toLocaleString('en')} ${it.sessions === 1 ? 'keeps' : 'keep'} `, shown(it.value)))));

async function one(body, id, signal) {
  const [content, wrong] = [h('div'), h('div')];
  const path = `/admin/sessions/${encodeURIComponent(id)}`;
  let it;
  const ask = async () => {
    if (!await end(it)) return;
    await again();
    body.querySelector('a').focus();
  };
  const draw = () => become(content, h('div', null, drawOne(it, ask)));
  const again = async () => {
    it = await read(path, null, { signal });
    draw();
  };
  fill(body, h('p', null, h('a', { href: '#/sessions' }, '← All sessions')), wrong, content);
  try {
    await again();
  } catch (problem) {
    if (problem.status !== 404) throw problem;
    fill(content, empty('There is no such session', 'Its id may be cut short. ', h('a', { href: '#/sessions' }, 'See all sessions'), '.'));
    return;
  }
  every(15_000, again, wrong, signal);
  hear('settings', draw, signal);
}

function drawOne(it, onclick) {
  const facts = [
    ['Status', mark(it)], ['Id', h('code', null, it.session_id)], ['Started', time(it.started_at)], ['Over', over(it)],
    ['Revision', revisionLink(it.config.revision)],
    ...Object.entries({
      'Ended by': it.ended_by, Why: it.end_reason, Plan: it.plan, Level: it.level, 'Provider’s session': it.provider_session_id, 'Provider’s request': it.provider_request_id,
    }).map(([name, value]) => [name, value && long(value)]),
  ];
  const top = head(['Session of ', long(it.user_id)], null,
    it.status === 'active' && h('button.bad', { type: 'button', 'aria-label': `End the session of ${it.user_id}`, onclick }, 'End the session'));
  return [top, h('section', null, h('dl.card.padded.facts', null, facts.filter(([, value]) => value).map(([name, value]) => h('div', null, h('dt', null, name), h('dd', null, value))))),
    h('section', null, h('h2', null, 'What it keeps'), table('The settings that the session keeps',
      [['Setting', 'w14'], ['It keeps'], ['Today'], ['Set so by'], ['Revision', 'w8']], h('tbody', null, it.settings.map(drawKept))))];
}

function drawKept({ key, value, revision, action, changed_by: by, changed_at: at, reason }) {
  const now = store.settings.get(key);
  return h('tr', { 'data-id': key }, settingLink(key),
    cell('It keeps', shown(value)),
    cell('Today', !now || same(now.value, value) ? h('span.soft', null, now ? 'the same' : 'not known') : [h('span.mark.warn', null, 'changed since'), ' ', shown(now.value)]),
    cell('Set so by', long(by), ', ', time(at), ` (${words(action)}): “`, long(reason), '”'),
    cell('Revision', revision ? revisionLink(revision) : '–'));
}
