import { fill, h } from './dom.js';
import { shown } from './format.js';
import { head } from './parts.js';
import { load, store } from './store.js';
export async function show(body) {
  await load();
  fill(body, head('Settings', 'Run-time settings'), h('div.card', null, h('table.cards', null, h('tbody', null, [...store.settings.values()].map((it) => h('tr', null, h('th', { scope: 'row' }, it.key), h('td', null, shown(it.value))))))));
}
