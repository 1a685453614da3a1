// The difference between two values, by word for texts and by item for lists.
import { h, isolate } from './dom.js';
import { formatValue, pluralize, valueElement } from './format.js';

// Above this number of edits a diff is unreadable, and the search is quadratic.
const MAX_EDITS = 400;
// Unchanged characters and items that are shown on each side of an edit.
// Texts up to this length are easier to compare as a whole.
const MAX_WHOLE_TEXT = 24;
const CONTEXT = { characters: 90, items: 4 };

/** Creates an element with the difference: `<del>` for removed parts, `<ins>` for added parts. */
export function valueDiff(before, after) {
  const areTexts = typeof before === 'string' && typeof after === 'string';
  if (areTexts && before === after) return valueElement(after);
  const areLists = Array.isArray(before) && Array.isArray(after);
  const areShort = areTexts && Math.max(before.length, after.length) <= MAX_WHOLE_TEXT;
  if ((areTexts || areLists) && !areShort && before.length > 0 && after.length > 0) return areTexts ? textDiff(before, after) : listDiff(before, after);
  return h('div.change', null,
    valueElement(before), h('span.muted', { 'aria-hidden': 'true' }, '→'), h('span.visually-hidden', null, ' changed to '), valueElement(after));
}

function textDiff(before, after) {
  const parts = mergeEdits(editScript(splitWords(before), splitWords(after)));
  const element = h('div.value.long', { dir: 'auto' }, parts.map(textPart));
  return makeFocusable(element, before.length + after.length > 300);
}

const splitWords = (text) => text.match(/\s+|[\p{L}\p{N}\p{M}_]+|[^\s\p{L}\p{N}\p{M}_]/gu) ?? [];

/** Draws a part of a text. A long unchanged part is shortened to its context. */
function textPart([kind, text], index, { length: count }) {
  if (kind !== 'same') return h(kind, null, text);
  const headLength = index > 0 ? CONTEXT.characters : 0;
  const tailLength = index < count - 1 ? CONTEXT.characters : 0;
  const hidden = text.length - headLength - tailLength;
  if (hidden < CONTEXT.characters) return text;
  // Array.from would split at whole characters but is slow for long texts.
  const head = dropHalfCharacters(text.slice(0, headLength));
  const tail = dropHalfCharacters(text.slice(text.length - tailLength));
  return [head, h('span.muted', null, ` … ${pluralize(hidden, 'unchanged character')} … `), tail];
}

/** Removes half a surrogate pair from either end. */
const dropHalfCharacters = (text) => text.replace(/[\uD800-\uDBFF]$/, '').replace(/^[\uDC00-\uDFFF]/, '');

/** Merges adjacent edits of one kind. White space between two edits becomes part of both. */
function mergeEdits(edits) {
  const parts = [];
  let removedText = '';
  let addedText = '';
  const flush = () => {
    if (removedText) parts.push(['del', removedText]);
    if (addedText) parts.push(['ins', addedText]);
    removedText = '';
    addedText = '';
  };
  edits.forEach(([kind, text], index) => {
    const next = edits[index + 1];
    const isBetweenEdits = kind === 'same' && (removedText || addedText) && !text.trim() && next && next[0] !== 'same';
    if (kind === 'same' && !isBetweenEdits) {
      flush();
      if (parts.at(-1)?.[0] === 'same') parts.at(-1)[1] += text;
      else parts.push(['same', text]);
      return;
    }
    if (kind !== 'ins') removedText += text;
    if (kind !== 'del') addedText += text;
  });
  flush();
  return parts;
}

function listDiff(before, after) {
  const edits = editScript(before.map(formatValue), after.map(formatValue));
  const isNearEdit = (index) => edits.slice(Math.max(0, index - CONTEXT.items), index + CONTEXT.items + 1).some(([kind]) => kind !== 'same');
  const chips = [];
  let hidden = 0;
  const flush = () => {
    if (hidden > 0) chips.push(h('li.muted', null, `… ${hidden} unchanged …`));
    hidden = 0;
  };
  edits.forEach(([kind, text], index) => {
    // A short list is shown completely.
    if (kind === 'same' && edits.length > 12 && !isNearEdit(index)) {
      hidden += 1;
      return;
    }
    flush();
    chips.push(h('li.chip', null, kind === 'same' ? isolate(text) : h(kind, null, isolate(text))));
  });
  flush();
  const characters = before.concat(after).join('').length;
  return makeFocusable(h('ul.chips.long', null, chips), chips.length > 24 || characters > 400, 'list');
}

/** Makes an element that may scroll reachable by keyboard: WCAG 2.1.1. */
function makeFocusable(element, mayScroll, role = 'group') {
  if (mayScroll) {
    element.setAttribute('tabindex', '0');
    element.setAttribute('role', role);
    element.setAttribute('aria-label', 'Difference');
  }
  return element;
}

/** Returns the edits from one list to another as `[del|ins|same, item]`. */
function editScript(before, after) {
  // Most edits are local, so skipping the common ends keeps the search short.
  let prefix = 0;
  let suffix = 0;
  const shorter = Math.min(before.length, after.length);
  while (prefix < shorter && before[prefix] === after[prefix]) prefix += 1;
  while (suffix < shorter - prefix && before.at(-1 - suffix) === after.at(-1 - suffix)) suffix += 1;
  const unchanged = (item) => ['same', item];
  const oldItems = before.slice(prefix, before.length - suffix);
  const newItems = after.slice(prefix, after.length - suffix);
  const replaceAll = () => [...oldItems.map((item) => ['del', item]), ...newItems.map((item) => ['ins', item])];
  return [
    ...before.slice(0, prefix).map(unchanged),
    ...(shortestEditScript(oldItems, newItems) ?? replaceAll()),
    ...before.slice(before.length - suffix).map(unchanged),
  ];
}

/** Returns the shortest edit script (Myers 1986), or null above `MAX_EDITS` edits. */
function shortestEditScript(oldItems, newItems) {
  // The path that reaches farthest on each diagonal: an edit, then unchanged items from `start` to `x`.
  const paths = new Map([[1, { x: 0 }]]);
  for (let depth = 0; depth <= MAX_EDITS; depth += 1) {
    for (let diagonal = -depth; diagonal <= depth; diagonal += 2) {
      const left = paths.get(diagonal - 1);
      const right = paths.get(diagonal + 1);
      const isInsert = diagonal === -depth || (diagonal !== depth && left.x < right.x);
      const start = isInsert ? right.x : left.x + 1;
      let x = start;
      while (x < oldItems.length && x - diagonal < newItems.length && oldItems[x] === newItems[x - diagonal]) x += 1;
      const edit = depth > 0 && (isInsert ? ['ins', newItems[start - diagonal - 1]] : ['del', oldItems[start - 1]]);
      const path = { x, start, edit, previous: isInsert ? right : left };
      if (x >= oldItems.length && x - diagonal >= newItems.length) return traceBack(path, oldItems);
      paths.set(diagonal, path);
    }
  }
  return null;
}

function traceBack(lastPath, oldItems) {
  const edits = [];
  for (let path = lastPath; path.previous; path = path.previous) {
    for (let x = path.x; x > path.start; x -= 1) edits.push(['same', oldItems[x - 1]]);
    if (path.edit) edits.push(path.edit);
  }
  return edits.reverse();
}
