// Tables that stay current: polling, DOM updates that keep focus and scroll position, and paginated lists.
import { fetchJson } from './api.js';
import { h, setChildren, subscribe } from './dom.js';
import { button, table } from './page.js';
import { errorAlert } from './parts.js';

/**
 * Updates `currentNode` to equal `updatedNode`, and keeps focus, selection and scroll position. Elements with a `data-id` are
 * matched by ID, others by position.
 */
export function morph(currentNode, updatedNode) {
  if (currentNode.isEqualNode(updatedNode)) return;
  if (currentNode.nodeType === Node.TEXT_NODE && updatedNode.nodeType === Node.TEXT_NODE) {
    currentNode.data = updatedNode.data;
    return;
  }
  if (currentNode.nodeType !== Node.ELEMENT_NODE || currentNode.nodeName !== updatedNode.nodeName) {
    currentNode.replaceWith(updatedNode);
    return;
  }
  morphAttributes(currentNode, updatedNode);
  morphChildren(currentNode, updatedNode);
}

function morphAttributes(currentNode, updatedNode) {
  for (const { name } of [...currentNode.attributes]) {
    // The user decides whether details are open.
    if (name !== 'open' && !updatedNode.hasAttribute(name)) currentNode.removeAttribute(name);
  }
  for (const { name, value } of updatedNode.attributes) {
    if (currentNode.getAttribute(name) !== value) currentNode.setAttribute(name, value);
  }
}

function morphChildren(currentNode, updatedNode) {
  const updatedIds = new Set([...updatedNode.children].map((child) => child.dataset.id));
  const childById = new Map();
  for (const child of [...currentNode.children]) {
    const { id } = child.dataset;
    if (id && !updatedIds.has(id)) child.remove();
    else if (id) childById.set(id, child);
  }
  let cursor = currentNode.firstChild;
  for (const child of [...updatedNode.childNodes]) {
    const { id } = child.dataset ?? {};
    const match = id ? childById.get(id) : cursor;
    if (match && match === cursor) cursor = cursor.nextSibling;
    else currentNode.insertBefore(match ?? child, cursor);
    if (match) morph(match, child);
  }
  while (cursor) {
    const next = cursor.nextSibling;
    cursor.remove();
    cursor = next;
  }
}

/**
 * Calls the async `callback` every `interval` ms while the page is visible, and immediately after a change of settings.
 * Calls do not overlap. An error is shown in `errorContainer` until a call succeeds. Returns a function that calls
 * `callback` now.
 */
export function poll(interval, callback, errorContainer, signal) {
  let isRunning = false;
  let isDue = false;
  const showError = (problem) => {
    // An alert that is replaced every few seconds would be announced each time.
    if (!signal.aborted && !errorContainer.firstChild) setChildren(errorContainer, errorAlert(problem));
  };
  const run = async () => {
    if (signal.aborted || document.visibilityState !== 'visible') return;
    // A change during a call may be missing in its response, so another call follows.
    isDue = isRunning;
    if (isRunning) return;
    isRunning = true;
    await callback().then(() => setChildren(errorContainer), showError);
    isRunning = false;
    if (isDue) run();
  };
  const timer = setInterval(run, interval);
  signal.addEventListener('abort', () => clearInterval(timer));
  document.addEventListener('visibilitychange', run, { signal });
  for (const name of ['change', 'resync', 'connected']) subscribe(name, run, signal);
  return run;
}

/** Returns a `load` function for `liveTable` that reads `path`. The rows are the property `name` of the response. */
export const pageReader = (path, name, query, signal) => async (cursor, limit) => {
  const response = await fetchJson(path, { ...query, limit, cursor }, { signal });
  return { ...response, rows: response[name], next: response.next_cursor };
};

class LiveTable {
  constructor({ name, columns, pageSize = 50, load, id, date, draw, empty, updates, header, newItemsLabel, showNewItems }) {
    Object.assign(this, { pageSize, fetchRows: load, id, date, draw });
    this.items = new Map();
    this.pinnedIds = new Set();
    this.rows = h('tbody');
    this.table = table(name, columns, this.rows);
    this.empty = h('div.card', null, empty);
    this.updates = updates ?? h('p.updates', { role: 'status' });
    this.newItemsLabel = newItemsLabel ?? ((count) => `Show ${count} new`);
    this.showNewItems = showNewItems ?? (() => this.reload());
    this.loadMore = h('p.row');
    this.hasAllItems = false;
    this.isReady = false;
    this.element = h('div', null, header ?? this.updates, this.table, this.empty, this.loadMore);
  }

  /** Loads the first page. */
  async load() {
    this.isReady = false;
    this.items.clear();
    setChildren(this.rows);
    setChildren(this.updates);
    this.table.hidden = true;
    this.empty.hidden = true;
    await this.loadPage(null);
    this.isReady = true;
  }

  async reload() {
    await this.load();
    this.rows.querySelector('a, button, summary')?.focus();
  }

  async loadPage(cursor) {
    try {
      const { rows, next } = await this.fetchRows(cursor, this.pageSize);
      this.hasAllItems = !next;
      for (const item of rows) this.items.set(this.id(item), item);
      this.table.hidden = this.items.size === 0;
      this.empty.hidden = !this.table.hidden;
      this.rows.append(...rows.map((item) => this.draw(item)));
      setChildren(this.loadMore, next && button('Load more', () => this.loadPage(next)));
    } catch (problem) {
      if (problem.name !== 'AbortError') setChildren(this.loadMore, errorAlert(problem, () => this.loadPage(cursor)));
    }
  }

  rowOf(id) {
    return [...this.rows.children].find((row) => row.dataset.id === id);
  }

  redrawItem(item) {
    this.items.set(this.id(item), item);
    morph(this.rowOf(this.id(item)), this.draw(item));
  }

  /** Draws all rows again from the loaded items. */
  redraw() {
    for (const item of [...this.items.values()]) this.redrawItem(item);
  }

  /** Replaces an item after an action of the user. Its row then stays, even if the filters exclude the item. */
  update(item) {
    if (!this.items.has(this.id(item))) return;
    this.pinnedIds.add(this.id(item));
    this.redrawItem(item);
  }

  /** Reads the newest items again, updates their rows in place, and offers new items. */
  async refresh() {
    if (!this.isReady) return;
    const { rows, next } = await this.fetchRows(null, Math.min(200, Math.max(this.pageSize, this.items.size)));
    // `load` may have been called during the request.
    if (!this.isReady) return;
    if (this.items.size === 0) {
      if (rows.length > 0) await this.load();
      return;
    }
    // Items older than the loaded items are behind “Load more”, and are not new.
    const oldestLoaded = this.hasAllItems ? -Infinity : Math.min(...[...this.items.values()].map(this.date));
    const oldestFetched = next ? this.date(rows.at(-1)) : -Infinity;
    this.removeMissing(new Set(rows.map(this.id)), oldestFetched);
    for (const item of rows) if (this.items.has(this.id(item))) this.redrawItem(item);
    const newItems = rows.filter((item) => !this.items.has(this.id(item)) && this.date(item) >= oldestLoaded);
    const offer = newItems.length > 0 && button(this.newItemsLabel(newItems.length), this.showNewItems);
    morph(this.updates, setChildren(this.updates.cloneNode(), offer));
  }

  /** Removes the items after `oldestFetched` that are not in `fetchedIds`. */
  removeMissing(fetchedIds, oldestFetched) {
    for (const [id, item] of this.items) {
      const isBeyondFetched = this.date(item) <= oldestFetched;
      if (fetchedIds.has(id) || isBeyondFetched || this.pinnedIds.has(id)) continue;
      // Removing the row in use would move the focus to the top of the page.
      if (this.rowOf(id).contains(document.activeElement)) continue;
      this.rowOf(id).remove();
      this.items.delete(id);
    }
  }
}

/**
 * Creates a paginated table, newest items first.
 *
 * Options: `name`, `columns`, `pageSize`, `load(cursor, limit)` that returns `{ rows, next }`, `id(item)`, `date(item)`,
 * `draw(item)` that creates a row with `data-id`, `empty` (content without items), `updates` (element for the offer of new
 * items), `header`, `newItemsLabel(count)`, `showNewItems()`.
 */
export const liveTable = (options) => new LiveTable(options);
