// The dialog that edits a list as JSON or YAML. The service parses the text and reports line and column of an error; the
// browser has no YAML parser.
import { request } from './api.js';
import { valueDiff } from './diff.js';
import { debounce, h, isolate, setChildren } from './dom.js';
import { label, toSentence } from './format.js';
import { openDialog } from './parts.js';

// The text becomes part of an import document. `linesBefore` and `indentation` map a position in the document to the text.
const FORMATS = {
  json: {
    type: 'application/json',
    serialize: (items) => JSON.stringify(items, null, 2),
    toDocument: (key, text) => `{"format_version":1,"settings":{${JSON.stringify(key)}:\n${text}\n}}`,
    linesBefore: 1,
    indentation: 0,
  },
  yaml: {
    type: 'application/yaml',
    serialize: (items) => (items.length > 0 ? items.map((item) => `- ${JSON.stringify(item)}`).join('\n') : '[]'),
    toDocument: (key, text) => `format_version: 1\nsettings:\n  ${JSON.stringify(key)}:\n${text.replace(/^/gm, '    ')}\n`,
    linesBefore: 3,
    indentation: 4,
  },
};

/** Parses `text` with a dry run of an import. Returns `{ value }`, or `{ error, line, column }` with numbers from 1. */
async function parseList(setting, format, text, signal) {
  const { type, toDocument } = FORMATS[format];
  try {
    const { data } = await request('POST', '/admin/config/import', { query: { dry_run: true }, type, body: toDocument(setting.key, text), signal });
    const entry = data.entries.find(({ key }) => key === setting.key);
    if (data.entries.length !== 1 || !Array.isArray(entry?.imported)) return { error: entry?.detail ?? 'must be a list of texts', line: 1, column: 1 };
    return { value: entry.imported, error: entry.class === 'invalid' ? entry.detail : null };
  } catch (problem) {
    if (problem.name === 'AbortError') throw problem;
    return locateError(problem.message, format, text);
  }
}

function locateError(message, format, text) {
  const { linesBefore, indentation } = FORMATS[format];
  const [, line, column] = /line (\d+),? column (\d+)/.exec(message) ?? [];
  const error = message.replace(/ ?(at )?line \d+,? column \d+/, '');
  if (!line) return { error };
  // An error behind the text, such as a missing bracket, is shown on its last line.
  const lastLine = text.split('\n').length;
  return { error, line: Math.min(lastLine, Math.max(1, line - linesBefore)), column: Math.max(1, column - indentation) };
}

/** Opens the dialog for `items` of `setting`. Returns a promise of the new list, or undefined if cancelled. */
export function editListAsText(setting, items) {
  return openDialog((close) => new ListEditor(setting, items, close).dialogParts());
}

class ListEditor {
  constructor(setting, items, close) {
    Object.assign(this, { setting, items, close, format: 'json', result: { value: items }, pendingParse: null });
    this.lineNumbers = h('pre.gutter', { 'aria-hidden': 'true' });
    this.message = h('div', { id: 'list-message', 'aria-live': 'polite' });
    this.applyButton = h('button.primary', { type: 'submit' }, 'Apply');
    this.scheduleParse = debounce(250, () => this.parse());
    this.textArea = h('textarea.code', {
      rows: 12, wrap: 'off', spellcheck: 'false', autofocus: true,
      'aria-label': `${label(setting.key)} as text`, 'aria-describedby': 'list-message',
      value: FORMATS.json.serialize(items),
      oninput: () => {
        this.applyButton.disabled = true;
        this.scheduleParse();
      },
      onscroll: () => { this.lineNumbers.scrollTop = this.textArea.scrollTop; },
    });
    this.draw();
  }

  dialogParts() {
    const option = (format, name) => h('label.check', null,
      h('input', { type: 'radio', name: 'format', value: format, checked: format === this.format, onchange: () => this.setFormat(format) }), name);
    return {
      title: `Edit ${label(this.setting.key)} as text`,
      wide: true,
      body: [
        h('div.row', { role: 'radiogroup', 'aria-label': 'Format' }, option('json', 'JSON'), option('yaml', 'YAML'),
          h('button.subtle', { type: 'button', onclick: () => this.setFormat(this.format) }, 'Reformat')),
        h('div.code-frame', null, this.lineNumbers, this.textArea),
        this.message,
      ],
      actions: [h('button', { type: 'button', onclick: () => this.close() }, 'Cancel'), this.applyButton],
      submit: async () => {
        this.scheduleParse.cancel();
        await this.parse();
        if (this.result.value) this.close(this.result.value);
      },
    };
  }

  async parse() {
    this.pendingParse?.abort();
    this.pendingParse = new AbortController();
    try {
      this.result = await parseList(this.setting, this.format, this.textArea.value, this.pendingParse.signal);
      this.draw();
    } catch {
      // Aborted: a newer text is being parsed.
    }
  }

  setFormat(format) {
    this.format = format;
    if (this.result.value) this.textArea.value = FORMATS[format].serialize(this.result.value);
    this.parse();
  }

  draw() {
    const { value, error, line, column } = this.result;
    const lines = this.textArea.value.split('\n');
    setChildren(this.lineNumbers, lines.map((_, index) => [h(`span${line === index + 1 ? '.current-line' : ''}`, null, `${index + 1}`), '\n']));
    this.textArea.setAttribute('aria-invalid', String(Boolean(error)));
    this.applyButton.disabled = !value;
    if (!error) {
      setChildren(this.message, h('p', null, h('span.muted', null, 'Changes: '), valueDiff(this.items, value)));
      return;
    }
    setChildren(this.message,
      h('p.error', null, line ? `Line ${line}, column ${column}: ` : '', isolate(toSentence(error))),
      line && h('button.subtle', { type: 'button', onclick: () => this.selectError() }, 'Go to error'));
  }

  selectError() {
    const { line, column } = this.result;
    const linesBefore = this.textArea.value.split('\n').slice(0, line - 1);
    const lineStart = linesBefore.reduce((length, text) => length + text.length + 1, 0);
    const position = lineStart + column - 1;
    this.textArea.focus();
    this.textArea.setSelectionRange(position, position + 1);
  }
}
