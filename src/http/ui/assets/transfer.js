// The page of export and import: downloads in three formats, and the form of a document to import.
import { fetchJson, request, serviceUrl } from './api.js';
import { h, isolate, setChildren, uniqueId } from './dom.js';
import { toSentence, valueElement } from './format.js';
import { showImportPlan } from './import-plan.js';
import { button, labeledField } from './page.js';
import { errorAlert, pageHeader } from './parts.js';

const PATH = '/admin/config/import';
// The limit of the service for a request body.
const MAX_BYTES = 1024 * 1024;
const TOO_LARGE = 'The document exceeds the limit of 1 MiB.';
const FORMATS = { json: ['JSON', 'application/json'], yaml: ['YAML', 'application/yaml'], env: ['.env', 'text/plain'] };

/** Returns the plan of `documentRequest`, `{ body, type }`. Unknown keys are skipped: an .env file has other variables as well. */
async function loadPlan(documentRequest, signal) {
  const query = { dry_run: true, on_unknown: 'skip' };
  const { data } = await request('POST', PATH, { ...documentRequest, query, signal });
  return data;
}

export function show(body, parameters, signal) {
  setChildren(body,
    pageHeader('Import and export', 'Settings as a file: for backups, for comparison, or to copy settings to another environment.'),
    exportSection(), new ImportForm(signal).element);
}

function exportSection() {
  const lockedKeys = h('div');
  const loadLockedKeys = () => fetchJson('/admin/config').then(({ entries }) => {
    const keys = entries.filter((entry) => entry.locked).map((entry) => entry.key);
    setChildren(lockedKeys, valueElement(keys));
  }, (problem) => setChildren(lockedKeys, errorAlert(problem)));
  const downloadLink = ([format, [name]]) => h('a.button', { href: serviceUrl(`/admin/config/export?format=${format}`), download: true }, `Download ${name}`);
  return h('section', null, h('h2', null, 'Export'), h('div.card.padded.stack', null,
    h('p', null, 'All settings with their current values and revision. Each format contains the same data and can be imported.'),
    h('div.row', null, Object.entries(FORMATS).map(downloadLink)),
    h('details', { ontoggle: loadLockedKeys }, h('summary', null, 'Not exported: secrets and locked keys'), lockedKeys)));
}

/** The form of a document to import. The plan is shown below the form. */
class ImportForm {
  constructor(signal) {
    // `documentVersion` counts changes of the document: the plan of an earlier document is outdated.
    Object.assign(this, { signal, documentVersion: 0, isFormatChosen: false });
    this.error = h('p.error', { id: uniqueId('error'), role: 'alert', hidden: true });
    this.result = h('div');
    this.textArea = h('textarea.mono', {
      name: 'document', rows: '9', spellcheck: 'false', dir: 'ltr', 'aria-describedby': this.error.id, oninput: () => this.handleInput(),
    });
    this.formatSelect = h('select', {
      name: 'format', onchange: () => {
        this.isFormatChosen = true;
        this.reset();
      },
    }, Object.entries(FORMATS).map(([value, [name]]) => h('option', { value }, name)));
    this.fileInput = h('input', { type: 'file', onchange: () => this.readFile(this.fileInput.files[0]) });
    const onsubmit = (event) => {
      event.preventDefault();
      this.preview();
    };
    const form = h('form.card.padded.stack.drop-zone', { novalidate: true, onsubmit },
      h('div.row', null, labeledField('Drop a file anywhere on this page, or choose a file', this.fileInput)),
      labeledField('Or paste a document', this.textArea), this.error,
      h('div.row', null, labeledField('Format', this.formatSelect), h('button.primary', { type: 'submit' }, 'Preview changes'),
        h('span.hint', null, 'Nothing is saved yet.')));
    acceptDrops(form, (file) => this.readFile(file), signal);
    this.element = h('section', null, h('h2', null, 'Import'), h('div.stack', null, form, this.result));
  }

  handleInput() {
    if (!this.isFormatChosen) this.formatSelect.value = detectFormat(this.textArea.value);
    this.reset();
  }

  /** Removes plan and error, which belong to an earlier document. */
  reset() {
    this.documentVersion += 1;
    this.showError();
    setChildren(this.result);
  }

  showError(...content) {
    setChildren(this.error, content);
    this.error.hidden = content.length === 0;
    this.textArea.setAttribute('aria-invalid', String(content.length > 0));
  }

  async readFile(file) {
    if (!file) return;
    this.reset();
    if (file.size > MAX_BYTES) {
      this.showError(isolate(file.name), ': ', TOO_LARGE);
      return;
    }
    // A folder cannot be read, and bytes that are not UTF-8 become U+FFFD.
    const content = await file.text().catch(() => '\uFFFD');
    if (content.includes('\uFFFD')) {
      this.showError(isolate(file.name), ' is not a UTF-8 text file.');
      return;
    }
    this.textArea.value = content;
    // The format that was chosen belongs to the previous document.
    this.isFormatChosen = false;
    this.formatSelect.value = detectFormat(content, file.name);
    await this.preview();
  }

  async preview() {
    this.reset();
    const { documentVersion } = this;
    const text = this.textArea.value;
    if (!text.trim()) {
      this.showError('Choose a file or paste a document.');
      this.textArea.focus();
      return;
    }
    if (new Blob([text]).size > MAX_BYTES) {
      this.showError(TOO_LARGE);
      return;
    }
    const documentRequest = { body: text, type: FORMATS[this.formatSelect.value][1] };
    const isOutdated = () => documentVersion !== this.documentVersion;
    try {
      const plan = await loadPlan(documentRequest, this.signal);
      if (!isOutdated()) showImportPlan(this.result, plan, { documentRequest, loadPlan, signal: this.signal, onrestart: () => this.restart() });
    } catch (problem) {
      if (isOutdated()) return;
      const isUnreadable = problem.code === 'malformed_request';
      setChildren(this.result, isUnreadable ? syntaxErrors(problem, this.textArea, this.formatSelect.value) : errorAlert(problem, () => this.preview()));
    }
  }

  /** Empties the form for another document. */
  restart() {
    this.textArea.value = '';
    this.fileInput.value = '';
    this.reset();
    this.textArea.focus();
  }
}

/** Accepts files that are dropped anywhere on the page, and highlights `dropZone` meanwhile. */
function acceptDrops(dropZone, onfile, signal) {
  const handle = (eventName, isDragOver, onevent) => document.addEventListener(eventName, (event) => {
    const { types, files } = event.dataTransfer;
    if (!types.includes('Files')) return;
    // Without this the browser would open the file.
    event.preventDefault();
    dropZone.classList.toggle('drag-over', isDragOver(event));
    onevent?.(files[0]);
  }, { signal });
  handle('dragover', () => true);
  // Without a related target the pointer has left the window.
  handle('dragleave', (event) => event.relatedTarget !== null);
  handle('drop', () => false, onfile);
}

/** Detects the format of a document by the name of its file, or by its first characters. */
function detectFormat(text, fileName = '') {
  const extension = /.*\.(json|ya?ml|env)\b/i.exec(fileName)?.[1].toLowerCase();
  if (extension) return extension === 'yml' ? 'yaml' : extension;
  if (/^\s*[{[]/.test(text)) return 'json';
  return /^(?:\s|#.*\n)*(?:export\s+)?\w+\s*=/.test(text) ? 'env' : 'yaml';
}

/** Creates the list of syntax errors, each with an excerpt of its line. */
function syntaxErrors({ message, errors }, textArea, format) {
  const lines = textArea.value.split('\n');
  const selectError = (line, column = 0) => {
    const lineStart = lines.slice(0, line - 1).reduce((length, text) => length + text.length + 1, 0);
    textArea.focus();
    textArea.setSelectionRange(lineStart + column, lineStart + lines[line - 1].length);
  };
  const item = ({ detail, pointer }) => {
    const { line, column } = locateError(lines, detail, pointer, format);
    return h('li', null,
      h('p', null, pointer && [h('code', null, isolate(pointer)), ': '], isolate(toSentence(detail))),
      line > 0 && [excerpt(lines[line - 1], line, column), button(`Go to line ${line}`, () => selectError(line, column), null, 'button.subtle')]);
  };
  return h('div.note.danger', { role: 'alert' },
    h('p', null, h('strong', null, 'The document contains errors. Nothing was saved.')),
    h('ul.error-list', null, (errors.length > 0 ? errors : [{ detail: message }]).map(item)));
}

/** Returns the line of an error from 1 (0 if unknown) and its column from 0, by the error text or by the JSON pointer. */
function locateError(lines, detail, pointer, format) {
  const [, lineText, columnText] = /\bline (\d+)(?:,? column (\d+))?/.exec(detail) ?? [];
  const name = pointer?.split('/').at(-1);
  const lineOfName = name ? lines.findIndex((text) => text.includes(name)) + 1 : 0;
  const line = lineText ? Math.min(lineText, lines.length) : lineOfName;
  if (!columnText) return { line };
  if (format !== 'json') return { line, column: columnText - 1 };
  // For JSON the service counts bytes.
  const bytes = new TextEncoder().encode(lines[line - 1]).slice(0, columnText - 1);
  return { line, column: new TextDecoder().decode(bytes).length };
}

// Characters of a line before and after an error.
const EXCERPT_BEFORE = 60;
const EXCERPT_LENGTH = 120;

/** Creates an excerpt of a line with its number, and with the character at `column` marked. */
function excerpt(text, line, column) {
  const start = Math.max(0, (column ?? 0) - EXCERPT_BEFORE);
  const end = start + EXCERPT_LENGTH;
  const hasColumn = column !== undefined;
  return h('pre.excerpt', { dir: 'ltr' },
    h('span.muted', null, `${line} │ `), start > 0 && '…',
    text.slice(start, hasColumn ? column : EXCERPT_LENGTH),
    hasColumn && [h('mark', null, text[column] ?? ' '), text.slice(column + 1, end)],
    text.length > end && '…');
}
