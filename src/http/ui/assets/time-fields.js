// Times with their offset, and the text of `datetime-local` fields, which have no time zone of their own.
import { timePreference } from './format.js';

/** Formats a time for a field, with seconds or without. Returns an empty string for text that is no time. */
export function formatTimeInput(time, hasSeconds = true) {
  const date = new Date(time);
  if (Number.isNaN(Number(date))) return '';
  const offset = timePreference.utc ? 0 : date.getTimezoneOffset() * 60_000;
  return new Date(date - offset).toISOString().slice(0, hasSeconds ? 19 : 16);
}

/** Parses the value of a field. The end of a range includes its whole minute or second. */
export function parseTimeInput(text, isEnd = false) {
  if (!text) return '';
  const hasSeconds = text.length > 16;
  const lastSecond = hasSeconds ? text.slice(0, 19) : `${text}:59`;
  const time = isEnd ? `${lastSecond}.999` : text;
  return new Date(timePreference.utc ? `${time}Z` : time).toISOString();
}

/** Returns `UTC+01:00`: the offset that the browser's time zone has at `date`, or `UTC` if preferred. */
function offsetName(date) {
  const minutes = timePreference.utc ? 0 : -date.getTimezoneOffset();
  const twoDigits = (number) => String(number).padStart(2, '0');
  const distance = Math.abs(minutes);
  return minutes === 0 ? 'UTC' : `UTC${minutes < 0 ? '-' : '+'}${twoDigits(Math.floor(distance / 60))}:${twoDigits(distance % 60)}`;
}

/** Returns a text of the service with its times in local time. */
export const localTimes = (text) => text.replace(/\d{4}-\d\d-\d\dT[\d:]+Z/g, formatSchedule);

/** Returns date, time and offset for a reader: `Dec 24, 2026, 6:00 PM UTC+01:00`. */
export function formatSchedule(time) {
  const date = new Date(time);
  const options = { dateStyle: 'medium', timeStyle: 'short', ...(timePreference.utc ? { timeZone: 'UTC' } : {}) };
  return `${new Intl.DateTimeFormat(undefined, options).format(date)} ${offsetName(date)}`;
}

/** Returns date and time with the offset for a request: `2026-12-24T18:00:00+01:00`. */
export function timeWithOffset(date) {
  const offset = offsetName(date);
  return `${formatTimeInput(date, false)}:00${offset === 'UTC' ? 'Z' : offset.slice(3)}`;
}
