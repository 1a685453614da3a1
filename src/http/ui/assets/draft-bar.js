// The bar of the changes that are not saved: how many, discard, review.
import { causes, changed, checkSoon, draft, faultIn } from './draft.js';
import { announce, fill, h, hear, said } from './dom.js';
import { count, label } from './format.js';

/** Throws all of it away; for a while it can be had back. */
function discard() {
  const kept = [...draft];
  draft.clear();
  changed();
  announce(`Discarded ${count(kept.length, 'change')}.`, ['Undo', () => {
    for (const [key, entry] of kept) draft.set(key, entry);
    changed();
  }]);
}

/** Opens the review of what is not saved. */
export async function review() {
  if (draft.size === 0) return announce('There is nothing to review: no setting was changed here.');
  checkSoon.cancel();
  const { open } = await import('./review.js');
  return open();
}

/** The bar that says what is not saved, kept true. */
export function drawBar(place) {
  const what = h('p');
  const button = h('button.main', { type: 'button', onclick: review }, 'Review and save');
  fill(place, what, h('div.row', null, h('button', { type: 'button', onclick: discard }, 'Discard'), button));
  const draw = () => {
    const all = [...draft.values()];
    const wrong = all.filter((it) => faultIn(it) && !it.theirs).length;
    const met = all.filter((it) => it.theirs).length;
    // Focus must not fall out of the page with the bar.
    if (all.length === 0 && place.contains(document.activeElement)) document.querySelector('main').focus({ preventScroll: true });
    place.hidden = all.length === 0;
    fill(what, h('strong', null, count(all.length, 'change')), ', not saved',
      met > 0 && h('span', null, ' · ', h('span.mark.warn', null, `${met} changed by somebody else`)),
      wrong > 0 && h('span', null, ' · ', h('span.mark.bad', null, wrong === 1 ? '1 needs attention' : `${wrong} need attention`)),
      [...causes].map(([key, detail]) => h('span.fault', null, ' ', said(`${label(key)} ${detail}`))));
  };
  hear('key-r', review);
  hear('draft', draw);
  draw();
}
