// Where one is: the fragment of the address has the page, what of it, and its filters.
import { search } from './api.js';
import { me } from './session.js';

/**
 * The pages: path, name, letter after `g`, module; a page comes when it is first asked for. It exports
 * `show(body, parameters, signal)`, which fills `body`; `parameters.rest` is what comes after the path, and `signal` is
 * aborted when the page is left.
 */
const PAGES = [
  ['settings', 'Settings', 's', () => import('./settings.js')],
  ['history', 'History', 'h', () => import('./history.js')],
  ['transfer', 'Import and export', 'i', () => import('./transfer.js')],
  ['secrets', 'Secrets and environment', 'e', () => import('./secrets.js')],
  ['sessions', 'Sessions', 'n', () => import('./sessions.js')],
  ['fleet', 'Fleet and audit', 'f', () => import('./fleet.js')],
];

/** The pages that the catalog has: without sessions there is no page of sessions. */
export const pages = () => PAGES.filter(([path]) => path !== 'sessions' || me.sessions);

/** What the address asks for: the page's path, what comes after it, and its parameters. */
export function place() {
  const [path, query = ''] = location.hash.replace(/^#\/?/, '').split('?');
  const [page, ...rest] = path.split('/').map(decodeURIComponent);
  return { page: page || 'settings', rest, parameters: Object.fromEntries(new URLSearchParams(query)) };
}

/** Puts `parameters` into the address of this page, without leaving it. */
export function keep(parameters) {
  const { page, rest } = place();
  history.replaceState(history.state, '', `#/${[page, ...rest].map(encodeURIComponent).join('/')}${search(parameters)}`);
}

