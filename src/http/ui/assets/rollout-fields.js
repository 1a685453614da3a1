// The fields of a plan's rollout: stages, guards, the step after the last stage, and the longest duration.
import { h, setChildren } from './dom.js';
import { toSentence } from './format.js';
import { button, labeledField } from './page.js';
import { COMPLETIONS, GUARDS } from './rollout-text.js';
import { store } from './store.js';
import { fieldWithError, integerError } from './validated-field.js';

// The defaults and bounds of the service (`rollouts::Plan`).
const DEFAULT_STAGES = [{ share: 10, users: 50, minutes: 10 }, { share: 50, users: 200, minutes: 30 }];
const DEFAULT_MAX_HOURS = 72;
const MAX_STAGES = 10;
const MAX_HOURS = 720;
// The settings that decide who may start a session (`sessions::decide_eligibility`): a change is meant to refuse other users.
const ELIGIBILITY_KEYS = ['BRUNE_COOLDOWN_MINUTES', 'BRUNE_MAX_SESSIONS_PER_DAY', 'BRUNE_ELIGIBILITY_REQUIRE_PLAN', 'BRUNE_ELIGIBILITY_ALLOWED_LEVELS'];
/** The fields of a stage: title, least and greatest value. */
const STAGE_FIELDS = { share: ['Share in %', 1, 100], users: ['Users', 1, 100_000], minutes: ['Minutes', 0, 10_080] };

const HINT = 'New sessions of a growing share of the users have the proposed values first. The rollout is reverted by itself if a guard shows harm.';
const GUARDS_HINT = 'A user counts once for each guard. Refused starts judge nothing by default if the change decides who may start a session.';

const PREFIX = '/plan/rollout';

/** The fields of a rollout, and their values. `initial` is the rollout of a plan, if any. */
export class RolloutFields {
  constructor(initial) {
    Object.assign(this, { keys: [], isGuardChosen: Boolean(initial?.guards), stages: [] });
    this.enable = h('input', { type: 'checkbox', name: 'rollout', checked: Boolean(initial), onchange: () => this.update() });
    this.error = h('p.error', { hidden: true });
    this.stageList = h('div.stack');
    this.stageError = h('p.error', { hidden: true });
    this.addButton = button('Add a stage', () => this.addStage());
    this.guards = new Map(Object.entries(GUARDS).map(([guard, { title }]) => [guard, guardCheckbox(guard, title, () => this.chooseGuards())]));
    this.guardError = h('p.error', { hidden: true });
    this.completion = h('select', { name: 'then' }, Object.entries(COMPLETIONS).map(([value, text]) => h('option', { value }, text)));
    this.maxHours = fieldWithError('Longest duration in hours', {
      type: 'number', name: 'max_hours', min: 1, max: MAX_HOURS, step: 1, oninput: () => this.maxHours.showError(null),
    }, 'After that, the rollout is held until a person decides.');
    this.fields = h('div.stack', null,
      this.stageList, this.stageError, h('p', null, this.addButton),
      h('fieldset', null, h('legend', null, 'Guards'), [...this.guards.values()].map(({ element }) => element), h('p.hint', null, GUARDS_HINT), this.guardError),
      h('div.field-columns', null, labeledField('After the last stage', this.completion), this.maxHours.element));
    this.element = h('fieldset.rollout-fields', null,
      h('label.check', null, this.enable, h('span', null, 'Roll out in stages')), h('p.hint', null, HINT), this.error, this.fields);
    this.setValue(initial ?? {});
    this.update();
  }

  setValue({ stages = DEFAULT_STAGES, guards, then = 'promote', max_hours: hours = DEFAULT_MAX_HOURS }) {
    this.stages = stages.map((stage) => new StageFields(stage, (fields) => this.removeStage(fields)));
    if (guards) for (const [guard, { input }] of this.guards) input.checked = guards.includes(guard);
    else this.showDefaultGuards();
    this.completion.value = then;
    this.maxHours.input.value = String(hours);
    this.drawStages();
  }

  /** Sets the settings that would be changed. Only settings that apply to new sessions can be rolled out. */
  setKeys(keys) {
    this.keys = keys;
    this.showDefaultGuards();
    this.update();
  }

  /** Whether every setting applies to new sessions: the service refuses a rollout of any other setting. */
  get isRollable() {
    return this.keys.length > 0 && this.keys.every((key) => store.settings.get(key)?.applies === 'new_sessions');
  }

  /** Checks the guards that the service would store by default. */
  showDefaultGuards() {
    if (this.isGuardChosen) return;
    const changesEligibility = this.keys.some((key) => ELIGIBILITY_KEYS.includes(key));
    for (const [guard, { input }] of this.guards) input.checked = guard !== 'refused' || !changesEligibility;
  }

  get isEnabled() {
    return this.enable.checked && !this.element.hidden;
  }

  update() {
    // A rollout that is part of the plan is shown in any case, with the error of the service.
    this.element.hidden = !this.isRollable && !this.enable.checked;
    this.fields.hidden = !this.enable.checked;
    showMessage(this.error, null);
  }

  chooseGuards() {
    this.isGuardChosen = true;
    showMessage(this.guardError, null);
  }

  drawStages() {
    this.stages.forEach((stage, index) => stage.setNumber(index + 1, this.stages.length));
    setChildren(this.stageList, this.stages.map(({ element }) => element));
    this.addButton.disabled = this.stages.length >= MAX_STAGES;
    showMessage(this.stageError, null);
  }

  handleStages() {
    this.drawStages();
    // A button enters no text, but the number of stages is part of what the user has entered.
    this.element.dispatchEvent(new Event('input', { bubbles: true }));
  }

  addStage() {
    const { share, users, minutes } = this.stages.at(-1).value();
    const stage = new StageFields({ share: Math.min(100, share * 2 || 100), users, minutes }, (fields) => this.removeStage(fields));
    this.stages.push(stage);
    this.handleStages();
    stage.fields.share.input.focus();
  }

  removeStage(stage) {
    const index = this.stages.indexOf(stage);
    this.stages.splice(index, 1);
    this.handleStages();
    // The button that had the focus is gone.
    (this.stages[index] ?? this.stages.at(-1)).fields.share.input.focus();
  }

  get chosenGuards() {
    return [...this.guards].filter(([, { input }]) => input.checked).map(([guard]) => guard);
  }

  /** Returns the texts of the fields, for `setText`. */
  text() {
    const { enable, stages, completion, maxHours, isGuardChosen, chosenGuards } = this;
    return {
      isEnabled: enable.checked, stages: stages.map((stage) => stage.text()), guards: isGuardChosen ? chosenGuards : null,
      then: completion.value, max_hours: maxHours.input.value,
    };
  }

  /** Sets the texts of the fields. */
  setText({ isEnabled, guards, ...texts }) {
    this.enable.checked = isEnabled;
    this.isGuardChosen = guards !== null;
    this.setValue({ ...texts, guards: guards ?? undefined });
    this.update();
  }

  /** Returns the rollout for the body of a request, or undefined without a rollout. */
  value() {
    if (!this.isEnabled) return undefined;
    return {
      stages: this.stages.map((stage) => stage.value()),
      // The service knows which guards suit the settings.
      ...(this.isGuardChosen && { guards: this.chosenGuards }),
      then: this.completion.value,
      max_hours: Number(this.maxHours.input.value),
    };
  }

  /** Shows the errors, focuses the first invalid field, and returns whether the rollout is valid. */
  validate() {
    if (!this.isEnabled) return true;
    const hasGuard = !this.isGuardChosen || this.chosenGuards.length > 0;
    const checks = [
      ...this.stages.flatMap((stage, index) => stage.check(this.stages.slice(0, index))),
      [this.firstGuard, hasGuard ? null : 'choose at least one guard'],
      [this.maxHours, integerError(this.maxHours.input, 1, MAX_HOURS)],
    ];
    for (const [field, message] of checks) field.showError(message);
    const invalid = checks.find(([, message]) => message);
    invalid?.[0].input.focus();
    return !invalid;
  }

  get firstGuard() {
    const [{ input }] = this.guards.values();
    return { input, showError: (message) => showMessage(this.guardError, message) };
  }

  /** Returns the field of a JSON Pointer: `{ input, showError(message) }`, or undefined for another part of the request. */
  fieldOf(pointer) {
    if (!pointer?.startsWith(PREFIX)) return undefined;
    const [, , , member, index, name] = pointer.split('/');
    if (member === 'guards') return this.firstGuard;
    if (member === 'max_hours') return this.maxHours;
    if (member !== 'stages') return { input: this.enable, showError: (message) => showMessage(this.error, message) };
    return this.stages[index]?.fields[name] ?? { input: this.stages[0].fields.share.input, showError: (message) => showMessage(this.stageError, message) };
  }

  /** Shows the errors of a problem at their fields, and returns the errors of other parts of the request. */
  showErrors(errors) {
    const belongsHere = ({ pointer }) => this.fieldOf(pointer) !== undefined;
    for (const { pointer, detail } of errors.filter(belongsHere)) this.fieldOf(pointer).showError(detail);
    this.fieldOf(errors.find(belongsHere)?.pointer)?.input.focus();
    return errors.filter((error) => !belongsHere(error));
  }
}

function showMessage(element, message) {
  element.hidden = !message;
  element.textContent = message ? toSentence(message) : '';
}

/** Creates the checkbox of a guard: `{ element, input }`. */
function guardCheckbox(guard, title, onchange) {
  const input = h('input', { type: 'checkbox', name: `guard-${guard}`, onchange });
  return { element: h('label.check', null, input, h('span', null, title)), input };
}

/** The fields of a stage. */
class StageFields {
  constructor(stage, onremove) {
    this.legend = h('legend');
    const field = (name) => {
      const [title, min, max] = STAGE_FIELDS[name];
      const stageField = fieldWithError(title, { type: 'number', name, min, max, step: 1, value: String(stage[name]), oninput: () => stageField.showError(null) });
      return stageField;
    };
    this.fields = { share: field('share'), users: field('users'), minutes: field('minutes') };
    this.removeButton = button('Remove', () => onremove(this), undefined, 'button.subtle');
    this.element = h('fieldset.stage', null, this.legend, h('div.field-columns', null, Object.values(this.fields).map(({ element }) => element)), this.removeButton);
  }

  setNumber(number, count) {
    this.legend.textContent = `Stage ${number}`;
    this.removeButton.setAttribute('aria-label', `Remove stage ${number}`);
    this.removeButton.hidden = count === 1;
  }

  text() {
    return Object.fromEntries(Object.entries(this.fields).map(([name, { input }]) => [name, input.value]));
  }

  value() {
    return Object.fromEntries(Object.entries(this.text()).map(([name, text]) => [name, Number(text)]));
  }

  /** Returns the fields with their errors. A share is greater than those of the stages before. */
  check(earlierStages) {
    const { share } = this.value();
    const rangeError = (name) => integerError(this.fields[name].input, STAGE_FIELDS[name][1], STAGE_FIELDS[name][2]);
    const isGrowing = earlierStages.every((stage) => stage.value().share < share);
    return [
      [this.fields.share, rangeError('share') ?? (isGrowing ? null : 'must be greater than the share of the stage before')],
      [this.fields.users, rangeError('users')],
      [this.fields.minutes, rangeError('minutes')],
    ];
  }
}
