// The page of one proposal: content, verdicts, the reasons why it cannot take effect now, and the next step of the user.
import { fetchJson } from './api.js';
import { emit, h, isolate, setChildren, showToast, subscribe } from './dom.js';
import { relativeTimeElement } from './format.js';
import { morph, poll } from './live-table.js';
import { badge, button, link, muted, revisionLink, table, tableRow } from './page.js';
import { errorAlert, pageHeader } from './parts.js';
import { isSamePerson, ownEditionOf, stepsOf } from './proposal-actions.js';
import { changeTable, editionDiff, editionsElement, isStale, planElement } from './proposal-changes.js';
import { openStepDialog, openWithdrawDialog, proposalPath } from './proposal-dialogs.js';
import { blockSentences, proposalLink, scheduleElement, stateBadges, summaryOf } from './proposal-text.js';
import { session } from './session.js';
import { loadPinnedValues, loadSettings } from './store.js';
import { WhatIf } from './what-if.js';

const HISTORY_PATH = '/admin/global-settings/history';
const REFRESH_INTERVAL = 5000;
const UNDECIDED_STATES = ['open', 'failed', 'rolling'];
const VERDICT_KINDS = { approve: ['success', 'approves'], object: ['danger', 'objects'], acknowledge: ['accent', 'acknowledges'] };

/** Shows the proposal `number` in `body`. */
export async function showProposal(body, number, signal) {
  const page = new ProposalPage(number, signal);
  await page.load();
  setChildren(body, page.element());
  // The effect of a change depends on the running sessions.
  subscribe('pinned', () => page.draw(false), signal);
  loadPinnedValues().catch(() => null);
  poll(REFRESH_INTERVAL, () => page.refresh(), page.pollError, signal);
}

class ProposalPage {
  constructor(number, signal) {
    Object.assign(this, { number, signal, proposal: null, editions: [], history: new Map(), closeStepDialog: null, hasNewNotice: false, loads: 0 });
    this.header = h('div');
    this.notice = h('div.page-notice', { tabindex: '-1' });
    this.pollError = h('div.page-notice');
    this.status = h('div');
    this.rollout = h('div.proposal-rollout');
    this.rolloutSection = null;
    this.content = h('div.stack.proposal');
    this.whatIf = new WhatIf();
    this.editionList = h('section', { 'aria-label': 'Editions' });
  }

  element() {
    return [this.header, this.notice, this.pollError, this.status, this.rollout, this.content, this.whatIf.element, this.editionList];
  }

  /** Reads and draws the proposal. Returns the edition that was on the screen before. */
  async load() {
    this.loads += 1;
    const load = this.loads;
    const proposal = await fetchJson(proposalPath(encodeURIComponent(this.number)), null, { signal: this.signal });
    const [editions, history] = await Promise.all([this.loadEditions(proposal), this.loadHistory(proposal)]);
    const previous = this.proposal;
    // An older response must not replace the state after a step of the user.
    if (load !== this.loads) return previous;
    Object.assign(this, { proposal, editions, history });
    emit('proposal-loaded', proposal);
    this.draw(editions.length !== this.editionCount);
    this.editionCount = editions.length;
    await this.updateRollout();
    return previous;
  }

  /** Returns all editions. An edition never changes, so only new ones are read. */
  loadEditions(proposal) {
    const numbers = Array.from({ length: proposal.editions }, (_, index) => index + 1);
    return Promise.all(numbers.map((edition) => {
      if (edition === proposal.edition) return proposal;
      const cachedEdition = this.editions.find((candidate) => candidate.edition === edition);
      return cachedEdition ?? fetchJson(`${proposalPath(this.number)}/editions/${edition}`, null, { signal: this.signal });
    }));
  }

  /** Returns audit entries: of the applied revision by key, or of the versions of stale changes by key and version. */
  async loadHistory(proposal) {
    const read = async (query) => (await fetchJson(HISTORY_PATH, { ...query, limit: 200 }, { signal: this.signal })).entries;
    if (proposal.applied_revision) {
      if (this.proposal?.applied_revision) return this.history;
      const entries = await read({ revision: proposal.applied_revision });
      return new Map(entries.map((entry) => [entry.key, entry]));
    }
    const staleChanges = proposal.changes.filter((change) => isStale(change, proposal));
    // Entries never change, so only new versions are read.
    const isUnknown = ({ key, current_version: version }) => !this.history.has(`${key} ${version}`);
    const lists = await Promise.all(staleChanges.filter(isUnknown).map(({ key }) => read({ key })));
    const entries = lists.flat().filter(({ version }) => version).map((entry) => [`${entry.key} ${entry.version}`, entry]);
    return new Map([...this.history, ...entries]);
  }

  /** Reads the proposal again. A newer edition of another person is announced, never approved silently. */
  async refresh() {
    const previous = await this.load();
    const { proposal } = this;
    if (!previous || proposal.edition === previous.edition) return;
    const isOwn = isSamePerson(proposal.written_by, session.subject);
    if (!isOwn) this.showNewerEdition(previous);
  }

  showNewerEdition(previous) {
    const { edition, written_by: author, written_at: time, state } = this.proposal;
    // A dialog for the edition before would only be refused.
    this.closeStepDialog?.();
    const dismiss = () => {
      setChildren(this.notice);
      this.focusSteps();
    };
    setChildren(this.notice, h('div.note.warning', { role: 'alert' },
      h('p', null, h('strong', null, isolate(author), ` has written edition ${edition}`), ' ', relativeTimeElement(time), `, while edition ${previous.edition} was on the screen.`),
      h('p', null, `The page shows edition ${edition} now.`, state === 'open' && ' Verdicts on earlier editions do not count. Read what has changed, then decide.'),
      editionDiff(previous, this.proposal),
      h('p', null, button('Dismiss', dismiss))));
    this.notice.focus();
    this.hasNewNotice = true;
  }

  draw(hasNewEdition) {
    const { proposal } = this;
    morph(this.header, h('div', null, this.headerElement()));
    const hadFocus = this.status.contains(document.activeElement);
    morph(this.status, h('div', null, this.statusElement()));
    // The step that had the focus may have disappeared.
    if (hadFocus && !this.status.contains(document.activeElement)) this.focusSteps();
    morph(this.content, h('div.stack.proposal', null, this.sections()));
    this.drawWhatIf();
    if (hasNewEdition) setChildren(this.editionList, proposal.editions > 1 && [h('h2', null, 'Editions'), editionsElement(this.editions)]);
  }

  /** Loads and draws the rollout of the plan, if any. Its modules are loaded on first use. */
  async updateRollout() {
    const { proposal, editions } = this;
    if (!proposal.plan.rollout) {
      this.rolloutSection = null;
      setChildren(this.rollout);
      return;
    }
    const { RolloutSection } = await import('./rollout.js');
    if (!this.rolloutSection) {
      this.rolloutSection = new RolloutSection(this.number, this.signal, () => this.load());
      setChildren(this.rollout, this.rolloutSection.element);
    }
    await this.rolloutSection.update(proposal, ownEditionOf(editions, session.subject));
  }

  /** Offers the what-if of a change that can still take effect. */
  drawWhatIf() {
    const { number, edition, state } = this.proposal;
    this.whatIf.element.hidden = !session.hasSessions || !UNDECIDED_STATES.includes(state);
    this.whatIf.update({ proposal: number, edition });
  }

  headerElement() {
    const { number, edition, editions, written_by: author, written_at: time, digest, reason } = this.proposal;
    return pageHeader(`Proposal ${number}`, [
      h('span.proposal-reason', null, isolate(reason)), h('br'),
      `Edition ${edition} of ${editions}, by `, isolate(author), ', ', relativeTimeElement(time), ' · ',
      h('code', { title: `SHA-256 of the edition: ${digest}` }, digest.slice(0, 12)),
    ], link('#/proposals', 'All proposals'));
  }

  statusElement() {
    const { proposal } = this;
    const { primary, secondary, hint } = stepsOf(proposal, this.editions, session.subject);
    const sentences = proposal.blocks.flatMap((block) => blockSentences(block, proposal));
    const stepButton = ({ id, text, disabled, isDestructive }, isPrimary) => h('button', {
      type: 'button', 'data-id': id, disabled, class: isPrimary ? 'primary' : isDestructive && 'danger', 'aria-describedby': isPrimary && hint ? 'step-hint' : null, onclick: (event) => this.perform(event),
    }, text);
    return h('section.card.padded.stack.status', { 'aria-label': 'State' },
      h('div', null, h('h2', { tabindex: '-1' }, 'State'), h('p', null, stateBadges(summaryOf(proposal))), this.endElement()),
      sentences.length > 0 && h('div', { 'data-id': 'blocks' }, h('h3', null, 'Why the proposal cannot take effect now'), h('ul.bulleted.blocks', null, sentences.map((sentence) => h('li', null, sentence)))),
      (primary || secondary.length > 0) && h('div.row.steps', { 'data-id': 'steps' }, primary && stepButton(primary, true), secondary.map((step) => stepButton(step))),
      hint && h('p.hint', { id: 'step-hint', 'data-id': 'hint' }, hint));
  }

  /** Describes how the proposal ended. */
  endElement() {
    const { state, ended_by: person, end_reason: reason, applied_revision: revision, bypassed_by: bypassedBy, acknowledged_by: acknowledgedBy, plan } = this.proposal;
    if (state === 'rolling') return h('p', null, 'The change takes effect for a share of the users, as the rollout below shows.');
    if (state === 'reverted') return h('p', null, 'Reverted by ', isolate(person), ': “', isolate(reason), '”. Nothing was changed.');
    if (state === 'withdrawn') return h('p', null, 'Withdrawn by ', isolate(person), ': “', isolate(reason), '”.');
    if (state === 'failed') return h('p', null, 'Nothing was changed: ', isolate(reason), plan.at && ['. The scheduled time was ', scheduleElement(plan.at)], '.');
    if (state !== 'applied') return null;
    return [
      h('p', null, 'Applied by ', isolate(person), '. ', revisionLink(revision, 'The history shows revision'), '.'),
      bypassedBy && h('p', null, isolate(bypassedBy), ' applied the change as an emergency. ',
        acknowledgedBy ? [isolate(acknowledgedBy), ' has acknowledged the change.'] : 'Nobody has acknowledged the change yet.'),
    ];
  }

  sections() {
    const { proposal, history } = this;
    const section = (title, ...children) => h('section', { 'aria-label': title }, h('h2', null, title), children);
    return [
      section('Changes', changeTable(proposal, history)),
      section('Plan', h('div.card.padded', null, planElement(proposal))),
      section('Verdicts', verdictTable(proposal), olderEntries(proposal.verdicts, proposal.verdict_count)),
      proposal.overlaps.length > 0 && section('Overlaps', h('div.card.padded', null,
        h('p', null, 'Other open proposals change the same settings. Whichever is applied first makes the others outdated.'),
        h('ul.bulleted', null, proposal.overlaps.map(overlapItem)), olderEntries(proposal.overlaps, proposal.overlap_count))),
    ];
  }

  focusSteps() {
    const target = this.status.querySelector('.steps button:not(:disabled)') ?? this.status.querySelector('h2');
    target.focus();
  }

  /** Opens the dialog of the step whose button was activated. */
  async perform({ currentTarget }) {
    const step = currentTarget.dataset.id;
    const shownProposal = this.proposal;
    const result = await this.openDialogOf(step, shownProposal).catch((problem) => {
      setChildren(this.notice, errorAlert(problem));
      return null;
    });
    this.closeStepDialog = null;
    if (result?.text) {
      setChildren(this.notice);
      showToast(result.text);
      emit('proposals');
    }
    if (result?.revision) loadSettings().catch(() => null);
    // Also after a cancelled dialog: its problem may have shown a newer state.
    await this.reload(shownProposal, result?.isOutdated);
  }

  async openDialogOf(step, shownProposal) {
    if (step === 'withdraw') return openWithdrawDialog(shownProposal);
    if (step !== 'edit') return openStepDialog(step, shownProposal, (close) => { this.closeStepDialog = close; });
    // The fields of an edit are loaded on first use.
    const { openEditDialog } = await import('./proposal-edit.js');
    return openEditDialog(shownProposal);
  }

  async reload(shownProposal, isOutdated) {
    try {
      await this.load();
      if (isOutdated && this.proposal.edition !== shownProposal.edition) this.showNewerEdition(shownProposal);
      // A dialog that was closed has returned the focus to its button.
      else if (this.hasNewNotice) this.notice.focus();
      else if (document.activeElement === document.body) this.focusSteps();
      this.hasNewNotice = false;
    } catch (problem) {
      if (problem.name !== 'AbortError') setChildren(this.notice, errorAlert(problem, () => this.reload(shownProposal, isOutdated)));
    }
  }
}

const VERDICT_COLUMNS = { Person: 'w14', Verdict: 'w10', Edition: 'w10', Note: '', When: 'w10' };

function verdictTable({ verdicts, edition, standing: { needed } }) {
  if (verdicts.length === 0) {
    return h('div.card.padded', null, muted(needed === 0 ? 'The settings of this proposal need no approval. Nobody has given a verdict.' : 'Nobody has given a verdict yet.'));
  }
  return table('Verdicts, newest first', VERDICT_COLUMNS, [...verdicts].reverse().map((verdict) => {
    const [kind, text] = VERDICT_KINDS[verdict.verdict];
    const isOld = verdict.edition !== edition;
    return tableRow(VERDICT_COLUMNS, null, isolate(verdict.given_by), badge(isOld ? '' : kind, text),
      [verdict.edition, isOld && muted(' (does not count)')], verdict.note ? isolate(verdict.note) : muted('none'), relativeTimeElement(verdict.given_at));
  }));
}

/** Says how many older entries `list`, which has the newest of `count`, does not have. */
const olderEntries = (list, count) => count > list.length && h('p.hint', null, `${count - list.length} older ones are not listed.`);

const overlapItem = ({ number, at }) => h('li', null, proposalLink(number), at ? [', scheduled for ', scheduleElement(at)] : ', without a time');
