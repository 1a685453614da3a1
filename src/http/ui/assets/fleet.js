// The page of instances, the verification of the audit chain, and the outbox.
import { fetchJson } from './api.js';
import { h, isolate, setChildren } from './dom.js';
import { formatDateTime, humanize, label, pluralize, relativeTimeElement, toSentence } from './format.js';
import { morph, poll } from './live-table.js';
import { showOutbox } from './outbox.js';
import { badge, button, historyHash, link, longText, table, tableRow } from './page.js';
import { errorAlert, pageHeader } from './parts.js';
import { safetySections } from './safety-section.js';
import { loadSettings, store } from './store.js';

/** Shows the page. `message` is the ID of an outbox message to scroll to. */
export async function show(body, { message = '', status = '', sink = '', topic = '' }, signal) {
  if (store.revision === 0) await loadSettings();
  const error = h('div');
  const summary = h('p', { role: 'status' });
  const rows = h('tbody');
  const outbox = h('section', null, h('h2', null, 'Outbox'));
  const loadInstances = async () => drawInstances(summary, rows, await fetchJson('/admin/instances', null, { signal }));
  setChildren(body,
    pageHeader('Fleet and audit', 'The instances of the service, freezes and stops, the integrity of the audit trail, and messages to other services.'), error,
    h('section', null, h('h2', null, 'Instances'), h('div.stack', null, summary, table('Instances', INSTANCE_COLUMNS, rows))),
    safetySections(signal), auditChain(signal), outbox);
  const refresh = poll(2000, loadInstances, error, signal);
  await Promise.all([
    loadInstances().catch((problem) => setChildren(error, errorAlert(problem, refresh))),
    showOutbox(outbox, { message, status, sink, topic }, signal).catch((problem) => outbox.append(errorAlert(problem))),
  ]);
}

const INSTANCE_COLUMNS = { Instance: '', State: 'w8', Revision: 'w6', 'Last seen': 'w8', Started: 'w8' };

function drawInstances(summary, rows, { revision, instances }) {
  const current = instances.filter((instance) => instance.live && instance.revisions_behind === 0).length;
  const text = `${current} of ${pluralize(instances.length, 'instance')} up to date with revision ${revision}.`;
  // Setting unchanged text would announce the status again.
  if (summary.textContent !== text) summary.textContent = text;
  morph(rows, h('tbody', null, instances.map(instanceRow)));
}

function instanceRow({ id, host, self: isThisInstance, version, live: isLive, revisions_behind: behind, applied_revision: revision, seen_ms_ago: age, started_at: startedAt }) {
  const liveBadge = behind === 0 ? badge('success', 'up to date') : badge('warning', `${behind} behind`);
  return tableRow(INSTANCE_COLUMNS, { 'data-id': id },
    [longText(host), isThisInstance && [' ', badge('accent', 'this instance')], h('div.mono.muted', null, id), h('div.hint', null, 'version ', longText(version))],
    isLive ? liveBadge : badge('danger', 'offline'),
    revision,
    age < 60_000 ? `${(age / 1000).toFixed(1)} s ago` : `${Math.round(age / 60_000)} min ago`,
    relativeTimeElement(startedAt));
}

/** Creates the section that verifies the audit chain. */
function auditChain(signal) {
  const progress = h('span.row', { hidden: true });
  const resultContainer = h('div', { 'aria-live': 'polite' });
  let controller = null;
  const run = async () => {
    controller = new AbortController();
    toggleButton.textContent = 'Stop';
    progress.hidden = false;
    setChildren(resultContainer);
    const result = { checked: 0, breaks: [], breakCount: 0, startedAt: performance.now(), date: new Date() };
    const drawProgress = () => setChildren(progress,
      h('progress', { 'aria-label': 'Verifying' }), `${pluralize(result.checked, 'entry', 'entries')} verified`);
    const problem = await verifyChain(result, AbortSignal.any([signal, controller.signal]), drawProgress).then(() => null, (error) => error);
    controller = null;
    progress.hidden = true;
    toggleButton.textContent = 'Verify now';
    setChildren(resultContainer, problem && problem.name !== 'AbortError' && errorAlert(problem), verificationResult(result, Boolean(problem)));
  };
  // Start and stop share a button, so that the focus stays.
  const toggleButton = button('Verify now', () => {
    if (controller) controller.abort();
    else run();
  });
  return h('section', null, h('h2', null, 'Audit chain'), h('div.card.padded.audit-chain', null,
    h('p.muted', null, 'Each entry has a hash of its content and of the previous entry. The verification computes all hashes from the database again.'),
    h('p.row', null, toggleButton, progress), resultContainer));
}

// A single altered entry can break the chain at every later entry.
const MAX_LISTED_BREAKS = 100;

async function verifyChain(result, signal, onprogress) {
  let after = null;
  do {
    onprogress();
    const { checked, breaks, next } = await fetchJson('/admin/audit/verify', { after }, { signal });
    result.checked += checked;
    result.breakCount += breaks.length;
    result.breaks.push(...breaks.slice(0, MAX_LISTED_BREAKS - result.breaks.length));
    after = next;
  } while (after !== null);
}

function verificationResult({ checked, breaks, breakCount, startedAt, date }, isIncomplete) {
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(2);
  const statistics = `${pluralize(checked, 'entry', 'entries')} verified in ${seconds} s, ${formatDateTime(date)}.`;
  if (breakCount === 0) {
    const title = isIncomplete ? 'Stopped: no errors so far' : 'The audit chain is intact';
    return h(`div.note.${isIncomplete ? 'warning' : 'success'}`, null, h('strong', null, title), h('p', null, statistics));
  }
  const item = ({ code, detail, key }) => h('li', null, badge('danger', humanize(code)), ' ', isolate(toSentence(detail)),
    key && [' ', link(historyHash({ key }), 'History of ', isolate(label(key)))]);
  return h('div.note.danger', null,
    h('strong', null, `The audit chain is broken in ${pluralize(breakCount, 'place')}`),
    h('p', null, isIncomplete && 'Stopped before the end. ', statistics),
    h('ul', null, breaks.map(item)),
    breakCount > breaks.length && h('p', null, `Only the first ${breaks.length} are listed.`));
}
