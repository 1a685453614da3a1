// What pages are made of: their head, what is empty, what failed, dialogs, pages of a list.
import { h, isolate, setChildren, uniqueId } from './dom.js';

/** The head of a page: its name, what it is for, and what may be done. */
export const pageHeader = (title, about, ...actions) => h('div.page-header', null,
  h('div', null, h('h1', null, title), about && h('p', null, about)),
  actions.length > 0 && h('div.row', null, actions));

/** Nothing is there, and what to do about it. */
export const emptyState = (title, ...about) => h('div.empty', null, h('strong', null, title), h('p', null, about));

/** What went wrong, in words, with every fault and the request that the log knows. */
export function errorAlert(problem, again) {
  const { status, title, message, errors = [], body = {} } = problem;
  return h('div.note.danger', { role: 'alert' },
    h('p', null, h('strong', null, title ?? 'That did not work')),
    h('p', null, isolate(toSentence(message))),
    errors.length > 1 && h('ul', null, errors.map((it) => h('li', null, isolate([it.key, it.detail].filter(Boolean).join(' '))))),
    body.request_id && status >= 500 && h('p.hint', null, 'The log has it under request ', h('code', null, isolate(body.request_id)), '.'),
    again && h('p', null, h('button', { type: 'button', onclick: again }, 'Try again')));
}

/** A detail as a sentence. */
export function toSentence(text) {
  const whole = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(whole) ? whole : `${whole}.`;
}

/**
 * A dialog that is open until it is closed: `build(close)` gives its parts `{ title, about, body, actions, submit, wider }`.
 * The promise is what `close` was called with, undefined after Escape. Focus goes back to where it was.
 */
export function openDialog(build, { stays = false } = {}) {
  return new Promise((resolve) => {
    const before = document.activeElement;
    let result;
    const close = (value) => {
      result = value;
      frame.close();
    };
    const parts = build(close);
    const name = uniqueId('dialog');
    const frame = h(`dialog${parts.wider ? '.wide' : ''}`, {
      'aria-labelledby': name,
      oncancel: (event) => stays && event.preventDefault(),
      onclose: () => {
        frame.remove();
        if (before?.isConnected) before.focus();
        resolve(result);
      },
    }, h('form', {
      novalidate: true,
      onsubmit: (event) => {
        event.preventDefault();
        parts.submit?.();
      },
      onkeydown: (event) => {
        if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
          event.preventDefault();
          parts.submit?.();
        }
      },
    },
    h('header', null, h('h2', { id: name }, parts.title), parts.about && h('p.muted', null, parts.about)),
    h('div.body', { tabindex: '-1' }, parts.body), h('footer', null, parts.actions)));
    document.body.append(frame);
    frame.showModal();
    frame.querySelector('[autofocus]')?.focus();
  });
}

/** Asks for a reason, and does `act(reason)`; the dialog stays until that went well. What `act` returned is the promise. */
export function openReasonDialog({ title, about, body, action, bad = false, wait = false }, act) {
  const field = reasonField();
  const waits = waitCheckbox();
  const wrong = h('div', { 'aria-live': 'polite' });
  const button = h(`button${bad ? '.danger' : '.primary'}`, { type: 'submit' }, action);
  return openDialog((close) => ({
    title,
    about,
    body: [body, field.element, wait && waits.element, wrong],
    actions: [h('button', { type: 'button', onclick: () => close() }, 'Cancel'), button],
    submit: async () => {
      if (button.disabled || !field.check()) return;
      button.disabled = true;
      try {
        close(await act(field.value(), waits.checked()) ?? true);
      } catch (problem) {
        setChildren(wrong, errorAlert(problem));
        button.disabled = false;
      }
    },
  }));
}

const REASONS = 'brune.reasons';

/** The field of a reason: `{ element, value(), check() }`. `check` says what is missing and goes there. Earlier reasons are offered. */
export function reasonField() {
  const [wrong, list] = [uniqueId('wrong'), uniqueId('reasons')];
  const fault = h('p.error', { id: wrong, hidden: true });
  const check = (quiet) => {
    const length = [...field.value.trim()].length;
    const detail = length < 3 ? 'A reason has 3 characters at least: whoever reads the history wants to know why.'
      : length > 500 ? `A reason has 500 characters at most; this one has ${length}.` : null;
    fault.hidden = quiet || !detail;
    fault.textContent = detail ?? '';
    field.setAttribute('aria-invalid', String(!quiet && Boolean(detail)));
    if (detail && !quiet) field.focus();
    return !detail;
  };
  const field = h('input', {
    name: 'reason', required: true, autocomplete: 'off', autofocus: true, list, dir: 'auto', 'aria-describedby': wrong,
    placeholder: 'calmer evenings', oninput: () => { if (!fault.hidden) check(check(true)); },
  });
  const element = h('div', null, h('label.field', null, 'Why? It is kept with the change.', field), fault,
    h('datalist', { id: list }, reasons().map((value) => h('option', { value }))));
  return { element, value: () => field.value.trim(), check: () => check(false) };
}

const reasons = () => JSON.parse(localStorage.getItem(REASONS) ?? '[]');

/** Keeps a reason that was accepted, to be offered again. */
export function rememberReason(reason) {
  localStorage.setItem(REASONS, JSON.stringify([reason, ...reasons().filter((it) => it !== reason)].slice(0, 8)));
}

/** Whether to wait until all instances have a change: `{ element, checked() }`. */
export function waitCheckbox() {
  const box = h('input', { type: 'checkbox', name: 'wait' });
  const element = h('label.check', null, box, h('span', null, 'Wait until every instance has it'));
  return { element, checked: () => box.checked };
}

/** What a write that waited says of the instances, in words; null if it did not wait. */
export function rolloutText({ applied: told } = {}) {
  if (!told) return null;
  if (told.instances === null) return 'Which instances have it is not known: see the fleet.';
  const all = told.instances + (told.instances === 1 ? ' instance has it' : ' instances have it');
  return told.laggards.length === 0 ? `All ${all}.` : `${told.laggards.length} of ${told.instances} have not taken it on yet.`;
}

/**
 * A list that is read page by page: `load(cursor)` gives `{ rows, next }`, `draw(rows)` their elements, which go into
 * `place`. Returns the element with the button for more, and whether there is nothing.
 */
export function pageLoader(place, load, draw) {
  const end = h('p.row');
  const step = async (cursor) => {
    const button = h('button', { type: 'button', onclick: () => step(cursor) }, 'Show more');
    try {
      button.disabled = true;
      const { rows, next } = await load(cursor);
      place.append(...draw(rows));
      setChildren(end, next && h('button', { type: 'button', onclick: () => step(next) }, 'Show more'));
      return rows.length;
    } catch (problem) {
      if (problem.name !== 'AbortError') setChildren(end, errorAlert(problem, () => step(cursor)));
      return null;
    }
  };
  return { end, first: () => step(null) };
}

/** Lets the browser keep `text` as a file. */
export function saveFile(name, type, ...texts) {
  const address = URL.createObjectURL(new Blob(texts, { type }));
  h('a', { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
