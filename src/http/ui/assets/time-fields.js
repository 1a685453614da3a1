// The text of `datetime-local` fields, which have no time zone of their own.
import { timePreference } from './format.js';

/** Formats an ISO time for a field. Returns an empty string for another text. */
export function formatTimeInput(text) {
  const date = new Date(text);
  if (Number.isNaN(Number(date))) return '';
  const offset = timePreference.utc ? 0 : date.getTimezoneOffset() * 60_000;
  return new Date(date - offset).toISOString().slice(0, 19);
}

/** Parses the value of a field. The end of a range includes its whole minute or second. */
export function parseTimeInput(text, isEnd = false) {
  if (!text) return '';
  const hasSeconds = text.length > 16;
  const lastSecond = hasSeconds ? text.slice(0, 19) : `${text}:59`;
  const time = isEnd ? `${lastSecond}.999` : text;
  return new Date(timePreference.utc ? `${time}Z` : time).toISOString();
}
