// Live updates: server-sent events of changes, and banners for changes of other users.
import { fetchJson, serviceUrl } from './api.js';
import { emit, h, isolate, setChildren, subscribe } from './dom.js';
import { label, pluralize, relativeTimeElement } from './format.js';

const ownRevisions = new Set();
/** Marks a revision as saved by this page. No banner is shown for the revision. */
export const markOwnRevision = (revision) => ownRevisions.add(revision);

const INITIAL_RETRY_DELAY = 1000;
const MAX_RETRY_DELAY = 30_000;
const MAX_BANNERS = 3;

let eventSource = null;
let retryDelay = INITIAL_RETRY_DELAY;

/** Connects to the event stream, reconnects after errors, and shows the state in `indicator`. */
export function connectLiveUpdates(indicator) {
  const showState = (kind, text) => setChildren(indicator, h(`span.status-dot.${kind}`), text);
  const connect = () => {
    eventSource?.close();
    eventSource = new EventSource(serviceUrl('/admin/global-settings/stream'));
    eventSource.onopen = () => {
      retryDelay = INITIAL_RETRY_DELAY;
      showState('success', 'Live');
    };
    // Settings that were loaded before the stream began may be outdated.
    eventSource.addEventListener('start', ({ data }) => emit('connected', JSON.parse(data)));
    eventSource.addEventListener('change', ({ data }) => handleChange(JSON.parse(data)));
    eventSource.addEventListener('resync', () => emit('resync'));
    eventSource.onerror = async () => {
      showState('danger', 'Disconnected');
      if (eventSource.readyState !== EventSource.CLOSED) return;
      // The browser has given up, because the token has expired or the service is unavailable.
      const isSignedIn = await fetchJson('/admin/me', null, { retryAfterSignIn: false }).then(() => true, (problem) => problem.status !== 401);
      if (!isSignedIn) {
        afterNextSignIn(connect);
        return;
      }
      // The delay grows, so that open tabs do not overload a service that restarts.
      setTimeout(connect, retryDelay);
      retryDelay = Math.min(retryDelay * 2, MAX_RETRY_DELAY);
    };
  };
  connect();
}

function afterNextSignIn(callback) {
  const subscription = new AbortController();
  subscribe('signed-in', () => {
    subscription.abort();
    callback();
  }, subscription.signal);
}

function handleChange(change) {
  emit('change', change);
  // The event of an own change may arrive before the response to the request.
  setTimeout(() => { if (!ownRevisions.has(change.revision)) showBanner(change); }, 400);
}

/** Shows a banner about a change of another user, with a button to dismiss. */
function showBanner({ keys, changed_by: user, changed_at: time, reason, revision, truncated: isTruncated }) {
  const isSingle = keys.length === 1 && !isTruncated;
  const subject = isSingle ? label(keys[0]) : pluralize(keys.length, 'setting') + (isTruncated ? ' and more' : '');
  const banner = h('div.banner', { role: 'status' },
    h('span', null, isolate(user), ' changed ', h('strong', null, isolate(subject)), ' ', relativeTimeElement(time), ': “', isolate(reason), '”'),
    h('span.row', null,
      h('a', { href: `#/history?revision=${revision}` }, 'View'),
      h('button', { type: 'button', onclick: () => banner.remove() }, 'Dismiss')));
  const container = document.querySelector('.banners');
  container.append(banner);
  const banners = [...container.children].filter((child) => child.classList.contains('banner'));
  for (const oldest of banners.slice(0, -MAX_BANNERS)) oldest.remove();
}
