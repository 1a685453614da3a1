// SVG charts of changes over time. Each chart is drawn for its current width and is followed by a table of the same data.
import { h, isolate, setChildren, svg } from './dom.js';
import { capitalize, dateTimeElement, formatDateTime, formatValue, humanize, label, pluralize, timePreference, truncate, valueElement } from './format.js';
import { link, table, tableRow } from './page.js';

const HEIGHT = 120;
const MARGIN = { left: 34, right: 8, top: 10 };
const AXIS_Y = HEIGHT - 22;
// A bar is a link, and a target has at least 24 pixels: WCAG 2.5.8.
const MIN_TARGET_WIDTH = 24;

// The mark of a release: a label above the bars.
const MARK_HEIGHT = 24;
const MARK_CHARACTER_WIDTH = 7;
const MAX_MARK_LENGTH = 20;

const GROUPS = { changed: 'Changes', restored: 'Restored', decided: 'Decisions', other: 'Rejected or cleaned up' };
const GROUP_OF_ACTION = { rollback: 'restored', decision: 'decided', refused: 'other', secret_cleanup: 'other' };

/**
 * Draws the number of changes over time from the response of `GET …/timeline`. `linkTo(since, until)` is the link of a bar.
 * `releases` are marked at the times of their naming.
 */
export function timelineChart(data, linkTo, releases = []) {
  const since = Date.parse(data.since);
  // A range of zero length would have no scale.
  const until = Math.max(Date.parse(data.until), since + 1000);
  const [total] = mergeBuckets(data, 1);
  const caption = `${pluralize(total.count, 'entry', 'entries')} from ${formatDateTime(since)} to ${formatDateTime(until)}`;
  const groups = Object.entries(GROUPS).filter(([group]) => total[group] > 0);
  const columns = { From: '', To: '', ...Object.fromEntries(groups.map(([, name]) => [name, ''])) };
  const legend = h('ul.legend', { 'aria-hidden': 'true' }, groups.map(([group, name]) =>
    h('li', null, svg('svg', { width: 14, height: 14 }, rectangle(group, 1, 1, 12, 12)), name)));
  const tableContainer = h('div');
  const marks = releases.map((release) => ({ ...release, time: Date.parse(release.made_at) }))
    .filter(({ time }) => time >= since && time <= until).sort((a, b) => a.time - b.time);
  return chart(caption, [legend, tableContainer], (width) => {
    const bars = mergeBuckets(data, Math.floor((width - MARGIN.left - MARGIN.right) / MIN_TARGET_WIDTH));
    const highest = Math.max(...bars.map((bar) => bar.count));
    const x = linearScale(since, until, MARGIN.left, width - MARGIN.right);
    const y = linearScale(0, highest, AXIS_Y, MARGIN.top + (marks.length > 0 ? MARK_HEIGHT : 0));
    const rows = bars.map((bar) => [dateTimeElement(bar.start), dateTimeElement(bar.end), ...groups.map(([group]) => bar[group])]);
    setChildren(tableContainer, dataTable('Entries over time', columns, rows));
    return svg('svg', { width, height: HEIGHT, role: 'group', 'aria-label': `${caption}. Each bar links to its entries.` },
      hatchPattern(), timeAxis(since, until, x, width), gridline(highest, y, width),
      bars.map((bar) => stackedBar(bar, x, y, linkTo, since, until)), releaseMarks(marks, x, width));
  });
}

/** Draws the marks of releases, each a line with the name above the bars. Names that would overlap become one mark. */
function releaseMarks(marks, x, width) {
  const groups = [];
  let rightEdge = -Infinity;
  for (const mark of marks) {
    const { name } = mark;
    const labelWidth = Math.max(MIN_TARGET_WIDTH, truncate(name, MAX_MARK_LENGTH).length * MARK_CHARACTER_WIDTH + 12);
    const left = Math.min(x(mark.time), width - MARGIN.right - labelWidth);
    if (left < rightEdge) {
      groups.at(-1).releases.push(mark);
      continue;
    }
    rightEdge = left + labelWidth + MARK_CHARACTER_WIDTH * 3;
    groups.push({ left, labelWidth, releases: [mark] });
  }
  return groups.map((group) => releaseMark(group, x));
}

function releaseMark({ left, labelWidth, releases }, x) {
  const [{ name }] = releases;
  const isSingle = releases.length === 1;
  const text = truncate(name, MAX_MARK_LENGTH) + (isSingle ? '' : ` +${releases.length - 1}`);
  const boxWidth = isSingle ? labelWidth : labelWidth + MARK_CHARACTER_WIDTH * 3;
  const describe = (release) => `release ${release.name}, revision ${release.revision}, named ${formatDateTime(release.time)}`;
  const description = capitalize(releases.map(describe).join('; '));
  return svg('a', { class: 'release-mark', href: isSingle ? `#/history/releases/${encodeURIComponent(name)}` : '#/history/releases', 'aria-label': description },
    svg('title', null, description),
    releases.map(({ time }) => svg('line', { x1: x(time), x2: x(time), y1: MARK_HEIGHT, y2: AXIS_Y })),
    svg('rect', { x: left, y: 0, width: boxWidth, height: MARK_HEIGHT, rx: 4 }),
    svg('text', { x: left + 6, y: 16 }, text));
}

/** Merges adjacent buckets until at most `limit` bars are left. */
function mergeBuckets({ since, until, step_seconds: stepSeconds, buckets }, limit) {
  const step = stepSeconds * 1000;
  const stepOf = (time) => Math.floor(Date.parse(time) / step);
  const firstStep = stepOf(since);
  const barDuration = Math.ceil((stepOf(until) - firstStep + 1) / Math.max(1, limit)) * step;
  const bars = new Map();
  for (const { start: bucketStart, counts } of buckets) {
    const offset = (stepOf(bucketStart) - firstStep) * step;
    const start = firstStep * step + Math.floor(offset / barDuration) * barDuration;
    if (!bars.has(start)) bars.set(start, { start, end: start + barDuration - 1, count: 0, counts: {}, changed: 0, restored: 0, decided: 0, other: 0 });
    const bar = bars.get(start);
    for (const [action, count] of Object.entries(counts)) {
      bar.count += count;
      bar.counts[action] = (bar.counts[action] ?? 0) + count;
      bar[GROUP_OF_ACTION[action] ?? 'changed'] += count;
    }
  }
  return [...bars.values()];
}

function stackedBar(bar, x, y, linkTo, since, until) {
  const left = x(Math.max(bar.start, since));
  const width = Math.max(x(Math.min(bar.end, until)) - left, 3);
  let sum = 0;
  const segments = Object.keys(GROUPS).filter((group) => bar[group] > 0).map((group) => {
    const base = y(sum);
    sum += bar[group];
    // A single entry must be visible beside thousands.
    const height = Math.max(base - y(sum), 2);
    return rectangle(group, left, base - height, width > 8 ? width - 2 : width, height);
  });
  const counts = Object.entries(bar.counts).map(([action, count]) => `${count} ${humanize(action)}`).join(', ');
  const name = `${counts}: ${formatDateTime(bar.start)} to ${formatDateTime(bar.end)}`;
  // The hit area has the full height, and is wider than a narrow bar.
  const hitWidth = Math.max(width, MIN_TARGET_WIDTH);
  const hitArea = svg('rect', { class: 'hit-area', x: left - (hitWidth - width) / 2, y: MARGIN.top, width: hitWidth, height: AXIS_Y - MARGIN.top });
  return svg('a', { href: linkTo(new Date(bar.start).toISOString(), new Date(bar.end).toISOString()), 'aria-label': name },
    svg('title', null, name), hitArea, segments);
}

const rectangle = (group, x, y, width, height) =>
  svg('rect', { class: `bar ${group}`, x, y, width, height, fill: group === 'restored' ? 'url(#hatch)' : null });

/** Stripes for restored entries: colour alone must not carry the meaning (WCAG 1.4.1). */
const hatchPattern = () => svg('pattern', { id: 'hatch', width: 5, height: 5, patternUnits: 'userSpaceOnUse', patternTransform: 'rotate(45)' },
  svg('rect', { class: 'hatch-background', width: 5, height: 5 }), svg('rect', { class: 'hatch-stripe', width: 2.5, height: 5 }));

/** Returns a function that maps `fromMin`..`fromMax` to `toMin`..`toMax`. */
export const linearScale = (fromMin, fromMax, toMin, toMax) => (value) => toMin + ((value - fromMin) / ((fromMax - fromMin) || 1)) * (toMax - toMin);

/** Draws an axis of time at the height `axisY`. */
export function timeAxis(since, until, x, width, { axisY = AXIS_Y, left = MARGIN.left } = {}) {
  const lastTick = Math.max(1, Math.min(6, Math.floor(width / 150) - 1));
  const hours = (until - since) / 3_600_000;
  // Ticks of a short range need the time, ticks of a long range the date.
  const timeStyle = hours < 1 ? 'medium' : 'short';
  const dateFormat = new Intl.DateTimeFormat(undefined, {
    dateStyle: hours < 24 ? undefined : 'medium',
    timeStyle: hours < 96 ? timeStyle : undefined,
    timeZone: timePreference.utc ? 'UTC' : undefined,
  });
  const tick = (index) => {
    const time = since + (until - since) * index / lastTick;
    const endAnchor = index === lastTick ? 'end' : 'middle';
    return { text: dateFormat.format(time), x: x(time), y: axisY + 15, 'text-anchor': index === 0 ? 'start' : endAnchor };
  };
  // In a range of a few seconds, adjacent ticks have the same text.
  const ticks = Array.from({ length: lastTick + 1 }, (_, index) => tick(index)).filter(({ text }, index, all) => text !== all[index - 1]?.text);
  return svg('g', { class: 'axis', 'aria-hidden': 'true' },
    svg('line', { x1: left, x2: width - MARGIN.right, y1: axisY, y2: axisY }),
    ticks.map(({ text, ...position }) => svg('text', position, text)));
}

function gridline(value, y, width) {
  const numberFormat = new Intl.NumberFormat('en', { notation: 'compact', maximumSignificantDigits: 4 });
  return svg('g', { class: 'axis', 'aria-hidden': 'true' },
    svg('line', { class: 'gridline', x1: MARGIN.left, x2: width - MARGIN.right, y1: y(value), y2: y(value) }),
    svg('text', { x: MARGIN.left - 6, y: y(value) + 4, 'text-anchor': 'end' }, numberFormat.format(value)));
}

/** Draws the values of `key` over time from `entries`, newest first. Returns null if no entry has a value. */
export function valueChart(key, entries) {
  const points = entries.filter((entry) => entry.version !== null).reverse()
    .map((entry) => ({ time: Date.parse(entry.changed_at), value: entry.new_value, id: entry.id, version: entry.version }));
  if (points.length === 0) return null;
  const values = points.map((point) => point.value);
  const isNumeric = values.every((value) => typeof value === 'number');
  const since = points[0].time;
  const now = Math.max(Date.now(), points.at(-1).time + 1000);
  const distinctValues = [...new Set(values.map(formatValue))];
  const range = isNumeric ? `between ${Math.min(...values)} and ${Math.max(...values)}` : pluralize(distinctValues.length, 'value');
  const caption = `${label(key)}: currently ${truncate(formatValue(values.at(-1)), 60)}, ${range} since ${formatDateTime(since)}`;
  const rows = [...points].reverse().map((point) =>
    [dateTimeElement(point.time), link(`#/history/${point.id}`, `version ${point.version}`), valueElement(point.value)]);
  return chart(isolate(caption), dataTable('Values over time', { Since: '', Version: '', Value: '' }, rows), (width) => {
    const x = linearScale(since, now, MARGIN.left, width - MARGIN.right);
    return svg('svg', { width, height: HEIGHT, role: 'img', 'aria-label': caption }, timeAxis(since, now, x, width),
      isNumeric ? stepLine(points, now, x, width) : valueBands(points, distinctValues, now, x));
  });
}

function stepLine(points, now, x, width) {
  const values = points.map((point) => point.value);
  const lowest = Math.min(...values);
  const highest = Math.max(...values);
  const y = lowest === highest ? () => (AXIS_Y + MARGIN.top) / 2 : linearScale(lowest, highest, AXIS_Y - 10, MARGIN.top + 4);
  const moveTo = (point, index) => (index > 0 ? `H${x(point.time)}V` : `M${x(point.time)} `);
  const path = points.map((point, index) => moveTo(point, index) + y(point.value)).join('');
  const radius = points.length > 60 ? 2 : 3.5;
  return [
    gridline(highest, y, width),
    lowest !== highest && gridline(lowest, y, width),
    svg('path', { class: 'step-line', d: `${path}H${x(now)}` }),
    points.map((point) => svg('circle', { class: 'data-point', cx: x(point.time), cy: y(point.value), r: radius },
      svg('title', null, `${point.value} since ${formatDateTime(point.time)}`))),
  ];
}

/** Draws a band for each value, as wide as the value was in effect. A wide band has the value as text. */
function valueBands(points, distinctValues, now, x) {
  const characterWidth = 7.5;
  return points.map((point, index) => {
    const left = x(point.time);
    // A value of a few seconds must be visible beside values of months.
    const width = Math.max(x(points[index + 1]?.time ?? now) - left, 1.5);
    const text = valueElement(point.value).textContent;
    const characters = Math.floor((width - 12) / characterWidth);
    const colour = distinctValues.indexOf(formatValue(point.value)) % 3;
    return svg('g', null, svg('title', null, `${truncate(text, 200)} since ${formatDateTime(point.time)}`),
      svg('rect', { class: `value-band value-band-${colour}`, x: left, y: 30, width, height: 44 }),
      characters > 1 && svg('text', { class: 'value-band-label', x: left + 6, y: 57 }, truncate(text, characters)));
  });
}

/** Creates a figure with `caption` and the content below. `draw(width)` is called again when the width changes. */
export function chart(caption, contentBelow, draw) {
  const area = h('div.chart-area');
  let drawnWidth = 0;
  new ResizeObserver(([{ contentRect: { width } }]) => {
    // Drawing may itself change the width by a fraction of a pixel.
    if (Math.abs(width - drawnWidth) < 2) return;
    drawnWidth = width;
    setChildren(area, draw(Math.max(200, Math.floor(width))));
  }).observe(area);
  return h('figure.chart', null, h('figcaption.hint', null, caption), area, contentBelow);
}

/** Creates the table of a chart's data, closed at first. */
export const dataTable = (name, columns, rows) => h('details', null, h('summary', null, 'Show as table'),
  h('div.scroll-x', { tabindex: '0', role: 'region', 'aria-label': name }, table(name, columns, rows.map((cells) => tableRow(columns, null, ...cells)))));
