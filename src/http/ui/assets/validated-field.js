// A labelled field with a hint, and an error that is shown at the field.
import { h, isolate, setChildren, uniqueId } from './dom.js';
import { toSentence } from './format.js';
import { labeledField } from './page.js';

/** Creates a labelled field with a hint and an error: `{ element, input, hint, showError(message) }`. */
export function fieldWithError(title, attributes, hintText) {
  const hintId = uniqueId('hint');
  const errorId = uniqueId('error');
  const hint = h('p.hint', { id: hintId }, hintText);
  const error = h('p.error', { id: errorId, hidden: true });
  const input = h('input', { ...attributes, autocomplete: 'off', 'aria-describedby': `${hintId} ${errorId}` });
  const showError = (message) => {
    error.hidden = !message;
    setChildren(error, message && isolate(toSentence(message)));
    input.setAttribute('aria-invalid', String(Boolean(message)));
  };
  return { element: h('div.plan-field', null, labeledField(h('span', null, title), input), hint, error), input, hint, showError };
}

/** Returns the error of a number field, or null for an integer from `min` to `max`. */
export function integerError(input, min, max) {
  const number = Number(input.value);
  const isValid = input.value.trim() !== '' && Number.isInteger(number) && number >= min && number <= max;
  return isValid ? null : `must be an integer between ${min} and ${max}`;
}
