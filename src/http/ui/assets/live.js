// Live updates: server-sent events of changes, and a notice of the newest change of other users.
import { fetchJson, serviceUrl } from './api.js';
import { emit, h, isolate, setChildren, subscribe } from './dom.js';
import { label, pluralize, timeElement } from './format.js';
import { showNotice } from './notices.js';

const ownRevisions = new Set();
/** Marks a revision as saved by this page. No notice is shown for the revision. */
export const markOwnRevision = (revision) => ownRevisions.add(revision);

const INITIAL_RETRY_DELAY = 1000;
const MAX_RETRY_DELAY = 30_000;

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
  const since = performance.now();
  // The event of an own change may arrive before the response to the request.
  setTimeout(() => { if (!ownRevisions.has(change.revision)) showChange(change, since); }, 400);
}

const CHANGE_NOTICE = 'change';

/** Shows a notice about the newest change of another user, whose event arrived at `since`. */
function showChange({ keys, changed_by: user, changed_at: time, reason, revision, truncated: isTruncated }, since) {
  const isSingle = keys.length === 1 && !isTruncated;
  const subject = isSingle ? label(keys[0]) : pluralize(keys.length, 'setting') + (isTruncated ? ' and more' : '');
  showNotice(CHANGE_NOTICE, {
    since,
    // The time of day stays true while the notice is shown.
    content: [isolate(user), ' changed ', h('strong', null, isolate(subject)), ' at ', timeElement(time), ': “', isolate(reason), '”'],
    actions: [h('a', { href: `#/history?revision=${revision}` }, 'View')],
  });
}
