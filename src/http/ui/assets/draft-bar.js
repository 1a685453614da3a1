// The bar below the page that shows the number of unsaved changes, with buttons to discard and to review.
import { h, isolate, setChildren, showToast, subscribe } from './dom.js';
import { draft, draftChanged, errorOf, inducedErrors, isRemoved, needsApproval, removeChange, scheduleValidation } from './draft.js';
import { label, pluralize } from './format.js';

/** Discards the draft, and offers to undo. */
function discardDraft() {
  const entries = [...draft];
  draft.clear();
  draftChanged();
  const undo = () => {
    for (const [key, entry] of entries) draft.set(key, entry);
    draftChanged();
  };
  showToast(`Discarded ${pluralize(entries.length, 'change')}.`, ['Undo', undo]);
}

async function openReview() {
  if (draft.size === 0) {
    showToast('No unsaved changes to review.');
    return;
  }
  scheduleValidation.cancel();
  // Loading the dialog on first use keeps the first page small.
  const { openReviewDialog } = await import('./review.js');
  openReviewDialog();
}

const isInForce = (freeze) => freeze !== null && Date.parse(freeze.ends_at) > Date.now();

/** Shows the bar in `container`, and updates the bar with the draft. */
export function showDraftBar(container) {
  const summary = h('p');
  const reviewButton = h('button.primary', { type: 'button', onclick: openReview });
  setChildren(container, summary, h('div.row', null,
    h('button', { type: 'button', onclick: discardDraft }, 'Discard'), reviewButton));
  let freeze = null;
  const draw = () => {
    // Hiding the focused button would move the focus to the top of the document.
    if (draft.size === 0 && container.contains(document.activeElement)) document.querySelector('main').focus({ preventScroll: true });
    container.hidden = draft.size === 0;
    reviewButton.textContent = needsApproval() || isInForce(freeze) ? 'Review and propose' : 'Review and save';
    setChildren(summary, draftSummary());
  };
  subscribe('shortcut-review', openReview);
  subscribe('draft', draw);
  subscribe('safety', (safety) => {
    freeze = safety.freeze;
    draw();
  });
  // The settings know which of them need approvals.
  subscribe('settings', draw);
  draw();
}

function draftSummary() {
  const entries = [...draft.values()];
  const conflicts = entries.filter((entry) => entry.theirs).length;
  const removed = entries.filter(isRemoved);
  const invalid = entries.filter((entry) => errorOf(entry) && !entry.theirs && !isRemoved(entry)).length;
  return [
    h('strong', null, pluralize(entries.length, 'unsaved change')),
    conflicts > 0 && h('span', null, ' · ', h('span.badge.warning', null, pluralize(conflicts, 'conflict'))),
    invalid > 0 && h('span', null, ' · ', h('span.badge.danger', null, `${invalid} invalid`)),
    // Such a setting has no row on the page.
    removed.map(({ key }) => h('span', null, ' · ', isolate(label(key)), ' is no longer in the catalog ',
      h('button.subtle', { type: 'button', onclick: () => removeChange(key) }, 'Discard the change', h('span.visually-hidden', null, ` of ${label(key)}`)))),
    [...inducedErrors].map(([key, detail]) => h('span.error', null, ' ', isolate(`${label(key)} ${detail}`))),
  ];
}
