// Pictures of what happened over time. Each is drawn for the width it has, and each has the same as a table beneath.
import { search } from './api.js';
import { fill, h, said, svg, unique } from './dom.js';
import { clock, count, exact, label, plain, shown, timeExact, words } from './format.js';

const HEIGHT = 120;
const EDGE = { left: 34, right: 8, top: 10, bottom: 22 };
// A bar is a link, and can be hit: WCAG 2.5.8.
const NARROWEST = 24;

const GROUPS = [
  ['changed', 'Changes', ['seed', 'import', 'update', 'reset']],
  ['restored', 'Restored', ['rollback']],
  ['other', 'Refused, cleaned up', ['refused', 'secret_cleanup']],
];

/** Changes over time as `GET …/timeline` tells them; `target(since, until)` is where a bar leads. */
export function timeline(data, target) {
  const begin = Date.parse(data.since);
  const end = Math.max(Date.parse(data.until), begin + 1000);
  const all = data.buckets.flatMap((it) => Object.values(it.counts)).reduce((sum, it) => sum + it, 0);
  const about = `${count(all, 'entry', 'entries')} from ${exact(begin)} to ${exact(end)}`;
  const groups = GROUPS.filter(([, , actions]) => data.buckets.some((it) => actions.some((action) => it.counts[action])));
  const list = h('div');
  const legend = h('ul.legend', { 'aria-hidden': 'true' });
  return figure(about, [legend, list], (width) => {
    const bars = merge(data, Math.floor((width - EDGE.left - EDGE.right) / NARROWEST));
    const most = Math.max(1, ...bars.map((it) => it.all));
    const x = scale(begin, end, EDGE.left, width - EDGE.right);
    const y = scale(0, most, HEIGHT - EDGE.bottom, EDGE.top);
    fill(legend, groups.map(([name, text]) => h('li', null, svg('svg', { width: 14, height: 14 }, hatch(name), rectangle(name, 1, 1, 12, 12)), text)));
    fill(list, table('Entries over time', ['From', 'To', ...groups.map(([, text]) => text)], bars.map((it) =>
      [timeExact(it.start), timeExact(it.end), ...groups.map(([name]) => it[name])])));
    return svg('svg', { width, height: HEIGHT, role: 'group', 'aria-label': `${about}. Each bar leads to its entries.` },
      hatch('restored'), axis(begin, end, x, width), level(most, y, width), bars.map((it) => bar(it, x, y, target, [begin, end])));
  });
}

/** Steps as bars, several steps in one where there is no room for each. */
function merge({ since, until, step_seconds: seconds, buckets }, room) {
  const step = seconds * 1000;
  const first = Math.floor(Date.parse(since) / step);
  const steps = Math.floor(Date.parse(until) / step) - first + 1;
  const size = Math.max(1, Math.ceil(steps / Math.max(1, room)));
  const bars = new Map();
  for (const { start, counts } of buckets) {
    const place = Math.floor((Math.floor(Date.parse(start) / step) - first) / size);
    const from = (first + place * size) * step;
    const bar = bars.get(place) ?? { start: from, end: from + size * step - 1, all: 0, counts: {}, changed: 0, restored: 0, other: 0 };
    for (const [action, n] of Object.entries(counts)) {
      bar.all += n;
      bar.counts[action] = (bar.counts[action] ?? 0) + n;
      bar[GROUPS.find(([, , actions]) => actions.includes(action))?.[0] ?? 'other'] += n;
    }
    bars.set(place, bar);
  }
  return [...bars.values()];
}

function bar(it, x, y, target, [begin, end]) {
  const left = x(Math.max(it.start, begin));
  const room = Math.max(x(Math.min(it.end, end)) - left, 3);
  const [gap, parts] = [room > 8 ? 2 : 0, []];
  let sum = 0;
  for (const [name] of GROUPS) {
    if (!it[name]) continue;
    const top = y(sum + it[name]);
    const height = Math.max(y(sum) - top, 2);
    parts.push(rectangle(name, left, y(sum) - height, room - gap, height));
    sum += it[name];
  }
  const counts = Object.entries(it.counts).map(([action, n]) => `${n} ${words(action)}`).join(', ');
  const name = `${counts}: ${exact(it.start)} to ${exact(it.end)}`;
  // What can be hit is the whole height, and never narrower than it should be.
  const wide = Math.max(room, NARROWEST);
  return svg('a', { href: target(new Date(it.start).toISOString(), new Date(it.end).toISOString()), 'aria-label': name },
    svg('title', null, name), svg('rect', { class: 'hit', x: left - (wide - room) / 2, y: EDGE.top, width: wide, height: HEIGHT - EDGE.top - EDGE.bottom }), parts);
}

const rectangle = (name, x, y, width, height) => svg('rect', {
  class: `bar ${name}`, x, y, width, height, fill: name === 'restored' ? `url(#${name}-hatch)` : null });

/** Stripes, so that it is not the colour alone that says what a bar is. */
const hatch = (name) => name === 'restored' && svg('pattern', { id: 'restored-hatch', width: 5, height: 5, patternUnits: 'userSpaceOnUse', patternTransform: 'rotate(45)' },
  svg('rect', { class: 'ground', width: 5, height: 5 }), svg('rect', { class: 'stripe', width: 2.5, height: 5 }));

const scale = (from, to, low, high) => (it) => low + ((it - from) / ((to - from) || 1)) * (high - low);

function axis(begin, end, x, width) {
  const ticks = Math.max(2, Math.min(7, Math.floor(width / 130)));
  const bottom = HEIGHT - EDGE.bottom;
  return svg('g', { class: 'axis', 'aria-hidden': 'true' }, svg('line', { x1: EDGE.left, x2: width - EDGE.right, y1: bottom, y2: bottom }),
    Array.from({ length: ticks }, (_, index) => {
      const when = begin + ((end - begin) * index) / (ticks - 1);
      return svg('text', { x: x(when), y: bottom + 15, 'text-anchor': index === 0 ? 'start' : index === ticks - 1 ? 'end' : 'middle' }, day(when, end - begin));
    }));
}

function day(when, span) {
  const hours = span / 3_600_000;
  const options = hours < 0.2 ? { timeStyle: 'medium' } : hours < 24 ? { timeStyle: 'short' }
    : hours < 96 ? { weekday: 'short', hour: '2-digit', minute: '2-digit' } : hours < 24 * 300 ? { day: 'numeric', month: 'short' } : { month: 'short', year: 'numeric' };
  return new Intl.DateTimeFormat(undefined, { ...options, ...(clock.utc ? { timeZone: 'UTC' } : {}) }).format(when);
}

const level = (value, y, width) => svg('g', { class: 'axis', 'aria-hidden': 'true' },
  svg('line', { class: 'level', x1: EDGE.left, x2: width - EDGE.right, y1: y(value), y2: y(value) }),
  svg('text', { x: EDGE.left - 6, y: y(value) + 4, 'text-anchor': 'end' }, short(value)));

const short = (value) => new Intl.NumberFormat('en', { notation: Math.abs(value) >= 10_000 ? 'compact' : 'standard', maximumSignificantDigits: 4 }).format(value);

/** The values of `key` over time, from its `entries`, newest first; null where there is nothing to draw. */
export function values(key, entries) {
  const points = entries.filter((it) => it.version !== null).reverse()
    .map((it) => ({ at: Date.parse(it.changed_at), value: it.new_value, id: it.id, version: it.version }));
  if (points.length === 0) return null;
  const numbers = points.every((it) => typeof it.value === 'number');
  const [begin, now] = [points[0].at, Math.max(Date.now(), points.at(-1).at + 1000)];
  const known = new Set(points.map((it) => plain(it.value)));
  const about = numbers
    ? `${label(key)}: ${points.at(-1).value} now, between ${Math.min(...points.map((it) => it.value))} and ${Math.max(...points.map((it) => it.value))} since ${exact(begin)}`
    : `${label(key)}: ${cut(plain(points.at(-1).value), 60)} now, ${count(known.size, 'value')} since ${exact(begin)}`;
  const rows = [...points].reverse().map((it) => [timeExact(it.at), h('a', { href: `#/history/${it.id}` }, `version ${it.version}`), shown(it.value)]);
  return figure(said(about), [table('Values over time', ['Since', 'Version', 'Value'], rows)], (width) => {
    const x = scale(begin, now, EDGE.left, width - EDGE.right);
    return svg('svg', { width, height: HEIGHT, role: 'img', 'aria-label': about }, axis(begin, now, x, width),
      numbers ? line(points, now, x, width) : band(points, [...known], now, x));
  });
}

function line(points, now, x, width) {
  const [low, high] = [Math.min(...points.map((it) => it.value)), Math.max(...points.map((it) => it.value))];
  const y = low === high ? () => (HEIGHT - EDGE.bottom + EDGE.top) / 2 : scale(low, high, HEIGHT - EDGE.bottom - 10, EDGE.top + 4);
  const path = points.map((it, index) => `${index ? `H${x(it.at)}V` : `M${x(it.at)} `}${y(it.value)}`).join('');
  return [level(high, y, width), low !== high && level(low, y, width), svg('path', { class: 'steps', d: `${path}H${x(now)}` }),
    points.map((it) => svg('circle', { class: 'point', cx: x(it.at), cy: y(it.value), r: points.length > 60 ? 2 : 3.5 }, svg('title', null, `${it.value} since ${exact(it.at)}`)))];
}

/** One band, as long as each value stood, with the value in it where there is room. */
function band(points, known, now, x) {
  return points.map((it, index) => {
    const [left, right] = [x(it.at), x(points[index + 1]?.at ?? now)];
    const [text, width] = [name(it.value), Math.max(right - left, 1.5)];
    const room = Math.floor((width - 12) / 7.5);
    return svg('g', null, svg('title', null, `${cut(text, 200)} since ${exact(it.at)}`),
      svg('rect', { class: `state state-${known.indexOf(plain(it.value)) % 3}`, x: left, y: 30, width, height: 44 }),
      room > 1 && svg('text', { class: 'state-name', x: left + 6, y: 57 }, cut(text, room)));
  });
}

const name = (value) => (typeof value === 'boolean' ? (value ? 'on' : 'off') : Array.isArray(value) ? value.map(plain).join(', ') || 'empty list' : plain(value) || 'empty text');

const cut = (text, room) => (text.length > room ? `${text.slice(0, room - 1)}…` : text);

/** A picture, what it is of, and what stands beneath; drawn anew when its width changes. */
function figure(about, beneath, draw) {
  const place = h('div.picture');
  let before = 0;
  new ResizeObserver(([{ contentRect: { width } }]) => {
    if (Math.abs(width - before) < 2) return;
    before = width;
    fill(place, draw(Math.max(200, Math.floor(width))));
  }).observe(place);
  return h('figure.chart', null, h('figcaption.hint', null, about), place, beneath);
}

function table(caption, names, rows) {
  const id = unique('caption');
  return h('details', null, h('summary', null, 'As a table'), h('div.wide', { tabindex: '0', role: 'region', 'aria-labelledby': id }, h('table', null, h('caption', { id }, caption),
    h('thead', null, h('tr', null, names.map((it) => h('th', { scope: 'col' }, it)))),
    h('tbody', null, rows.map((cells) => h('tr', null, cells.map((it, index) => (index ? h('td', null, it) : h('th', { scope: 'row' }, it)))))))));
}

/** The fragment of the history with these `filters`. */
export const address = (filters) => `#/history${search(filters)}`;
