// The constraints of settings as text, and their validation while the user types. The service validates again.
import { capitalize, formatValue, label, pluralize, truncate } from './format.js';

/** Describes the constraints of a setting. */
export function describeConstraints({ value_type: type, constraints }) {
  const describe = { number: numberConstraints, string: textConstraints, string_array: listConstraints, boolean: () => ['on or off'] }[type];
  return capitalize((describe?.(constraints) ?? []).join('; '));
}

function describeRange(min, max, unit = '') {
  if (min !== undefined && max !== undefined) return `${min} to ${max}${unit}`;
  if (min !== undefined) return `at least ${min}${unit}`;
  return max === undefined ? '' : `at most ${max}${unit}`;
}

const joinParts = (...parts) => parts.filter(Boolean).join(', ');

const numberConstraints = ({ integer, min, max }) => [joinParts(integer ? 'integer' : 'number', describeRange(min, max))];

function textConstraints({ member_of: list, enum: choices, min_length: min, max_length: max, regex }) {
  const range = joinParts('text', describeRange(min, max, ' characters'));
  const choice = choices ? `one of ${choices.join(', ')}` : range;
  return [list ? `one of ${label(list)}` : choice, regex && `matching ${regex}`].filter(Boolean);
}

const listConstraints = ({ min_items: min, max_items: max, unique, enum: choices, item_regex: regex, item_max_length: maxLength }) => [
  joinParts('list of texts', describeRange(min, max, ' items')),
  unique && 'unique items',
  choices && `each one of ${choices.join(', ')}`,
  regex && `each matching ${regex}`,
  maxLength && `each at most ${maxLength} characters`,
].filter(Boolean);

/** Returns the error of `value`, or null. Patterns are left to the service, because their syntax is not JavaScript's. */
export function validate({ value_type: type, constraints }, value) {
  if (type === 'number') return validateNumber(constraints, value);
  if (type === 'string') return validateText(constraints, value);
  return type === 'string_array' ? validateList(constraints, value) : null;
}

function validateNumber({ integer, min, max }, value) {
  if (integer && !Number.isInteger(value)) return 'must be an integer';
  const isOutside = (min !== undefined && value < min) || (max !== undefined && value > max);
  if (!isOutside) return null;
  return min !== undefined && max !== undefined ? `must be between ${min} and ${max}` : `must be ${describeRange(min, max)}`;
}

function validateText({ min_length: min, max_length: max, enum: choices }, value) {
  // Code points, as the service counts, not UTF-16 units.
  const { length } = [...value];
  if (min !== undefined && length < min) return `must have at least ${min} characters`;
  if (max !== undefined && length > max) return `must have at most ${max} characters and has ${length}`;
  return choices && !choices.includes(value) ? `must be one of ${choices.join(', ')}` : null;
}

function validateList({ min_items: min, max_items: max, unique }, value) {
  if (min !== undefined && value.length < min) return `must have at least ${min} items`;
  if (max !== undefined && value.length > max) return `must have at most ${max} items and has ${value.length}`;
  const duplicate = unique ? value.find((item, index) => value.indexOf(item) !== index) : undefined;
  return duplicate === undefined ? null : `contains ${formatValue(duplicate)} twice`;
}

/** Compares two JSON values. */
export const isEqual = (a, b) => JSON.stringify(a) === JSON.stringify(b);

/** Describes `count` running sessions that keep an older value, without the value: “3 running sessions keep”. */
export const sessionsKeep = (count) => `${pluralize(count, 'running session')} ${count === 1 ? 'keeps' : 'keep'}`;

/** Returns `value` as part of a sentence. */
function valueInSentence(value) {
  if (value === '') return 'an empty text';
  return Array.isArray(value) && value.length === 0 ? 'an empty list' : formatValue(value);
}

const MAX_LISTED_VALUES = 4;

/**
 * Describes when a change of `setting` takes effect. `runningSessions` is the number of running sessions; `pinnedValue` has
 * the older values that some of them keep.
 */
export function describeEffect(setting, runningSessions, pinnedValue) {
  if (setting.applies === 'hot') return 'Takes effect immediately.';
  if (setting.applies === 'restart') return 'Takes effect after a restart of the service.';
  if (runningSessions === 0) return 'Applies to new sessions. No sessions are running.';
  const withCurrentValue = { sessions: runningSessions - (pinnedValue?.sessions ?? 0), value: setting.value };
  const groups = [withCurrentValue, ...(pinnedValue?.held ?? [])].filter(({ sessions }) => sessions > 0);
  const keptValues = groups.slice(0, MAX_LISTED_VALUES).map(({ sessions, value }) => `${sessionsKeep(sessions)} ${truncate(valueInSentence(value), 60)}`);
  return `Applies to new sessions only; ${keptValues.join(', ')}.`;
}
