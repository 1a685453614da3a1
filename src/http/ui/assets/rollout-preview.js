// The preview of a rollout: the hours of each stage, and what the rule would see, from the starts of the last week.
import { h, isolate } from './dom.js';
import { dateTimeElement, pluralize, toSentence } from './format.js';
import { muted, table, tableRow } from './page.js';
import { guardTitle } from './rollout-text.js';

const STAGE_COLUMNS = { Stage: 'w14', Requires: '', Lasts: '', 'Ends after': '' };
const ROW_COLUMNS = { 'If the change': '', 'Failing users': '', Reverted: 'w8', Held: 'w8', Promoted: 'w8', 'Reverted after': '' };

const percent = (share) => `${(share * 100).toFixed(1).replace(/\.0$/, '')} %`;

/** Returns a duration: “12 minutes”, “8.5 hours”, “3 days”. */
function durationText(hours) {
  if (hours < 1) return pluralize(Math.max(1, Math.round(hours * 60)), 'minute');
  return hours < 48 ? pluralize(Number(hours.toFixed(1)), 'hour') : pluralize(Number((hours / 24).toFixed(1)), 'day');
}

/** Creates the elements of the preview of the rollout `plan`. */
export function previewElements(preview, plan) {
  const { since, users, stages, guard, rows, warnings } = preview;
  return [
    h('p.hint', null, 'The rollout has not begun. The preview continues the traffic since ', dateTimeElement(since), `: ${pluralize(users, 'user')}.`),
    warnings.length > 0 && h('div.note.warning', null,
      warnings.some(({ stage }) => stage !== null) && h('p', null, h('strong', null, 'The rollout would be held before its last stage ends')),
      h('ul.bulleted', null, warnings.map(({ detail }) => h('li', null, isolate(toSentence(detail)))))),
    table('Expected duration', STAGE_COLUMNS, stages.map((stage, index) => stageRow(stage, plan.stages[index], index + 1))),
    rows.length > 0 ? outcomeTable(rows, guard) : h('p.muted', null, guard ? 'The stages have too many users to simulate the outcome.' : 'No session was started in the last 7 days, so nothing can be said about the outcome.'),
  ];
}

const stageRow = ({ hours, ends_after_hours: end }, { share, users, minutes }, number) => tableRow(STAGE_COLUMNS, null,
  `${number}: ${share} %`, `${pluralize(users, 'candidate user')} and ${pluralize(minutes, 'minute')}`,
  hours === null ? muted('never ends') : durationText(hours), end === null ? muted('never ends') : durationText(end));

function outcomeTable(rows, guard) {
  return h('div', null, h('h3', null, 'What the rollout would detect'),
    table('Simulated outcomes', ROW_COLUMNS, rows.map(outcomeRow)),
    h('p.hint', null, `Simulated ${pluralize(rows[0].runs, 'time')} for each row, with an effect on one guard: ${guardTitle(guard).toLowerCase()}. A small effect needs thousands of users to be seen.`));
}

function effectText(factor) {
  if (factor === null) return 'makes every candidate user fail';
  return factor === 1 ? 'has no effect' : `multiplies failures by ${factor}`;
}

function outcomeRow({ factor, control_rate: control, candidate_rate: candidate, reverted, held, promoted, users_until_revert: users, candidate_users_until_revert: candidates }) {
  return tableRow(ROW_COLUMNS, null, effectText(factor), [percent(control), h('span', { 'aria-hidden': 'true' }, ' → '), h('span.visually-hidden', null, ' becomes '), percent(candidate)],
    percent(reverted), percent(held), percent(promoted),
    users ? `${pluralize(users.median, 'user')}${candidates ? `, of whom ${pluralize(candidates.median, 'candidate user')}` : ''} (median)` : muted('–'));
}
