// Building blocks of pages: links, buttons, fields, badges and tables.
import { queryString } from './api.js';
import { h, isolate } from './dom.js';
import { humanize, label } from './format.js';

export const link = (href, ...content) => h('a', { href }, content);

/** Returns the hash of the history page with `filters`. */
export const historyHash = (filters) => `#/history${queryString(filters)}`;

/** Creates a link to the history of a setting. */
export const settingLink = (key) => link(historyHash({ key }), isolate(label(key)));

/** Creates a link to the changes of a revision. */
export const revisionLink = (revision, prefix = 'Revision') => link(historyHash({ revision }), `${prefix} ${revision}`);

/** Creates a button. `ariaLabel` is the accessible name of a button whose text is ambiguous. */
export const button = (text, onclick, ariaLabel, spec = 'button') => h(spec, { type: 'button', 'aria-label': ariaLabel, onclick }, text);

/** Creates a badge. `kind` is '', 'accent', 'success', 'warning' or 'danger'. */
export const badge = (kind, text) => h('span.badge', { class: kind }, text);

export const muted = (...content) => h('span.muted', null, content);

/** Creates a definition list from an object. Entries that are null, undefined or empty are omitted. */
export const definitionList = (spec, entries) => h(spec, null, Object.entries(entries).map(([term, description]) =>
  description && h('div', null, h('dt', null, term), h('dd', null, description))));

export const labeledField = (text, input) => h('label.field', null, text, input);

/** Creates a select field of `values` and “All”. `onchange(value)` receives '' for “All”. */
export function selectField(title, name, values, selected, onchange, format = humanize) {
  const option = (value) => h('option', { value, selected: value === selected }, value ? format(value) : 'All');
  return labeledField(title, h('select', { name, onchange: ({ target }) => onchange(target.value) }, ['', ...values].map(option)));
}

/** Creates a text that scrolls if it is long. */
export const longText = (text) => (text.length > 200 ? h('span.long', { tabindex: '0' }, isolate(text)) : isolate(text));

/**
 * Creates a table. `columns` maps each title to the CSS class of its width; `rows` is a `<tbody>` or an array of rows.
 * On narrow screens a row becomes a card.
 */
export const table = (name, columns, rows) => h('div.card', null, h('table.cards', { 'aria-label': name },
  h('thead', null, h('tr', null, Object.entries(columns).map(([title, width]) => h('th', { scope: 'col', class: width }, title)))),
  rows.nodeType ? rows : h('tbody', null, rows)));

/** Creates a row of a table with `columns`. The first cell is the header of the row. */
export function tableRow(columns, properties, header, ...cells) {
  const [, ...titles] = Object.keys(columns);
  // Cards show the title of each column, but buttons explain themselves.
  const cell = (content, index) => h('td', { 'data-label': titles[index] !== 'Actions' && titles[index] }, content);
  return h('tr', properties, h('th', { scope: 'row' }, header), cells.map(cell));
}
