// What differs between two values, by words or by items, so that a look is enough.
import { h, isolate } from './dom.js';
import { formatValue, pluralize, valueElement } from './format.js';

// Beyond so many differing words the parts no longer tell anything, and finding them would take long.
const MOST = 400;
// What stays the same is cut beyond this many characters, or items, on each side of what does not.
const AROUND = { text: 90, list: 4 };

/** What differs between two values: an element with `del` for what went and `ins` for what came. */
export function valueDiff(before, after) {
  const both = (is) => is(before) && is(after);
  const isText = both((it) => typeof it === 'string');
  if (isText && before === after) return valueElement(after);
  if ((isText || both(Array.isArray)) && before.length && after.length) return isText ? texts(before, after) : lists(before, after);
  return h('div.change', null, valueElement(before), h('span.muted', { 'aria-hidden': 'true' }, '→'), h('span.visually-hidden', null, ' becomes '), valueElement(after));
}

const texts = (before, after) => reachable(h('div.value.long', { dir: 'auto' }, together(steps(split(before), split(after))).map(part)), before.length + after.length > 300);

const split = (text) => text.match(/\s+|[\p{L}\p{N}\p{M}_]+|[^\s\p{L}\p{N}\p{M}_]/gu) ?? [];

function part([kind, text], index, { length }) {
  if (kind !== 'same') return h(kind, null, text);
  const begin = index > 0 ? AROUND.text : 0;
  const end = index < length - 1 ? AROUND.text : 0;
  const left = text.length - begin - end;
  if (left < AROUND.text) return text;
  // Array.from would be slow here, and half a character at the edge is no harm: it is cut at whole ones.
  return [whole(text.slice(0, begin)), h('span.muted', null, ` … ${pluralize(left, 'character')} as before … `), whole(text.slice(text.length - end))];
}

const whole = (text) => text.replace(/[\uD800-\uDBFF]$/, '').replace(/^[\uDC00-\uDFFF]/, '');

/** Joins steps of one kind; a blank between two differences belongs to both. */
function together(list) {
  const parts = [];
  let [went, came] = ['', ''];
  const end = () => {
    if (went) parts.push(['del', went]);
    if (came) parts.push(['ins', came]);
    went = came = '';
  };
  list.forEach(([kind, text], index) => {
    const between = kind === 'same' && (went || came) && !text.trim() && list[index + 1] && list[index + 1][0] !== 'same';
    if (kind === 'same' && !between) {
      end();
      if (parts.at(-1)?.[0] === 'same') parts.at(-1)[1] += text;
      else parts.push(['same', text]);
      return;
    }
    if (kind !== 'ins') went += text;
    if (kind !== 'del') came += text;
  });
  end();
  return parts;
}

function lists(before, after) {
  const all = steps(before.map(formatValue), after.map(formatValue));
  const near = (index) => all.slice(Math.max(0, index - AROUND.list), index + AROUND.list + 1).some(([kind]) => kind !== 'same');
  const chips = [];
  let cut = 0;
  const end = () => {
    if (cut) chips.push(h('li.muted', null, `… ${cut} as before …`));
    cut = 0;
  };
  all.forEach(([kind, text], index) => {
    if (kind === 'same' && all.length > 12 && !near(index)) {
      cut += 1;
      return;
    }
    end();
    chips.push(h('li.chip', null, kind === 'same' ? isolate(text) : h(kind, null, isolate(text))));
  });
  end();
  return reachable(h('ul.chips.long', null, chips), chips.length > 24 || before.concat(after).join('').length > 400, 'list');
}

/** What may scroll can be reached by keyboard. */
function reachable(element, long, role = 'group') {
  if (long) for (const [name, value] of [['tabindex', '0'], ['role', role], ['aria-label', 'What differs']]) element.setAttribute(name, value);
  return element;
}

/** The steps from one list to another, `[del|ins|same, item]`; everything goes and comes where they differ too much. */
function steps(before, after) {
  let [start, end] = [0, 0];
  const shorter = Math.min(before.length, after.length);
  while (start < shorter && before[start] === after[start]) start += 1;
  while (end < shorter - start && before.at(-1 - end) === after.at(-1 - end)) end += 1;
  const same = (item) => ['same', item];
  const [old, young] = [before.slice(start, before.length - end), after.slice(start, after.length - end)];
  const between = shortest(old, young) ?? [...old.map((it) => ['del', it]), ...young.map((it) => ['ins', it])];
  return [...before.slice(0, start).map(same), ...between, ...before.slice(before.length - end).map(same)];
}

/** The shortest way (Myers 1986); null where it takes more than `MOST` steps. */
function shortest(old, young) {
  // By diagonal the farthest way: a step, then what stays the same from `start` to `x` of `old`, and the way before.
  const ways = new Map([[1, { x: 0 }]]);
  for (let depth = 0; depth <= MOST; depth += 1) {
    for (let line = -depth; line <= depth; line += 2) {
      const [left, right] = [ways.get(line - 1), ways.get(line + 1)];
      const comes = line === -depth || (line !== depth && left.x < right.x);
      const start = comes ? right.x : left.x + 1;
      let x = start;
      while (x < old.length && x - line < young.length && old[x] === young[x - line]) x += 1;
      const way = { x, start, step: depth > 0 && (comes ? ['ins', young[start - line - 1]] : ['del', old[start - 1]]), before: comes ? right : left };
      if (x >= old.length && x - line >= young.length) return walked(way, old);
      ways.set(line, way);
    }
  }
  return null;
}

function walked(way, old) {
  const all = [];
  for (let it = way; it.before; it = it.before) {
    for (let x = it.x; x > it.start; x -= 1) all.push(['same', old[x - 1]]);
    if (it.step) all.push(it.step);
  }
  return all.reverse();
}
