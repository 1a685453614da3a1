// The draft: unsaved changes of settings, which are saved together. The draft is kept in the session storage, so it
// survives other pages, a reload and an expired token. A draft belongs to its author: nobody else sees or sends the draft.
import { request } from './api.js';
import { debounce, emit, showToast, subscribe } from './dom.js';
import { label } from './format.js';
import { isEqual, validate } from './rules.js';
import { draftKey } from './session.js';
import { store } from './store.js';

/**
 * The draft entries by key: `{ key, base, version, value }`. `base` and `version` are the saved value and its version when
 * editing began, `value` is the new value.
 *
 * `raw` and `parseError` replace a `value` that cannot be parsed. `validationError` was found in the browser,
 * `serviceError` by the service. `theirs` is a newer saved value: a conflict.
 */
export const draft = new Map();

/** Errors by key that the draft would cause in settings outside the draft. */
export let inducedErrors = new Map();

const STORED_FIELDS = ['key', 'base', 'version', 'value', 'raw', 'parseError', 'validationError'];

/** Returns whether the draft changes a setting that needs approvals. */
export const needsApproval = () => [...draft.keys()].some((key) => store.settings.get(key)?.approvals > 0);

/** Returns whether the catalog no longer declares the setting of an entry: a release may remove settings. */
export const isRemoved = ({ key }) => store.revision > 0 && !store.settings.has(key);

/** Returns the error of an entry, or null. */
export const errorOf = (entry) => (isRemoved(entry) ? 'the catalog no longer declares the setting' : null) ?? entry.parseError ?? entry.validationError ?? entry.serviceError ?? null;

/** Sets the new value of `setting`. A value equal to the saved value removes the entry. */
export function setChange(setting, { value, raw, parseError }) {
  const existingEntry = draft.get(setting.key);
  const base = existingEntry ? existingEntry.base : setting.value;
  const version = existingEntry ? existingEntry.version : setting.version;
  const isValue = value !== undefined;
  if (isValue && isEqual(value, base) && !existingEntry?.theirs) {
    removeChange(setting.key);
    return;
  }
  draft.set(setting.key, {
    key: setting.key, base, version, value, raw,
    theirs: existingEntry?.theirs ?? null,
    missingFrom: null,
    serviceError: null,
    parseError: isValue ? null : parseError,
    validationError: isValue ? validate(setting, value) : null,
  });
  draftChanged();
}

export function removeChange(key) {
  draft.delete(key);
  draftChanged();
}

/** Resolves a conflict: `value` becomes a change of their version, or the entry is removed if both values are equal. */
export function rebase(key, value) {
  const { theirs } = draft.get(key);
  draft.delete(key);
  if (theirs && !isEqual(value, theirs.value)) draft.set(key, { key, base: theirs.value, version: theirs.version, value });
  draftChanged();
}

/** Returns the value of `key` after saving the draft. */
export const draftValue = (key) => draft.get(key)?.value ?? store.settings.get(key)?.value;

/** What the review asks for beside the changes, as text: `reason`, and the plan's `at`, `grace_minutes` and `after`. */
export let reviewInput = {};

/** Stores what the user has entered in the review, until the draft is saved or discarded. */
export function setReviewInput(input) {
  reviewInput = input;
  storeDraft();
}

function storeDraft() {
  const storedEntry = (entry) => Object.fromEntries(STORED_FIELDS.map((field) => [field, entry[field]]));
  if (draft.size === 0) clearStoredDraft();
  else sessionStorage.setItem(draftKey(), JSON.stringify({ entries: [...draft.values()].map(storedEntry), reviewInput }));
}

/** Stores the draft, publishes `draft`, and schedules a validation. */
export function draftChanged() {
  storeDraft();
  if (draft.size === 0) inducedErrors = new Map();
  emit('draft');
  scheduleValidation();
}

/** Deletes the stored copy of the draft, and what was entered in the review. */
export function clearStoredDraft() {
  reviewInput = {};
  sessionStorage.removeItem(draftKey());
}

/** Validates the draft after a pause in typing. */
export const scheduleValidation = debounce(220, validateDraft);

/** Returns the request body that saves the draft. */
export const requestBody = (reason) => ({ reason, changes: validEntries().map(({ key, value, version }) => ({ key, value, version })) });

// The service would reject a whole request because of one invalid entry.
const validEntries = () => [...draft.values()].filter((entry) => entry.value !== undefined && !entry.validationError && !entry.theirs && !isRemoved(entry));

const VALID_CODES = new Set(['approval_required', 'change_frozen', 'rollout_running', 'rollout_conflict']);

let pendingValidation = null;

/** Validates the draft with a dry run. */
async function validateDraft() {
  pendingValidation?.abort();
  const entries = validEntries();
  if (entries.length === 0) return;
  pendingValidation = new AbortController();
  const options = { query: { dry_run: true }, body: requestBody('validation while editing'), signal: pendingValidation.signal };
  try {
    await request('PATCH', '/admin/global-settings', options);
    setServiceErrors(entries, []);
  } catch (problem) {
    // Other failures, such as no connection, are left to saving, which validates again.
    if (problem.code === 'version_conflict') markConflicts(problem);
    // The service checks approvals, freezes and the running rollout last: the values are valid, and can be proposed.
    else if (VALID_CODES.has(problem.code)) setServiceErrors(entries, []);
    else if (problem.errors?.length > 0) setServiceErrors(entries, problem.errors);
  }
}

function setServiceErrors(entries, errors) {
  for (const entry of entries) Object.assign(entry, { serviceError: null, missingFrom: null });
  inducedErrors = new Map();
  assignErrors(errors);
  emit('draft');
}

/** Assigns errors of the service to draft entries and other settings. Returns the errors without a known setting. */
export function assignErrors(errors) {
  const unassignedErrors = [];
  for (const error of errors) {
    const entry = draft.get(error.key);
    if (entry) {
      entry.serviceError = [entry.serviceError, error.detail].filter(Boolean).join('; ');
      // The list setting that must contain the value.
      entry.missingFrom = error.constraint?.member_of ?? entry.missingFrom;
    } else if (error.key && store.settings.has(error.key)) inducedErrors.set(error.key, error.detail);
    else unassignedErrors.push(error);
  }
  return unassignedErrors;
}

/** Marks the conflicts that a response with status 409 lists. */
export function markConflicts({ body: { conflicts = [] } }) {
  for (const { key, current_value: value, current_version: version, updated_by, updated_at } of conflicts) {
    const entry = draft.get(key);
    if (entry) applyNewerValue(entry, { value, version, updated_by, updated_at });
  }
  draftChanged();
}

/** Updates an entry after another user has saved a newer value. */
function applyNewerValue(entry, theirs) {
  // The entry was based on this version.
  if (theirs.version === entry.version) return;
  if (entry.value !== undefined && isEqual(theirs.value, entry.value)) {
    draft.delete(entry.key);
    showToast(`${label(entry.key)}: ${theirs.updated_by} has saved the same value.`);
  // The value was changed and changed back, so there is nothing to resolve.
  } else if (isEqual(theirs.value, entry.base)) Object.assign(entry, { version: theirs.version, theirs: null });
  else entry.theirs = theirs;
}

/** Restores the draft of this browser tab, and detects conflicts from then on. */
export function restoreDraft() {
  const stored = JSON.parse(sessionStorage.getItem(draftKey()) ?? '{}');
  for (const entry of stored.entries ?? []) draft.set(entry.key, entry);
  reviewInput = stored.reviewInput ?? {};
  subscribe('settings', () => {
    for (const entry of [...draft.values()]) {
      const setting = store.settings.get(entry.key);
      const knownVersion = (entry.theirs ?? entry).version;
      if (setting && setting.version !== knownVersion) applyNewerValue(entry, setting);
    }
    if (draft.size > 0) draftChanged();
  });
  // The page is loaded again for another user. The stored draft stays, so no warning is needed.
  subscribe('user-changed', () => draft.clear());
  // The session storage survives a reload, but not closing the tab.
  addEventListener('beforeunload', (event) => { if (draft.size > 0) event.preventDefault(); });
  if (draft.size > 0) draftChanged();
}
