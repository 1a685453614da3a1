// The settings, shared by all pages.
import { fetchJson } from './api.js';
import { emit, subscribe } from './dom.js';
import { detectKeyPrefix } from './format.js';
import { session } from './session.js';

/**
 * `settings` by key at `revision`, `loadedAt` in ms. `pinned` has the other values that running sessions keep, by key;
 * `runningSessions` is the number of running sessions.
 */
export const store = { settings: new Map(), revision: 0, loadedAt: 0, pinned: new Map(), runningSessions: 0 };

const MAX_AGE = 5000;
let pendingLoad = null;

/** Loads the settings and publishes `settings`. `retryAfterSignIn`: whether a 401 opens the sign-in dialog. */
export function loadSettings(retryAfterSignIn = true) {
  // Callers during a pending load share its request.
  pendingLoad ??= fetchJson('/admin/global-settings', null, { retryAfterSignIn }).then(({ settings, revision }) => {
    store.settings = new Map(settings.map((setting) => [setting.key, setting]));
    store.revision = revision;
    store.loadedAt = performance.now();
    detectKeyPrefix([...store.settings.keys()]);
    emit('settings');
  }).finally(() => { pendingLoad = null; });
  return pendingLoad;
}

/** Returns once settings are loaded. Settings older than `MAX_AGE` are reloaded in the background. */
export async function ensureSettings() {
  if (store.revision === 0) await loadSettings();
  else if (performance.now() - store.loadedAt > MAX_AGE) loadSettings().catch(() => null);
}

/** Loads the values that running sessions keep, and publishes `pinned`. */
export async function loadPinnedValues() {
  if (!session.hasSessions) return;
  const { settings, total } = await fetchJson('/admin/sessions/pins');
  store.pinned = new Map((settings ?? []).map((setting) => [setting.key, setting]));
  store.runningSessions = total;
  emit('pinned');
}

/** Reloads the settings when others change them. */
export function followChanges() {
  let isReloading = false;
  const reload = async () => {
    if (isReloading) return;
    isReloading = true;
    // The response of a pending load may be older than the change.
    await pendingLoad?.catch(() => null);
    isReloading = false;
    await loadSettings().then(loadPinnedValues).catch(() => null);
  };
  for (const name of ['change', 'resync', 'connected']) subscribe(name, () => { if (store.revision > 0) reload(); });
}
