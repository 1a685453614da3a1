// The content of a proposal: its changes beside the current values, its plan, and the comparison of two editions.
import { valueDiff } from './diff.js';
import { h, isolate, setChildren } from './dom.js';
import { label, pluralize, relativeTimeElement, settingName, valueElement } from './format.js';
import { badge, definitionList, labeledField, muted, table, tableRow } from './page.js';
import { DEFAULT_GRACE_MINUTES } from './plan-fields.js';
import { proposalLink, scheduleElement } from './proposal-text.js';
import { COMPLETIONS, guardTitle, rolloutPlanText, stagesText } from './rollout-text.js';
import { describeEffect, isEqual } from './rules.js';
import { store } from './store.js';

const CHANGE_COLUMNS = { Setting: 'w14', Change: '', Notes: 'w14' };

/** Returns whether a setting was changed since the edition was written. */
export function isStale({ key, version, current_version: current }, { state, plan, blocks }) {
  if (['applied', 'reverted', 'withdrawn'].includes(state) || version === current) return false;
  // The expected version of a setting that the earlier proposal changes as well is known only after its application.
  return !plan.after || blocks.some(({ code, detail }) => code === 'version_conflict' && detail.includes(key));
}

/**
 * Creates the table of changes. `history` has the audit entries of the applied revision by key, and of the versions that
 * stale changes expect by key and version.
 */
export const changeTable = (proposal, history) =>
  table('Changes', CHANGE_COLUMNS, proposal.changes.map((change) => changeRow(change, proposal, history)));

function changeRow(change, proposal, history) {
  const { key, value, current_value: current, needed } = change;
  const setting = store.settings.get(key);
  const isOpen = proposal.state === 'open' || proposal.state === 'failed';
  const notes = [
    needed > 0 && h('div', null, badge('accent', `needs ${needed === 1 ? '1 approval' : `${needed} approvals`}`)),
    isOpen && setting && h('p.hint', null, isolate(describeEffect(setting, store.runningSessions, store.pinned.get(key)))),
  ];
  if (proposal.state === 'applied') return tableRow(CHANGE_COLUMNS, null, settingName(key), appliedChange(change, history), notes);
  if (isStale(change, proposal)) return tableRow(CHANGE_COLUMNS, null, settingName(key), staleChange(change, history), [badge('danger', 'conflict'), notes]);
  const isUnchanged = isEqual(current, value);
  return tableRow(CHANGE_COLUMNS, null, settingName(key), isUnchanged ? [valueElement(value), h('p.hint', null, 'The setting has this value already.')] : valueDiff(current, value), notes);
}

/** Draws the change that the application made. */
function appliedChange({ key, value }, history) {
  const entry = history.get(key);
  return entry ? valueDiff(entry.old_value, entry.new_value) : [valueElement(value), h('p.hint', null, 'The setting had this value before.')];
}

/** Draws the expected, the current and the proposed value side by side. */
function staleChange({ key, value, version, current_value: current, current_version: currentVersion }, history) {
  const expectedEntry = history.get(`${key} ${version}`);
  const currentEntry = history.get(`${key} ${currentVersion}`);
  const option = (title, hint, content) => h('div.option', null, h('strong', null, title), h('span.hint', null, hint), h('div.long', null, content));
  return h('div.columns', null,
    option('When the edition was written', `version ${version ?? 'none'}`, expectedEntry ? valueElement(expectedEntry.new_value) : muted('unknown')),
    option('Now', [`version ${currentVersion ?? 'none'}`, currentEntry && [', by ', isolate(currentEntry.changed_by), ', ', relativeTimeElement(currentEntry.changed_at)]], valueElement(current)),
    option('Proposed', 'this edition', valueElement(value)));
}

/** Creates the description of a plan. */
export function planElement({ plan: { at, grace_minutes: grace, after, rollout }, state, ended_at: endedAt, ended_by: endedBy }) {
  const minutes = grace ?? DEFAULT_GRACE_MINUTES;
  const deadline = at && new Date(Date.parse(at) + minutes * 60_000);
  const lateMinutes = at && state === 'applied' ? Math.floor((Date.parse(endedAt) - Date.parse(at)) / 60_000) : 0;
  return definitionList('dl.field-list', {
    Time: at ? [scheduleElement(at), ' · ', relativeTimeElement(at)] : 'When somebody applies the proposal.',
    'Grace period': at && [pluralize(minutes, 'minute'), ': if the proposal is not applied by ', scheduleElement(deadline.toISOString()), ', it fails.'],
    After: after && [proposalLink(after), ' has to be applied first.'],
    Rollout: rollout ? [stagesText(rollout), '. After the last stage: ', COMPLETIONS[rollout.then].toLowerCase(), '.'] : 'None: the change takes effect for everybody at once.',
    Guards: rollout && [rollout.guards.map(guardTitle).join(', '), `. The rollout is held after ${pluralize(rollout.max_hours, 'hour')}.`],
    Applied: state === 'applied' && ['by ', isolate(endedBy), ', ', relativeTimeElement(endedAt), lateMinutes > 0 && `, ${pluralize(lateMinutes, 'minute')} late`],
  });
}

/** Returns a plan as one line, for the comparison of editions. */
function planText({ at, grace_minutes: grace, after, rollout }) {
  const parts = [
    at && [scheduleElement(at), ` with ${pluralize(grace ?? DEFAULT_GRACE_MINUTES, 'minute')} of grace`],
    after && `after proposal ${after}`,
    rollout && `rollout: ${rolloutPlanText(rollout)}`,
  ].filter(Boolean);
  return parts.length > 0 ? parts.map((part, index) => [index > 0 && ', ', part]) : 'none';
}

/** Creates the difference of two editions: reason, plan, and each value. */
export function editionDiff(before, after) {
  const values = ({ changes }) => new Map(changes.map(({ key, value }) => [key, value]));
  const [oldValues, newValues] = [values(before), values(after)];
  const keys = [...new Set([...oldValues.keys(), ...newValues.keys()])].sort();
  const isDifferent = (key) => oldValues.has(key) !== newValues.has(key) || !isEqual(oldValues.get(key), newValues.get(key));
  const rows = [
    ['Reason', before.reason !== after.reason && valueDiff(before.reason, after.reason)],
    ['Plan', !isEqual(before.plan, after.plan) && change(planText(before.plan), planText(after.plan))],
    ...keys.filter(isDifferent).map((key) => [isolate(label(key)), valueChange(key, oldValues, newValues)]),
  ].filter(([, content]) => content);
  if (rows.length === 0) return h('p.muted', null, 'Both editions have the same content.');
  return h('dl.field-list', null, rows.map(([term, content]) => h('div', null, h('dt', null, term), h('dd', null, content))));
}

const change = (before, after) => [before, h('span.muted', { 'aria-hidden': 'true' }, ' → '), h('span.visually-hidden', null, ' changed to '), after];

function valueChange(key, oldValues, newValues) {
  if (!oldValues.has(key)) return [badge('success', 'added'), ' ', valueElement(newValues.get(key))];
  if (!newValues.has(key)) return [badge('danger', 'removed'), ' ', valueElement(oldValues.get(key))];
  return valueDiff(oldValues.get(key), newValues.get(key));
}

/** Creates the list of editions, and a comparison of any two. */
export function editionsElement(editions) {
  const result = h('div', { 'aria-live': 'polite' });
  const newest = editions.length;
  const options = (selected) => editions.map(({ edition }) => h('option', { value: String(edition), selected: edition === selected }, `Edition ${edition}`));
  const draw = () => setChildren(result, editionDiff(editions[from.value - 1], editions[to.value - 1]));
  const from = h('select', { name: 'from', onchange: draw }, options(newest - 1));
  const to = h('select', { name: 'to', onchange: draw }, options(newest));
  draw();
  const item = ({ edition, written_by: author, written_at: time, reason }) =>
    h('li', { value: String(edition) }, h('strong', null, `Edition ${edition}`), ' by ', isolate(author), ', ', relativeTimeElement(time), h('div.muted', null, isolate(reason)));
  return h('div.card.padded.stack', null,
    h('ul.editions', null, [...editions].reverse().map(item)),
    h('div.row', { role: 'group', 'aria-label': 'Compare two editions' }, labeledField('Compare', from), labeledField('with', to)),
    result);
}
