// Formatting of values, times and names.
import { h, isolate } from './dom.js';

// Upper bound in seconds, unit, seconds of the unit.
const TIME_UNITS = [
  [60, 'second', 1], [3600, 'minute', 60], [86_400, 'hour', 3600],
  [86_400 * 30, 'day', 86_400], [86_400 * 365, 'month', 86_400 * 30], [Infinity, 'year', 86_400 * 365],
];

/** Returns `4 minutes ago` or `in 2 hours`. */
export function relativeTime(date, now = Date.now()) {
  const difference = (new Date(date) - now) / 1000;
  const seconds = Math.abs(difference);
  if (seconds < 5) return 'just now';
  const [, unit, size] = TIME_UNITS.find(([limit]) => seconds < limit);
  const text = pluralize(Math.max(1, Math.round(seconds / size)), unit);
  return difference < 0 ? `${text} ago` : `in ${text}`;
}

/** The preference for UTC, stored in the browser. */
export const timePreference = {
  get utc() { return localStorage.getItem('brune.utc') === 'true'; },
  set utc(enabled) { localStorage.setItem('brune.utc', String(enabled)); },
};

/** Returns date and time in the browser's time zone, or in UTC if preferred. */
export function formatDateTime(date) {
  const { utc } = timePreference;
  const options = { dateStyle: 'medium', timeStyle: 'medium', ...(utc ? { timeZone: 'UTC' } : {}) };
  return new Intl.DateTimeFormat(undefined, options).format(new Date(date)) + (utc ? ' UTC' : '');
}

/** Creates a `<time>` with the time of day. Its tooltip has date and time. */
export function timeElement(date) {
  const { utc } = timePreference;
  const options = { timeStyle: 'short', ...(utc ? { timeZone: 'UTC' } : {}) };
  return h('time', { datetime: date }, new Intl.DateTimeFormat(undefined, options).format(new Date(date)) + (utc ? ' UTC' : ''));
}

/** Creates a `<time>` with the relative time. Its tooltip has date and time. */
export const relativeTimeElement = (date) => h('time', { datetime: date }, relativeTime(date));

// Formatting a date takes longer than drawing the rest of a table row, so the tooltip is set on first hover.
addEventListener('pointerover', ({ target }) => {
  const element = target.closest?.('time:not([title])');
  if (element) element.title = formatDateTime(element.dateTime);
});

/** Creates a `<time>` with date and time. Its tooltip has the relative time. */
export const dateTimeElement = (date) => h('time', { datetime: date, title: relativeTime(date) }, formatDateTime(date));

/** Returns `value` as one line of JSON, a string without quotes, and a dash for null. */
export function formatValue(value) {
  if (value === null || value === undefined) return '–';
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** Creates an element for `value`: a badge for a boolean, chips for a list. */
export function valueElement(value) {
  if (value === null || value === undefined) return h('span.muted', null, 'none');
  if (typeof value === 'boolean') return h(`span.badge${value ? '.success' : ''}`, null, value ? 'on' : 'off');
  if (value === '') return h('span.muted', null, 'empty text');
  const isLong = formatValue(value).length > 200;
  const scrollable = isLong ? '.long' : '';
  // A scrollable region must be reachable by keyboard: WCAG 2.1.1.
  const tabindex = isLong ? '0' : null;
  if (!Array.isArray(value)) return h(`span.value${scrollable}`, { dir: 'auto', tabindex }, formatValue(value));
  if (value.length === 0) return h('span.muted', null, 'empty list');
  return h(`ul.chips${scrollable}`, { tabindex }, value.map((item) => h('li.chip', null, isolate(item))));
}

let keyPrefix = '';
/** Stores the first word of `keys` if all keys share the word. `label` omits the shared word. */
export function detectKeyPrefix(keys) {
  const prefix = `${keys[0]?.split('_')[0] ?? ''}_`;
  keyPrefix = keys.length > 1 && keys.every((key) => key.startsWith(prefix)) ? prefix : '';
}

/** Returns the display name of a setting: “Cooldown minutes” for `BRUNE_COOLDOWN_MINUTES`. */
export const label = (key) => sentenceCase((key.startsWith(keyPrefix) ? key.slice(keyPrefix.length) : key).toLowerCase());

/** Creates the display name of a setting with its key below. */
export const settingName = (key) => [isolate(label(key)), h('div.hint', null, h('code', null, isolate(key)))];

/** Returns `name` with spaces and a capital: “Brune business” for `brune_business`. */
export const sentenceCase = (name) => capitalize(humanize(name));

/** Returns `text` with a capital first letter. */
export const capitalize = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** Returns `3 sessions` or `1 session`. */
export const pluralize = (count, one, many = `${one}s`) => `${count < 1000 ? count : count.toLocaleString('en')} ${count === 1 ? one : many}`;

/** Returns `name` with spaces in place of underscores. */
export const humanize = (name) => name.replaceAll('_', ' ');

/** Returns `text` as a sentence: with a capital and a full stop. */
export function toSentence(text) {
  const sentence = capitalize(text);
  return /[.!?]$/.test(sentence) ? sentence : `${sentence}.`;
}

/** Returns `text`, cut to `limit` characters with an ellipsis. */
export const truncate = (text, limit) => (text.length > limit ? `${text.slice(0, limit - 1)}…` : text);
