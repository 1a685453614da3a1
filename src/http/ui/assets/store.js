// The settings as they stand, held once for all pages.
import { fetchJson } from './api.js';
import { emit, subscribe } from './dom.js';
import { detectKeyPrefix } from './format.js';
import { session } from './session.js';

/** `settings` by key, and the `revision` they are of. */
export const store = { settings: new Map(), revision: 0, older: new Map(), running: 0 };

let loading = null;
/** Reads the settings; whoever listens for `settings` is told of them. `ask`: whether a 401 asks to sign in. */
export function loadSettings(ask = true) {
  loading ??= fetchJson('/admin/global-settings', null, { ask }).then(({ settings, revision }) => {
    store.settings = new Map(settings.map((it) => [it.key, it]));
    Object.assign(store, { revision, at: performance.now() });
    detectKeyPrefix(settings.map((it) => it.key));
    emit('settings');
  }).finally(() => { loading = null; });
  return loading;
}

/** Sees to it that there are settings to show: those that are held, and whether they still stand is looked at meanwhile. */
export async function ensureSettings() {
  if (!store.revision) await loadSettings();
  else if (performance.now() - store.at > 5000) loadSettings().catch(() => null);
}

/** Reads which running sessions hold older values; whoever listens for `older` is told. */
export async function loadPinnedValues() {
  if (!session.sessions) return;
  const { settings, total } = await fetchJson('/admin/sessions/pins');
  store.older = new Map((settings ?? []).map((it) => [it.key, it]));
  store.running = total;
  emit('older');
}

/** Keeps the settings true while others change them. */
export function followChanges() {
  let behind = false;
  const again = async () => {
    if (behind) return;
    behind = true;
    // What is told while a reading is under way may not be in it.
    await loading?.catch(() => null);
    behind = false;
    await loadSettings().then(loadPinnedValues).catch(() => null);
  };
  for (const name of ['change', 'resync', 'connected']) subscribe(name, () => { if (store.revision) again(); });
}
