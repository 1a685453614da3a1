// The sections of the fleet page that stop session starts and freeze the settings.
import { h, isolate, setChildren, subscribe } from './dom.js';
import { relativeTime } from './format.js';
import { badge, button, table, tableRow } from './page.js';
import { errorAlert } from './parts.js';
import { openEndFreezeDialog, openFreezeDialog, openResumeDialog, openStopDialog } from './safety-dialogs.js';
import { ensureSafety, safety } from './safety-state.js';
import { session } from './session.js';
import { formatSchedule } from './time-fields.js';

const COLUMNS = { Reason: '', From: 'w14', Until: 'w14', State: 'w8', Actions: 'w11' };

const timeElement = (time) => h('time', { datetime: time, title: relativeTime(time) }, formatSchedule(time));

/** Creates the sections, and keeps them current until `signal` is aborted. */
export function safetySections(signal) {
  const error = h('div');
  const starts = h('div', { 'aria-live': 'polite' });
  const freezes = h('div', { 'aria-live': 'polite' });
  const freezeButton = button('Freeze settings…', openFreezeDialog);
  const draw = () => {
    if (!safety.isLoaded) return;
    drawStarts(starts);
    drawFreezes(freezes, freezeButton);
  };
  const load = () => ensureSafety().then(() => setChildren(error), (problem) => setChildren(error, errorAlert(problem, load)));
  draw();
  subscribe('safety', draw, signal);
  load();
  return [
    session.hasSessions && h('section', null, h('h2', null, 'Session starts'), starts),
    h('section', null, h('div.row.section-header', null, h('h2', null, 'Freezes'), freezeButton), error, freezes),
  ];
}

/** Draws `content`, and returns the focus to the first button if the focus was inside. */
function replaceContent(container, content, fallback) {
  const hadFocus = container.contains(document.activeElement);
  setChildren(container, content);
  if (hadFocus) (container.querySelector('button') ?? fallback)?.focus();
}

let drawnStarts = null;
function drawStarts(container) {
  const { stop, epoch } = safety;
  // Unchanged content is not drawn again, because the live region would announce it.
  const state = JSON.stringify([epoch, stop]);
  if (container.firstChild && state === drawnStarts) return;
  drawnStarts = state;
  replaceContent(container, stop
    ? h('div.note.warning', null,
      h('p', null, h('strong', null, 'No session starts'), ' until ', timeElement(stop.stopped_until), '. Stopped by ', isolate(stop.stopped_by), ': “', isolate(stop.reason), '”'),
      h('p', null, button('Resume session starts…', () => openResumeDialog(stop))))
    : h('div.card.padded.row', null,
      h('p', null, badge('success', 'running'), ' Sessions can start.'), button('Stop session starts…', openStopDialog, null, 'button.danger')));
}

let drawnFreezes = null;
function drawFreezes(container, freezeButton) {
  const state = JSON.stringify([safety.freezes, safety.freeze?.id]);
  if (container.firstChild && state === drawnFreezes) return;
  drawnFreezes = state;
  replaceContent(container, safety.freezes.length > 0
    ? table('Freezes', COLUMNS, safety.freezes.map(freezeRow))
    : h('p.muted', null, 'No freeze is set. In a freeze no setting changes, except in an emergency.'), freezeButton);
}

function freezeRow(freeze) {
  const hasBegun = Date.parse(freeze.starts_at) <= Date.now();
  return tableRow(COLUMNS, { 'data-id': freeze.id },
    [isolate(freeze.reason), h('div.hint', null, 'set by ', isolate(freeze.set_by))],
    timeElement(freeze.starts_at),
    timeElement(freeze.ends_at),
    hasBegun ? badge('warning', 'in force') : badge('', 'planned'),
    button(hasBegun ? 'End freeze…' : 'Cancel freeze…', () => openEndFreezeDialog(freeze), `${hasBegun ? 'End' : 'Cancel'} freeze: ${freeze.reason}`));
}
