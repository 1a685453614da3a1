// The pages of the console.
import { session } from './session.js';

/**
 * Path, name, letter after `g`, and module of each page. A module is loaded when its page is first opened. It exports
 * `show(body, parameters, signal)`, which fills `body`: `parameters.rest` is the path below the page, and `signal` is
 * aborted when the user leaves the page.
 */
const PAGES = [
  ['settings', 'Settings', 's', () => import('./settings.js')],
  ['proposals', 'Proposals', 'p', () => import('./proposals.js')],
  ['history', 'History', 'h', () => import('./history.js')],
  ['transfer', 'Import and export', 'i', () => import('./transfer.js')],
  ['secrets', 'Secrets and environment', 'e', () => import('./secrets.js')],
  ['sessions', 'Sessions', 'n', () => import('./sessions.js')],
  ['fleet', 'Fleet and audit', 'f', () => import('./fleet.js')],
];

/** Returns the pages of this catalog. A catalog without sessions has no sessions page. */
export const pages = () => PAGES.filter(([path]) => path !== 'sessions' || session.hasSessions);
