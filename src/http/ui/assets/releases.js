// Releases, names of revisions: the list, the page of a release with its differences, and the dialogs that name and archive.
import { fetchJson, request } from './api.js';
import { valueDiff } from './diff.js';
import { h, isolate, setChildren, showToast } from './dom.js';
import { dateTimeElement, pluralize, relativeTimeElement, settingName } from './format.js';
import { badge, button, definitionList, link, revisionLink, table, tableRow } from './page.js';
import { emptyState, errorAlert, openDialog, openReasonDialog, pageHeader, rememberReason } from './parts.js';
import { openRollback } from './restore.js';
import { currentRoute, replaceParameters } from './route.js';

const PATH = '/admin/releases';
const NAME_PATTERN = /^[a-z0-9][a-z0-9._-]{0,63}$/;
const MIN_NOTE_LENGTH = 3;
const MAX_NOTE_LENGTH = 500;

const releasePath = (name, suffix = '') => `${PATH}/${encodeURIComponent(name)}${suffix}`;
const releaseHash = (name) => `#/history/releases/${encodeURIComponent(name)}`;

/** Returns the releases, newest first. */
export const loadReleases = async (signal) => (await fetchJson(PATH, null, { signal })).releases;

/** Shows the list of releases, or the release `name`. */
export const showReleases = (body, name, parameters, signal) => (name ? showRelease(body, name, parameters, signal) : showList(body, signal));

const COLUMNS = { Release: '', Revision: 'w8', Note: '', 'Named by': 'w14', Actions: 'w14' };

async function showList(body, signal) {
  const list = h('div');
  const load = async () => {
    const releases = await loadReleases(signal);
    setChildren(list, releases.length > 0 ? table('Releases, newest first', COLUMNS, releases.map((release) => releaseRow(release, load)))
      : h('div.card', null, emptyState('No releases yet', 'A release is a name of a revision, such as “winter”, to compare with later settings or to restore.')));
  };
  const nameRevision = async () => { if (await openNameDialog(null)) await load(); };
  setChildren(body, pageHeader('Releases', 'Names of revisions, to compare and to restore.', link('#/history', 'History'),
    button('Name the current revision…', nameRevision)), list);
  await load();
}

const archivedBadge = ({ archived_at: time }) => time && [' ', badge('', 'archived')];

function releaseRow(release, onchange) {
  const { name, revision, note, made_by: user, made_at: time } = release;
  return tableRow(COLUMNS, { 'data-id': name },
    [link(releaseHash(name), isolate(name)), archivedBadge(release)],
    revisionLink(revision, 'revision'),
    isolate(note),
    [isolate(user), ', ', relativeTimeElement(time)],
    h('div.row', null, restoreButton(name, onchange)));
}

const restoreButton = (name, onrestored) => button('Restore…', async () => {
  if (await openRollback({ toRelease: name })) await onrestored();
}, `Restore release ${name}`);

async function showRelease(body, name, { to = '' }, signal) {
  const [release, releases] = await Promise.all([fetchJson(releasePath(name), null, { signal }), loadReleases(signal)]);
  const { revision, note, made_by: user, made_at: time, archived_by: archivist, archived_at: archivedAt, archive_reason: reason } = release;
  const reload = () => showRelease(body, name, currentRoute().parameters, signal);
  const archive = async () => { if (await openArchiveDialog(name)) await reload(); };
  setChildren(body, pageHeader(['Release ', isolate(name), archivedBadge(release)], isolate(note), link('#/history/releases', 'All releases'),
    restoreButton(name, reload), !archivedAt && button('Archive…', archive)),
  h('div.card.padded', null, definitionList('dl.field-list', {
    Revision: revisionLink(revision, 'revision'),
    'Named by': [isolate(user), ', ', dateTimeElement(time)],
    Archived: archivedAt && [isolate(archivist), ', ', dateTimeElement(archivedAt), ': “', isolate(reason), '”'],
    Digest: h('span.mono', null, release.digest),
  })),
  comparison(release, releases, to, signal));
}

const DIFF_COLUMNS = { Setting: 'w14', 'Release → compared with': '' };

/** Creates the section that compares a release with the current settings or with another release. */
function comparison({ name }, releases, selected, signal) {
  const result = h('div', { 'aria-live': 'polite' });
  const compare = async (to) => {
    try {
      const { from_revision: from, to_revision: until, changed } = await fetchJson(releasePath(name, '/diff'), { to }, { signal });
      const target = to ? [isolate(to), ` (revision ${until})`] : `the current settings (revision ${until})`;
      setChildren(result, changed.length === 0
        ? h('div.note.success', null, 'No differences: ', isolate(name), ` (revision ${from}) and `, target, ' have the same values.')
        : h('div.stack', null, h('p.hint', null, pluralize(changed.length, 'setting'), ' of ', isolate(name), ` (revision ${from}) ${changed.length === 1 ? 'differs' : 'differ'} from `, target, '.'),
          table('Differences', DIFF_COLUMNS, changed.map(diffRow))));
    } catch (problem) {
      if (problem.name !== 'AbortError') setChildren(result, errorAlert(problem, () => compare(to)));
    }
  };
  const otherReleases = releases.filter((release) => release.name !== name);
  const option = (value, text) => h('option', { value, selected: value === selected }, text);
  const select = h('select', {
    name: 'to',
    onchange: () => {
      replaceParameters({ to: select.value });
      compare(select.value);
    },
  }, option('', 'Current settings'), otherReleases.map((release) => option(release.name, `${release.name} (revision ${release.revision})`)));
  compare(selected);
  return h('section', null, h('h2', null, 'Differences'),
    h('div.filters', null, h('label.field', null, 'Compare with', select)), result);
}

const diffRow = ({ key, from, to }) => tableRow(DIFF_COLUMNS, null,
  settingName(key), valueDiff(from, to));

function openArchiveDialog(name) {
  return openReasonDialog({
    title: ['Archive release ', isolate(name)],
    about: 'The mark says that nobody should restore the release. Comparing and restoring stay possible, and the name stays in use.',
    action: 'Archive release',
  }, async (reason) => {
    await request('POST', releasePath(name, '/archive'), { body: { reason } });
    rememberReason(reason);
    showToast(`Archived ${name}.`);
  });
}

/** Opens the dialog that names `revision`, or the current revision. Resolves to the release, or undefined if cancelled. */
export function openNameDialog(revision) {
  const errors = h('div', { 'aria-live': 'polite' });
  const nameInput = h('input', { name: 'name', autocomplete: 'off', spellcheck: 'false', autofocus: true, required: true, maxlength: 64, placeholder: 'winter' });
  const noteInput = h('input', { name: 'note', autocomplete: 'off', dir: 'auto', required: true, placeholder: 'Calm evenings' });
  const submitButton = h('button.primary', { type: 'submit' }, 'Name revision');
  const showError = (input, message) => {
    for (const field of [nameInput, noteInput]) field.setAttribute('aria-invalid', String(field === input));
    setChildren(errors, h('p.error', null, message));
    input.focus();
  };
  return openDialog((close) => ({
    title: revision ? `Name revision ${revision}` : 'Name the current revision',
    about: 'A release never changes, and its name is used once.',
    body: [
      h('div', null, h('label.field', null, 'Name', nameInput), h('p.hint', null, '1 to 64 characters: a to z, digits, “.”, “_” and “-”. The first is a letter or a digit.')),
      h('div', null, h('label.field', null, 'Note', noteInput), h('p.hint', null, 'What the release is for.')),
      errors,
    ],
    actions: [h('button', { type: 'button', onclick: () => close() }, 'Cancel'), submitButton],
    submit: async () => {
      const [name, note] = [nameInput.value.trim(), noteInput.value.trim()];
      if (submitButton.disabled) return;
      if (!NAME_PATTERN.test(name)) {
        showError(nameInput, 'Enter a name of 1 to 64 characters of a to z, digits, “.”, “_” and “-”.');
        return;
      }
      const { length } = [...note];
      if (length < MIN_NOTE_LENGTH || length > MAX_NOTE_LENGTH) {
        showError(noteInput, `Enter a note of ${MIN_NOTE_LENGTH} to ${MAX_NOTE_LENGTH} characters.`);
        return;
      }
      submitButton.disabled = true;
      try {
        const { data } = await request('POST', PATH, { body: { name, note, ...(revision && { revision }) } });
        showToast(`Revision ${data.revision} is now named ${data.name}.`);
        close(data);
      } catch (problem) {
        submitButton.disabled = false;
        if (problem.code === 'release_exists') showError(nameInput, ['Another release has the name ', isolate(name), '. Names are used once.']);
        else setChildren(errors, errorAlert(problem));
      }
    },
  }));
}
