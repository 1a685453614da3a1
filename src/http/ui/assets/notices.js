// Notices above the page: what was saved or proposed, and what other people changed. A notice belongs to a subject; a newer
// notice of the same subject replaces the older.
import { emit, h, setChildren } from './dom.js';

// Notices and the banners of freezes and stops cover at most this number of lines.
const MAX_LINES = 2;

const notices = new Map();
let reservedLines = 0;

/** Returns the number of notices. */
export const noticeCount = () => notices.size;

/** Sets the number of lines that other banners take. */
export function setReservedLines(lines) {
  reservedLines = lines;
  removeOldest();
}

/**
 * Shows a notice of `subject`: `{ kind, content, actions, onremove, since }`. `kind` is '' or 'success'. `since` is the time of
 * the event, by `performance.now()`; by default that of the notice that is replaced, or now. Unchanged content is not drawn
 * again. Returns the element.
 */
export function showNotice(subject, { kind = '', content, actions = [], onremove = () => null, since }) {
  const text = h('span', null, content);
  const previous = notices.get(subject)?.element;
  const className = `banner ${kind}`.trim();
  const isUnchanged = previous?.firstChild.textContent === text.textContent && previous.className === className;
  if (isUnchanged && actions.length === 0) return previous;
  const element = previous ?? h('div', { role: 'status' });
  element.className = className;
  setChildren(element, text, h('span.row', null, actions, h('button', { type: 'button', onclick: () => removeNotice(subject) }, 'Dismiss')));
  notices.set(subject, { element, onremove, since: since ?? notices.get(subject)?.since ?? performance.now() });
  if (!previous) {
    document.querySelector('.banners').append(element);
  }
  emit('notices');
  removeOldest();
  return element;
}

/** Removes the notice of `subject`, if any. */
export function removeNotice(subject) {
  const notice = notices.get(subject);
  if (!notice) return;
  const { element, onremove } = notice;
  // Removing the focused button would move the focus to the top of the document.
  if (element.contains(document.activeElement)) document.querySelector('main').focus({ preventScroll: true });
  element.remove();
  notices.delete(subject);
  onremove();
  emit('notices');
}

function removeOldest() {
  // The newest notice is always shown. By the time of the event: a late notice of an earlier event must not replace the
  // answer to what the user did since.
  if (notices.size <= Math.max(1, MAX_LINES - reservedLines)) return;
  const [[oldest]] = [...notices].sort(([, a], [, b]) => a.since - b.since);
  removeNotice(oldest);
  removeOldest();
}
