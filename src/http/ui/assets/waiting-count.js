// The number of proposals that wait for the user, beside the link to the proposals page.
import { fetchJson } from './api.js';
import { h, subscribe } from './dom.js';

// The badge shows no greater number, so the request reads few proposals.
const MAX_COUNT = 9;
const MAX_AGE = 10_000;
const REFRESH_INTERVAL = 60_000;

/** Keeps the number current: after changes of settings, after steps of proposals, when a page is shown, and every minute. */
export function followWaitingCount() {
  let loadedAt = -Infinity;
  let text = '';
  const draw = () => {
    const navLink = document.querySelector('nav a[href="#/proposals"]');
    navLink?.querySelector('.badge')?.remove();
    if (text) navLink?.append(h('span.badge', null, text, h('span.visually-hidden', null, ' waiting for you')));
  };
  const load = async () => {
    loadedAt = performance.now();
    const { proposals } = await fetchJson('/admin/proposals', { waiting_for_me: true, limit: MAX_COUNT + 1 }, { retryAfterSignIn: false });
    text = proposals.length > MAX_COUNT ? `${MAX_COUNT}+` : String(proposals.length || '');
    draw();
  };
  // The number is a convenience: a failure is left to the requests of the page.
  const reload = () => load().catch(() => null);
  for (const name of ['signed-in', 'change', 'resync', 'proposals']) subscribe(name, reload);
  const reloadIfOld = () => {
    if (document.visibilityState === 'visible' && performance.now() - loadedAt > MAX_AGE) reload();
  };
  subscribe('page-shown', reloadIfOld);
  document.addEventListener('visibilitychange', reloadIfOld);
  // Events tell of changes of settings, but not of new proposals.
  setInterval(reloadIfOld, REFRESH_INTERVAL);
  reload();
}
