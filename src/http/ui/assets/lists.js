// A list as text, in JSON or YAML. The service reads it, as it reads documents, and says at which line and column it
// fails; here nothing is parsed.
import { request } from './api.js';
import { valueDiff } from './diff.js';
import { debounce, h, isolate, setChildren } from './dom.js';
import { label } from './format.js';
import { openDialog, toSentence } from './parts.js';

// What stands before the text in the document that is sent, and how it is moved in.
const KINDS = {
  json: {
    type: 'application/json', write: (items) => JSON.stringify(items, null, 2),
    wrap: (key, text) => `{"format_version":1,"settings":{${JSON.stringify(key)}:\n${text}\n}}`, lines: 1, columns: 0,
  },
  yaml: {
    type: 'application/yaml', write: (items) => (items.length ? items.map((it) => `- ${JSON.stringify(it)}`).join('\n') : '[]'),
    wrap: (key, text) => `format_version: 1\nsettings:\n  ${JSON.stringify(key)}:\n${text.replace(/^/gm, '    ')}\n`, lines: 3, columns: 4,
  },
};

/** What the service reads in `text`: `{ value }`, or `{ fault, line, column }` counted from 1. */
async function parse(setting, kind, text, signal) {
  const { type, wrap, lines, columns } = KINDS[kind];
  const last = text.split('\n').length;
  try {
    const { data } = await request('POST', '/admin/config/import', { query: { dry_run: true }, type, body: wrap(setting.key, text), signal });
    const entry = data.entries.find((it) => it.key === setting.key);
    if (data.entries.length !== 1 || !Array.isArray(entry?.imported)) return { fault: entry?.detail ?? 'this is no list of texts', line: 1, column: 1 };
    return { value: entry.imported, fault: entry.class === 'invalid' ? entry.detail : null };
  } catch (problem) {
    if (problem.name === 'AbortError') throw problem;
    const [, line, column] = /line (\d+),? column (\d+)/.exec(problem.message) ?? [];
    const fault = problem.message.replace(/ ?(at )?line \d+,? column \d+/, '');
    if (!line) return { fault };
    return { fault, line: Math.min(last, Math.max(1, line - lines)), column: Math.max(1, column - columns) };
  }
}

/** Edits `items` of `setting` as text; the promise is the new list, or undefined. */
export function editListAsText(setting, items) {
  let [kind, found, control] = ['json', { value: items }, null];
  return openDialog((close) => {
    const numbers = h('pre.gutter', { 'aria-hidden': 'true' });
    const told = h('div', { id: 'list-told', 'aria-live': 'polite' });
    const take = h('button.primary', { type: 'submit' }, 'Take it into the draft');
    const place = () => text.value.split('\n').slice(0, (found.line ?? 1) - 1).join('\n').length + (found.line > 1 ? 1 : 0) + (found.column ?? 1) - 1;
    const show = () => {
      const lines = text.value.split('\n');
      setChildren(numbers, lines.map((_, i) => [h(`span${found.line === i + 1 ? '.current-line' : ''}`, null, `${i + 1}`), '\n']));
      text.setAttribute('aria-invalid', String(Boolean(found.fault)));
      take.disabled = !found.value;
      setChildren(told, found.fault
        ? [h('p.error', null, found.line ? `Line ${found.line}, column ${found.column}: ` : '', isolate(toSentence(found.fault))),
          found.line && h('button.subtle', { type: 'button', onclick: () => { text.focus(); text.setSelectionRange(place(), place() + 1); } }, 'Go there')]
        : h('p', null, h('span.muted', null, 'What changes: '), valueDiff(items, found.value)));
    };
    const look = async () => {
      control?.abort();
      control = new AbortController();
      try {
        found = await parse(setting, kind, text.value, control.signal);
        show();
      } catch { /* a newer text is being read */ }
    };
    const soon = debounce(250, look);
    const write = (to) => {
      kind = to;
      if (found.value) text.value = KINDS[kind].write(found.value);
      look();
    };
    const text = h('textarea.code', {
      rows: 12, wrap: 'off', spellcheck: 'false', autofocus: true, 'aria-label': `${label(setting.key)} as text`, 'aria-describedby': 'list-told',
      value: KINDS.json.write(items), oninput: () => { take.disabled = true; soon(); }, onscroll: () => { numbers.scrollTop = text.scrollTop; },
    });
    const choice = (value, name) => h('label.check', null, h('input', { type: 'radio', name: 'kind', value, checked: value === kind, onchange: () => write(value) }), name);
    show();
    return {
      title: `${label(setting.key)} as text`,
      wider: true,
      body: [h('div.row', { role: 'radiogroup', 'aria-label': 'Written as' }, choice('json', 'JSON'), choice('yaml', 'YAML'),
        h('button.subtle', { type: 'button', onclick: () => write(kind) }, 'Format')), h('div.code-frame', null, numbers, text), told],
      actions: [h('button', { type: 'button', onclick: () => close() }, 'Cancel'), take],
      submit: async () => {
        soon.cancel();
        await look();
        if (found.value) close(found.value);
      },
    };
  });
}
