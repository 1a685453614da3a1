// The field of a value by its type. `onvalue` is called with `{ value }`, or with `{ raw, fault }` while what stands in the
// field is no value. A field is `{ element, input }`; `input` is what takes the focus.
import { h, isolate, setChildren, uniqueId } from './dom.js';
import { editListAsText } from './lists.js';
import { store } from './store.js';

/** The field of `setting`, holding `value` (or the text `raw`); `valueOf(key)` is what another setting would be. */
export function settingField(setting, { value, raw }, { name, describedby }, onvalue, valueOf) {
  const common = { 'aria-label': name, 'aria-describedby': describedby };
  const { value_type: type, constraints } = setting;
  if (type === 'boolean') return switchField(value, common, onvalue);
  if (type === 'number') return numberField(setting, raw ?? value, common, onvalue);
  if (type === 'string_array') return listField(setting, value, common, onvalue);
  const choices = constraints.enum ?? (constraints.member_of && valueOf(constraints.member_of));
  return choices ? choiceField(value, choices, Boolean(constraints.member_of), common, onvalue) : textField(value, common, onvalue);
}

function switchField(value, common, onvalue) {
  const word = h('span', { 'aria-hidden': 'true' }, value ? 'on' : 'off');
  const input = h('input', {
    ...common, type: 'checkbox', role: 'switch', checked: value,
    onchange: () => {
      word.textContent = input.checked ? 'on' : 'off';
      onvalue({ value: input.checked });
    },
  });
  return { element: h('label.switch', null, input, word), input };
}

function numberField({ constraints: c }, value, common, onvalue) {
  const read = () => {
    const text = input.value.trim();
    if (text === '' || input.validity.badInput) return onvalue({ raw: text, fault: 'must be a number' });
    const number = Number(text);
    return Number.isFinite(number) ? onvalue({ value: number }) : onvalue({ raw: text, fault: 'must be a number' });
  };
  const input = h('input', { ...common, type: 'number', step: c.integer ? 1 : 'any', min: c.min, max: c.max, value: String(value), oninput: read, autocomplete: 'off' });
  return { element: input, input };
}

function textField(value, common, onvalue) {
  const long = value.length > 60;
  const input = h(long ? 'textarea' : 'input', {
    ...common, value, dir: 'auto', autocomplete: 'off', spellcheck: 'false', rows: long ? 4 : null,
    // A text stands on one line: what is pasted with more is told of by the service.
    oninput: () => onvalue({ value: input.value }),
  });
  return { element: input, input };
}

const OTHER = '\u0000other';

function choiceField(value, choices, open, common, onvalue) {
  const all = choices.includes(value) ? choices : [value, ...choices];
  const input = h('select', {
    ...common,
    onchange: () => {
      if (input.value !== OTHER) return onvalue({ value: input.value });
      const other = textField('', common, onvalue);
      input.replaceWith(other.element);
      other.input.placeholder = 'another';
      other.input.focus();
      return onvalue({ raw: '', fault: 'has no value yet' });
    },
  }, all.map((it) => h('option', { value: it, selected: it === value }, it || 'empty text')), open && h('option', { value: OTHER }, 'Another …'));
  return { element: input, input };
}

function listField(setting, value, common, onvalue) {
  const items = [...value];
  const options = uniqueId('items');
  const list = h('ul.chips');
  const changed = () => {
    draw();
    onvalue({ value: [...items] });
  };
  const draw = () => setChildren(list, items.map((item, i) => h('li.chip', null, isolate(item), h('button', {
    type: 'button', 'aria-label': `Remove ${item}`, onclick: () => {
      items.splice(i, 1);
      changed();
      (list.querySelectorAll('button')[Math.min(i, items.length - 1)] ?? input).focus();
    },
  }, '×'))));
  const add = (text) => {
    items.push(...text.split(/[\n,]/).map((it) => it.trim()).filter(Boolean));
    input.value = '';
    changed();
  };
  const input = h('input', {
    ...common, list: options, placeholder: 'add an item, Enter', dir: 'auto', autocomplete: 'off',
    onkeydown: (event) => {
      if ((event.key === 'Enter' || event.key === ',') && input.value.trim() && !event.ctrlKey && !event.metaKey) {
        event.preventDefault();
        add(input.value);
      } else if (event.key === 'Backspace' && input.value === '' && items.length > 0) {
        items.pop();
        changed();
      }
    },
    onchange: () => { if (input.value.trim()) add(input.value); },
  });
  const asText = h('button.subtle', {
    type: 'button', 'aria-label': `${common['aria-label']} as JSON or YAML`, onclick: async () => {
      const edited = await editListAsText(setting, items);
      if (!edited) return;
      items.splice(0, items.length, ...edited);
      changed();
    },
  }, 'As JSON or YAML');
  draw();
  const offered = setting.constraints.enum ?? [...store.settings.values()].filter((it) => it.constraints.member_of === setting.key).map((it) => it.value);
  return { element: h('div.list', null, list, h('div.row', null, input, asText), h('datalist', { id: options }, offered.map((it) => h('option', { value: it })))), input };
}
