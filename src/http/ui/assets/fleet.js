// Fleet and audit: who serves the settings, whether the trail is whole, what other services were told and were not.
import { fetchJson, newIdempotencyKey, request } from './api.js';
import { h, isolate, setChildren, showToast } from './dom.js';
import { formatDateTime, humanize, label, pluralize, relativeTimeElement } from './format.js';
import { badge, button, historyHash, link, liveTable, longText, morph, muted, pageReader, poll, selectField, table, tableRow } from './page.js';
import { emptyState, errorAlert, pageHeader, toSentence } from './parts.js';
import { replaceParameters } from './route.js';
import { loadSettings, store } from './store.js';

/** Shows the fleet; `message` of the parameters is the id of a message to go to. */
export async function show(body, { message = '', status = '', sink = '', topic = '' }, signal) {
  if (!store.revision) await loadSettings();
  const [wrong, state, rows, told] = [h('div'), h('p', { role: 'status' }), h('tbody'), h('section', null, h('h2', null, 'Outbox'))];
  const instances = async () => drawInstances(state, rows, await fetchJson('/admin/instances', null, { signal }));
  setChildren(body, pageHeader('Fleet and audit', 'Which instances serve the settings, whether the trail of changes is whole, and what other services were told.'), wrong,
    h('section', null, h('h2', null, 'Instances'), h('div.stack', null, state,
      table('Instances', INSTANCES, rows))), trail(signal), told);
  const again = poll(2000, instances, wrong, signal);
  await Promise.all([instances().catch((problem) => setChildren(wrong, errorAlert(problem, again))),
    outbox(told, { message, status, sink, topic }, signal).catch((problem) => told.append(errorAlert(problem)))]);
}

function drawInstances(state, rows, { revision, instances }) {
  const fit = instances.filter((it) => it.live && it.revisions_behind === 0).length;
  const text = `${fit} of ${pluralize(instances.length, 'instance')} ${fit === 1 ? 'is' : 'are'} up to date with revision ${revision}.`;
  if (state.textContent !== text) state.textContent = text;
  morph(rows, h('tbody', null, instances.map(drawInstance)));
}

const INSTANCES = { Instance: '', State: 'w8', Revision: 'w6', 'Heard of': 'w8', Started: 'w8' };

const drawInstance = ({ id, host, self, version, live, revisions_behind: behind, applied_revision: revision, seen_ms_ago: seen, started_at: started }) => tableRow(INSTANCES, { 'data-id': id },
  [longText(host), self && [' ', badge('accent', 'this one')], h('div.mono.muted', null, id), h('div.hint', null, 'version ', longText(version))],
  !live ? badge('danger', 'not heard of') : behind === 0 ? badge('success', 'up to date') : badge('warning', `${behind} behind`),
  revision, seen < 60_000 ? `${(seen / 1000).toFixed(1)} s ago` : `${Math.round(seen / 60_000)} min ago`, relativeTimeElement(started));

const SHOWN = 100;

/** The part of the page that verifies the trail. */
function trail(signal) {
  const [bar, result] = [h('span.row', { hidden: true }), h('div', { 'aria-live': 'polite' })];
  let stop = null;
  const run = async () => {
    stop = new AbortController();
    start.textContent = 'Stop';
    bar.hidden = false;
    setChildren(result);
    const seen = { checked: 0, breaks: [], broken: 0, began: performance.now(), at: new Date() };
    const problem = await verify(seen, AbortSignal.any([signal, stop.signal]), () => setChildren(bar, h('progress', { 'aria-label': 'Verifying' }), `${pluralize(seen.checked, 'entry', 'entries')} checked`)).then(() => null, (it) => it);
    stop = null;
    bar.hidden = true;
    start.textContent = 'Verify now';
    setChildren(result, problem && problem.name !== 'AbortError' && errorAlert(problem), verdict(seen, problem));
  };
  // One button for both, so that focus stays where it is.
  const start = button('Verify now', () => (stop ? stop.abort() : run()));
  return h('section', null, h('h2', null, 'Audit chain'), h('div.card.padded.audit-chain', null,
    h('p.muted', null, 'Each entry of the trail carries a hash over itself and the one before it. Verifying computes all of them again, from what the database holds.'),
    h('p.row', null, start, bar), result));
}

async function verify(seen, signal, tell) {
  let after = null;
  do {
    tell();
    const part = await fetchJson('/admin/audit/verify', { after }, { signal });
    seen.checked += part.checked;
    seen.broken += part.breaks.length;
    seen.breaks.push(...part.breaks.slice(0, SHOWN - seen.breaks.length));
    after = part.next;
  } while (after !== null);
}

function verdict({ checked, breaks, broken, began, at }, stopped) {
  const checks = `${pluralize(checked, 'entry', 'entries')} checked in ${((performance.now() - began) / 1000).toFixed(2)} s, ${formatDateTime(at)}.`;
  if (broken === 0) return h(`div.note.${stopped ? 'warning' : 'success'}`, null, h('strong', null, stopped ? 'Stopped; what was checked is whole' : 'The trail is whole'), h('p', null, checks));
  return h('div.note.danger', null, h('strong', null, `The trail does not hold in ${pluralize(broken, 'place')}`), h('p', null, stopped && 'Stopped before the end. ', checks),
    h('ul', null, breaks.map((it) => h('li', null, badge('danger', humanize(it.code)), ' ', isolate(toSentence(it.detail)),
      it.key && [' ', link(historyHash({ key: it.key }), 'History of ', isolate(label(it.key)))]))),
    broken > breaks.length && h('p', null, `The first ${breaks.length} are listed.`));
}

const KINDS = { waiting: 'warning', delivered: 'success', dead: 'danger', 'tried again': 'accent' };
const stateOf = (status) => (status === 'dead' ? 'given up' : status);
const nameOf = (it) => `${it.id} ${it.sink}`;

async function outbox(place, filter, signal) {
  const [top, given, wrong, note, listed, retried] = [h('div'), h('div'), h('div'), h('div'), h('div'), new Set()];
  let sinks = [];
  const page = (query) => async (cursor, limit) => {
    const answer = await pageReader('/admin/outbox', 'messages', query, signal)(cursor, filter.message ? 200 : limit);
    sinks = answer.sinks;
    morph(top, h('div', null, drawSinks(sinks)));
    given.hidden = !sinks.some((it) => it.dead) && retried.size === 0;
    return answer;
  };
  const list = (name, size, query, none) => liveTable({
    name, size, none, load: page(query), id: nameOf, date: (it) => +new Date(it.created_at),
    columns: MESSAGES,
    draw: (it) => drawMessage(it, it.id === filter.message, () => retry(it).catch((problem) => setChildren(note, errorAlert(problem)))),
  });
  const retry = async (it) => {
    const { data } = await request('POST', `/admin/outbox/${it.id}/retry`, { query: { sink: it.sink }, once: newIdempotencyKey() });
    setChildren(note);
    retried.add(nameOf(it));
    for (const each of [dead, all]) {
      // Its button goes; who pressed it stays in the row.
      const isHere = each.rowOf(nameOf(it))?.contains(document.activeElement);
      each.change({ ...it, status: 'tried again', last_error: null });
      if (isHere) each.rowOf(nameOf(it)).querySelector('summary').focus();
    }
    showToast(`The message goes to ${data.sinks.join(' and ')} again.`);
    setTimeout(again, 1500);
  };
  const dead = list('Messages that were given up', 10, { status: 'dead' }, emptyState('Nothing was given up'));
  let all;
  const search = async () => {
    const { status, sink, topic } = filter;
    const mine = all = list('Messages, newest first', 50, { status, sink, topic }, emptyState('No message is like that', 'One is stored for each sink as settings change.'));
    await mine.first();
    if (mine === all) setChildren(listed, mine.element);
  };
  await Promise.all([dead.first(), search()]);
  setChildren(given, h('h3', null, 'Given up'), dead.element);
  place.append(h('div.stack', null, top, wrong, note, given, sinks.length > 0 && h('div', null, h('h3', null, 'Messages'), filters(filter, sinks, search), listed)));
  const again = poll(5000, async () => {
    await Promise.all([dead.again(), all.again()]);
    // One that was tried again says how that went where it was given up, too.
    for (const [name, it] of all.items) if (retried.has(name)) dead.change(it);
  }, wrong, signal);
  // Once the page is in its place.
  if (filter.message) setTimeout(() => goTo(filter.message, place, note));
}

function goTo(id, place, note) {
  const row = [...place.querySelectorAll('tr[data-id]')].find((it) => it.dataset.id.startsWith(id));
  if (!row) return setChildren(note, h('p.note.warning', { role: 'status' }, 'The message ', isolate(id), ' is not among the newest; it may be further down, or be gone.'));
  row.focus({ preventScroll: true });
  return row.scrollIntoView({ block: 'center' });
}

function drawSinks(sinks) {
  if (sinks.length === 0) {
    return h('div.card', null, emptyState('No other service is told of changes', 'Set ', h('code', null, 'DISCORD_WEBHOOK_URL'), ', or ', h('code', null, 'ALERT_WEBHOOK_URL'), ' and ',
      h('code', null, 'ALERT_WEBHOOK_SECRET'), ', in the environment, and start the service again.'));
  }
  return table('Sinks', SINKS, sinks.map((it) => tableRow(SINKS, { 'data-id': it.sink }, isolate(it.sink),
    [it.waiting ? `${it.waiting.toLocaleString('en')}, the oldest for ${Math.round(it.oldest_waiting_seconds ?? 0)} s` : 'none',
      it.dead_since && h('p.error', null, 'Gone for good ', relativeTimeElement(it.dead_since), ': ', longText(it.dead_reason ?? ''), '. It is called again when it has another address, or a message is tried again.')],
    it.dead ? badge('danger', it.dead.toLocaleString('en')) : 'none',
    it.topics.length ? it.topics.join(', ') : muted('nothing: this instance has no address of it'))));
}

const SINKS = { Sink: 'w8', Waiting: 'w14', 'Given up': 'w8', 'Is told of': '' };
const MESSAGES = { Message: '', To: 'w6', State: '', Stored: 'w8', Actions: 'w8' };

function filters(filter, sinks, search) {
  const one = (title, name, values, text = (it) => it) => selectField(title, name, values, filter[name], (value) => {
    filter[name] = value;
    replaceParameters(filter);
    search();
  }, text);
  return h('form.filters', { role: 'search', 'aria-label': 'Messages' },
    one('State', 'status', ['waiting', 'delivered', 'dead'], stateOf),
    one('To', 'sink', sinks.map((it) => it.sink)),
    one('Of', 'topic', [...new Set(sinks.flatMap((it) => it.topics))].sort()));
}

function drawMessage(it, isSought, retry) {
  const retried = it.status === 'waiting' && it.attempts > 0;
  return tableRow(MESSAGES, { 'data-id': nameOf(it), class: isSought && 'highlighted', tabindex: isSought && '-1' },
    [isolate(it.topic), isSought && [' ', badge('accent', 'linked to')], h('div.mono.muted', null, it.id),
      h('details', null, h('summary', null, 'What it tells'), h('pre', { tabindex: '0' }, isolate(JSON.stringify(it.payload, null, 2))))],
    isolate(it.sink),
    [badge(KINDS[it.status], stateOf(it.status)), it.attempts > 0 && ` tried ${pluralize(it.attempts, 'time')}`, it.settled_at && [', ', relativeTimeElement(it.settled_at)],
      retried && [', next ', relativeTimeElement(it.due_at)], it.last_error && h('p.error', null, longText(it.last_error))],
    relativeTimeElement(it.created_at),
    (retried || it.status === 'dead') && button('Try again', () => retry(it), `Try again: ${it.topic} ${it.id} at ${it.sink}`));
}
