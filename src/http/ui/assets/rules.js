// A setting's rules in words, and a first look at a value while it is typed. The service has the last word.
import { formatValue, label, sentenceCase } from './format.js';

/** What the rules of `setting` ask for, in words. */
export function describeConstraints({ value_type: type, constraints: c }) {
  const of = { number: numberRule, string: textRule, string_array: listRule, boolean: () => ['on or off'] }[type];
  return sentenceCase((of?.(c) ?? []).join('; '));
}

const range = (min, max, unit = '') => {
  if (min !== undefined && max !== undefined) return `${min} to ${max}${unit}`;
  if (min !== undefined) return `${min}${unit} at least`;
  return max === undefined ? '' : `${max}${unit} at most`;
};

const numberRule = (c) => [[c.integer ? 'whole number' : 'number', range(c.min, c.max)].filter(Boolean).join(', ')];

const textRule = (c) => [
  c.member_of ? `one of ${label(c.member_of)}` : c.enum ? `one of ${c.enum.join(', ')}` : ['text', range(c.min_length, c.max_length, ' characters')].filter(Boolean).join(', '),
  c.regex && `like ${c.regex}`,
].filter(Boolean);

const listRule = (c) => [
  ['list of texts', range(c.min_items, c.max_items, ' items')].filter(Boolean).join(', '),
  c.unique && 'none twice', c.enum && `each one of ${c.enum.join(', ')}`, c.item_regex && `each like ${c.item_regex}`,
  c.item_max_length && `each ${c.item_max_length} characters at most`,
].filter(Boolean);

/** What is plainly wrong with `value`, or null. Patterns are left to the service, whose dialect they are in. */
export function validate({ value_type: type, constraints: c }, value) {
  if (type === 'number') return numberFault(c, value);
  if (type === 'string') return textFault(c, value);
  return type === 'string_array' ? listFault(c, value) : null;
}

function numberFault(c, value) {
  if (c.integer && !Number.isInteger(value)) return 'must be a whole number';
  const outside = (c.min !== undefined && value < c.min) || (c.max !== undefined && value > c.max);
  return outside ? `must be ${range(c.min, c.max)}` : null;
}

function textFault(c, value) {
  const length = [...value].length;
  if (c.min_length !== undefined && length < c.min_length) return `must have ${c.min_length} characters at least`;
  if (c.max_length !== undefined && length > c.max_length) return `must have ${c.max_length} characters at most, and has ${length}`;
  return c.enum && !c.enum.includes(value) ? `must be one of ${c.enum.join(', ')}` : null;
}

function listFault(c, value) {
  if (c.min_items !== undefined && value.length < c.min_items) return `must have ${c.min_items} items at least`;
  if (c.max_items !== undefined && value.length > c.max_items) return `must have ${c.max_items} items at most, and has ${value.length}`;
  const twice = c.unique && value.find((item, i) => value.indexOf(item) !== i);
  return twice === undefined || twice === false ? null : `has ${formatValue(twice)} twice`;
}

/** Whether two values are the same. */
export const isEqual = (a, b) => JSON.stringify(a) === JSON.stringify(b);

/** What a change of `setting` will mean to sessions, in words. `older` tells what running ones hold, of `running` in all. */
export function describeEffect(setting, running, older) {
  if (setting.applies === 'hot') return 'Takes effect at once, everywhere.';
  if (setting.applies === 'restart') return 'Takes effect when the service is started again.';
  if (running === 0) return 'For new sessions. None is running.';
  const current = running - (older?.sessions ?? 0);
  const kept = [[current, setting.value], ...(older?.held ?? []).map((it) => [it.sessions, it.value])];
  const told = kept.filter(([sessions]) => sessions > 0).slice(0, 4).map(([sessions, value]) => `${sessions} running keep${sessions === 1 ? 's' : ''} ${cut(formatValue(value))}`);
  return `New sessions only; ${told.join(', ')}.`;
}

const cut = (text) => (text.length > 60 ? `${text.slice(0, 60)}…` : text);
