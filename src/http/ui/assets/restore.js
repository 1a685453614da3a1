// Taking a change back: first what it would do, told by the service itself, then why, then it is done.
import { call, newKey, read } from './api.js';
import { announce, fill, h, said } from './dom.js';
import { difference } from './diff.js';
import { count, label, time } from './format.js';
import { ours } from './live.js';
import { button, row, table } from './page.js';
import { applied, dialog, failure, keepReason, reasonField, sentence, waitBox } from './parts.js';

const PATH = '/admin/global-settings/rollback';

/**
 * Goes back: `{ auditId, key }` to the value before that entry, `{ key, toVersion }` to that version, `{ toRevision }`
 * to all values as they were then. The promise is the service's answer once it is done, undefined if it was left.
 */
export async function restore(target) {
  const found = await look(target);
  return dialog((close) => question(target, found, close));
}

/** What the rollback would do now, `{ body, plan }`; or the `problem` why that cannot be said. */
async function look(target) {
  try {
    const body = await bodyOf(target);
    // A dry run asks for a reason as the write does; it is stored nowhere.
    return { body, plan: (await call('POST', PATH, { query: { dry_run: true }, body: { ...body, reason: 'preview' } })).data };
  } catch (problem) {
    return { problem };
  }
}

/** The version, or revision, that stands now is the one that the preview is of. */
async function bodyOf({ auditId, key, toVersion, toRevision }) {
  if (toRevision) return { to_revision: toRevision, revision: (await read('/admin/global-settings')).revision };
  const { version } = await read(`/admin/global-settings/${encodeURIComponent(key)}`);
  return auditId ? { audit_id: auditId, version } : { key, to_version: toVersion, version };
}

function title({ auditId, key, toVersion, toRevision }) {
  if (toRevision) return `Go back to revision ${toRevision}`;
  return auditId ? ['Take back a change of ', said(label(key))] : ['Restore version ', toVersion, ' of ', said(label(key))];
}

function question(target, found, close) {
  const [reason, waits] = [reasonField(), waitBox()];
  const [preview, wrong] = [h('div.stack'), h('div', { 'aria-live': 'polite' })];
  const asks = h('div.stack', null, reason.element, waits.element);
  const act = h('button.main', { type: 'submit' }, 'Restore');
  const leave = button('Cancel', () => close());
  let [sent, once] = [null, null];

  const draw = (news) => {
    const possible = found.plan?.changed.length > 0 && !found.plan.refused.length;
    fill(preview, news, found.problem ? failure(found.problem, () => again()) : drawPlan(found.plan));
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
    if (JSON.stringify(body) !== sent) [sent, once] = [JSON.stringify(body), newKey()];
    act.disabled = true;
    fill(wrong);
    try {
      const { data } = await call('POST', PATH, { body, once, query: { wait: waits.checked() ? 'applied' : null } });
      done(data, body.reason);
      close(data);
    } catch (problem) {
      if (problem.status === 409 || problem.status === 412) return again(moved(problem));
      fill(wrong, failure(problem));
      act.disabled = false;
    }
  };
  draw();
  return {
    title: title(target), about: 'What is restored becomes a new version. Nothing of the history goes.', body: [preview, asks, wrong], actions: [leave, act], submit, wider: true,
  };
}

function done(data, reason) {
  keepReason(reason);
  if (data.changed.length === 0) return announce('Nothing was changed: these values already stand.');
  ours(data.revision);
  announce(`Restored: ${count(data.changed.length, 'setting')}, now revision ${data.revision}. ${applied(data) ?? ''}`);
}

const note = (kind, title, ...about) => h('div.note', { class: kind, role: kind && 'alert' }, h('p', null, h('strong', null, title)), about);

/** Somebody was faster: who, and that the preview is a new one. */
function moved({ body: { conflicts: [first] = [] } }) {
  return note('warn', 'This was changed meanwhile', h('p', null, first && [said(first.updated_by), ' changed ', said(label(first.key)), ' ', time(first.updated_at), '. '],
    'Nothing was restored. Below is what restoring would do now; do it again if it is still right.'));
}

const COLUMNS = { Setting: '', 'What would change': '', 'Changed since by': '' };

function drawPlan({ changed, unchanged, ignored, changed_since: since, refused }) {
  const rows = changed.map(({ key, old_value: before, new_value: after, version }) => {
    const later = since.find((it) => it.key === key);
    return row(COLUMNS, null, [said(label(key)), h('div.hint', null, h('code', null, said(key)))],
      [difference(before, after), h('div.hint', null, `becomes version ${version}`)],
      later ? [said(later.changed_by), ' ', time(later.changed_at), h('div.hint', null, `version ${later.version}`)] : 'nobody');
  });
  return [
    refused.length > 0 && note('bad', 'Today’s rules refuse this',
      h('ul.plain', null, refused.map((it) => h('li', null, it.key && [h('code', null, said(it.key)), ': '], said(sentence(it.detail))))),
      h('p', null, 'Nothing is restored as long as one value is refused. Change the setting by hand instead, or its rule first.')),
    rows.length > 0 ? table('What would change', COLUMNS, rows)
      : refused.length === 0 && note(null, 'Nothing would change', h('p', null, unchanged.length > 1 ? 'All values are as they were then.' : 'It already has this value.')),
    rows.length > 0 && unchanged.length > 0 && h('p.hint', null, `${count(unchanged.length, 'other setting')} would stay.`),
    ignored.length > 0 && h('p.hint', null, `${count(ignored.length, 'setting')} may not be written and would be left out.`),
  ];
}
