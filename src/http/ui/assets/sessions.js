// Sessions: which settings the running ones still hold, which there are, what one of them keeps, ending one.
import { fetchJson, newIdempotencyKey, request } from './api.js';
import { debounce, h, setChildren, showToast, subscribe, svg } from './dom.js';
import { humanize, pluralize, relativeTimeElement, valueElement } from './format.js';
import { badge, button, definitionList, labeledField, link, liveTable, longText, morph, muted, pageReader, poll, revisionLink, selectField, settingLink, table, tableRow } from './page.js';
import { emptyState, errorAlert, openReasonDialog, pageHeader, rememberReason } from './parts.js';
import { replaceParameters } from './route.js';
import { isEqual } from './rules.js';
import { loadSettings, store } from './store.js';

const KINDS = { starting: 'warning', active: 'success', ended: '', expired: '', failed: 'danger' };
const state = ({ status }) => badge(KINDS[status], humanize(status));
const over = (it) => relativeTimeElement(it.ended_at ?? it.expires_at);

/** Shows the sessions, or the one that the path names. */
export async function show(body, { rest, status = '', user_id = '', revision = '' }, signal) {
  if (!store.revision) await loadSettings();
  return rest[0] ? one(body, rest[0], signal) : all(body, { status, user_id, revision }, signal);
}

async function all(body, filter, signal) {
  const [drain, wrong, place] = [h('div.stack'), h('div'), h('div')];
  let list;
  const readDrain = async () => morph(drain, h('div.stack', null, drawDrain(await fetchJson('/admin/sessions/pins', null, { signal }))));
  const search = async () => {
    const mine = list = sessionList({ ...filter }, signal, () => again());
    await mine.first();
    // Another filter may have been chosen meanwhile.
    if (mine === list) setChildren(place, mine.element);
  };
  setChildren(body, pageHeader('Sessions', 'A session keeps the settings it started with until it ends; a change is for those that start after it.'), wrong,
    h('section', null, h('h2', null, 'What running sessions hold'), drain),
    h('section', null, h('h2', null, 'Sessions'), filters(filter, search), place));
  const again = poll(15_000, () => Promise.all([readDrain(), list.again()]), wrong, signal);
  await Promise.all([readDrain().catch((problem) => setChildren(wrong, errorAlert(problem, again))), search()]);
}

function filters(filter, search) {
  const soon = debounce(250, search);
  const set = (name) => (value) => {
    filter[name] = value.trim();
    replaceParameters(filter);
    soon();
  };
  const input = (text, name, properties) => labeledField(text, h('input', { name, value: filter[name], oninput: ({ target }) => set(name)(target.value), ...properties }));
  return h('form.filters', { role: 'search', 'aria-label': 'Sessions', onsubmit: (event) => { event.preventDefault(); search(); } },
    selectField('Status', 'status', Object.keys(KINDS), filter.status, set('status')),
    input('User, the whole name', 'user_id', { type: 'search', dir: 'auto', autocomplete: 'off', spellcheck: 'false' }),
    input('Revision', 'revision', { type: 'number', min: 1 }));
}

const LISTED = { Session: '', Status: 'w6', Started: 'w8', Over: 'w8', Keeps: '', Actions: 'w6' };

function sessionList(filter, signal, ended) {
  const list = liveTable({
    name: 'Sessions, newest first',
    columns: LISTED,
    load: pageReader('/admin/sessions', 'sessions', filter, signal),
    id: (it) => it.session_id,
    date: (it) => +new Date(it.started_at),
    draw: (it) => drawRow(it, async () => {
      const done = await end(it);
      if (!done) return;
      list.change(done);
      list.rowOf(it.session_id)?.querySelector('a').focus();
      ended();
    }),
    none: Object.values(filter).some(Boolean)
      ? emptyState('No session is like that', 'Another status, user or revision may have some: ', link('#/sessions', 'see all'), '.')
      : emptyState('No session has been started yet', 'Users start one with ', h('code', null, 'POST /brun-e/start'), '; it is listed here at once.'),
  });
  return list;
}

const drawRow = (it, onclick) => tableRow(LISTED, { 'data-id': it.session_id },
  [h('div', null, longText(it.user_id)), h('a.mono', { href: `#/sessions/${it.session_id}` }, it.session_id)],
  state(it), relativeTimeElement(it.started_at), over(it),
  [revisionLink(it.config.revision), ': ', longText(`${it.config.model}, ${it.config.prompt_id} version ${it.config.prompt_version}, ${it.config.session_max_minutes} min`)],
  it.status === 'active' && button('End', onclick, `End session ${it.session_id} of ${it.user_id}`, 'button.danger'));

/** Asks why, and ends it. What became of the session, or undefined if nobody wanted to after all. */
async function end(it) {
  let why;
  const once = newIdempotencyKey();
  const done = await openReasonDialog({
    title: 'End this session?',
    about: 'Its user is cut off from it now, and may start another one under today’s settings when the rules allow.',
    body: h('p', null, longText(it.user_id), ', since ', relativeTimeElement(it.started_at), ': ', h('code', null, it.session_id)),
    action: 'End the session',
    bad: true,
  }, async (reason) => {
    why = reason;
    const { data } = await request('POST', `/admin/sessions/${it.session_id}/end`, { body: { reason }, once });
    rememberReason(reason);
    return data;
  });
  if (done) showToast(outcome(done, why));
  return done;
}

function outcome({ status, end_reason: reason }, why) {
  if (status === 'ended' && reason === why) return 'The session has ended.';
  return status === 'starting' ? 'The session is still starting, and was left alone: try again in a moment.' : `Nothing was done: the session was ${humanize(status)} before.`;
}

const DRAIN = { Revision: 'w14', 'Running sessions': '', Over: 'w10' };
const OLDER = { Setting: 'w14', 'Is now': '', 'But running sessions keep': '' };

/** The running sessions by the revision they hold. */
function drawDrain({ revision, total, pins, settings }) {
  if (total === 0) return h('div.card', null, emptyState('No session runs', `Nothing holds older settings: whoever starts one now gets revision ${revision}.`));
  const older = pins.filter((it) => it.revision !== revision);
  const held = older.reduce((sum, it) => sum + it.sessions, 0);
  const last = Math.max(...older.map((it) => Date.parse(it.drained_by)));
  const bars = older.length < pins.length ? pins : [{ revision, sessions: 0 }, ...pins];
  return [
    h('p', null, `${pluralize(total, 'session runs', 'sessions run')}. `, held === 0 ? 'All of them hold the current revision.'
      : [`${held === total ? 'All' : held.toLocaleString('en')} began before the latest change; the last of them is over `, relativeTimeElement(new Date(last).toISOString()), ' at the latest.']),
    table('Running sessions by the revision they hold', DRAIN, bars.map((it) => bar(it, revision, total))),
    settings.length > 0 && table('Settings of which running sessions hold older values', OLDER, settings.map(({ key, value, held: kept }) => tableRow(OLDER, { 'data-id': key },
      settingLink(key), valueElement(value), kept.map((it) => h('div', null, `${it.sessions.toLocaleString('en')} ${it.sessions === 1 ? 'keeps' : 'keep'} `, valueElement(it.value)))))),
  ];
}

function bar({ revision, sessions, drained_by: by }, current, total) {
  const [isCurrent, percent] = [revision === current, sessions / total * 100];
  const line = (width) => svg('rect', { width: `${width}%`, height: 12, rx: 3 });
  return tableRow(DRAIN, { 'data-id': `r${revision}` },
    [revisionLink(revision), isCurrent && [' ', badge('accent', 'current')]],
    [svg('svg', { class: isCurrent ? 'progress-bar current' : 'progress-bar', width: '100%', height: 12, 'aria-hidden': 'true' }, line(100), sessions > 0 && line(Math.max(percent, 0.5))),
      sessions > 0 ? [link(`#/sessions?status=active&revision=${revision}`, pluralize(sessions, 'session')), `, ${percent < 1 ? 'under 1' : Math.round(percent)} %`] : 'none has started since'],
    isCurrent ? muted('goes on') : relativeTimeElement(by));
}

async function one(body, id, signal) {
  const [content, wrong] = [h('div'), h('div')];
  let it;
  const ask = async () => {
    if (!await end(it)) return;
    await again();
    body.querySelector('a').focus();
  };
  const draw = () => morph(content, h('div', null, drawOne(it, ask)));
  const again = async () => {
    it = await fetchJson(`/admin/sessions/${encodeURIComponent(id)}`, null, { signal });
    draw();
  };
  setChildren(body, h('p', null, link('#/sessions', '← All sessions')), wrong, content);
  try {
    await again();
  } catch (problem) {
    if (problem.status !== 404) throw problem;
    setChildren(content, emptyState('There is no such session', 'Its id may be cut short.'));
    return;
  }
  poll(15_000, again, wrong, signal);
  subscribe('settings', draw, signal);
}

const KEPT = { Setting: 'w14', 'It keeps': '', Today: '', 'Set so by': '', Revision: 'w8' };

function drawOne(it, onclick) {
  const said = (text) => text && longText(text);
  return [
    pageHeader(['Session of ', longText(it.user_id)], null, it.status === 'active' && button('End the session', onclick, `End the session of ${it.user_id}`, 'button.danger')),
    h('section', null, definitionList('dl.card.padded.fact-grid', {
      Status: state(it), Id: h('code', null, it.session_id), Started: relativeTimeElement(it.started_at), Over: over(it), Revision: revisionLink(it.config.revision),
      'Ended by': said(it.ended_by), Why: said(it.end_reason), Plan: said(it.plan), Level: said(it.level),
      'Provider’s session': said(it.provider_session_id), 'Provider’s request': said(it.provider_request_id),
    })),
    h('section', null, h('h2', null, 'What it keeps'), table('The settings that the session keeps', KEPT, it.settings.map(drawKept))),
  ];
}

function drawKept({ key, value, revision, action, changed_by: by, changed_at: at, reason }) {
  const now = store.settings.get(key);
  return tableRow(KEPT, { 'data-id': key }, settingLink(key), valueElement(value),
    !now || isEqual(now.value, value) ? muted(now ? 'the same' : 'not known') : [badge('warning', 'changed since'), ' ', valueElement(now.value)],
    [longText(by), ', ', relativeTimeElement(at), ` (${humanize(action)}): “`, longText(reason), '”'],
    revision ? revisionLink(revision) : '–');
}
