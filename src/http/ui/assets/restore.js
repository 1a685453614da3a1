// The rollback dialog: a preview by a dry run, the reason, then the rollback, or a proposal of the same changes.
import { fetchJson, idempotencyKeys, request } from './api.js';
import { valueDiff } from './diff.js';
import { h, isolate, setChildren, showToast } from './dom.js';
import { label, pluralize, relativeTimeElement, settingName, toSentence } from './format.js';
import { markOwnRevision } from './live.js';
import { button, table, tableRow } from './page.js';
import { errorAlert, openDialog, reasonField, rememberReason, rolloutText, waitCheckbox } from './parts.js';
import { ProposeOptions, showEmergency } from './propose-options.js';

const PATH = '/admin/global-settings/rollback';

/**
 * Opens the rollback dialog. `target` is `{ auditId, key }` to undo the change of an audit entry, `{ key, toVersion }` to
 * restore a version, `{ toRevision }` to restore all values of a revision, or `{ toRelease }` of a release.
 *
 * Returns a promise of the response, or undefined if cancelled.
 */
export async function openRollback(target) {
  const preview = await loadPreview(target);
  return openDialog((close) => new Rollback(target, preview, close).dialogParts());
}

// The plan can still be proposed.
const PROPOSABLE_CODES = new Set(['approval_required', 'change_frozen', 'rollout_running', 'rollout_conflict']);

/** Returns the preview `{ body, plan, rejection }`, or `{ problem }`. `rejection` is why the plan can only be proposed. */
async function loadPreview(target) {
  try {
    const body = await requestBody(target);
    // A dry run requires a reason as well, but does not store the reason.
    const dryRun = async (query) => (await request('POST', PATH, { query: { dry_run: true, ...query }, body: { ...body, reason: 'preview' } })).data;
    let rejection = null;
    const plan = await dryRun().catch((problem) => {
      if (!PROPOSABLE_CODES.has(problem.code)) throw problem;
      rejection = problem;
      // The plan of an emergency is the same, and a dry run changes nothing.
      return dryRun({ emergency: true });
    });
    return { body, plan, rejection };
  } catch (problem) {
    return { problem };
  }
}

/** Returns the request body with the current version or revision, so that a later change leads to a conflict. */
async function requestBody({ auditId, key, toVersion, toRevision, toRelease }) {
  if (toRevision || toRelease) {
    const { revision } = await fetchJson('/admin/global-settings');
    return toRelease ? { to_release: toRelease, revision } : { to_revision: toRevision, revision };
  }
  const { version } = await fetchJson(`/admin/global-settings/${encodeURIComponent(key)}`);
  return auditId ? { audit_id: auditId, version } : { key, to_version: toVersion, version };
}

function dialogTitle({ auditId, key, toVersion, toRevision, toRelease }) {
  if (toRelease) return ['Roll back to release ', isolate(toRelease)];
  if (toRevision) return `Roll back to revision ${toRevision}`;
  return auditId ? ['Undo a change to ', isolate(label(key))] : ['Restore version ', toVersion, ' of ', isolate(label(key))];
}

class Rollback {
  constructor(target, preview, close) {
    Object.assign(this, { target, preview, close, idempotencyKeyOf: idempotencyKeys() });
    this.reason = reasonField();
    this.wait = waitCheckbox();
    this.plan = h('div.stack');
    this.errors = h('div', { 'aria-live': 'polite' });
    this.submitButton = h('button.primary', { type: 'submit' }, 'Restore');
    this.cancelButton = button('Cancel', () => close());
    this.options = new ProposeOptions({
      verb: 'Restore',
      onchange: () => this.drawButtons(),
      onemergency: () => this.send(() => this.restore({ emergency: true })),
      isValid: () => !this.submitButton.disabled && this.reason.validate(),
    });
    this.fields = h('div.stack', null, this.options.element, this.reason.element, this.wait.element);
    this.draw();
  }

  dialogParts() {
    return {
      title: dialogTitle(this.target),
      about: 'Restored values become new versions. The history is kept.',
      wide: true,
      body: [this.plan, this.fields, this.errors],
      actions: [this.cancelButton, this.options.buttons, this.submitButton],
      submit: () => this.submit(),
    };
  }

  get isPossible() {
    const { plan } = this.preview;
    return plan?.changed.length > 0 && plan.refused.length === 0;
  }

  draw(notice) {
    const { problem, plan, rejection } = this.preview;
    const { isPossible } = this;
    setChildren(this.plan, notice, problem ? errorAlert(problem, () => this.reload()) : planElements(plan));
    this.fields.hidden = !isPossible;
    this.options.update(plan?.changed.map(({ key }) => key) ?? []);
    if (rejection) this.options.handleRejection(rejection);
    this.drawButtons();
    // Without a field to fill in, the focus belongs on the only button that works.
    this.cancelButton.toggleAttribute('autofocus', !isPossible);
    (isPossible ? this.reason.input : this.cancelButton).focus();
  }

  drawButtons() {
    const { isProposing } = this.options;
    this.wait.element.hidden = isProposing;
    this.submitButton.textContent = isProposing ? 'Propose' : 'Restore';
    this.submitButton.disabled = !this.isPossible;
    for (const optionButton of this.options.buttons) optionButton.disabled = !this.isPossible;
  }

  async reload(notice) {
    this.preview = await loadPreview(this.target);
    this.draw(notice);
  }

  submit() {
    if (this.submitButton.disabled || !this.reason.validate()) return null;
    if (!this.options.isProposing) return this.send(() => this.restore());
    return this.options.plan.validate() ? this.send(() => this.propose()) : null;
  }

  async restore({ emergency = false } = {}) {
    const body = { ...this.preview.body, reason: this.reason.value() };
    const query = { wait: this.wait.isChecked() ? 'applied' : null, emergency };
    const { data } = await request('POST', PATH, { body, query, idempotencyKey: this.idempotencyKeyOf('restore', body, query) });
    handleRestored(data, body.reason);
    this.close(data);
  }

  async propose() {
    const changes = this.preview.plan.changed.map(({ key, new_value: value, version }) => ({ key, value, version: version - 1 }));
    await this.options.propose({ reason: this.reason.value(), changes }, this.idempotencyKeyOf);
    this.close();
  }

  /** Calls `perform()`, and shows its error. */
  async send(perform) {
    this.submitButton.disabled = true;
    setChildren(this.errors);
    try {
      await perform();
    } catch (problem) {
      const rejection = await this.options.handleRejection(problem);
      // Another user has changed the setting since the preview.
      if (!rejection && (problem.status === 409 || problem.status === 412)) {
        await this.reload(conflictNote(problem));
        return;
      }
      const unassignedErrors = this.options.plan.showErrors(problem.errors ?? []);
      const isShown = problem.errors?.length > 0 && unassignedErrors.length === 0;
      setChildren(this.errors, rejection ?? (isShown ? h('p.error', null, 'Nothing was proposed. Correct the plan.') : errorAlert(problem)));
      this.submitButton.disabled = false;
    }
  }
}

function handleRestored(data, reason) {
  rememberReason(reason);
  if (data.changed.length === 0) {
    showToast('No changes: the settings already had these values.');
    return;
  }
  markOwnRevision(data.revision);
  if (data.proposal) showEmergency(data);
  showToast(`Restored ${pluralize(data.changed.length, 'setting')} as revision ${data.revision}. ${rolloutText(data)}`);
}

const note = (kind, title, ...content) => h('div.note', { class: kind, role: kind && 'alert' }, h('p', null, h('strong', null, title)), content);

/** Creates the note after a conflict: who has changed the setting, and that the preview was updated. */
function conflictNote({ body: { conflicts: [first] = [] } }) {
  const change = first && [isolate(first.updated_by), ' changed ', isolate(label(first.key)), ' ', relativeTimeElement(first.updated_at), '. '];
  return note('warning', 'Conflict: settings have changed', h('p', null, change, 'Nothing was restored. Check the updated preview and try again.'));
}

const COLUMNS = { Setting: '', Change: '', 'Later change': '' };

/** Draws the preview: rejected values, changes, and the number of settings without a change. */
function planElements({ changed, unchanged, ignored, changed_since: laterChanges, refused }) {
  const hasChanges = changed.length > 0;
  return [
    refused.length > 0 && refusedNote(refused),
    hasChanges && table('Changes', COLUMNS, changed.map((change) => changeRow(change, laterChanges))),
    !hasChanges && refused.length === 0 && note(null, 'No changes', h('p', null,
      unchanged.length > 1 ? 'All settings already have the values of that revision.' : 'The setting already has this value.')),
    hasChanges && unchanged.length > 0 && h('p.hint', null, `${pluralize(unchanged.length, 'other setting')} unchanged.`),
    ignored.length > 0 && h('p.hint', null, `${pluralize(ignored.length, 'read-only setting')} skipped.`),
  ];
}

function changeRow({ key, old_value: before, new_value: after, version }, laterChanges) {
  const laterChange = laterChanges.find((change) => change.key === key);
  return tableRow(COLUMNS, null,
    settingName(key),
    [valueDiff(before, after), h('div.hint', null, `saved as version ${version}`)],
    laterChange ? [isolate(laterChange.changed_by), ' ', relativeTimeElement(laterChange.changed_at), h('div.hint', null, `version ${laterChange.version}`)] : 'none');
}

function refusedNote(refused) {
  const item = ({ key, detail }) => h('li', null, key && [h('code', null, isolate(key)), ': '], isolate(toSentence(detail)));
  return note('danger', 'Values violate the current rules',
    h('ul.bulleted', null, refused.map(item)),
    h('p', null, 'Nothing can be restored while a value is rejected. Edit the setting instead, or change the setting that its rule refers to.'));
}
