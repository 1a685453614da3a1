// The what-if of a change: recorded attempts to start a session, replayed under the changed settings. Nothing is stored.
import { request } from './api.js';
import { h, isolate, setChildren } from './dom.js';
import { formatDateTime, humanize, pluralize, relativeTimeElement, toSentence } from './format.js';
import { badge, button, definitionList, labeledField, longText, muted, revisionLink, table, tableRow } from './page.js';
import { errorAlert } from './parts.js';
import { session } from './session.js';
import { localTimes } from './time-fields.js';

const HOUR = 3_600_000;
/** The windows by their length in hours. Refused attempts are kept for eight days. */
const WINDOWS = { 24: 'the last 24 hours', 72: 'the last 3 days', 168: 'the last 7 days' };
const TRUSTED_SHARE = 0.95;

const REASONS = {
  plan_required: 'a plan is required',
  level_not_allowed: 'the level is not allowed',
  cooldown: 'cooldown',
  daily_limit: 'daily limit',
  session_active: 'during a session that would have been admitted',
};
const DIFFERENCES = { newly_refused: ['danger', 'refused'], newly_admitted: ['success', 'admitted'], cut_shorter: ['warning', 'cut shorter'] };

const reasonText = (reason) => REASONS[reason] ?? humanize(reason);

/** Returns a range of numbers as text: “3”, or “3 to 5” if the number depends on sessions that did not happen. */
const rangeText = ({ least, most }) => (least === most ? least.toLocaleString('en') : `${least.toLocaleString('en')} to ${most.toLocaleString('en')}`);

/** Returns a range with its unit: “1 session”, “3 to 5 sessions”. */
const rangeOf = (range, one) => (range.least === range.most ? pluralize(range.most, one) : `${rangeText(range)} ${one}s`);

/**
 * The section that asks for the what-if of a change on demand: `element`. `update(change)` sets the change: `{ changes }` or
 * `{ proposal, edition }`, null if the change is invalid. A report of another change is removed.
 */
export class WhatIf {
  constructor() {
    Object.assign(this, { change: null, state: '', pendingRequest: null });
    this.window = h('select', { name: 'window' }, Object.entries(WINDOWS).map(([hours, name]) => h('option', { value: hours }, name)));
    this.askButton = button('Show what-if', () => this.ask());
    this.hint = h('p.hint');
    this.status = h('p', { role: 'status' });
    this.trust = h('div.stack');
    this.report = h('div.stack');
    // A catalog without sessions has no starts to replay.
    this.element = h('section.what-if', { 'aria-label': 'What-if', hidden: !session.hasSessions },
      h('h2', null, 'What-if'),
      h('p.hint', null, 'Replays the recorded attempts to start a session under the changed settings. Nothing is stored or changed.'),
      h('div.row', null, labeledField('Attempts of', this.window), this.askButton), this.hint, this.trust, this.status, this.report);
    this.update(null);
  }

  update(change) {
    const state = JSON.stringify(change);
    this.askButton.disabled = !change;
    this.hint.textContent = change ? '' : 'Fix the errors of the change first.';
    if (state === this.state) return;
    const hasReport = this.status.textContent !== '';
    Object.assign(this, { change, state });
    this.pendingRequest?.abort();
    this.pendingRequest = null;
    this.clear();
    this.status.textContent = hasReport ? 'The change was edited. Show the what-if again.' : '';
  }

  clear() {
    setChildren(this.trust);
    setChildren(this.report);
  }

  async ask() {
    if (!this.change || this.pendingRequest) return;
    const pendingRequest = new AbortController();
    this.pendingRequest = pendingRequest;
    // A disabled button would lose the focus.
    this.status.textContent = 'Replaying the recorded attempts…';
    this.clear();
    const isCurrent = () => this.pendingRequest === pendingRequest;
    try {
      const { changes, proposal } = this.change;
      const body = { ...(proposal ? { proposal } : { changes }), since: await startOfWindow(Number(this.window.value)) };
      const { data } = await request('POST', '/admin/what-if', { body, signal: pendingRequest.signal });
      if (!isCurrent()) return;
      this.status.textContent = summaryText(data);
      setChildren(this.trust, trustElements(data));
      setChildren(this.report, reportElements(data));
    } catch (problem) {
      if (!isCurrent()) return;
      this.status.textContent = '';
      setChildren(this.report, problemElement(problem, () => this.retry()));
    }
    this.pendingRequest = null;
  }

  retry() {
    // The button of the alert is about to disappear.
    this.askButton.focus();
    return this.ask();
  }
}

/** Returns the time `hours` ago by the clock of the service: the clock of this browser may be wrong. */
async function startOfWindow(hours) {
  const { data: { now } } = await request('GET', '/admin/me');
  return new Date(Date.parse(now) - hours * HOUR).toISOString();
}

function problemElement(problem, retry) {
  if (problem.code !== 'what_if_busy') return errorAlert(problem, retry);
  return h('div.note.warning', { role: 'alert' },
    h('p', null, h('strong', null, 'Another what-if is running.')),
    h('p', null, 'An instance replays the attempts of one change at a time, which takes a few seconds at most.'),
    h('p', null, button('Try again', retry)));
}

/** Returns the result in a sentence. */
function summaryText({ attempts, newly_refused: refused, newly_admitted: admitted, cut_shorter: cut }) {
  const parts = [
    refused.attempts.most > 0 && `${rangeText(refused.attempts)} would have been refused`,
    admitted.attempts.most > 0 && `${rangeText(admitted.attempts)} would have been admitted`,
    cut.sessions.most > 0 && `${rangeOf(cut.sessions, 'session')} would have ended earlier`,
  ].filter(Boolean);
  if (attempts === 0) return 'No attempts were recorded in this time.';
  return parts.length > 0 ? `Of ${pluralize(attempts, 'attempt')}: ${parts.join(', ')}.`
    : `No decision on the ${pluralize(attempts, 'attempt')} would have been different, and no session would have ended earlier.`;
}

function reportElements(report) {
  const { attempts, newly_refused: refused, newly_admitted: admitted, examples, unknown } = report;
  return [
    attempts > 0 && factsElement(report),
    decisionsElement('Newly refused', 'Reason of the refusal', refused),
    decisionsElement('Newly admitted', 'Recorded reason of the refusal', admitted),
    examples.length > 0 && examplesElement(examples),
    unknown.length > 0 && h('div', null, h('h3', null, 'What the replay cannot say'), h('ul.bulleted', null, unknown.map((sentence) => h('li', null, isolate(localTimes(sentence)))))),
  ];
}

/** Says first how far the records can be trusted. */
function trustElements({ since, until, revision, attempts, reproduced_attempts: explained, reproduced, warnings }) {
  const isTrusted = reproduced === null || reproduced >= TRUSTED_SHARE;
  // Rounded down: 100 % means all.
  const percent = Math.floor((reproduced ?? 0) * 1000) / 10;
  return [
    h('p', null,
      attempts > 0 && ['The recorded settings explain ', h('strong', null, `${percent} %`), ` of the recorded decisions (${explained.toLocaleString('en')} of ${attempts.toLocaleString('en')}). `],
      h('span.muted', null, `From ${formatDateTime(since)} to ${formatDateTime(until)}, with the change on top of revision ${revision}.`)),
    warnings.length > 0 && h(`div.note${isTrusted ? '.warning' : '.danger'}`, null,
      h('p', null, h('strong', null, isTrusted ? 'Read the numbers with care' : 'The numbers cannot be trusted')),
      h('ul.bulleted', null, warnings.map((warning) => h('li', null, isolate(localTimes(warning)))))),
  ];
}

const change = (before, after) => [before, h('span.muted', { 'aria-hidden': 'true' }, ' → '), h('span.visually-hidden', null, ' before, '), after, h('span.visually-hidden', null, ' after')];

const factsElement = ({ newly_refused: refused, newly_admitted: admitted, cut_shorter: cut, minutes_before: minutesBefore, minutes_after: minutesAfter, peak_before: peakBefore, peak_after: peakAfter }) =>
  definitionList('dl.card.padded.fact-grid', {
    'Newly refused': rangeOf(refused.attempts, 'attempt'),
    'Newly admitted': rangeOf(admitted.attempts, 'attempt'),
    'Cut shorter': [rangeOf(cut.sessions, 'session'), cut.minutes.most > 0 && `, ${rangeOf(cut.minutes, 'minute')} in all`],
    'Minutes of all sessions': change(minutesBefore.toLocaleString('en'), rangeText(minutesAfter)),
    'Most sessions at one time': change(peakBefore.toLocaleString('en'), rangeText(peakAfter)),
  });

const groupName = (name) => {
  if (name === null) return muted('none');
  return name === '(others)' ? muted('others') : isolate(name);
};

/** Creates the tables of attempts with another decision. */
function decisionsElement(title, reasonTitle, { attempts, by_reason: byReason, by_plan: byPlan, by_level: byLevel }) {
  if (attempts.most === 0) return null;
  const groupTable = (name, groups, nameOf) => {
    const columns = { [name]: '', Attempts: 'w10' };
    return table(`${title}: ${name.toLowerCase()}`, columns, groups.map((group) => tableRow(columns, null, nameOf(group.name), rangeText(group.attempts))));
  };
  return h('div.what-if-groups', null, h('h3', null, title),
    h('div.columns', null,
      groupTable(reasonTitle, byReason, reasonText),
      groupTable('Plan', byPlan, groupName),
      groupTable('Level', byLevel, groupName)));
}

const EXAMPLE_COLUMNS = { User: '', Attempt: 'w10', 'Plan and level': '', 'After the change': '', 'Decided with': 'w10' };

function examplesElement(examples) {
  const name = `Examples of ${examples.length === 1 ? 'one user' : `${examples.length} users`}`;
  return h('details', null, h('summary', null, name), table(name, EXAMPLE_COLUMNS, examples.map(exampleRow)));
}

function exampleRow({ difference, user_id: user, plan, level, at: time, revision, reasons, minutes }) {
  const [kind, text] = DIFFERENCES[difference] ?? ['', humanize(difference)];
  const because = difference === 'newly_admitted' ? 'was refused: ' : '';
  return tableRow(EXAMPLE_COLUMNS, null, longText(user), relativeTimeElement(time),
    [plan === null ? muted('no plan') : isolate(plan), ', ', level === null ? muted('no level') : isolate(level)],
    [badge(kind, text), reasons.length > 0 && h('div.hint', null, toSentence(because + reasons.map(reasonText).join(', '))), minutes !== null && h('div.hint', null, `${pluralize(minutes, 'minute')} less`)],
    revisionLink(revision));
}
