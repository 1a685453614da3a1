// Input fields by the type of a setting. `onchange` receives `{ value }`, or `{ raw, parseError }` if the input is not a
// value. Each field is `{ element, input }`, where `input` takes the focus.
import { h, isolate, setChildren, uniqueId } from './dom.js';
import { editListAsText } from './lists.js';
import { store } from './store.js';

/**
 * Creates the field of `setting` with `value`, or with the text `raw`. `draftValue(key)` returns the value of another
 * setting.
 */
export function settingField(setting, { value, raw }, { name, describedby }, onchange, draftValue) {
  const attributes = { 'aria-label': name, 'aria-describedby': describedby };
  const { value_type: type, constraints } = setting;
  if (type === 'boolean') return switchField(value, attributes, onchange);
  if (type === 'number') return numberField(setting, raw ?? value, attributes, onchange);
  if (type === 'string_array') return listField(setting, value, attributes, onchange);
  const choices = constraints.enum ?? (constraints.member_of && draftValue(constraints.member_of));
  return choices ? choiceField(value, choices, Boolean(constraints.member_of), attributes, onchange) : textField(value, attributes, onchange);
}

function switchField(value, attributes, onchange) {
  const state = h('span', { 'aria-hidden': 'true' }, value ? 'on' : 'off');
  const input = h('input', {
    ...attributes, type: 'checkbox', role: 'switch', checked: value,
    onchange: () => {
      state.textContent = input.checked ? 'on' : 'off';
      onchange({ value: input.checked });
    },
  });
  return { element: h('label.switch', null, input, state), input };
}

function numberField({ constraints: { integer, min, max } }, value, attributes, onchange) {
  const oninput = () => {
    const text = input.value.trim();
    const number = Number(text);
    const isNumber = text !== '' && !input.validity.badInput && Number.isFinite(number);
    onchange(isNumber ? { value: number } : { raw: text, parseError: 'must be a number' });
  };
  const input = h('input', { ...attributes, type: 'number', step: integer ? 1 : 'any', min, max, value: String(value), oninput, autocomplete: 'off' });
  return { element: input, input };
}

function textField(value, attributes, onchange) {
  const isLong = value.length > 60;
  const input = h(isLong ? 'textarea' : 'input', {
    ...attributes, value, dir: 'auto', autocomplete: 'off', spellcheck: 'false', rows: isLong ? 4 : null,
    // Line breaks of pasted text are kept, so that the service can reject them.
    oninput: () => onchange({ value: input.value }),
  });
  return { element: input, input };
}

// A NUL character is never part of a value.
const OTHER = '\u0000other';

function choiceField(value, choices, allowsOther, attributes, onchange) {
  // A saved value that is no longer allowed must remain visible.
  const options = choices.includes(value) ? choices : [value, ...choices];
  const replaceByTextField = () => {
    const other = textField('', attributes, onchange);
    input.replaceWith(other.element);
    other.input.placeholder = 'Other value';
    other.input.focus();
    onchange({ raw: '', parseError: 'enter a value' });
  };
  const input = h('select', {
    ...attributes,
    onchange: () => {
      if (input.value === OTHER) replaceByTextField();
      else onchange({ value: input.value });
    },
  }, options.map((option) => h('option', { value: option, selected: option === value }, option || 'empty text')),
  allowsOther && h('option', { value: OTHER }, 'Other…'));
  return { element: input, input };
}

function listField(setting, value, attributes, onchange) {
  const items = [...value];
  const list = h('ul.chips');
  const itemsChanged = () => {
    draw();
    onchange({ value: [...items] });
  };
  const remove = (index) => {
    items.splice(index, 1);
    itemsChanged();
    // The focus moves to the next chip, or to the input after the last chip is removed.
    (list.querySelectorAll('button')[Math.min(index, items.length - 1)] ?? input).focus();
  };
  const chip = (item, index) => h('li.chip', null, isolate(item),
    h('button', { type: 'button', 'aria-label': `Remove ${item}`, onclick: () => remove(index) }, '×'));
  const draw = () => setChildren(list, items.map(chip));
  const add = (text) => {
    items.push(...text.split(/[\n,]/).map((item) => item.trim()).filter(Boolean));
    input.value = '';
    itemsChanged();
  };
  const onkeydown = (event) => {
    // Ctrl+Enter is left to the dialog.
    const isSeparator = event.key === 'Enter' || event.key === ',';
    if (isSeparator && input.value.trim() && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      add(input.value);
    } else if (event.key === 'Backspace' && input.value === '' && items.length > 0) {
      items.pop();
      itemsChanged();
    }
  };
  const suggestions = itemSuggestions(setting);
  const input = h('input', {
    ...attributes, list: suggestions.id, placeholder: 'Add item, press Enter', dir: 'auto', autocomplete: 'off', onkeydown,
    onchange: () => { if (input.value.trim()) add(input.value); },
  });
  const editAsText = async () => {
    const editedItems = await editListAsText(setting, items);
    if (!editedItems) return;
    items.splice(0, items.length, ...editedItems);
    itemsChanged();
  };
  const editButton = h('button.subtle', { type: 'button', 'aria-label': `Edit as text: ${attributes['aria-label']}`, onclick: editAsText }, 'Edit as text');
  draw();
  return { element: h('div.list', null, list, h('div.row', null, input, editButton), suggestions), input };
}

/** Suggests the allowed items, or the values of settings that must be items of this list. */
function itemSuggestions({ key, constraints }) {
  const dependents = [...store.settings.values()].filter((setting) => setting.constraints.member_of === key);
  const items = constraints.enum ?? dependents.map((setting) => setting.value);
  return h('datalist', { id: uniqueId('items') }, items.map((value) => h('option', { value })));
}
