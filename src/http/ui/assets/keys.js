// Keys: where to go, what to look for, and a list of what may be done, all without a mouse. Single letters can be turned
// off (WCAG 2.1.4).
import { emit, h, setChildren } from './dom.js';
import { label, timePreference } from './format.js';
import { openDialog } from './parts.js';
import { pages } from './pages.js';
import { store } from './store.js';

const letters = {
  get on() { return localStorage.getItem('brune.letters') !== 'off'; },
  set on(on) { localStorage.setItem('brune.letters', on ? 'on' : 'off'); },
};

const isTextInput = (target) => target.closest?.('input:not([type=checkbox], [type=radio]), select, textarea, [contenteditable]');

/** Listens to the keys of every page. */
export function enableShortcuts() {
  let going = 0;
  addEventListener('keydown', (event) => {
    const control = event.ctrlKey || event.metaKey;
    if (control && event.key.toLowerCase() === 'k') {
      event.preventDefault();
      if (!document.querySelector('dialog[open]')) openCommandPalette();
      return;
    }
    if (control || event.altKey || document.querySelector('dialog[open]') || isTextInput(event.target) || !letters.on) return;
    const after = performance.now() - going < 1500;
    going = 0;
    const page = after && pages().find(([, , letter]) => letter === event.key);
    if (page) location.hash = `#/${page[0]}`;
    else if (event.key === 'g') going = performance.now();
    else if (event.key === '?') openShortcutHelp();
    else if (event.key === '/') document.querySelector('main [type=search]')?.focus();
    else if ('erh'.includes(event.key)) emit(`key-${event.key}`, event.target);
    else return;
    event.preventDefault();
  });
}

/** What the keys do, and what may be turned off. */
export function openShortcutHelp() {
  const keys = [
    ['/', 'Search'], ['Ctrl K', 'Go anywhere, by name'], ['?', 'This page'], ['e', 'Edit the setting that has the focus'],
    ['h', 'Its history'], ['r', 'Review what is not saved'], ['Ctrl Enter', 'In a dialog: do it'], ['Esc', 'In a field: as it was. In a dialog: close'],
    ...pages().map(([, name, letter]) => [`g ${letter}`, name]),
  ];
  const single = h('input', { type: 'checkbox', checked: letters.on, onchange: () => { letters.on = single.checked; } });
  const utc = h('input', { type: 'checkbox', checked: timePreference.utc, onchange: () => {
    timePreference.utc = utc.checked;
    dispatchEvent(new HashChangeEvent('hashchange'));
  } });
  return openDialog((close) => ({
    title: 'Keys',
    body: [h('dl.shortcut-list', null, keys.map(([key, what]) => h('div', null, h('dt', null, key.split(' ').map((it) => [h('kbd', null, it), ' '])), h('dd', null, what)))),
      h('label.check', null, single, 'Single letters are commands'), h('label.check', null, utc, 'Times in UTC')],
    actions: [h('button.primary', { type: 'submit', autofocus: true }, 'Close')],
    submit: () => close(),
  }));
}

/** Everything that has a name: pages, settings, and what may be done. */
function openCommandPalette() {
  const goes = (hash) => () => { location.hash = hash; };
  const all = [
    ...pages().map(([path, name]) => ({ name, kind: 'page', act: goes(`#/${path}`) })),
    { name: 'Review what is not saved', kind: 'do', act: () => emit('key-r') },
    { name: 'Keys and times', kind: 'do', act: openShortcutHelp },
    ...[...store.settings.keys()].flatMap((key) => [
      { name: label(key), more: key, kind: 'setting', act: goes(`#/settings?search=${encodeURIComponent(key)}&edit=${encodeURIComponent(key)}`) },
      { name: `History of ${label(key)}`, more: key, kind: 'history', act: goes(`#/history?key=${encodeURIComponent(key)}`) },
    ]),
  ].map((it) => ({ ...it, text: `${it.name} ${it.more ?? ''}`.toLowerCase() }));
  let [found, at] = [[], 0];
  return openDialog((close) => {
    const choose = (it) => { close(); it?.act(); };
    const list = h('ul.palette', { role: 'listbox', id: 'palette', 'aria-label': 'What fits' });
    const draw = () => {
      const sought = field.value.toLowerCase().split(/\s+/).filter(Boolean);
      found = all.filter((it) => sought.every((word) => it.text.includes(word))).slice(0, 12);
      at = Math.min(at, Math.max(0, found.length - 1));
      setChildren(list, found.map((it, i) => h('li', { role: 'option', id: `palette-${i}`, 'aria-selected': String(i === at), onclick: () => choose(it) },
        h('span', null, it.name), h('span.muted', null, it.more ?? it.kind))));
      if (found.length) field.setAttribute('aria-activedescendant', `palette-${at}`);
      else setChildren(list, h('li.muted', null, 'Nothing of that name.'));
      list.querySelector('[aria-selected=true]')?.scrollIntoView({ block: 'nearest' });
    };
    const field = h('input', {
      type: 'search', role: 'combobox', 'aria-expanded': 'true', 'aria-controls': 'palette', 'aria-label': 'Go to', placeholder: 'A page, a setting, something to do', autofocus: true, autocomplete: 'off',
      oninput: () => { at = 0; draw(); },
      onkeydown: (event) => {
        // Escape would only empty the field.
        if (event.key === 'Escape') return close();
        const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
        if (!step) return null;
        event.preventDefault();
        at = (at + step + found.length) % (found.length || 1);
        return draw();
      },
    });
    draw();
    return { title: 'Go to', body: [field, list], actions: [h('span.hint.push-left', null, 'Enter goes there, Esc closes'), h('button', { type: 'button', onclick: () => close() }, 'Close')], submit: () => choose(found[at]) };
  });
}

/** The button that tells of all this, for those who do not guess. */
export const helpButton = () => h('button.subtle', { type: 'button', onclick: openShortcutHelp, title: 'Keys (?)' }, 'Keys');
