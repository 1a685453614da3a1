// The rollback dialog: a preview by a dry run, the reason, then the rollback.
import { fetchJson, newIdempotencyKey, request } from './api.js';
import { valueDiff } from './diff.js';
import { h, isolate, setChildren, showToast } from './dom.js';
import { label, pluralize, relativeTimeElement, toSentence } from './format.js';
import { markOwnRevision } from './live.js';
import { button, table, tableRow } from './page.js';
import { errorAlert, openDialog, reasonField, rememberReason, rolloutText, waitCheckbox } from './parts.js';

const PATH = '/admin/global-settings/rollback';

/**
 * Opens the rollback dialog. `target` is `{ auditId, key }` to undo the change of an audit entry, `{ key, toVersion }` to
 * restore a version, or `{ toRevision }` to restore all values of a revision.
 *
 * Returns a promise of the response, or undefined if cancelled.
 */
export async function openRollback(target) {
  const preview = await loadPreview(target);
  return openDialog((close) => new Rollback(target, preview, close).dialogParts());
}

/** Returns the preview `{ body, plan }`, or `{ problem }`. */
async function loadPreview(target) {
  try {
    const body = await requestBody(target);
    // A dry run requires a reason as well, but does not store the reason.
    const { data: plan } = await request('POST', PATH, { query: { dry_run: true }, body: { ...body, reason: 'preview' } });
    return { body, plan };
  } catch (problem) {
    return { problem };
  }
}

/** Returns the request body with the current version or revision, so that a later change leads to a conflict. */
async function requestBody({ auditId, key, toVersion, toRevision }) {
  if (toRevision) return { to_revision: toRevision, revision: (await fetchJson('/admin/global-settings')).revision };
  const { version } = await fetchJson(`/admin/global-settings/${encodeURIComponent(key)}`);
  return auditId ? { audit_id: auditId, version } : { key, to_version: toVersion, version };
}

function dialogTitle({ auditId, key, toVersion, toRevision }) {
  if (toRevision) return `Roll back to revision ${toRevision}`;
  return auditId ? ['Undo a change to ', isolate(label(key))] : ['Restore version ', toVersion, ' of ', isolate(label(key))];
}

class Rollback {
  constructor(target, preview, close) {
    Object.assign(this, { target, preview, close, lastRequest: null });
    this.reason = reasonField();
    this.wait = waitCheckbox();
    this.plan = h('div.stack');
    this.errors = h('div', { 'aria-live': 'polite' });
    this.fields = h('div.stack', null, this.reason.element, this.wait.element);
    this.submitButton = h('button.primary', { type: 'submit' }, 'Restore');
    this.cancelButton = button('Cancel', () => close());
    this.draw();
  }

  dialogParts() {
    return {
      title: dialogTitle(this.target),
      about: 'Restored values are saved as new versions. The history is kept.',
      wide: true,
      body: [this.plan, this.fields, this.errors],
      actions: [this.cancelButton, this.submitButton],
      submit: () => this.submit(),
    };
  }

  draw(notice) {
    const { problem, plan } = this.preview;
    const isPossible = plan?.changed.length > 0 && plan.refused.length === 0;
    setChildren(this.plan, notice, problem ? errorAlert(problem, () => this.reload()) : planElements(plan));
    this.fields.hidden = !isPossible;
    this.submitButton.disabled = !isPossible;
    // Without a field to fill in, the focus belongs on the only button that works.
    this.cancelButton.toggleAttribute('autofocus', !isPossible);
    (isPossible ? this.reason.input : this.cancelButton).focus();
  }

  async reload(notice) {
    this.preview = await loadPreview(this.target);
    this.draw(notice);
  }

  async submit() {
    if (this.submitButton.disabled || !this.reason.validate()) return;
    const body = { ...this.preview.body, reason: this.reason.value() };
    // A retry of the same request reuses its idempotency key. If only the response was lost, the service repeats it.
    const requestText = JSON.stringify(body);
    if (this.lastRequest?.text !== requestText) this.lastRequest = { text: requestText, idempotencyKey: newIdempotencyKey() };
    this.submitButton.disabled = true;
    setChildren(this.errors);
    try {
      const query = { wait: this.wait.isChecked() ? 'applied' : null };
      const { data } = await request('POST', PATH, { body, query, idempotencyKey: this.lastRequest.idempotencyKey });
      handleRestored(data, body.reason);
      this.close(data);
    } catch (problem) {
      // Another user has changed the setting since the preview.
      if (problem.status === 409 || problem.status === 412) {
        await this.reload(conflictNote(problem));
        return;
      }
      setChildren(this.errors, errorAlert(problem));
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
    [isolate(label(key)), h('div.hint', null, h('code', null, isolate(key)))],
    [valueDiff(before, after), h('div.hint', null, `saved as version ${version}`)],
    laterChange ? [isolate(laterChange.changed_by), ' ', relativeTimeElement(laterChange.changed_at), h('div.hint', null, `version ${laterChange.version}`)] : 'none');
}

function refusedNote(refused) {
  const item = ({ key, detail }) => h('li', null, key && [h('code', null, isolate(key)), ': '], isolate(toSentence(detail)));
  return note('danger', 'Values violate the current rules',
    h('ul.bulleted', null, refused.map(item)),
    h('p', null, 'Nothing can be restored while a value is rejected. Edit the setting instead, or change the setting that its rule refers to.'));
}
