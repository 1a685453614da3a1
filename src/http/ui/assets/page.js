// What pages share: links, buttons, tables, and lists that are kept true in place.
import { fetchJson, queryString } from './api.js';
import { h, isolate, setChildren, subscribe } from './dom.js';
import { humanize, label } from './format.js';
import { errorAlert, pageLoader } from './parts.js';

/** A link. */
export const link = (href, ...content) => h('a', { href }, content);

/** The fragment of the history with these `filters`. */
export const historyHash = (filters) => `#/history${queryString(filters)}`;

/** A setting's name, which leads to its history. */
export const settingLink = (key) => link(historyHash({ key }), isolate(label(key)));

/** A revision, which leads to what it changed. */
export const revisionLink = (revision, name = 'Revision') => link(historyHash({ revision }), `${name} ${revision}`);

/** A button; `name` is what it is called where its text alone would not do. */
export const button = (text, onclick, name, spec = 'button') => h(spec, { type: 'button', 'aria-label': name, onclick }, text);

/** A state in a word. */
export const badge = (kind, text) => h('span.badge', { class: kind }, text);

/** What stands back. */
export const muted = (...content) => h('span.muted', null, content);

/** Names and what they stand for; what is null, undefined or empty is left out. */
export const definitionList = (spec, all) => h(spec, null, Object.entries(all).map(([name, value]) =>
  value && h('div', null, h('dt', null, name), h('dd', null, value))));

/** A field with its label. */
export const labeledField = (text, input) => h('label.field', null, text, input);

/** A field to choose one of `values`, or all; `then(value)` is told. */
export const selectField = (title, name, values, value, then, text = humanize) => labeledField(title,
  h('select', { name, onchange: ({ target }) => then(target.value) },
    ['', ...values].map((it) => h('option', { value: it, selected: it === value }, it ? text(it) : 'All'))));

/** A text that may be too long for its place, which is scrolled then. */
export const longText = (text) => (text.length > 200 ? h('span.long', { tabindex: '0' }, isolate(text)) : isolate(text));

/** A table with its name; `columns` are names with the class of their width. Its rows become cards on narrow screens. */
export const table = (name, columns, rows) => h('div.card', null, h('table.cards', { 'aria-label': name },
  h('thead', null, h('tr', null, Object.entries(columns).map(([title, width]) => h('th', { scope: 'col', class: width }, title)))),
  rows.nodeType ? rows : h('tbody', null, rows)));

/** A row of a table with these `columns`, named by its `first` cell. */
export function tableRow(columns, properties, first, ...cells) {
  const [, ...names] = Object.keys(columns);
  return h('tr', properties, h('th', { scope: 'row' }, first),
    cells.map((it, index) => h('td', { 'data-label': names[index] !== 'Actions' && names[index] }, it)));
}

/** Turns `old` into `fresh` where the two differ, so that focus, selection and scroll stay; `data-id` tells rows apart. */
export function morph(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  if (old.nodeType === 3 && fresh.nodeType === 3) {
    old.data = fresh.data;
    return;
  }
  if (old.nodeType !== 1 || old.nodeName !== fresh.nodeName) {
    old.replaceWith(fresh);
    return;
  }
  // Whether details are open is the reader's matter.
  for (const { name } of [...old.attributes]) if (name !== 'open' && !fresh.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  const wanted = new Set([...fresh.children].map((it) => it.dataset.id));
  const named = new Map();
  for (const it of [...old.children]) {
    const { id } = it.dataset;
    if (id && !wanted.has(id)) it.remove();
    else if (id) named.set(id, it);
  }
  let at = old.firstChild;
  for (const child of [...fresh.childNodes]) {
    const { id } = child.dataset ?? {};
    const match = id ? named.get(id) : at;
    if (match && match === at) at = at.nextSibling;
    else old.insertBefore(match ?? child, at);
    if (match) morph(match, child);
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

/**
 * Calls `then` every `ms` while the page is in sight, and at once when settings change or it comes in sight again; never
 * twice at a time. What fails is said in `wrong` until it goes well. Returns what calls it now.
 */
export function poll(ms, then, wrong, signal) {
  let [busy, due] = [false, false];
  const run = async () => {
    if (signal.aborted || document.visibilityState !== 'visible') return;
    due = busy;
    if (busy) return;
    busy = true;
    // The same words are not said over and over to those who listen.
    await then().then(() => setChildren(wrong), (problem) => { if (!signal.aborted && !wrong.firstChild) setChildren(wrong, errorAlert(problem)); });
    busy = false;
    if (due) run();
  };
  const timer = setInterval(run, ms);
  signal.addEventListener('abort', () => clearInterval(timer));
  document.addEventListener('visibilitychange', run, { signal });
  for (const name of ['change', 'resync', 'connected']) subscribe(name, run, signal);
  return run;
}

/** What reads a page of `path`, for `listing`: `rows` are the answer's `name`. */
export const pageReader = (path, name, query, signal) => async (cursor, limit) => {
  const answer = await fetchJson(path, { ...query, limit, cursor }, { signal });
  return { ...answer, rows: answer[name], next: answer.next_cursor };
};

/**
 * A table of what `load(cursor, limit)` gives as `{ rows, next }`, newest first. `draw(item)` is a row, whose `data-id` is
 * `id(item)`; `date(item)` is what it is sorted by, `none` says that there is nothing. `again()` keeps it true in place
 * and offers in `news` what is new, which `anew()` shows; `change(item)` redraws a row of ours, which then stays.
 */
export function liveTable({
  name, columns, size = 50, load, id, date, draw, none, news = h('p.news', { role: 'status' }), top = news, offer = (n) => `Show ${n} new`, anew,
}) {
  const [items, stays, rows] = [new Map(), new Set(), h('tbody')];
  const [card, nothing] = [table(name, columns, rows), h('div.card', null, none)];
  let [whole, ready] = [false, false];
  const pages = pageLoader(rows, async (cursor) => {
    const answer = await load(cursor, size);
    whole = !answer.next;
    return answer;
  }, (found) => {
    for (const it of found) items.set(id(it), it);
    card.hidden = items.size === 0;
    nothing.hidden = !card.hidden;
    return found.map(draw);
  });
  const rowOf = (it) => [...rows.children].find((row) => row.dataset.id === it);
  const first = async () => {
    ready = false;
    items.clear();
    for (const it of [rows, news]) setChildren(it);
    card.hidden = nothing.hidden = true;
    await pages.first();
    ready = true;
  };
  const redraw = (it) => {
    items.set(id(it), it);
    morph(rowOf(id(it)), draw(it));
  };
  const change = (it) => {
    if (!items.has(id(it))) return;
    stays.add(id(it));
    redraw(it);
  };
  anew ??= async () => {
    await first();
    rows.querySelector('a, button, summary')?.focus();
  };
  const again = async () => {
    if (!ready) return;
    const { rows: found, next } = await load(null, Math.min(200, Math.max(size, items.size)));
    // It may have been begun anew meanwhile.
    if (!ready) return;
    if (items.size === 0) {
      if (found.length) await first();
      return;
    }
    const oldest = whole ? -Infinity : Math.min(...[...items.values()].map(date));
    const until = next ? date(found.at(-1)) : -Infinity;
    const names = new Set(found.map(id));
    for (const [it, item] of items) {
      // What is no longer of this list goes, unless somebody is at it or has just acted on it.
      if (names.has(it) || date(item) <= until || stays.has(it) || rowOf(it).contains(document.activeElement)) continue;
      rowOf(it).remove();
      items.delete(it);
    }
    found.filter((it) => items.has(id(it))).forEach(redraw);
    const fresh = found.filter((it) => !items.has(id(it)) && date(it) >= oldest).length;
    morph(news, setChildren(news.cloneNode(), fresh > 0 && button(offer(fresh), anew)));
  };
  return { element: h('div', null, top, card, nothing, pages.end), first, again, change, refresh: () => items.forEach(redraw), items, rowOf };
}
