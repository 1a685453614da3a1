// The download of history entries as CSV or JSON.
import { h, setChildren, showToast } from './dom.js';
import { pluralize } from './format.js';
import { pageReader } from './live-table.js';
import { button } from './page.js';
import { saveFile } from './parts.js';

// All entries are held in memory until the file is complete.
const MAX_ENTRIES = 50_000;
const PAGE_SIZE = 200;
const CSV_COLUMNS = ['changed_at', 'changed_by', 'action', 'key', 'old_value', 'new_value', 'version', 'revision', 'reason', 'request_id', 'id'];

const pluralizeEntries = (count) => pluralize(count, 'entry', 'entries');

/** Creates the buttons that download the entries of `path` that match `filters`. */
export function downloadButtons(path, filters) {
  const status = h('span.hint', { role: 'status' });
  const container = h('span.row');
  const download = (format) => async ({ target }) => {
    const controller = new AbortController();
    const cancelButton = button('Cancel', () => controller.abort(), 'Cancel the download');
    setChildren(container, cancelButton);
    cancelButton.focus();
    try {
      const onprogress = (count) => setChildren(status, `${pluralizeEntries(count)}…`);
      const { entries, isComplete } = await loadEntries(pageReader(path, 'entries', filters, controller.signal), onprogress);
      saveEntries(format, entries);
      setChildren(status);
      showToast(isComplete ? `Downloaded ${pluralizeEntries(entries.length)}.`
        : `Downloaded the newest ${pluralizeEntries(MAX_ENTRIES)}. Narrow the time range to download the others.`);
    } catch (problem) {
      setChildren(status, problem.name === 'AbortError' ? 'Cancelled' : `Download failed: ${problem.message}`);
    }
    setChildren(container, buttons);
    target.focus();
  };
  const buttons = ['CSV', 'JSON'].map((format) => button(format, download(format), `Download ${format}`));
  setChildren(container, buttons);
  return [h('span.hint', null, 'Download'), container, status];
}

async function loadEntries(loadPage, onprogress) {
  const entries = [];
  let cursor = null;
  do {
    const { rows, next } = await loadPage(cursor, PAGE_SIZE);
    entries.push(...rows);
    cursor = next;
    onprogress(entries.length);
  } while (cursor && entries.length < MAX_ENTRIES);
  return { entries, isComplete: !cursor };
}

function saveEntries(format, entries) {
  const timestamp = new Date().toISOString().slice(0, 19).replaceAll(':', '');
  const name = `history-${timestamp}.${format.toLowerCase()}`;
  if (format === 'JSON') saveFile(name, 'application/json', `${JSON.stringify(entries, null, 2)}\n`);
  else saveFile(name, 'text/csv', toCsv(entries));
}

function toCsv(entries) {
  // Values are written as JSON, so that the text "1" and the number 1 differ.
  const cell = (entry, column) => (column.endsWith('_value') && entry[column] !== null ? JSON.stringify(entry[column]) : entry[column] ?? '');
  const lines = entries.map((entry) => CSV_COLUMNS.map((column) => quoteCsv(cell(entry, column))).join(','));
  return [CSV_COLUMNS.join(','), ...lines, ''].join('\r\n');
}

/** Quotes a cell (RFC 4180). An apostrophe keeps spreadsheets from running text as a formula. */
const quoteCsv = (value) => `"${String(value).replace(/^[=+\-@\t\r]/, '\'$&').replaceAll('"', '""')}"`;
