// Keyboard shortcuts and the command palette. Single-key shortcuts can be turned off (WCAG 2.1.4).
import { emit, h, setChildren } from './dom.js';
import { label, timePreference } from './format.js';
import { pages } from './pages.js';
import { openDialog } from './parts.js';
import { session } from './session.js';
import { store } from './store.js';

const singleKeyPreference = {
  get enabled() { return localStorage.getItem('brune.letters') !== 'off'; },
  set enabled(enabled) { localStorage.setItem('brune.letters', enabled ? 'on' : 'off'); },
};

// How long `g` waits for the letter of a page.
const SEQUENCE_TIMEOUT = 1500;

// Shortcuts that a page, or the draft bar, handles.
const SHORTCUT_EVENTS = { e: 'shortcut-edit', r: 'shortcut-review', h: 'shortcut-history' };

const isTextInput = (target) => target.closest?.('input:not([type=checkbox], [type=radio]), select, textarea, [contenteditable]');
const isDialogOpen = () => document.querySelector('dialog[open]') !== null;

/** Handles the shortcuts of all pages. */
export function enableShortcuts() {
  let sequenceStart = -Infinity;
  addEventListener('keydown', (event) => {
    const { key, target } = event;
    const hasControl = event.ctrlKey || event.metaKey;
    if (hasControl && key.toLowerCase() === 'k') {
      event.preventDefault();
      if (!isDialogOpen()) openCommandPalette();
      return;
    }
    // Fields need letters as text, and a dialog has keys of its own.
    if (hasControl || event.altKey || isDialogOpen() || isTextInput(target) || !singleKeyPreference.enabled) return;
    const isInSequence = performance.now() - sequenceStart < SEQUENCE_TIMEOUT;
    sequenceStart = -Infinity;
    const page = isInSequence && pages().find(([, , letter]) => letter === key);
    if (page) location.hash = `#/${page[0]}`;
    else if (key === 'g') sequenceStart = performance.now();
    else if (key === '?') openShortcutHelp();
    else if (key === '/') document.querySelector('main [type=search]')?.focus();
    else if (SHORTCUT_EVENTS[key]) emit(SHORTCUT_EVENTS[key], target);
    else return;
    event.preventDefault();
  });
}

/** Opens the list of shortcuts, with the preferences for shortcuts and times. */
function openShortcutHelp() {
  const shortcuts = [
    ['/', 'Search'], ['Ctrl K', 'Open the command palette'], ['?', 'Show keyboard shortcuts'], ['e', 'Edit the focused setting'],
    ['h', 'Show its history'], ['r', 'Review unsaved changes'], ['Ctrl Enter', 'Submit a dialog'], ['Esc', 'Undo the edit of a field, close a dialog'],
    ...pages().map(([, name, letter]) => [`g ${letter}`, name]),
  ];
  const singleKeys = h('input', { type: 'checkbox', checked: singleKeyPreference.enabled, onchange: () => { singleKeyPreference.enabled = singleKeys.checked; } });
  const utc = h('input', { type: 'checkbox', checked: timePreference.utc, onchange: () => {
    timePreference.utc = utc.checked;
    // Draws the page again.
    dispatchEvent(new HashChangeEvent('hashchange'));
  } });
  const keyElements = (keys) => keys.split(' ').map((key) => [h('kbd', null, key), ' ']);
  return openDialog((close) => ({
    title: 'Keyboard shortcuts',
    body: [
      h('dl.shortcut-list', null, shortcuts.map(([keys, action]) => h('div', null, h('dt', null, keyElements(keys)), h('dd', null, action)))),
      h('label.check', null, singleKeys, 'Enable single-key shortcuts'),
      h('label.check', null, utc, 'Show times in UTC'),
    ],
    actions: [h('button.primary', { type: 'submit', autofocus: true }, 'Close')],
    submit: () => close(),
  }));
}

/** Returns pages, settings and actions with their `searchText`. */
function paletteCommands() {
  const goTo = (hash) => () => { location.hash = hash; };
  // The dialogs are loaded on first use.
  const openSafetyDialog = (name) => async () => (await import('./safety-dialogs.js'))[name]();
  const settingCommands = (key) => {
    const parameter = encodeURIComponent(key);
    return [
      { name: label(key), key, kind: 'setting', run: goTo(`#/settings?search=${parameter}&edit=${parameter}`) },
      { name: `History of ${label(key)}`, key, kind: 'history', run: goTo(`#/history?key=${parameter}`) },
    ];
  };
  const commands = [
    ...pages().map(([path, name]) => ({ name, kind: 'page', run: goTo(`#/${path}`) })),
    { name: 'Proposals waiting for me', kind: 'page', run: goTo('#/proposals?show=waiting') },
    { name: 'Open proposals', kind: 'page', run: goTo('#/proposals?show=open') },
    { name: 'Releases', kind: 'page', run: goTo('#/history/releases') },
    { name: 'Freeze settings…', kind: 'action', run: openSafetyDialog('openFreezeDialog') },
    ...(session.hasSessions ? [{ name: 'Stop session starts…', kind: 'action', run: openSafetyDialog('openStopDialog') }] : []),
    { name: 'Review unsaved changes', kind: 'action', run: () => emit('shortcut-review') },
    { name: 'Keyboard shortcuts and preferences', kind: 'action', run: openShortcutHelp },
    ...[...store.settings.keys()].flatMap(settingCommands),
  ];
  return commands.map((command) => ({ ...command, searchText: `${command.name} ${command.key ?? ''}`.toLowerCase() }));
}

/** Returns the command that opens the proposal of a number. */
function proposalCommands(text) {
  const number = /^\s*(?:proposal\s*)?#?([1-9]\d{0,14})\s*$/i.exec(text)?.[1];
  return number ? [{ name: `Proposal ${number}`, kind: 'proposal', run: () => { location.hash = `#/proposals/${number}`; } }] : [];
}

const MAX_RESULTS = 12;

function openCommandPalette() {
  const commands = paletteCommands();
  let results = [];
  let selectedIndex = 0;
  return openDialog((close) => {
    const run = (command) => {
      close();
      command?.run();
    };
    const list = h('ul.palette', { role: 'listbox', id: 'palette', 'aria-label': 'Results' });
    const option = (command, index) => h('li', {
      role: 'option', id: `palette-${index}`, 'aria-selected': String(index === selectedIndex), onclick: () => run(command),
    }, h('span', null, command.name), h('span.muted', null, command.key ?? command.kind));
    const draw = () => {
      const terms = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      const matches = commands.filter(({ searchText }) => terms.every((term) => searchText.includes(term)));
      results = [...proposalCommands(input.value), ...matches].slice(0, MAX_RESULTS);
      selectedIndex = Math.min(selectedIndex, Math.max(0, results.length - 1));
      setChildren(list, results.map(option), results.length === 0 && h('li.muted', null, 'No results'));
      // The focus stays in the field; screen readers follow the active descendant.
      if (results.length > 0) input.setAttribute('aria-activedescendant', `palette-${selectedIndex}`);
      list.querySelector('[aria-selected=true]')?.scrollIntoView({ block: 'nearest' });
    };
    const onkeydown = (event) => {
      // In a search field Escape only clears the text.
      if (event.key === 'Escape') {
        close();
        return;
      }
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      selectedIndex = (selectedIndex + step + results.length) % (results.length || 1);
      draw();
    };
    const oninput = () => {
      selectedIndex = 0;
      draw();
    };
    const input = h('input', {
      type: 'search', role: 'combobox', 'aria-expanded': 'true', 'aria-controls': 'palette', 'aria-label': 'Go to',
      placeholder: 'Page, setting or action', autofocus: true, autocomplete: 'off', oninput, onkeydown,
    });
    draw();
    return {
      title: 'Go to',
      body: [input, list],
      actions: [h('span.hint.push-left', null, 'Enter to open, Esc to close'), h('button', { type: 'button', onclick: () => close() }, 'Close')],
      submit: () => run(results[selectedIndex]),
    };
  });
}

/** Creates the button that opens the list of shortcuts. */
export const helpButton = () => h('button.subtle', { type: 'button', onclick: openShortcutHelp, title: 'Keyboard shortcuts (?)' }, 'Shortcuts');
