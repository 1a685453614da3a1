// Where one is: the fragment of the address has the page, what of it, and its filters.
import { queryString } from './api.js';

/** What the address asks for: the page's path, what comes after it, and its parameters. */
export function currentRoute() {
  const [path, query = ''] = location.hash.replace(/^#\/?/, '').split('?');
  const [page, ...rest] = path.split('/').map(decodeURIComponent);
  return { page: page || 'settings', rest, parameters: Object.fromEntries(new URLSearchParams(query)) };
}

/** Puts `parameters` into the address of this page, without leaving it. */
export function replaceParameters(parameters) {
  const { page, rest } = currentRoute();
  history.replaceState(history.state, '', `#/${[page, ...rest].map(encodeURIComponent).join('/')}${queryString(parameters)}`);
}
