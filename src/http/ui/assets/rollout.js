// The rollout of a proposal: a preview before it begins; then the share that is live, what the next stage waits for, the guards,
// and the steps of a person.
import { fetchJson } from './api.js';
import { emit, h, isolate, setChildren, showToast } from './dom.js';
import { pluralize, relativeTimeElement } from './format.js';
import { markOwnRevision } from './live.js';
import { morph } from './live-table.js';
import { badge, definitionList, link, muted, revisionLink, table, tableRow } from './page.js';
import { errorAlert } from './parts.js';
import { evidenceChart, evidenceScale, formatEvidence } from './rollout-chart.js';
import { openEndSessionsDialog, openRolloutDialog, rolloutPath, stateOf } from './rollout-dialogs.js';
import { previewElements } from './rollout-preview.js';
import { GUARDS, guardTitle, heldText, isPromotion, revertText, rolloutSteps } from './rollout-text.js';
import { loadSettings } from './store.js';

/** The section of a rollout on the page of proposal `number`. `onstep` is called after a step of the user. */
export class RolloutSection {
  constructor(number, signal, onstep) {
    Object.assign(this, { number, signal, onstep, rollout: null, proposal: null, previewedEdition: null, drawnHistory: '' });
    this.title = h('h2', { tabindex: '-1' }, 'Rollout');
    this.error = h('div');
    this.content = h('div.stack');
    this.chart = h('div');
    this.element = h('section.rollout', { 'aria-label': 'Rollout' }, this.title, this.error, this.content, this.chart);
  }

  /** Loads and draws the rollout of `proposal`, or its preview. `ownEdition` is an edition that the user has written, if any. */
  async update(proposal, ownEdition) {
    Object.assign(this, { proposal, ownEdition });
    try {
      await (proposal.state === 'open' ? this.loadPreview() : this.loadRollout());
      setChildren(this.error);
    } catch (problem) {
      if (problem.name === 'AbortError') throw problem;
      this.handleError(problem);
    }
  }

  handleError(problem) {
    if (problem.code === 'rollout_not_found') {
      setChildren(this.error);
      setChildren(this.content, h('p.muted', null, this.proposal.state === 'applied' ? 'The rollout was skipped: the change was applied for everybody at once.' : 'The rollout has not begun.'));
      return;
    }
    // An alert that is replaced every few seconds would be announced each time.
    if (!this.error.firstChild) setChildren(this.error, errorAlert(problem, () => this.update(this.proposal, this.ownEdition)));
  }

  /** The preview depends on the plan, and on the starts of the last week: it is read once for each edition. */
  async loadPreview() {
    const { number, edition, plan } = this.proposal;
    if (edition === this.previewedEdition) return;
    const preview = await fetchJson(`${rolloutPath(number)}/preview`, null, { signal: this.signal });
    this.previewedEdition = edition;
    setChildren(this.content, previewElements(preview, plan.rollout));
  }

  async loadRollout() {
    const previous = this.rollout;
    this.rollout = await fetchJson(rolloutPath(this.number), null, { signal: this.signal });
    this.draw();
    // The rule or another person has moved the rollout: the banners tell the new state.
    if (previous && stateOf(previous) !== stateOf(this.rollout)) emit('proposals');
  }

  draw() {
    const { rollout } = this;
    const hadFocus = this.content.contains(document.activeElement);
    morph(this.content, h('div.stack', null, statusElement(rollout), this.stepsElement(), guardTable(rollout), assignmentElement(rollout)));
    // The step that had the focus may have disappeared.
    if (hadFocus && !this.content.contains(document.activeElement)) this.focusSteps();
    this.drawChart();
  }

  /** Draws the chart, which has a width of its own, only when it has changed. */
  drawChart() {
    const { history, ended } = this.rollout;
    // The chart of a running rollout ends now.
    const state = JSON.stringify([history, ended, ended ? 0 : Math.floor(Date.now() / 60_000)]);
    if (state === this.drawnHistory) return;
    this.drawnHistory = state;
    const isTableOpen = this.chart.querySelector('details')?.open;
    setChildren(this.chart, h('h3', null, 'Evidence over time'), evidenceChart(this.rollout));
    const details = this.chart.querySelector('details');
    if (details && isTableOpen) details.open = true;
  }

  focusSteps() {
    // Enter must not begin a step that does harm.
    (this.content.querySelector('.steps button:not(:disabled, .danger)') ?? this.title).focus();
  }

  stepsElement() {
    const { rollout, proposal, ownEdition } = this;
    const { steps, hint } = rolloutSteps(rollout, proposal, ownEdition);
    const stepButton = ({ id, text, disabled, isDestructive }) => h('button', {
      type: 'button', 'data-id': id, disabled, class: isDestructive && 'danger', 'aria-describedby': disabled ? 'rollout-hint' : null, onclick: (event) => this.perform(event),
    }, text);
    return h('div', { 'data-id': 'steps' },
      steps.length > 0 && h('div.row.steps', { role: 'group', 'aria-label': 'Steps of the rollout' }, steps.map(stepButton)),
      hint && h('p.hint', { id: 'rollout-hint' }, hint));
  }

  /** Opens the dialog of the step whose button was activated. */
  async perform({ currentTarget }) {
    const step = currentTarget.dataset.id;
    const result = await (step === 'end-sessions' ? openEndSessionsDialog(this.rollout) : openRolloutDialog(step, this.rollout));
    if (result) showToast(result.text);
    if (result?.rollout) {
      const { ended } = result.rollout;
      if (isPromotion(ended)) {
        if (ended.revision) markOwnRevision(ended.revision);
        loadSettings().catch(() => null);
      }
      emit('proposals');
    }
    // Also after a cancelled dialog: its problem may have shown a newer state.
    await this.onstep();
    if (document.activeElement === document.body) this.focusSteps();
  }
}

const UNREADABLE = 'cannot be read now';

/** Describes the state: the share that is live, the stages, the users, what the next stage waits for. */
function statusElement(rollout) {
  const { share, stage, stages, users, rolling_since: since, stage_since: stageSince, resumed_at: resumedAt, max_hours: hours, held, ended } = rollout;
  const required = stages[stage - 1]?.users ?? 0;
  return h('div.card.padded.stack', { 'data-id': 'status' },
    h('p.live-share', null, ended ? endedElement(rollout) : [h('strong', null, `${share} % of the users`), ' have the proposed values in new sessions. ', badge(held ? 'warning' : 'accent', held ? 'held' : 'rolling')]),
    held && heldElement(held),
    h('ol.stages', { 'aria-label': 'Stages' }, stages.map((entry, index) => stageElement(entry, index + 1, rollout))),
    definitionList('dl.fact-grid', {
      'Candidate users': users ? [users.candidate.toLocaleString('en'), !ended && muted(` (${users.stage_candidate} of ${required} in this stage)`)] : UNREADABLE,
      'Control users': users?.control.toLocaleString('en') ?? UNREADABLE,
      Began: relativeTimeElement(since),
      Stage: ended ? `${stage} of ${stages.length} at the end` : [`${stage} of ${stages.length}, since `, relativeTimeElement(stageSince)],
      Resumed: resumedAt && relativeTimeElement(resumedAt),
      'Held at the latest': !ended && !held && relativeTimeElement(new Date(Date.parse(resumedAt ?? since) + hours * 3_600_000).toISOString()),
      [waitTitle(rollout)]: !ended && !held && waitsForElement(rollout),
      'Still on the proposed values': runningElement(rollout),
    }),
    h('p.hint', null, ['Candidate users have the proposed values in new sessions, control users the current ones. Users are counted once',
      ended ? '.' : '; a candidate user counts for the stage a minute after a start.']));
}

/** Returns the title of the conditions that are not met. After the last stage no other stage follows. */
function waitTitle({ stage, stages, then }) {
  if (stage < stages.length) return 'Next stage waits for';
  return then === 'hold' ? 'End of the last stage waits for' : 'Application for everybody waits for';
}

function stageElement({ share, users, minutes }, number, { stage, ended }) {
  const isLatest = number === stage;
  const isCurrent = isLatest && !ended;
  return h('li', { 'aria-current': isCurrent ? 'step' : null }, h('strong', null, `${share} %`), h('span.hint', null, ` ${pluralize(users, 'user')}${minutes > 0 ? `, ${pluralize(minutes, 'minute')}` : ''}`),
    isCurrent && h('span.visually-hidden', null, ', current stage'),
    isLatest && ended && [' ', isPromotion(ended) ? badge('success', 'promoted here') : badge('danger', 'reverted here')]);
}

function heldElement({ reason, by, note, since }) {
  const text = heldText(reason);
  return h('div.note.warning', { 'data-id': 'held' },
    h('p', null, h('strong', null, 'Held'), ' by ', isolate(by), ', ', relativeTimeElement(since), '. ', text ?? ['“', isolate(note), '”']),
    h('p', null, 'The share stays until a person decides. The guards can still revert the rollout.'));
}

function endedElement({ ended }) {
  const { cause, by, reason, at, revision } = ended;
  const author = ['by ', isolate(by), ', ', relativeTimeElement(at), ': “', isolate(reason), '”. '];
  if (isPromotion(ended)) return [badge('success', 'promoted'), ' Applied for everybody ', author, revision && [revisionLink(revision, 'The history shows revision'), '.']];
  return [badge('danger', 'reverted'), ' Reverted ', author, revertText(cause), ' No new session has the proposed values.'];
}

function waitsForElement({ waits_for: { users, minutes, guards, unreadable } }) {
  const names = (codes) => codes.map((guard) => guardTitle(guard).toLowerCase()).join(', ');
  const parts = [
    users > 0 && `${pluralize(users, 'more candidate user')}`,
    minutes > 0 && pluralize(minutes, 'minute'),
    guards.length > 0 && `clearer evidence: ${names(guards)}`,
    unreadable.length > 0 && `counts that cannot be read now: ${names(unreadable)}`,
  ].filter(Boolean);
  return parts.length > 0 ? parts.join('; ') : 'nothing: the next step follows within seconds';
}

function runningElement({ running }) {
  if (!running) return UNREADABLE;
  const { sessions, drained_by: lastEnd } = running;
  if (sessions === 0) return 'no running session';
  return [link('#/sessions?status=active', pluralize(sessions, 'running session')), lastEnd && [', the last ends ', relativeTimeElement(lastEnd), ' at the latest']];
}

const GUARD_COLUMNS = { Guard: 'w14', 'Failing users': 'w14', Evidence: '' };
const ZONES = { fine: ['success', 'leans to fine'], unclear: ['warning', 'unclear'], harmful: ['danger', 'reverts'] };

/** Returns badge class and text of a guard's evidence. */
function readingOf({ judges, zone, candidate, control }) {
  if (!judges) return ['', 'judges nothing'];
  if (!zone) return ['warning', UNREADABLE];
  return candidate + control === 0 ? ['success', 'no failures'] : ZONES[zone] ?? ['', zone];
}

const usersElement = (failing, all, arm) => h('div', null, `${failing ?? 'unknown'} of ${all ?? 'unknown'} ${arm} ${all === 1 ? 'user' : 'users'}`);

function guardTable({ guards, users }) {
  const row = (entry) => {
    const { guard, judges, candidate, control, evidence, reverts_at: limit } = entry;
    const [kind, text] = readingOf(entry);
    const isJudged = judges && evidence !== null;
    return tableRow(GUARD_COLUMNS, { 'data-id': guard },
      [guardTitle(guard), h('div.hint', null, GUARDS[guard]?.about)],
      [usersElement(candidate, users?.candidate, 'candidate'), usersElement(control, users?.control, 'control')],
      [h('p', null, badge(kind, text), isJudged && h('span.hint', null, ` evidence ${formatEvidence(evidence)}, reverts at ${formatEvidence(limit)}`)), isJudged && evidenceScale(guardTitle(guard), entry)]);
  };
  return h('div', { 'data-id': 'guards' }, h('h3', null, 'Guards'), table('Guards', GUARD_COLUMNS, guards.map(row)));
}

/** Says whether the users are divided as planned. */
function assignmentElement({ assignment }) {
  const { evidence, holds_at: limit } = assignment;
  if (evidence === null) return null;
  return h('p.hint', { 'data-id': 'assignment' }, evidence >= limit ? 'The users are not divided as planned' : 'The users are divided as planned',
    `: evidence ${formatEvidence(evidence)} against the division, holds at ${formatEvidence(limit)}.`);
}
