// The hash of the URL: `#/page/rest?parameters`.
import { queryString } from './api.js';

/** Returns the page, the path segments below the page, and the parameters of the current URL. */
export function currentRoute() {
  const [path, query = ''] = location.hash.replace(/^#\/?/, '').split('?');
  const [page, ...rest] = path.split('/').map(decodeURIComponent);
  return { page: page || 'settings', rest, parameters: Object.fromEntries(new URLSearchParams(query)) };
}

/** Replaces the parameters in the URL without loading the page again. */
export function replaceParameters(parameters) {
  const { page, rest } = currentRoute();
  const path = [page, ...rest].map(encodeURIComponent).join('/');
  history.replaceState(history.state, '', `#/${path}${queryString(parameters)}`);
}
