// Changes as they are made: a stream that is opened once, and what it says to whoever listens.
import { fetchJson, serviceUrl } from './api.js';
import { emit, h, isolate, setChildren, subscribe } from './dom.js';
import { label, pluralize, relativeTimeElement } from './format.js';

const own = new Set();
/** Remembers a revision of our own, which is no news. */
export const markOwnRevision = (revision) => own.add(revision);

let source = null;
let wait = 1000;

/** Opens the stream, and again whenever it ends. */
export function connectLiveUpdates(mark) {
  const show = (up, text) => setChildren(mark, h(`span.status-dot${up ? '.success' : '.danger'}`), text);
  const open = () => {
    source?.close();
    source = new EventSource(serviceUrl('/admin/global-settings/stream'));
    source.onopen = () => {
      wait = 1000;
      show(true, 'Live');
    };
    // Where the stream starts: what was read at another revision may be outdated.
    source.addEventListener('start', ({ data }) => emit('connected', JSON.parse(data)));
    source.addEventListener('change', ({ data }) => heard(JSON.parse(data)));
    source.addEventListener('resync', () => emit('resync'));
    source.onerror = async () => {
      show(false, 'Not live');
      if (source.readyState !== EventSource.CLOSED) return;
      // The browser has given it up: because the token expired, or because the service is away.
      const known = await fetchJson('/admin/me', null, { ask: false }).then(() => true, (problem) => problem.status !== 401);
      if (!known) return subscribe('signed-in', open, once());
      setTimeout(open, wait);
      wait = Math.min(wait * 2, 30_000);
    };
  };
  open();
}

function once() {
  const control = new AbortController();
  subscribe('signed-in', () => control.abort(), control.signal);
  return control.signal;
}

function heard(change) {
  emit('change', change);
  // Our own answer may be on its way while its news is already here.
  setTimeout(() => { if (!own.has(change.revision)) news(change); }, 400);
}

/** A line about somebody's change, until it is put away. */
function news({ keys, changed_by: by, changed_at: at, reason, revision, truncated }) {
  const what = keys.length === 1 && !truncated ? label(keys[0]) : pluralize(keys.length, 'setting') + (truncated ? ' and more' : '');
  const line = h('div.banner', { role: 'status' }, h('span', null, isolate(by), ' changed ', h('strong', null, isolate(what)), ' ', relativeTimeElement(at), ': “', isolate(reason), '”'),
    h('span.row', null, h('a', { href: `#/history?revision=${revision}` }, 'See it'),
      h('button', { type: 'button', onclick: () => line.remove() }, 'Put away')));
  const place = document.querySelector('.banners');
  place.append(line);
  while (place.children.length > 3) place.firstChild.remove();
}
