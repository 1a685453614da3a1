// The bar of the changes that are not saved: how many, discard, review.
import { draft, draftChanged, errorOf, inducedErrors, scheduleValidation } from './draft.js';
import { h, isolate, setChildren, showToast, subscribe } from './dom.js';
import { label, pluralize } from './format.js';

/** Throws all of it away; for a while it can be had back. */
function discardDraft() {
  const kept = [...draft];
  draft.clear();
  draftChanged();
  showToast(`Discarded ${pluralize(kept.length, 'change')}.`, ['Undo', () => {
    for (const [key, entry] of kept) draft.set(key, entry);
    draftChanged();
  }]);
}

/** Opens the review of what is not saved. */
export async function openReview() {
  if (draft.size === 0) return showToast('There is nothing to review: no setting was changed here.');
  scheduleValidation.cancel();
  const { openReviewDialog: open } = await import('./review.js');
  return open();
}

/** The bar that says what is not saved, kept true. */
export function showDraftBar(place) {
  const what = h('p');
  const button = h('button.primary', { type: 'button', onclick: openReview }, 'Review and save');
  setChildren(place, what, h('div.row', null, h('button', { type: 'button', onclick: discardDraft }, 'Discard'), button));
  const draw = () => {
    const all = [...draft.values()];
    const wrong = all.filter((it) => errorOf(it) && !it.theirs).length;
    const met = all.filter((it) => it.theirs).length;
    // Focus must not fall out of the page with the bar.
    if (all.length === 0 && place.contains(document.activeElement)) document.querySelector('main').focus({ preventScroll: true });
    place.hidden = all.length === 0;
    setChildren(what, h('strong', null, pluralize(all.length, 'change')), ', not saved',
      met > 0 && h('span', null, ' · ', h('span.badge.warning', null, `${met} changed by somebody else`)),
      wrong > 0 && h('span', null, ' · ', h('span.badge.danger', null, wrong === 1 ? '1 needs attention' : `${wrong} need attention`)),
      [...inducedErrors].map(([key, detail]) => h('span.error', null, ' ', isolate(`${label(key)} ${detail}`))));
  };
  subscribe('key-r', openReview);
  subscribe('draft', draw);
  draw();
}
