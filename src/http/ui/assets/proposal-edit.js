// The dialog that writes a new edition of a proposal: values, reason and plan.
import { fetchJson, idempotencyKeys, request } from './api.js';
import { h, isolate, setChildren, uniqueId } from './dom.js';
import { settingField } from './fields.js';
import { formatValue, label, relativeTimeElement, toSentence } from './format.js';
import { button, labeledField } from './page.js';
import { errorAlert, openDialog, reasonField, rememberReason } from './parts.js';
import { planFields } from './plan-fields.js';
import { editionDiff } from './proposal-changes.js';
import { proposalPath } from './proposal-dialogs.js';
import { describeConstraints, validate } from './rules.js';
import { store } from './store.js';

/**
 * Opens the dialog. Returns a promise of `{ text }` after a new edition was written, `{ isOutdated: true }` if the user
 * discards the own edit because of a newer edition, or undefined if cancelled.
 */
export const openEditDialog = (proposal) => openDialog((close) => new EditDialog(proposal, close).dialogParts());

class EditDialog {
  constructor(proposal, close) {
    Object.assign(this, { proposal, close, edition: proposal.edition, idempotencyKeyOf: idempotencyKeys() });
    // A field may depend on the value of another setting, so the values are known before the fields.
    this.initialValues = new Map(proposal.changes.map(({ key, value }) => [key, value]));
    this.changes = new Map();
    for (const change of proposal.changes) this.changes.set(change.key, new EditedChange(change, this));
    this.reason = reasonField();
    this.reason.input.value = proposal.reason;
    this.plan = planFields(proposal.plan);
    this.list = h('div.stack');
    this.newEdition = h('span', null, String(proposal.edition + 1));
    this.addField = h('div');
    this.errors = h('div.stack', { 'aria-live': 'assertive' });
    this.submitButton = h('button.primary', { type: 'submit' }, 'Write new edition');
    this.draw();
    // The dialog begins with the values, not with the reason.
    this.reason.input.removeAttribute('autofocus');
    const [firstChange] = this.changes.values();
    firstChange?.focusTarget.setAttribute('autofocus', '');
  }

  dialogParts() {
    const { number } = this.proposal;
    return {
      title: `Edit proposal ${number}`,
      about: ['The edit becomes edition ', this.newEdition, ', which needs new approvals. You cannot approve the proposal afterwards.'],
      wide: true,
      body: [this.list, this.addField, this.plan.element, this.reason.element, this.errors],
      actions: [button('Cancel', () => this.close()), this.submitButton],
      submit: () => this.submit(),
    };
  }

  draw() {
    setChildren(this.list, [...this.changes.values()].map((change) => change.element));
    this.plan.setKeys([...this.changes.keys()]);
    const otherSettings = [...store.settings.values()].filter(({ key }) => !this.changes.has(key));
    const select = h('select', { name: 'add', onchange: () => this.add(select.value) },
      h('option', { value: '' }, 'Choose a setting…'), otherSettings.map(({ key }) => h('option', { value: key }, label(key))));
    setChildren(this.addField, otherSettings.length > 0 && labeledField('Change another setting', select));
  }

  add(key) {
    const setting = store.settings.get(key);
    if (!setting) return;
    const change = new EditedChange({ key, value: setting.value, current_value: setting.value, current_version: setting.version }, this);
    this.changes.set(key, change);
    this.draw();
    change.field.input.focus();
  }

  remove(key) {
    this.changes.delete(key);
    this.initialValues.delete(key);
    this.draw();
    (this.list.querySelector('button') ?? this.addField.querySelector('select'))?.focus();
  }

  /** Returns the value of another setting after the change. */
  valueOf(key) {
    return this.changes.get(key)?.value ?? this.initialValues.get(key) ?? store.settings.get(key)?.value;
  }

  async submit() {
    if (this.submitButton.disabled || !this.validate()) return;
    this.submitButton.disabled = true;
    setChildren(this.errors);
    try {
      this.close(await this.send());
    } catch (problem) {
      await this.handleError(problem);
    } finally {
      this.submitButton.disabled = false;
    }
  }

  validate() {
    const changes = [...this.changes.values()];
    if (changes.length === 0) {
      setChildren(this.errors, h('p.error', null, 'Choose at least one setting to change, or withdraw the proposal.'));
      return false;
    }
    const invalidChange = changes.find((change) => !change.validate());
    invalidChange?.focusTarget.focus();
    return !invalidChange && this.plan.validate() && this.reason.validate();
  }

  async send() {
    const { number } = this.proposal;
    const plan = this.plan.value();
    const earlierKeys = await keysOf(plan?.after);
    const changes = [...this.changes.values()].map(({ key, value, version }) => ({ key, value, ...(!earlierKeys.includes(key) && { version }) }));
    const body = { reason: this.reason.value(), changes, ...(plan && { plan }) };
    const headers = { 'If-Match': `"e${this.edition}"` };
    const { data } = await request('PUT', proposalPath(number), { headers, body, idempotencyKey: this.idempotencyKeyOf(this.edition, body) });
    rememberReason(body.reason);
    return { text: `Wrote edition ${data.edition} of proposal ${number}.` };
  }

  async handleError(problem) {
    if (problem.code === 'edition_mismatch') {
      await this.showNewerEdition().catch((error) => setChildren(this.errors, errorAlert(error)));
      return;
    }
    if (problem.code === 'version_conflict') {
      for (const conflict of problem.body.conflicts ?? []) this.changes.get(conflict.key)?.rebase(conflict);
      setChildren(this.errors, h('p.error', { role: 'alert' },
        'Nothing was saved: another user has changed the same settings. The fields keep your values, and the current values are shown below. Check the values and save again.'));
      return;
    }
    const otherErrors = this.plan.showErrors(problem.errors ?? []).filter(({ key, detail }) => !this.changes.get(key)?.showError(detail));
    const areAllShown = problem.errors?.length > 0 && otherErrors.length === 0;
    setChildren(this.errors, areAllShown ? h('p.error', { role: 'alert' }, 'Nothing was saved. Fix the errors above.') : errorAlert(problem));
  }

  /** Shows the edition that somebody wrote in the meantime, and the ways out. */
  async showNewerEdition() {
    const newerEdition = await fetchJson(proposalPath(this.proposal.number));
    const replace = () => {
      this.edition = newerEdition.edition;
      setChildren(this.newEdition, String(newerEdition.edition + 1));
      setChildren(this.errors, h('p', { role: 'status' }, `Your values will replace edition ${newerEdition.edition}. Check the values and save again.`));
      this.submitButton.focus();
    };
    const discardButton = button('Discard my edit', () => this.close({ isOutdated: true }));
    setChildren(this.errors, h('div.note.warning', { role: 'alert' },
      h('p', null, h('strong', null, isolate(newerEdition.written_by), ` has written edition ${newerEdition.edition}`), ' ', relativeTimeElement(newerEdition.written_at), '. Nothing was saved.'),
      h('p', null, 'What that edition changes:'), editionDiff(this.proposal, newerEdition),
      h('p.row', null, discardButton, button(`Replace edition ${newerEdition.edition} with my values`, replace))));
    discardButton.focus();
  }
}

/** Returns the keys of an earlier proposal, which determines the versions of these keys, so that a request omits the versions. */
async function keysOf(number) {
  if (!number) return [];
  // The service reports an unknown number as an error of the plan.
  const earlierProposal = await fetchJson(proposalPath(number)).catch(() => null);
  return earlierProposal ? earlierProposal.changes.map(({ key }) => key) : [];
}

/** A change in the dialog: the field with the proposed value, and the current value below. */
class EditedChange {
  constructor({ key, value, current_value: current, current_version: version }, dialog) {
    Object.assign(this, { key, value, current, version: version ?? null, parseError: null });
    const setting = store.settings.get(key);
    const errorId = uniqueId('error');
    const hintId = uniqueId('hint');
    this.setting = setting;
    this.error = h('p.error', { id: errorId, hidden: true });
    this.currentValue = h('p.hint');
    this.drawCurrentValue();
    const onchange = (change) => {
      Object.assign(this, { value: change.value, parseError: change.parseError ?? null });
      this.showError(null);
    };
    this.field = setting && settingField(setting, { value }, { name: label(key), describedby: `${hintId} ${errorId}` }, onchange, (other) => dialog.valueOf(other));
    this.removeButton = button('Remove', () => dialog.remove(key), `Remove the change of ${label(key)}`, 'button.subtle');
    this.element = h('article.review-item.edited-change', null,
      h('div.row.value-row', null, h('h3', null, isolate(label(key)), ' ', h('code.muted', null, isolate(key))), this.removeButton),
      this.field ? this.field.element : h('p', null, isolate(formatValue(value))),
      setting && h('p.hint', { id: hintId }, isolate(describeConstraints(setting))),
      this.currentValue, this.error);
    if (!setting) this.showError('the setting is no longer in the catalog. Remove the change');
  }

  drawCurrentValue(note) {
    setChildren(this.currentValue, 'Current value: ', h('span.value', null, isolate(formatValue(this.current))), note);
  }

  /** Takes over the current value of a conflict. The proposed value stays. */
  rebase({ current_value: current, current_version: version, updated_by: user, updated_at: time }) {
    Object.assign(this, { current, version });
    this.drawCurrentValue([', saved by ', isolate(user), ' ', relativeTimeElement(time)]);
  }

  validate() {
    if (!this.setting) return false;
    const message = this.parseError ?? validate(this.setting, this.value);
    this.showError(message);
    return !message;
  }

  /** Shows `message` at the field, or no message for null. Returns true. */
  showError(message) {
    this.error.hidden = !message;
    setChildren(this.error, message && isolate(toSentence(message)));
    this.field?.input.setAttribute('aria-invalid', String(Boolean(message)));
    return true;
  }

  get focusTarget() {
    return this.field?.input ?? this.removeButton;
  }
}
