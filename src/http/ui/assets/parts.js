// Building blocks shared by all pages: page header, empty state, error alert, dialogs, the reason field.
import { h, isolate, setChildren, uniqueId } from './dom.js';
import { pluralize, toSentence } from './format.js';

/** Creates the header of a page: title, description and actions. */
export const pageHeader = (title, description, ...actions) => h('div.page-header', null,
  h('div', null, h('h1', null, title), description && h('p', null, description)),
  actions.length > 0 && h('div.row', null, actions));

/** Creates the content of an empty list. */
export const emptyState = (title, ...description) => h('div.empty', null, h('strong', null, title), h('p', null, description));

/** Creates an alert for `problem`, with a “Try again” button if `retry` is given. */
export function errorAlert(problem, retry) {
  const { status, title, message, errors = [], body = {} } = problem;
  const errorText = ({ key, detail }) => [key, detail].filter(Boolean).join(' ');
  return h('div.note.danger', { role: 'alert' },
    h('p', null, h('strong', null, title ?? 'Something went wrong')),
    h('p', null, isolate(toSentence(message))),
    // A single error is already the message.
    errors.length > 1 && h('ul', null, errors.map((error) => h('li', null, isolate(errorText(error))))),
    body.request_id && status >= 500 && h('p.hint', null, 'Request ID in the log: ', h('code', null, isolate(body.request_id))),
    retry && h('p', null, h('button', { type: 'button', onclick: retry }, 'Try again')));
}

/**
 * Opens a modal dialog. `build(close)` returns its parts: `{ title, about, body, actions, submit, wide }`.
 *
 * Returns a promise of the value passed to `close`, or undefined after Escape or a change of the page. `isMandatory` disables
 * both. `isStored` says that the dialog stores what the user enters. Focus returns to the element that had the focus before.
 */
export function openDialog(build, { isMandatory = false, isStored = false } = {}) {
  return new Promise((resolve) => {
    const previousFocus = document.activeElement;
    let result;
    const close = (value) => {
      result = value;
      element.close();
    };
    const parts = build(close);
    const dialog = { close, isMandatory, hasInput: false };
    const onclose = () => {
      openDialogs.delete(dialog);
      element.remove();
      if (previousFocus?.isConnected) previousFocus.focus();
      resolve(result);
    };
    const titleId = uniqueId('dialog');
    const element = h(`dialog${parts.wide ? '.wide' : ''}`, {
      'aria-labelledby': titleId,
      oncancel: (event) => isMandatory && event.preventDefault(),
      oninput: () => { dialog.hasInput = !isStored; },
      onclose,
    }, dialogForm(parts, titleId));
    openDialogs.add(dialog);
    document.body.append(element);
    element.showModal();
    element.querySelector('[autofocus]')?.focus();
  });
}

const openDialogs = new Set();
let pendingDecision = null;

/** Closes the dialogs of the page. Asks before, if the user has entered something. Resolves to false if the user stays. */
export function leaveDialogs() {
  pendingDecision ??= closeDialogs().finally(() => { pendingDecision = null; });
  return pendingDecision;
}

async function closeDialogs() {
  const dialogs = [...openDialogs].filter(({ isMandatory }) => !isMandatory);
  const isLeaving = !dialogs.some(({ hasInput }) => hasInput) || await openDialog((close) => ({
    title: 'Leave the page?',
    about: 'What you have entered in the dialog is not saved.',
    body: [],
    actions: [h('button', { type: 'button', autofocus: true, onclick: () => close(false) }, 'Stay on this page'),
      h('button.danger', { type: 'submit' }, 'Discard and leave')],
    submit: () => close(true),
  }));
  if (!isLeaving) return false;
  // The newest first, so that each returns the focus to the dialog below.
  for (const { close } of dialogs.reverse()) close();
  return true;
}

function dialogForm({ title, about, body, actions, submit }, titleId) {
  const onsubmit = (event) => {
    event.preventDefault();
    submit?.();
  };
  const onkeydown = (event) => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) onsubmit(event);
  };
  // The browser's own validation would hide the errors of the dialog.
  return h('form', { novalidate: true, onsubmit, onkeydown },
    h('header', null, h('h2', { id: titleId }, title), about && h('p.muted', null, about)),
    h('div.body', { tabindex: '-1' }, body),
    h('footer', null, actions));
}

/**
 * Opens a dialog that asks for a reason and then calls `perform(reason)`. After an error the dialog stays open. Returns a
 * promise of the result of `perform`, or undefined if cancelled.
 */
export function openReasonDialog({ title, about, body, action, placeholder, isDestructive = false }, perform) {
  const reason = reasonField({ placeholder });
  const errors = h('div', { 'aria-live': 'polite' });
  const submitButton = h(`button${isDestructive ? '.danger' : '.primary'}`, { type: 'submit' }, action);
  return openDialog((close) => ({
    title,
    about,
    body: [body, reason.element, errors],
    actions: [h('button', { type: 'button', onclick: () => close() }, 'Cancel'), submitButton],
    submit: async () => {
      if (submitButton.disabled || !reason.validate()) return;
      submitButton.disabled = true;
      try {
        close(await perform(reason.value()) ?? true);
      } catch (problem) {
        setChildren(errors, errorAlert(problem));
        // The user may try again, for instance after a network error.
        submitButton.disabled = false;
      }
    },
  }));
}

const REASONS_KEY = 'brune.reasons';
const MAX_STORED_REASONS = 8;
const MIN_REASON_LENGTH = 3;
const MAX_REASON_LENGTH = 500;

/**
 * Creates the field for a reason, with the label `text`, an example as `placeholder`, and suggestions of earlier reasons:
 * `{ element, input, value(), validate() }`. `validate` shows an error and focuses the field if the reason is invalid.
 */
export function reasonField({ text = 'Reason (shown in the history)', placeholder } = {}) {
  const errorId = uniqueId('error');
  const listId = uniqueId('reasons');
  const error = h('p.error', { id: errorId, hidden: true });
  const errorMessage = () => {
    const { length } = [...input.value.trim()];
    if (length < MIN_REASON_LENGTH) return `Enter a reason of at least ${MIN_REASON_LENGTH} characters.`;
    return length > MAX_REASON_LENGTH ? `The reason must have at most ${MAX_REASON_LENGTH} characters and has ${length}.` : null;
  };
  const showError = (message) => {
    error.hidden = !message;
    error.textContent = message ?? '';
    input.setAttribute('aria-invalid', String(Boolean(message)));
  };
  const input = h('input', {
    name: 'reason', required: true, autocomplete: 'off', autofocus: true, list: listId, dir: 'auto', 'aria-describedby': errorId,
    placeholder,
    // An error disappears while the user types, but appears only after submitting.
    oninput: () => { if (!error.hidden) showError(errorMessage()); },
  });
  const validate = () => {
    const message = errorMessage();
    showError(message);
    if (message) input.focus();
    return !message;
  };
  const element = h('div', null, h('label.field', null, text, input), error,
    h('datalist', { id: listId }, storedReasons().map((value) => h('option', { value }))));
  return { element, input, value: () => input.value.trim(), validate };
}

const storedReasons = () => JSON.parse(localStorage.getItem(REASONS_KEY) ?? '[]');

/** Stores an accepted reason, to be suggested again. */
export function rememberReason(reason) {
  const reasons = [reason, ...storedReasons().filter((stored) => stored !== reason)];
  localStorage.setItem(REASONS_KEY, JSON.stringify(reasons.slice(0, MAX_STORED_REASONS)));
}

/** Creates the checkbox to wait for all instances: `{ element, isChecked() }`. */
export function waitCheckbox() {
  const input = h('input', { type: 'checkbox', name: 'wait' });
  const element = h('label.check', null, input, h('span', null, 'Wait until all instances have applied the change'));
  return { element, isChecked: () => input.checked };
}

/** Returns the rollout of a change from the response of a write, or an empty string if the write did not wait. */
export function rolloutText({ applied } = {}) {
  if (!applied) return '';
  const { instances, laggards } = applied;
  if (instances === null) return 'The rollout status is unknown: see Fleet and audit.';
  return `Applied by ${instances - laggards.length} of ${pluralize(instances, 'instance')}.`;
}

/** Starts a download of `text` as a file. */
export function saveFile(name, type, text) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  h('a', { href: url, download: name }).click();
  // The browser reads the blob after `click` returns.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
