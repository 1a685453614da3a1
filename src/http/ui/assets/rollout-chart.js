// Pictures of a rollout's evidence: the scale of a guard, and the evidence of all guards over time. Both have a logarithmic scale,
// on which 1 means that nothing speaks for harm.
import { chart, dataTable, linearScale, timeAxis } from './charts.js';
import { h, svg } from './dom.js';
import { dateTimeElement, formatDateTime } from './format.js';
import { guardTitle } from './rollout-text.js';

/** Returns evidence with three significant digits. */
export function formatEvidence(evidence) {
  if (evidence === null || evidence === undefined) return 'unknown';
  const isExtreme = evidence >= 1e6 || (evidence > 0 && evidence < 0.001);
  return new Intl.NumberFormat('en', { maximumSignificantDigits: 3, notation: isExtreme ? 'scientific' : 'standard' }).format(evidence);
}

// The parts of the scale in percent: evidence of 1 is at the middle, and the evidence that reverts begins the last part.
const MIDDLE = 50;
const REVERTS = 90;
const MARKER_BOUNDS = [2, 98];

/** Returns the position of evidence on the scale in percent. */
export function scalePosition(evidence, limit) {
  const position = MIDDLE + (REVERTS - MIDDLE) * Math.log(Math.max(evidence, Number.MIN_VALUE)) / Math.log(limit);
  return Math.min(Math.max(position, MARKER_BOUNDS[0]), MARKER_BOUNDS[1]);
}

/** Draws the scale of a guard from “leans to fine” to “reverts”. The text beside the scale says the same. */
export function evidenceScale(title, { evidence, reverts_at: limit }) {
  const x = `${scalePosition(evidence, limit)}%`;
  const part = (kind, from, to) => svg('rect', { class: `zone ${kind}`, x: `${from}%`, y: 5, width: `${to - from}%`, height: 12 });
  return h('div.evidence-scale', null,
    svg('svg', { width: '100%', height: 22, role: 'img', 'aria-label': `${title}: evidence ${formatEvidence(evidence)}, between leaning to fine below 1 and a revert at ${formatEvidence(limit)}` },
      part('fine', 0, MIDDLE), part('unclear', MIDDLE, REVERTS), part('harmful', REVERTS, 100),
      svg('line', { class: 'marker', x1: x, x2: x, y1: 1, y2: 21 }), svg('circle', { class: 'marker', cx: x, cy: 11, r: 5 })),
    h('div.scale-labels', { 'aria-hidden': 'true' }, h('span', null, 'leans to fine'), h('span', null, 'unclear'), h('span', null, 'reverts')));
}

const CHART_HEIGHT = 180;
const CHART_AXIS_Y = CHART_HEIGHT - 22;
const CHART_MARGIN = { left: 46, right: 8, top: 12 };
const LEAST_EVIDENCE = 0.1;
// Guards with the same evidence, such as 1 at the begin, have lines beside each other.
const LINE_OFFSET = 3;
const COLUMNS = { Time: '', Guard: '', User: '', Evidence: '' };

/** Draws the evidence of each guard over time, with a table of the failures. */
export function evidenceChart({ guards, history, rolling_since: start, ended }) {
  const judging = guards.filter(({ judges }) => judges);
  const limit = judging[0]?.reverts_at;
  if (history.length === 0 || !limit) return h('p.muted', null, 'No user has failed yet.');
  // The service lists the newest failures only.
  const isComplete = guards.reduce((sum, { candidate, control }) => sum + candidate + control, 0) <= history.length;
  const failures = [...history].sort((a, b) => Date.parse(a.at) - Date.parse(b.at));
  const since = Date.parse(start);
  const until = Math.max(ended ? Date.parse(ended.at) : Date.now(), Date.parse(failures.at(-1).at), since + 1000);
  const values = failures.map(({ evidence }) => evidence).filter((evidence) => evidence !== null);
  const highest = Math.max(limit * 2, ...values);
  const lowest = Math.min(LEAST_EVIDENCE, ...values.filter((evidence) => evidence > 0));
  const caption = `Evidence of harm by guard since ${formatDateTime(start)}, on a logarithmic scale: below 1 leans to fine, at ${formatEvidence(limit)} the rollout is reverted`;
  const rows = [...failures].reverse().map(({ at, guard, candidate, evidence }) =>
    [dateTimeElement(at), guardTitle(guard), candidate ? 'candidate' : 'control', formatEvidence(evidence)]);
  const legend = h('ul.legend', { 'aria-hidden': 'true' }, judging.map(({ guard }, index) =>
    h('li', null, svg('svg', { width: 28, height: 14 }, svg('path', { class: `evidence-line line-${index % 3}`, d: 'M0 7H28' })), guardTitle(guard))),
  h('li', null, svg('svg', { width: 14, height: 14 }, svg('circle', { class: 'evidence-point', cx: 7, cy: 7, r: 4 })), 'candidate user'),
  h('li', null, svg('svg', { width: 14, height: 14 }, svg('circle', { class: 'evidence-point control', cx: 7, cy: 7, r: 4 })), 'control user'));
  return chart(caption, [legend, dataTable('Failures, newest first', COLUMNS, rows)], (width) => {
    const x = linearScale(since, until, CHART_MARGIN.left, width - CHART_MARGIN.right);
    const logarithmic = linearScale(Math.log(lowest), Math.log(highest), CHART_AXIS_Y - 6, CHART_MARGIN.top);
    const y = (evidence) => logarithmic(Math.log(Math.max(evidence, lowest)));
    return svg('svg', { width, height: CHART_HEIGHT, role: 'img', 'aria-label': caption },
      timeAxis(since, until, x, width, { axisY: CHART_AXIS_Y, left: CHART_MARGIN.left }),
      threshold(1, '1', y, width), threshold(limit, formatEvidence(limit), y, width, 'limit'),
      judging.map(({ guard }, index) => svg('g', { transform: `translate(0 ${(index - (judging.length - 1) / 2) * LINE_OFFSET})` },
        guardLine(failures.filter((failure) => failure.guard === guard), index, { x, y, until, isComplete }))));
  });
}

/** Draws the line of a guard: the evidence stays until the next user meets the guard. */
function guardLine(failures, index, { x, y, until, isComplete }) {
  const known = failures.filter(({ evidence }) => evidence !== null);
  // Without a failing user the evidence is 1.
  if (failures.length === 0 && isComplete) return svg('path', { class: `evidence-line line-${index % 3}`, d: `M${CHART_MARGIN.left} ${y(1)}H${x(until)}` });
  if (known.length === 0) return null;
  const [first] = known;
  const start = isComplete ? `M${CHART_MARGIN.left} ${y(1)}` : `M${x(Date.parse(first.at))} ${y(first.evidence)}`;
  const path = known.map(({ at, evidence }) => `H${x(Date.parse(at))}V${y(evidence)}`).join('');
  return [
    svg('path', { class: `evidence-line line-${index % 3}`, d: `${start}${path}H${x(until)}` }),
    known.map(({ at, guard, candidate, evidence }) => svg('circle', { class: `evidence-point${candidate ? '' : ' control'}`, cx: x(Date.parse(at)), cy: y(evidence), r: known.length > 60 ? 2 : 3.5 },
      svg('title', null, `${guardTitle(guard)}, ${candidate ? 'candidate' : 'control'} user: evidence ${formatEvidence(evidence)}, ${formatDateTime(at)}`))),
  ];
}

const threshold = (evidence, text, y, width, kind = '') => svg('g', { class: 'axis', 'aria-hidden': 'true' },
  svg('line', { class: `gridline ${kind}`, x1: CHART_MARGIN.left, x2: width - CHART_MARGIN.right, y1: y(evidence), y2: y(evidence) }),
  svg('text', { x: CHART_MARGIN.left - 6, y: y(evidence) + 4, 'text-anchor': 'end' }, text));
