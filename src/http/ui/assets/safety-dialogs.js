// Dialogs that freeze the settings, end a freeze, and stop or resume session starts.
import { idempotencyKeys, request } from './api.js';
import { h, isolate, setChildren, showToast, uniqueId } from './dom.js';
import { pluralize, relativeTime, timePreference } from './format.js';
import { labeledField } from './page.js';
import { openReasonDialog, rememberReason } from './parts.js';
import { loadSafety } from './safety-state.js';
import { formatSchedule, formatTimeInput, parseTimeInput } from './time-fields.js';

const DEFAULT_STOP_MINUTES = 15;
const MAX_STOP_MINUTES = 1440;
const MAX_FREEZE_DAYS = 92;
const DAY = 86_400_000;

/** An error of a field, in the form of a problem. */
const fieldError = (input, title, message) => {
  input.focus();
  return Object.assign(new Error(message), { title });
};

/** Returns a function that sends a request, reloads the state, and returns the data. */
function postOnce(path) {
  const idempotencyKeyOf = idempotencyKeys();
  return async (body) => {
    const { data } = await request('POST', path, { body, idempotencyKey: idempotencyKeyOf(body) });
    rememberReason(body.reason);
    await loadSafety().catch(() => null);
    return data;
  };
}

const scheduleElement = (time) => h('time', { datetime: time }, formatSchedule(time));

/** Creates a field for a time: `{ element, input }`. The hint shows the chosen instant with its offset. */
function timeField(title, name, hintText, attributes) {
  const hintId = uniqueId('hint');
  const hint = h('p.hint', { id: hintId, 'aria-live': 'polite' }, hintText);
  const draw = () => {
    const time = parseTimeInput(input.value);
    // Local times are ambiguous: the reader sees the instant that is sent.
    setChildren(hint, time ? [scheduleElement(time), ', ', relativeTime(time), '.'] : hintText);
  };
  const input = h('input', { type: 'datetime-local', name, 'aria-describedby': hintId, oninput: draw, ...attributes });
  const zone = h('span.muted', null, timePreference.utc ? ' (UTC)' : ' (local time)');
  return { element: h('div', null, labeledField(h('span', null, title, zone), input), hint), input };
}

/** Opens the dialog that freezes the settings. Resolves to the freeze, or undefined if cancelled. */
export function openFreezeDialog() {
  const post = postOnce('/admin/freezes');
  const start = timeField('From', 'starts_at', 'Now, if left empty.');
  const end = timeField('Until', 'ends_at', 'The freeze ends by itself.', { required: true, min: formatTimeInput(new Date(), false) });
  const [startInput, endInput] = [start.input, end.input];
  return openReasonDialog({
    title: 'Freeze settings',
    about: `In a freeze no setting changes, except in an emergency. Proposals can be written and approved meanwhile. A freeze lasts at most ${MAX_FREEZE_DAYS} days, and anybody can end it early.`,
    body: h('div.field-columns', null, start.element, end.element),
    action: 'Freeze settings',
    placeholder: 'No changes during the launch',
  }, async (reason) => {
    const [startsAt, endsAt] = [startInput, endInput].map((input) => parseTimeInput(input.value));
    if (!endsAt) throw fieldError(endInput, 'The end is missing', 'enter date and time of the end');
    const startTime = startsAt ? Date.parse(startsAt) : Date.now();
    if (Date.parse(endsAt) <= Math.max(startTime, Date.now())) throw fieldError(endInput, 'The end is too early', 'the end must be in the future and after the beginning');
    if (Date.parse(endsAt) - startTime > MAX_FREEZE_DAYS * DAY) throw fieldError(endInput, 'The freeze is too long', `a freeze lasts at most ${MAX_FREEZE_DAYS} days`);
    const freeze = await post({ reason, ends_at: endsAt, ...(startsAt && { starts_at: startsAt }) });
    showToast(startsAt ? `Settings will be frozen from ${formatSchedule(freeze.starts_at)}.` : `Settings are frozen until ${formatSchedule(freeze.ends_at)}.`);
    return freeze;
  });
}

/** Opens the dialog that ends `freeze`, or cancels a freeze that has not begun. Resolves to undefined if cancelled. */
export function openEndFreezeDialog(freeze) {
  const post = postOnce(`/admin/freezes/${encodeURIComponent(freeze.id)}/end`);
  const hasBegun = Date.parse(freeze.starts_at) <= Date.now();
  return openReasonDialog({
    title: hasBegun ? 'End the freeze' : 'Cancel the freeze',
    about: ['Set by ', isolate(freeze.set_by), ' from ', scheduleElement(freeze.starts_at), ' to ', scheduleElement(freeze.ends_at), ': “', isolate(freeze.reason), '”. ',
      hasBegun ? 'Settings can be changed again at once, and due proposals are applied.' : 'The freeze will not begin.'],
    action: hasBegun ? 'End freeze' : 'Cancel freeze',
    placeholder: hasBegun ? 'The launch is over' : 'The launch was moved',
  }, async (reason) => {
    try {
      await post({ reason });
      showToast(hasBegun ? 'The freeze has ended.' : 'The freeze was cancelled.');
    } catch (problem) {
      if (problem.code !== 'freeze_over') throw problem;
      // Another person has ended the freeze, or its end has come: no error for the user.
      await loadSafety().catch(() => null);
      showToast('The freeze was already over.');
    }
    return true;
  });
}

/** Opens the dialog that stops all session starts. Resolves to the state, or undefined if cancelled. */
export function openStopDialog() {
  const post = postOnce('/admin/starts/stop');
  const input = h('input', { type: 'number', name: 'minutes', min: 1, max: MAX_STOP_MINUTES, step: 1, value: String(DEFAULT_STOP_MINUTES), required: true });
  return openReasonDialog({
    title: 'Stop session starts',
    about: 'No session starts on any instance until the stop ends. Running sessions continue. Users are asked to try again later, and do not see the reason.',
    body: h('div', null, labeledField('Minutes', input), h('p.hint', null, `1 to ${MAX_STOP_MINUTES}. The stop ends by itself, so that a forgotten stop does no harm.`)),
    action: 'Stop session starts',
    placeholder: 'The provider is down',
    isDestructive: true,
  }, async (reason) => {
    const minutes = Number(input.value);
    if (!Number.isInteger(minutes) || minutes < 1 || minutes > MAX_STOP_MINUTES) {
      throw fieldError(input, 'Invalid duration', `the minutes must be an integer between 1 and ${MAX_STOP_MINUTES}`);
    }
    const state = await post({ reason, minutes });
    showToast(`Session starts are stopped for ${pluralize(minutes, 'minute')}.`);
    return state;
  });
}

/** Opens the dialog that resumes session starts. Resolves to the state, or undefined if cancelled. */
export function openResumeDialog(stop) {
  const post = postOnce('/admin/starts/resume');
  return openReasonDialog({
    title: 'Resume session starts',
    about: ['Stopped by ', isolate(stop.stopped_by), ' until ', scheduleElement(stop.stopped_until), ': “', isolate(stop.reason), '”. Sessions can start again at once.'],
    action: 'Resume session starts',
    placeholder: 'The provider is back',
  }, async (reason) => {
    const state = await post({ reason });
    showToast('Sessions can start again.');
    return state;
  });
}
