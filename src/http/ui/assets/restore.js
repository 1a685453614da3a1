// Taking a change back: first what it would do, told by the service itself, then why, then it is done.
import { fetchJson, newIdempotencyKey, request } from './api.js';
import { h, isolate, setChildren, showToast } from './dom.js';
import { valueDiff } from './diff.js';
import { label, pluralize, relativeTimeElement } from './format.js';
import { markOwnRevision } from './live.js';
import { button, table, tableRow } from './page.js';
import { errorAlert, openDialog, reasonField, rememberReason, rolloutText, toSentence, waitCheckbox } from './parts.js';

const PATH = '/admin/global-settings/rollback';

/**
 * Goes back: `{ auditId, key }` to the value before that entry, `{ key, toVersion }` to that version, `{ toRevision }`
 * to all values as they were then. The promise is the service's answer once it is done, undefined if it was left.
 */
export async function openRollback(target) {
  const found = await look(target);
  return openDialog((close) => question(target, found, close));
}

/** What the rollback would do now, `{ body, plan }`; or the `problem` why that cannot be said. */
async function look(target) {
  try {
    const body = await bodyOf(target);
    // A dry run asks for a reason as the write does; it is stored nowhere.
    return { body, plan: (await request('POST', PATH, { query: { dry_run: true }, body: { ...body, reason: 'preview' } })).data };
  } catch (problem) {
    return { problem };
  }
}

/** The version, or revision, that stands now is the one that the preview is of. */
async function bodyOf({ auditId, key, toVersion, toRevision }) {
  if (toRevision) return { to_revision: toRevision, revision: (await fetchJson('/admin/global-settings')).revision };
  const { version } = await fetchJson(`/admin/global-settings/${encodeURIComponent(key)}`);
  return auditId ? { audit_id: auditId, version } : { key, to_version: toVersion, version };
}

function title({ auditId, key, toVersion, toRevision }) {
  if (toRevision) return `Go back to revision ${toRevision}`;
  return auditId ? ['Take back a change of ', isolate(label(key))] : ['Restore version ', toVersion, ' of ', isolate(label(key))];
}

function question(target, found, close) {
  const [reason, waits] = [reasonField(), waitCheckbox()];
  const [preview, wrong] = [h('div.stack'), h('div', { 'aria-live': 'polite' })];
  const asks = h('div.stack', null, reason.element, waits.element);
  const act = h('button.primary', { type: 'submit' }, 'Restore');
  const leave = button('Cancel', () => close());
  let [sent, once] = [null, null];

  const draw = (news) => {
    const possible = found.plan?.changed.length > 0 && !found.plan.refused.length;
    setChildren(preview, news, found.problem ? errorAlert(found.problem, () => again()) : drawPlan(found.plan));
    asks.hidden = act.disabled = !possible;
    // Where nothing is to be filled in, leaving is where the focus belongs.
    leave.toggleAttribute('autofocus', !possible);
    (possible ? reason.element.querySelector('input') : leave).focus();
  };
  const again = async (news) => {
    found = await look(target);
    draw(news);
  };
  const submit = async () => {
    if (act.disabled || !reason.check()) return;
    const body = { ...found.body, reason: reason.value() };
    // A repeat of the same is the same intention; another reason or another preview is another.
    if (JSON.stringify(body) !== sent) [sent, once] = [JSON.stringify(body), newIdempotencyKey()];
    act.disabled = true;
    setChildren(wrong);
    try {
      const { data } = await request('POST', PATH, { body, once, query: { wait: waits.checked() ? 'applied' : null } });
      done(data, body.reason);
      close(data);
    } catch (problem) {
      if (problem.status === 409 || problem.status === 412) return again(moved(problem));
      setChildren(wrong, errorAlert(problem));
      act.disabled = false;
    }
  };
  draw();
  return {
    title: title(target), about: 'What is restored becomes a new version. Nothing of the history goes.', body: [preview, asks, wrong], actions: [leave, act], submit, wider: true,
  };
}

function done(data, reason) {
  rememberReason(reason);
  if (data.changed.length === 0) return showToast('Nothing was changed: these values already stand.');
  markOwnRevision(data.revision);
  showToast(`Restored: ${pluralize(data.changed.length, 'setting')}, now revision ${data.revision}. ${rolloutText(data) ?? ''}`);
}

const note = (kind, title, ...about) => h('div.note', { class: kind, role: kind && 'alert' }, h('p', null, h('strong', null, title)), about);

/** Somebody was faster: who, and that the preview is a new one. */
function moved({ body: { conflicts: [first] = [] } }) {
  return note('warning', 'This was changed meanwhile', h('p', null, first && [isolate(first.updated_by), ' changed ', isolate(label(first.key)), ' ', relativeTimeElement(first.updated_at), '. '],
    'Nothing was restored. Below is what restoring would do now; do it again if it is still right.'));
}

const COLUMNS = { Setting: '', 'What would change': '', 'Changed since by': '' };

function drawPlan({ changed, unchanged, ignored, changed_since: since, refused }) {
  const rows = changed.map(({ key, old_value: before, new_value: after, version }) => {
    const later = since.find((it) => it.key === key);
    return tableRow(COLUMNS, null, [isolate(label(key)), h('div.hint', null, h('code', null, isolate(key)))],
      [valueDiff(before, after), h('div.hint', null, `becomes version ${version}`)],
      later ? [isolate(later.changed_by), ' ', relativeTimeElement(later.changed_at), h('div.hint', null, `version ${later.version}`)] : 'nobody');
  });
  return [
    refused.length > 0 && note('danger', 'Today’s rules refuse this',
      h('ul.bulleted', null, refused.map((it) => h('li', null, it.key && [h('code', null, isolate(it.key)), ': '], isolate(toSentence(it.detail))))),
      h('p', null, 'Nothing is restored as long as one value is refused. Change the setting by hand instead, or its rule first.')),
    rows.length > 0 ? table('What would change', COLUMNS, rows)
      : refused.length === 0 && note(null, 'Nothing would change', h('p', null, unchanged.length > 1 ? 'All values are as they were then.' : 'It already has this value.')),
    rows.length > 0 && unchanged.length > 0 && h('p.hint', null, `${pluralize(unchanged.length, 'other setting')} would stay.`),
    ignored.length > 0 && h('p.hint', null, `${pluralize(ignored.length, 'setting')} may not be written and would be left out.`),
  ];
}
