// Elements. Everything that is shown passes here, and text is only ever text: there is no way to hand in markup.

/**
 * An element: `h('button.main', { type: 'button', onclick }, 'Save')`.
 *
 * Properties that begin with `on` are listeners, `value`, `checked`, `disabled` and the like are set as properties,
 * others as attributes; one that is null, undefined or false is left out. Children are texts, nodes, lists of them;
 * null and false are left out.
 */
export function h(spec, properties, ...children) {
  const [tag, ...classes] = spec.split('.');
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(' ');
  for (const [name, value] of Object.entries(properties ?? {})) set(element, name, value);
  append(element, children);
  return element;
}

const AS_PROPERTY = new Set(['value', 'checked', 'indeterminate', 'selected', 'textContent']);

function set(element, name, value) {
  if (value === null || value === undefined || value === false) return;
  if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
  else if (AS_PROPERTY.has(name)) element[name] = value;
  else if (name === 'class') element.classList.add(...value.split(' ').filter(Boolean));
  else element.setAttribute(name, value === true ? '' : value);
}

/** An element of a picture, with attributes alone. */
export function svg(tag, attributes, ...children) {
  const element = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  append(element, children);
  return element;
}

function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) element.append(child);
  }
}

/** Puts `children` in the place of whatever `element` held. */
export function setChildren(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

/** A text that somebody wrote, kept from turning what stands around it into another direction. */
export const isolate = (text, spec = 'bdi') => h(spec, spec === 'bdi' ? null : { dir: 'auto' }, String(text));

let last = 0;
/** An id that no other element has. */
export const uniqueId = (name) => `${name}-${++last}`;

/** Calls `then` once calls have ceased for `ms`; what it returns cancels. */
export function debounce(ms, then) {
  let timer;
  const call = (...all) => {
    clearTimeout(timer);
    timer = setTimeout(() => then(...all), ms);
  };
  call.cancel = () => clearTimeout(timer);
  return call;
}

const hub = new EventTarget();
/** Tells whoever listens that `name` happened. */
export const emit = (name, detail) => hub.dispatchEvent(new CustomEvent(name, { detail }));
/** Calls `then` whenever `name` is told, until `signal` is aborted. */
export const subscribe = (name, then, signal) => hub.addEventListener(name, ({ detail }) => then(detail), { signal });

/** Says `text` in the corner, to those who see and to those who listen; it goes by itself. `action` is a name and what to do. */
export function showToast(text, action) {
  const place = document.querySelector('.toasts');
  const line = h('p', null, isolate(text), action && [' ', h('button', { type: 'button', onclick: () => { line.remove(); action[1](); } }, action[0])]);
  setChildren(place, line);
  setTimeout(() => line.remove(), action ? 15_000 : 6000);
}
