// The sessions page: the revisions of running sessions, the list of sessions, the page of a session.
import { fetchJson, newIdempotencyKey, request } from './api.js';
import { debounce, h, setChildren, showToast, subscribe, svg } from './dom.js';
import { humanize, pluralize, relativeTimeElement, valueElement } from './format.js';
import { liveTable, morph, pageReader, poll } from './live-table.js';
import { badge, button, definitionList, labeledField, link, longText, muted, revisionLink, selectField, settingLink, table, tableRow } from './page.js';
import { emptyState, errorAlert, openReasonDialog, pageHeader, rememberReason } from './parts.js';
import { replaceParameters } from './route.js';
import { isEqual } from './rules.js';
import { loadSettings, store } from './store.js';

const REFRESH_INTERVAL = 15_000;
const STATUS_KINDS = { starting: 'warning', active: 'success', ended: '', expired: '', failed: 'danger' };

const statusBadge = ({ status }) => badge(STATUS_KINDS[status], humanize(status));
const endTime = (session) => relativeTimeElement(session.ended_at ?? session.expires_at);

/** Shows the list of sessions, or the session in the path. */
export async function show(body, { rest: [id], status = '', user_id = '', revision = '' }, signal) {
  if (store.revision === 0) await loadSettings();
  await (id ? showSession(body, id, signal) : showList(body, { status, user_id, revision }, signal));
}

async function showList(body, filter, signal) {
  const rollout = h('div.stack');
  const error = h('div');
  const container = h('div');
  let sessions;
  const loadRollout = async () => morph(rollout, h('div.stack', null, rolloutElements(await fetchJson('/admin/sessions/pins', null, { signal }))));
  const search = async () => {
    const newSessions = sessionTable({ ...filter }, signal, () => refresh());
    sessions = newSessions;
    await newSessions.load();
    // The filter may have changed during the request.
    if (newSessions === sessions) setChildren(container, newSessions.element);
  };
  setChildren(body, pageHeader('Sessions', 'A session keeps the settings it started with. Changes apply to sessions that start later. During a rollout some sessions have the proposed values.'), error,
    h('section', null, h('h2', null, 'Settings of running sessions'), rollout),
    h('section', null, h('h2', null, 'Sessions'), filterForm(filter, search), container));
  const refresh = poll(REFRESH_INTERVAL, () => Promise.all([loadRollout(), sessions.refresh()]), error, signal);
  await Promise.all([loadRollout().catch((problem) => setChildren(error, errorAlert(problem, refresh))), search()]);
}

function filterForm(filter, search) {
  const searchSoon = debounce(250, search);
  const setFilter = (name) => (value) => {
    filter[name] = value.trim();
    replaceParameters(filter);
    searchSoon();
  };
  const inputField = (text, name, properties) => labeledField(text,
    h('input', { name, value: filter[name], oninput: ({ target }) => setFilter(name)(target.value), ...properties }));
  const onsubmit = (event) => {
    event.preventDefault();
    search();
  };
  return h('form.filters', { role: 'search', 'aria-label': 'Sessions', onsubmit },
    selectField('Status', 'status', Object.keys(STATUS_KINDS), filter.status, setFilter('status')),
    inputField('User ID (exact)', 'user_id', { type: 'search', dir: 'auto', autocomplete: 'off', spellcheck: 'false' }),
    inputField('Revision', 'revision', { type: 'number', min: 1 }));
}

const SESSION_COLUMNS = { Session: '', Status: 'w6', Started: 'w8', Ends: 'w8', Settings: '', Actions: 'w6' };

/** Creates the table of sessions that match `filter`. `onended` is called after a session was ended. */
function sessionTable(filter, signal, onended) {
  const end = async (session) => {
    const endedSession = await endSession(session);
    if (!endedSession) return;
    sessions.update(endedSession);
    sessions.rowOf(session.session_id)?.querySelector('a').focus();
    onended();
  };
  const sessions = liveTable({
    name: 'Sessions, newest first',
    columns: SESSION_COLUMNS,
    load: pageReader('/admin/sessions', 'sessions', filter, signal),
    id: (session) => session.session_id,
    date: (session) => Date.parse(session.started_at),
    draw: (session) => sessionRow(session, () => end(session)),
    empty: Object.values(filter).some(Boolean)
      ? emptyState('No matching sessions', 'Change the filters, or ', link('#/sessions', 'show all sessions'), '.')
      : emptyState('No sessions yet', 'Sessions that start with ', h('code', null, 'POST /brun-e/start'), ' are listed here.'),
  });
  return sessions;
}

function sessionRow(session, onend) {
  const { session_id: id, user_id: user, status, started_at: startedAt, config, rollout } = session;
  const summary = `${config.model}, ${config.prompt_id} version ${config.prompt_version}, ${config.session_max_minutes} min`;
  return tableRow(SESSION_COLUMNS, { 'data-id': id },
    [h('div', null, longText(user)), h('a.mono', { href: `#/sessions/${id}` }, id)],
    statusBadge(session), relativeTimeElement(startedAt), endTime(session),
    [revisionLink(config.revision), ': ', longText(summary), rollout && [' ', link(`#/proposals/${rollout.proposal}`, `${rollout.candidate ? 'candidate' : 'control'} of proposal ${rollout.proposal}`)]],
    // The service ends active sessions only.
    status === 'active' && button('End', onend, `End session ${id} of ${user}`, 'button.danger'));
}

/** Asks for a reason and ends the session. Returns the session, or undefined if cancelled. */
async function endSession({ session_id: id, user_id: user, started_at: startedAt }) {
  let submittedReason;
  const idempotencyKey = newIdempotencyKey();
  const session = await openReasonDialog({
    title: 'End session?',
    about: 'The user is disconnected, and may start another session with the current settings if the rules allow.',
    body: h('p', null, 'User ', longText(user), ', started ', relativeTimeElement(startedAt), ', session ', h('code', null, id)),
    action: 'End session',
    isDestructive: true,
  }, async (reason) => {
    submittedReason = reason;
    const { data } = await request('POST', `/admin/sessions/${id}/end`, { body: { reason }, idempotencyKey });
    rememberReason(reason);
    return data;
  });
  if (session) showToast(endResult(session, submittedReason));
  return session;
}

function endResult({ status, end_reason: reason }, submittedReason) {
  // Another reason means that the session had already been ended.
  if (status === 'ended' && reason === submittedReason) return 'Session ended.';
  return status === 'starting' ? 'The session is still starting and cannot be ended yet. Try again in a moment.'
    : `No change: the session was already ${humanize(status)}.`;
}

const ROLLOUT_COLUMNS = { Revision: 'w14', 'Running sessions': '', Ends: 'w10' };
const OTHER_VALUE_COLUMNS = { Setting: 'w14', 'Current value': '', 'Other values in running sessions': '' };

/** Draws the running sessions by revision, and the other values that they keep: older ones, and those of a rollout. */
function rolloutElements({ revision: currentRevision, total, pins, settings }) {
  if (total === 0) return h('div.card', null, emptyState('No running sessions', `New sessions start with revision ${currentRevision}.`));
  const olderPins = pins.filter((pin) => pin.revision !== currentRevision);
  const olderSessions = olderPins.reduce((sum, pin) => sum + pin.sessions, 0);
  const lastEnd = () => relativeTimeElement(new Date(Math.max(...olderPins.map((pin) => Date.parse(pin.drained_by)))).toISOString());
  // The current revision is listed even without sessions.
  const listedPins = olderPins.length < pins.length ? pins : [{ revision: currentRevision, sessions: 0 }, ...pins];
  const summary = olderSessions === 0 ? 'All started at the current revision.'
    : [`${olderSessions === total ? 'All' : olderSessions.toLocaleString('en')} started at an older revision; the last of them ends `, lastEnd(), ' at the latest.'];
  const heldLine = ({ sessions, value, proposal }) => h('div', null, `${pluralize(sessions, 'session')}: `, valueElement(value),
    proposal && [' (', link(`#/proposals/${proposal}`, `rollout of proposal ${proposal}`), ')']);
  return [
    h('p', null, `${pluralize(total, 'running session')}. `, summary),
    table('Running sessions by revision', ROLLOUT_COLUMNS, listedPins.map((pin) => rolloutRow(pin, currentRevision, total))),
    settings.length > 0 && table('Other values in running sessions', OTHER_VALUE_COLUMNS, settings.map(({ key, value, held }) =>
      tableRow(OTHER_VALUE_COLUMNS, { 'data-id': key }, settingLink(key), valueElement(value), held.map(heldLine)))),
  ];
}

function rolloutRow({ revision, sessions, drained_by: lastEnd }, currentRevision, total) {
  const isCurrent = revision === currentRevision;
  const percent = sessions / total * 100;
  const bar = (width) => svg('rect', { width: `${width}%`, height: 12, rx: 3 });
  const progressBar = svg('svg', { class: isCurrent ? 'progress-bar current' : 'progress-bar', width: '100%', height: 12, 'aria-hidden': 'true' },
    // Less than half a percent would be invisible.
    bar(100), sessions > 0 && bar(Math.max(percent, 0.5)));
  const share = percent < 1 ? 'less than 1' : Math.round(percent);
  return tableRow(ROLLOUT_COLUMNS, { 'data-id': `r${revision}` },
    [revisionLink(revision), isCurrent && [' ', badge('accent', 'current')]],
    [progressBar, sessions > 0 ? [link(`#/sessions?status=active&revision=${revision}`, pluralize(sessions, 'session')), `, ${share} %`] : 'no sessions yet'],
    isCurrent ? muted('–') : relativeTimeElement(lastEnd));
}

async function showSession(body, id, signal) {
  const content = h('div');
  const error = h('div');
  let session;
  const end = async () => {
    if (!await endSession(session)) return;
    await refresh();
    body.querySelector('a').focus();
  };
  const draw = () => morph(content, h('div', null, sessionDetails(session, end)));
  const refresh = async () => {
    session = await fetchJson(`/admin/sessions/${encodeURIComponent(id)}`, null, { signal });
    draw();
  };
  setChildren(body, h('p', null, link('#/sessions', '← All sessions')), error, content);
  try {
    await refresh();
  } catch (problem) {
    if (problem.status !== 404) throw problem;
    setChildren(content, emptyState('Session not found', 'Check that the session ID is complete.'));
    return;
  }
  poll(REFRESH_INTERVAL, refresh, error, signal);
  subscribe('settings', draw, signal);
}

const PINNED_COLUMNS = { Setting: 'w14', Value: '', 'Current value': '', 'Set by': '', Revision: 'w8' };

function sessionDetails(session, onend) {
  const { session_id: id, user_id: user, status, started_at: startedAt, config, settings } = session;
  const optionalText = (text) => text && longText(text);
  return [
    pageHeader(['Session of ', longText(user)], null, status === 'active' && button('End session', onend, `End session of ${user}`, 'button.danger')),
    h('section', null, definitionList('dl.card.padded.fact-grid', {
      Status: statusBadge(session),
      'Session ID': h('code', null, id),
      Started: relativeTimeElement(startedAt),
      Ends: endTime(session),
      Revision: revisionLink(config.revision),
      'Ended by': optionalText(session.ended_by),
      Reason: optionalText(session.end_reason),
      Plan: optionalText(session.plan),
      Level: optionalText(session.level),
      Rollout: session.rollout && rolloutFact(session.rollout),
      'Provider session ID': optionalText(session.provider_session_id),
      'Provider request ID': optionalText(session.provider_request_id),
    })),
    h('section', null, h('h2', null, 'Settings'), table('Settings of the session', PINNED_COLUMNS, settings.map(pinnedSettingRow))),
  ];
}

/** Describes the part of a session in a rollout: the arm, and why the user has the arm. */
function rolloutFact({ proposal, candidate, share, stage, bucket }) {
  const bound = (share * 100).toLocaleString('en');
  return [
    badge(candidate ? 'accent' : '', candidate ? 'candidate' : 'control'), ' ', link(`#/proposals/${proposal}`, `Proposal ${proposal}`), `, stage ${stage}, ${share} % of the users`,
    h('div.hint', null, candidate ? 'The session has the proposed values' : 'The session has the values without the change',
      `: the bucket of the user is ${bucket.toLocaleString('en')}, and buckets below ${bound} of 10,000 are candidates.`),
  ];
}

function pinnedSettingRow({ key, value, revision, action, changed_by: user, changed_at: time, reason }) {
  const current = store.settings.get(key);
  const isChanged = current && !isEqual(current.value, value);
  const unchangedText = current ? 'unchanged' : 'unknown';
  return tableRow(PINNED_COLUMNS, { 'data-id': key }, settingLink(key), valueElement(value),
    isChanged ? [badge('warning', 'changed'), ' ', valueElement(current.value)] : muted(unchangedText),
    [longText(user), ', ', relativeTimeElement(time), ` (${humanize(action)}): “`, longText(reason), '”'],
    revision ? revisionLink(revision) : '–');
}
