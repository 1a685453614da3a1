// Values, times and names as people read them.
import { h, isolate } from './dom.js';

const STEPS = [[60, 'second', 1], [3600, 'minute', 60], [86400, 'hour', 3600], [86400 * 30, 'day', 86400], [86400 * 365, 'month', 86400 * 30], [Infinity, 'year', 86400 * 365]];

/** `4 minutes ago`; `in 2 hours`. */
export function relativeTime(date, now = Date.now()) {
  const seconds = (new Date(date) - now) / 1000;
  const far = Math.abs(seconds);
  if (far < 5) return 'just now';
  const [, unit, size] = STEPS.find(([below]) => far < below);
  const text = pluralize(Math.max(1, Math.round(far / size)), unit);
  return seconds < 0 ? `${text} ago` : `in ${text}`;
}

/** Whether times are shown in UTC; kept for the browser. */
export const timePreference = {
  get utc() { return localStorage.getItem('brune.utc') === 'true'; },
  set utc(on) { localStorage.setItem('brune.utc', String(on)); },
};

/** The time, exactly: in the browser's zone or in UTC. */
export function formatDateTime(date) {
  const options = { dateStyle: 'medium', timeStyle: 'medium', ...(timePreference.utc ? { timeZone: 'UTC' } : {}) };
  return new Intl.DateTimeFormat(undefined, options).format(new Date(date)) + (timePreference.utc ? ' UTC' : '');
}

/** A time that says how long ago it was, and exactly when on hover. */
export const relativeTimeElement = (date) => h('time', { datetime: date }, relativeTime(date));

// Spelling a time exactly takes longer than making the rest of its row, and is seldom asked for.
addEventListener('pointerover', ({ target }) => {
  const it = target.closest?.('time:not([title])');
  if (it) it.title = formatDateTime(it.dateTime);
});

/** The same, the exact time in sight. */
export const dateTimeElement = (date) => h('time', { datetime: date, title: relativeTime(date) }, formatDateTime(date));

/** A value in one line of JSON; texts without quotes. What is not there is a dash. */
export function formatValue(value) {
  if (value === null || value === undefined) return '–';
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** A value as it is shown: a word for a switch, chips for a list. */
export function valueElement(value) {
  if (value === null || value === undefined) return h('span.muted', null, 'none');
  if (typeof value === 'boolean') return h(`span.badge${value ? '.success' : ''}`, null, value ? 'on' : 'off');
  const long = formatValue(value).length > 200 ? '.long' : '';
  if (value === '') return h('span.muted', null, 'empty text');
  // What is scrolled is to be reached by keyboard.
  const tabindex = long ? '0' : null;
  if (!Array.isArray(value)) return h(`span.value${long}`, { dir: 'auto', tabindex }, formatValue(value));
  if (value.length === 0) return h('span.muted', null, 'empty list');
  return h(`ul.chips${long}`, { tabindex }, value.map((item) => h('li.chip', null, isolate(item))));
}

let prefix = '';
/** Learns the first word that all `keys` share, which says nothing about any of them. */
export function detectKeyPrefix(keys) {
  const first = keys[0]?.split('_')[0] ?? '';
  prefix = keys.length > 1 && keys.every((key) => key.startsWith(`${first}_`)) ? `${first}_` : '';
}

/** `BRUNE_COOLDOWN_MINUTES` is “Cooldown minutes”. */
export const label = (key) => sentenceCase((key.startsWith(prefix) ? key.slice(prefix.length) : key).toLowerCase());

/** `brune_business` is “Brune business”. */
export const sentenceCase = (name) => {
  const text = name.replaceAll('_', ' ');
  return text.charAt(0).toUpperCase() + text.slice(1);
};

/** `3 sessions`, `1 session`. */
export const pluralize = (n, one, many = `${one}s`) => `${n < 1000 ? n : n.toLocaleString('en')} ${n === 1 ? one : many}`;

/** Names of an event, a status or a code without their underlines. */
export const humanize = (text) => text.replaceAll('_', ' ');
