// The settings as they stand, held once for all pages.
import { read } from './api.js';
import { hear, tell } from './dom.js';
import { learn } from './format.js';
import { me } from './session.js';

/** `settings` by key, and the `revision` they are of. */
export const store = { settings: new Map(), revision: 0, older: new Map(), running: 0 };

let loading = null;
/** Reads the settings; whoever listens for `settings` is told of them. `ask`: whether a 401 asks to sign in. */
export function load(ask = true) {
  loading ??= read('/admin/global-settings', null, { ask }).then(({ settings, revision }) => {
    store.settings = new Map(settings.map((it) => [it.key, it]));
    Object.assign(store, { revision, at: performance.now() });
    learn(settings.map((it) => it.key));
    tell('settings');
  }).finally(() => { loading = null; });
  return loading;
}

/** Sees to it that there are settings to show: those that are held, and whether they still stand is looked at meanwhile. */
export async function have() {
  if (!store.revision) await load();
  else if (performance.now() - store.at > 5000) load().catch(() => null);
}

/** Reads which running sessions hold older values; whoever listens for `older` is told. */
export async function loadOlder() {
  if (!me.sessions) return;
  const { settings, total } = await read('/admin/sessions/pins');
  store.older = new Map((settings ?? []).map((it) => [it.key, it]));
  store.running = total;
  tell('older');
}

/** Keeps the settings true while others change them. */
export function follow() {
  let behind = false;
  const again = async () => {
    if (behind) return;
    behind = true;
    // What is told while a reading is under way may not be in it.
    await loading?.catch(() => null);
    behind = false;
    await load().then(loadOlder).catch(() => null);
  };
  for (const name of ['change', 'resync', 'connected']) hear(name, () => { if (store.revision) again(); });
}
