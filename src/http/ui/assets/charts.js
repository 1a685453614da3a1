// Pictures of what happened over time. Each is drawn for the width it has, and each has the same as a table beneath.
import { h, isolate, setChildren, svg } from './dom.js';
import { dateTimeElement, formatDateTime, formatValue, humanize, label, pluralize, timePreference, valueElement } from './format.js';
import { link, table, tableRow } from './page.js';

const HEIGHT = 120;
const EDGE = { left: 34, right: 8, top: 10 };
// Where the axis is.
const BOTTOM = HEIGHT - 22;
// A bar is a link, and can be hit: WCAG 2.5.8.
const NARROWEST = 24;

const GROUPS = { changed: 'Changes', restored: 'Restored', other: 'Refused, cleaned up' };
const GROUP_OF = { rollback: 'restored', refused: 'other', secret_cleanup: 'other' };

/** Changes over time as `GET …/timeline` tells them; `target(since, until)` is where a bar leads. */
export function timelineChart(data, target) {
  const begin = Date.parse(data.since);
  const end = Math.max(Date.parse(data.until), begin + 1000);
  const all = merge(data, 1);
  const about = `${pluralize(all[0].all, 'entry', 'entries')} from ${formatDateTime(begin)} to ${formatDateTime(end)}`;
  const groups = Object.entries(GROUPS).filter(([name]) => all[0][name]);
  const columns = { From: '', To: '', ...Object.fromEntries(groups.map(([, text]) => [text, ''])) };
  const legend = h('ul.legend', { 'aria-hidden': 'true' }, groups.map(([name, text]) => h('li', null, svg('svg', { width: 14, height: 14 }, rectangle(name, 1, 1, 12, 12)), text)));
  const list = h('div');
  return figure(about, [legend, list], (width) => {
    const bars = merge(data, Math.floor((width - EDGE.left - EDGE.right) / NARROWEST));
    const most = Math.max(...bars.map((it) => it.all));
    const x = scale(begin, end, EDGE.left, width - EDGE.right);
    const y = scale(0, most, BOTTOM, EDGE.top);
    setChildren(list, asTable('Entries over time', columns, bars.map((it) => [dateTimeElement(it.start), dateTimeElement(it.end), ...groups.map(([name]) => it[name])])));
    return svg('svg', { width, height: HEIGHT, role: 'group', 'aria-label': `${about}. Each bar leads to its entries.` },
      hatch(), axis(begin, end, x, width), level(most, y, width), bars.map((it) => bar(it, x, y, target, [begin, end])));
  });
}

/** Steps as `room` bars at most, several steps in one where there is no room for each. */
function merge({ since, until, step_seconds: seconds, buckets }, room) {
  const step = seconds * 1000;
  const place = (time) => Math.floor(Date.parse(time) / step);
  const first = place(since);
  const size = Math.ceil((place(until) - first + 1) / Math.max(1, room)) * step;
  const bars = new Map();
  for (const { start, counts } of buckets) {
    const from = first * step + Math.floor((place(start) - first) * step / size) * size;
    if (!bars.has(from)) bars.set(from, { start: from, end: from + size - 1, all: 0, counts: {}, changed: 0, restored: 0, other: 0 });
    const bar = bars.get(from);
    for (const [action, n] of Object.entries(counts)) {
      bar.all += n;
      bar.counts[action] = (bar.counts[action] ?? 0) + n;
      bar[GROUP_OF[action] ?? 'changed'] += n;
    }
  }
  return [...bars.values()];
}

function bar(it, x, y, target, [begin, end]) {
  const left = x(Math.max(it.start, begin));
  const room = Math.max(x(Math.min(it.end, end)) - left, 3);
  let sum = 0;
  const parts = Object.keys(GROUPS).filter((name) => it[name]).map((name) => {
    const base = y(sum);
    sum += it[name];
    const height = Math.max(base - y(sum), 2);
    return rectangle(name, left, base - height, room > 8 ? room - 2 : room, height);
  });
  const name = `${Object.entries(it.counts).map(([action, n]) => `${n} ${humanize(action)}`).join(', ')}: ${formatDateTime(it.start)} to ${formatDateTime(it.end)}`;
  // What can be hit is the whole height, and never narrower than it should be.
  const width = Math.max(room, NARROWEST);
  return svg('a', { href: target(new Date(it.start).toISOString(), new Date(it.end).toISOString()), 'aria-label': name },
    svg('title', null, name), svg('rect', { class: 'hit-area', x: left - (width - room) / 2, y: EDGE.top, width, height: BOTTOM - EDGE.top }), parts);
}

const rectangle = (name, x, y, width, height) => svg('rect', { class: `bar ${name}`, x, y, width, height, fill: name === 'restored' ? 'url(#hatch)' : null });

/** Stripes, so that it is not the colour alone that says what a bar is. */
const hatch = () => svg('pattern', { id: 'hatch', width: 5, height: 5, patternUnits: 'userSpaceOnUse', patternTransform: 'rotate(45)' },
  svg('rect', { class: 'hatch-background', width: 5, height: 5 }), svg('rect', { class: 'hatch-stripe', width: 2.5, height: 5 }));

const scale = (from, to, low, high) => (it) => low + ((it - from) / ((to - from) || 1)) * (high - low);

function axis(begin, end, x, width) {
  const last = Math.max(1, Math.min(6, Math.floor(width / 150) - 1));
  const hours = (end - begin) / 3_600_000;
  const form = new Intl.DateTimeFormat(undefined, {
    dateStyle: hours < 24 ? undefined : 'medium', timeStyle: hours < 1 ? 'medium' : hours < 96 ? 'short' : undefined, timeZone: timePreference.utc ? 'UTC' : undefined,
  });
  return svg('g', { class: 'axis', 'aria-hidden': 'true' }, svg('line', { x1: EDGE.left, x2: width - EDGE.right, y1: BOTTOM, y2: BOTTOM }),
    Array.from({ length: last + 1 }, (_, index) => {
      const when = begin + (end - begin) * index / last;
      return svg('text', { x: x(when), y: BOTTOM + 15, 'text-anchor': index === 0 ? 'start' : index === last ? 'end' : 'middle' }, form.format(when));
    }));
}

const level = (value, y, width) => svg('g', { class: 'axis', 'aria-hidden': 'true' },
  svg('line', { class: 'gridline', x1: EDGE.left, x2: width - EDGE.right, y1: y(value), y2: y(value) }),
  svg('text', { x: EDGE.left - 6, y: y(value) + 4, 'text-anchor': 'end' }, new Intl.NumberFormat('en', { notation: 'compact', maximumSignificantDigits: 4 }).format(value)));

/** The values of `key` over time, from its `entries`, newest first; null where there is nothing to draw. */
export function valueChart(key, entries) {
  const points = entries.filter((it) => it.version !== null).reverse()
    .map((it) => ({ at: Date.parse(it.changed_at), value: it.new_value, id: it.id, version: it.version }));
  if (points.length === 0) return null;
  const all = points.map((it) => it.value);
  const numbers = all.every((it) => typeof it === 'number');
  const [begin, now] = [points[0].at, Math.max(Date.now(), points.at(-1).at + 1000)];
  const known = [...new Set(all.map(formatValue))];
  const about = `${label(key)}: ${cut(formatValue(all.at(-1)), 60)} now, ${numbers ? `between ${Math.min(...all)} and ${Math.max(...all)}` : pluralize(known.length, 'value')} since ${formatDateTime(begin)}`;
  const list = asTable('Values over time', { Since: '', Version: '', Value: '' },
    [...points].reverse().map((it) => [dateTimeElement(it.at), link(`#/history/${it.id}`, `version ${it.version}`), valueElement(it.value)]));
  return figure(isolate(about), list, (width) => {
    const x = scale(begin, now, EDGE.left, width - EDGE.right);
    return svg('svg', { width, height: HEIGHT, role: 'img', 'aria-label': about }, axis(begin, now, x, width),
      numbers ? line(points, all, now, x, width) : band(points, known, now, x));
  });
}

function line(points, all, now, x, width) {
  const [low, high] = [Math.min(...all), Math.max(...all)];
  const y = low === high ? () => (BOTTOM + EDGE.top) / 2 : scale(low, high, BOTTOM - 10, EDGE.top + 4);
  const path = points.map((it, index) => `${index ? `H${x(it.at)}V` : `M${x(it.at)} `}${y(it.value)}`).join('');
  return [level(high, y, width), low !== high && level(low, y, width), svg('path', { class: 'step-line', d: `${path}H${x(now)}` }),
    points.map((it) => svg('circle', { class: 'data-point', cx: x(it.at), cy: y(it.value), r: points.length > 60 ? 2 : 3.5 }, svg('title', null, `${it.value} since ${formatDateTime(it.at)}`)))];
}

/** One band, as long as each value stood, with the value in it where there is room. */
function band(points, known, now, x) {
  return points.map((it, index) => {
    const left = x(it.at);
    const width = Math.max(x(points[index + 1]?.at ?? now) - left, 1.5);
    const text = valueElement(it.value).textContent;
    const room = Math.floor((width - 12) / 7.5);
    return svg('g', null, svg('title', null, `${cut(text, 200)} since ${formatDateTime(it.at)}`),
      svg('rect', { class: `value-band value-band-${known.indexOf(formatValue(it.value)) % 3}`, x: left, y: 30, width, height: 44 }),
      room > 1 && svg('text', { class: 'value-band-label', x: left + 6, y: 57 }, cut(text, room)));
  });
}

const cut = (text, room) => (text.length > room ? `${text.slice(0, room - 1)}…` : text);

/** A picture, what it is of, and what stands beneath; drawn anew when its width changes. */
function figure(about, beneath, draw) {
  const place = h('div.chart-area');
  let before = 0;
  new ResizeObserver(([{ contentRect: { width } }]) => {
    if (Math.abs(width - before) < 2) return;
    before = width;
    setChildren(place, draw(Math.max(200, Math.floor(width))));
  }).observe(place);
  return h('figure.chart', null, h('figcaption.hint', null, about), place, beneath);
}

const asTable = (name, columns, rows) => h('details', null, h('summary', null, 'As a table'),
  h('div.scroll-x', { tabindex: '0', role: 'region', 'aria-label': name }, table(name, columns, rows.map((cells) => tableRow(columns, null, ...cells)))));
