// The fields of a proposal's plan: when the proposal is applied, for how long afterwards, after which other proposal, and its
// rollout.
import { h, setChildren } from './dom.js';
import { relativeTime, timePreference } from './format.js';
import { button } from './page.js';
import { RolloutFields } from './rollout-fields.js';
import { formatSchedule, formatTimeInput, parseTimeInput, timeWithOffset } from './time-fields.js';
import { fieldWithError, integerError } from './validated-field.js';

export const DEFAULT_GRACE_MINUTES = 30;
const MAX_GRACE_MINUTES = 10_080;
const MAX_DAYS_AHEAD = 366;

const AT_HINT = 'Without a time, somebody applies the proposal by hand.';
const GRACE_HINT = 'How long after that time the proposal is still applied. After that, the proposal fails and changes nothing.';
const AFTER_HINT = 'The number of an earlier proposal that has to be applied first.';

/** The fields of a plan, and their values. */
class PlanFields {
  constructor({ at, grace_minutes: grace, after, rollout }) {
    this.initialAt = at;
    this.at = fieldWithError(['Apply at ', h('span.muted', null, `(${timePreference.utc ? 'UTC' : 'local time'}, optional)`)], {
      type: 'datetime-local', name: 'at', value: at ? formatTimeInput(at, false) : '', min: formatTimeInput(new Date(), false), oninput: () => this.update(),
    }, AT_HINT);
    this.grace = fieldWithError('Grace period in minutes', {
      type: 'number', name: 'grace_minutes', min: 1, max: MAX_GRACE_MINUTES, step: 1, value: String(grace ?? DEFAULT_GRACE_MINUTES),
      oninput: () => this.grace.showError(null),
    }, GRACE_HINT);
    this.after = fieldWithError(['After proposal ', h('span.muted', null, '(optional)')], {
      type: 'number', name: 'after', min: 1, step: 1, value: after ? String(after) : '', placeholder: 'Number', oninput: () => this.after.showError(null),
    }, AFTER_HINT);
    this.clearButton = button('Clear the time', () => this.clear(), undefined, 'button.subtle');
    this.at.element.append(this.clearButton);
    this.rollout = new RolloutFields(rollout);
    this.element = h('fieldset.plan-fields', null, h('legend', null, 'Plan'), this.at.element, this.grace.element, this.after.element, this.rollout.element);
    this.update();
  }

  get date() {
    const time = parseTimeInput(this.at.input.value);
    return time ? new Date(time) : null;
  }

  /** Shows the chosen time with its offset. Without a time there is no grace period. */
  update() {
    const { date } = this;
    this.at.showError(null);
    // Local times are ambiguous: the reader sees the instant that is sent.
    setChildren(this.at.hint, date ? [h('time', { datetime: date.toISOString() }, formatSchedule(date)), ', ', relativeTime(date), '.'] : AT_HINT);
    this.grace.element.hidden = !date;
    this.clearButton.hidden = !date;
  }

  clear() {
    this.at.input.value = '';
    this.update();
    this.at.input.focus();
  }

  /** Returns the texts of the fields, for `setText`. */
  text() {
    return { at: this.at.input.value, grace: this.grace.input.value, after: this.after.input.value, rollout: this.rollout.text() };
  }

  /** Sets the texts of the fields. */
  setText({ at, grace, after, rollout }) {
    this.at.input.value = at;
    this.grace.input.value = grace;
    this.after.input.value = after;
    // A text that was stored by an older release has no rollout.
    if (rollout) this.rollout.setText(rollout);
    this.update();
  }

  /** Sets the settings that would be changed: only some can be rolled out. */
  setKeys(keys) {
    this.rollout.setKeys(keys);
  }

  value() {
    const { date } = this;
    const after = this.after.input.value.trim();
    const rollout = this.rollout.value();
    if (!date && !after && !rollout) return undefined;
    const grace = date && Number(this.grace.input.value);
    // The field has no seconds, so a time that was not edited is returned as it is.
    const isEdited = !this.initialAt || this.at.input.value !== formatTimeInput(this.initialAt, false);
    return {
      ...(date && { at: isEdited ? timeWithOffset(date) : this.initialAt }),
      // The default is omitted, as the service omits it.
      ...(date && grace !== DEFAULT_GRACE_MINUTES && { grace_minutes: grace }),
      ...(after && { after: Number(after) }),
      ...(rollout && { rollout }),
    };
  }

  validate() {
    const errors = [
      [this.at, this.atError()],
      [this.grace, this.date && integerError(this.grace.input, 1, MAX_GRACE_MINUTES)],
      [this.after, this.after.input.value.trim() || this.after.input.validity.badInput ? this.afterError() : null],
    ];
    for (const [field, message] of errors) field.showError(message);
    const firstInvalid = errors.find(([, message]) => message);
    firstInvalid?.[0].input.focus();
    return !firstInvalid && this.rollout.validate();
  }

  atError() {
    const { date } = this;
    // A half-filled field has no value.
    if (!date) return this.at.input.validity.badInput ? 'enter date and time, or clear the time' : null;
    if (date <= Date.now()) return 'the time must be in the future';
    return date - Date.now() > MAX_DAYS_AHEAD * 86_400_000 ? `the time must be within ${MAX_DAYS_AHEAD} days` : null;
  }

  afterError() {
    return integerError(this.after.input, 1, Infinity) && 'enter the number of a proposal';
  }

  showErrors(errors) {
    const fields = { '/plan/at': this.at, '/plan/grace_minutes': this.grace, '/plan/after': this.after };
    const belongsHere = ({ pointer }) => Boolean(fields[pointer]);
    for (const { pointer, detail } of errors.filter(belongsHere)) fields[pointer].showError(detail);
    fields[errors.find(belongsHere)?.pointer]?.input.focus();
    return this.rollout.showErrors(errors.filter((error) => !belongsHere(error)));
  }
}

/**
 * Creates the fields of a plan: `{ element, setKeys(keys), value(), validate(), showErrors(errors) }`.
 *
 * `initial` is the plan of a proposal: `{ at, grace_minutes, after, rollout }`, each optional. `value()` returns such a plan
 * with the offset of the browser's time zone in `at`, for `plan` in the body of a request, or undefined if nothing is set.
 * `validate()` shows the errors, focuses the first invalid field, and returns whether the plan is valid. `showErrors(errors)`
 * shows the errors of a problem at their fields, and returns the errors of other parts of the request.
 */
export const planFields = (initial = {}) => new PlanFields(initial);
