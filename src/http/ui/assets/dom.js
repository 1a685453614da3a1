// DOM helpers: elements, events of the application, toasts. Every element is created here, and children are nodes or
// text, never markup.

/**
 * Creates an element: `h('button.primary', { type: 'button', onclick }, 'Save')`.
 *
 * A property that begins with `on` is an event listener. `value`, `checked` and the like are set as properties, others as
 * attributes. Properties and children that are null, undefined or false are omitted. Children are text, nodes, or nested
 * arrays of both.
 */
export function h(spec, properties, ...children) {
  const [tag, ...classes] = spec.split('.');
  const element = document.createElement(tag);
  if (classes.length > 0) element.className = classes.join(' ');
  for (const [name, value] of Object.entries(properties ?? {})) setProperty(element, name, value);
  appendChildren(element, children);
  return element;
}

const DOM_PROPERTIES = new Set(['value', 'checked', 'indeterminate', 'selected', 'textContent']);

function setProperty(element, name, value) {
  if (value === null || value === undefined || value === false) return;
  if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
  else if (DOM_PROPERTIES.has(name)) element[name] = value;
  else if (name === 'class') element.classList.add(...value.split(' ').filter(Boolean));
  else element.setAttribute(name, value === true ? '' : value);
}

/** Creates an SVG element. */
export function svg(tag, attributes, ...children) {
  const element = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  appendChildren(element, children);
  return element;
}

function appendChildren(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) element.append(child);
  }
}

/** Replaces the children of `element`. The focus moves to the control that takes the place of the focused one. */
export function setChildren(element, ...children) {
  const { activeElement } = document;
  const isFocusInside = activeElement !== element && element.contains(activeElement);
  // Controls with the same description, such as the buttons of equal rows, are told apart by their position.
  const position = isFocusInside ? similarControls(element, activeElement).indexOf(activeElement) : -1;
  element.replaceChildren();
  appendChildren(element, children);
  if (isFocusInside) (activeElement.isConnected ? activeElement : similarControls(element, activeElement)[position])?.focus({ preventScroll: true });
  return element;
}

/** Returns the controls in `element` that a screen reader would announce like `control`. */
function similarControls(element, control) {
  const description = describeControl(control);
  return [...element.querySelectorAll(control.localName)].filter((other) => describeControl(other) === description);
}

const describeControl = ({ name, type, value, textContent, ariaLabel }) => JSON.stringify([name, type, type === 'radio' && value, textContent, ariaLabel]);

/** Wraps text of users in `<bdi>`, so that right-to-left text does not reorder the text around. */
export const isolate = (text) => h('bdi', null, String(text));

let idCount = 0;
/** Returns an element ID that begins with `prefix` and is not in use. */
export function uniqueId(prefix) {
  idCount += 1;
  return `${prefix}-${idCount}`;
}

/** Returns a function that calls `callback` after `delay` ms without another call. Its `cancel()` drops a pending call. */
export function debounce(delay, callback) {
  let timer;
  const debounced = (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => callback(...values), delay);
  };
  debounced.cancel = () => clearTimeout(timer);
  return debounced;
}

const eventBus = new EventTarget();

/** Publishes the application event `name`. */
export const emit = (name, detail) => eventBus.dispatchEvent(new CustomEvent(name, { detail }));

/** Calls `listener` with the detail of each event `name`, until `signal` is aborted. */
export const subscribe = (name, listener, signal) => eventBus.addEventListener(name, ({ detail }) => listener(detail), { signal });

/** Shows a toast, which screen readers announce. `action` is `[label, callback]` of an optional button. */
export function showToast(text, action) {
  const actionButton = () => {
    const [label, callback] = action;
    const onclick = () => {
      toast.remove();
      callback();
    };
    return [' ', h('button', { type: 'button', onclick }, label)];
  };
  const toast = h('p', null, isolate(text), action && actionButton());
  // A second toast would cover more of the page, so the new toast replaces the old.
  setChildren(document.querySelector('.toasts'), toast);
  // A toast with a button stays longer: WCAG 2.2.1.
  setTimeout(() => toast.remove(), action ? 15_000 : 6000);
}
