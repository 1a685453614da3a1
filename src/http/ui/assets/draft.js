// What was changed here and is not saved: several settings, saved together or not at all. It outlives pages, an expired
// token and a reload of this tab.
import { request } from './api.js';
import { debounce, emit, showToast, subscribe } from './dom.js';
import { label } from './format.js';
import { isEqual, validate } from './rules.js';
import { store } from './store.js';

/**
 * The changes by key: `{ key, base, version, value }`, what the value was when the change was begun and its version, and
 * what it is to be. `raw` and `unreadable` stand in for a value that is none; `local` and `told` are faults, found here
 * and by the service; `theirs` is what somebody else made of the setting since.
 */
export const draft = new Map();

/** Faults of settings that are not in the draft, which it would cause. */
export let inducedErrors = new Map();

const KEPT = 'brune.draft';
let checks = null;

/** What is wrong with a change, or null. */
export const errorOf = (entry) => entry.unreadable ?? entry.local ?? entry.told ?? null;

/** Changes `setting` to `value`; what it already is takes the change out. */
export function setChange(setting, { value, raw, fault }) {
  const known = draft.get(setting.key);
  const { base, version } = known ?? { base: setting.value, version: setting.version };
  if (value !== undefined && isEqual(value, base) && !known?.theirs) return removeChange(setting.key);
  draft.set(setting.key, {
    key: setting.key, base, version, value, raw, theirs: known?.theirs ?? null, fix: null, told: null,
    unreadable: value === undefined ? fault : null, local: value === undefined ? null : validate(setting, value),
  });
  return draftChanged();
}

/** Takes one change out. */
export function removeChange(key) {
  draft.delete(key);
  draftChanged();
}

/** Begins anew from what somebody else made of it: with `value` instead, or without a change. */
export function rebase(key, value) {
  const { theirs } = draft.get(key);
  draft.delete(key);
  if (theirs && !isEqual(value, theirs.value)) draft.set(key, { key, base: theirs.value, version: theirs.version, value });
  draftChanged();
}

/** What `key` would be if the draft were saved. */
export const draftValue = (key) => draft.get(key)?.value ?? store.settings.get(key)?.value;

/** Stores the draft, tells the pages, and has the service check it soon. */
export function draftChanged() {
  sessionStorage.setItem(KEPT, JSON.stringify([...draft.values()].map(({ key, base, version, value, raw, unreadable, local }) => ({ key, base, version, value, raw, unreadable, local }))));
  if (draft.size === 0) inducedErrors = new Map();
  emit('draft');
  scheduleValidation();
}

/** Checks the draft once typing has ceased. */
export const scheduleValidation = debounce(220, check);

/** The body of the draft, as the API takes it. */
export const requestBody = (reason) => ({ reason, changes: ready().map(({ key, value, version }) => ({ key, value, version })) });
const ready = () => [...draft.values()].filter((it) => it.value !== undefined && !it.local && !it.theirs);

/** Asks the service what it would say of what is not plainly wrong. */
async function check() {
  checks?.abort();
  if (ready().length === 0) return;
  checks = new AbortController();
  const asked = ready();
  try {
    await request('PATCH', '/admin/global-settings', { query: { dry_run: true }, body: requestBody('checked while editing'), signal: checks.signal });
    take(asked, []);
  } catch (problem) {
    // Without an answer what was found here has to do, and saving asks again.
    if (problem.code === 'version_conflict') markConflicts(problem);
    else if (problem.errors?.length) take(asked, problem.errors);
  }
}

function take(asked, errors) {
  for (const entry of asked) Object.assign(entry, { told: null, fix: null });
  inducedErrors = new Map();
  assignErrors(errors);
  emit('draft');
}

/** Tells each fault at the setting it is of. What belongs to none of them is returned. */
export function assignErrors(errors) {
  const left = [];
  for (const error of errors) {
    const entry = draft.get(error.key);
    if (entry) Object.assign(entry, { told: [entry.told, error.detail].filter(Boolean).join('; '), fix: error.constraint?.member_of ?? entry.fix });
    else if (error.key && store.settings.has(error.key)) inducedErrors.set(error.key, error.detail);
    else left.push(error);
  }
  return left;
}

/** Marks what a refusal says others changed meanwhile. */
export function markConflicts({ body: { conflicts: all = [] } }) {
  for (const it of all) {
    const entry = draft.get(it.key);
    if (entry) meet(entry, { value: it.current_value, version: it.current_version, updated_by: it.updated_by, updated_at: it.updated_at });
  }
  draftChanged();
}

/** Somebody changed what this change began from. */
function meet(entry, theirs) {
  if (theirs.version === entry.version) return;
  if (entry.value !== undefined && isEqual(theirs.value, entry.value)) {
    draft.delete(entry.key);
    showToast(`${label(entry.key)} already is what you wanted: ${theirs.updated_by} set it so.`);
  } else if (isEqual(theirs.value, entry.base)) Object.assign(entry, { version: theirs.version, theirs: null });
  else entry.theirs = theirs;
}

/** Takes up what this tab held before it was loaded anew, and keeps an eye on what others change. */
export function restoreDraft() {
  for (const entry of JSON.parse(sessionStorage.getItem(KEPT) ?? '[]')) draft.set(entry.key, entry);
  subscribe('settings', () => {
    for (const entry of [...draft.values()]) {
      const now = store.settings.get(entry.key);
      if (now && now.version !== (entry.theirs ?? entry).version) meet(entry, now);
    }
    if (draft.size > 0) draftChanged();
  });
  addEventListener('beforeunload', (event) => { if (draft.size > 0) event.preventDefault(); });
  if (draft.size > 0) draftChanged();
}
