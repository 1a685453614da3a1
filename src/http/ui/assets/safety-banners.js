// Banners for what restricts changes and session starts: a freeze, a stop of starts, a rollout, unacknowledged emergencies.
import { emit, h, isolate, subscribe } from './dom.js';
import { pluralize } from './format.js';
import { noticeCount, setReservedLines } from './notices.js';
import { button, link } from './page.js';
import { ensureSafety, loadSafety, safety } from './safety-state.js';
import { formatSchedule } from './time-fields.js';

const REFRESH_INTERVAL = 60_000;
// A freeze is announced a day before it begins.
const ANNOUNCED_AHEAD = 86_400_000;
const DISMISSED_KEY = 'brune.dismissed';

const dismissedIds = new Set(JSON.parse(sessionStorage.getItem(DISMISSED_KEY) ?? '[]'));

function dismiss(id) {
  dismissedIds.add(id);
  sessionStorage.setItem(DISMISSED_KEY, JSON.stringify([...dismissedIds]));
  draw();
}

// The dialogs are loaded on first use.
const openDialogOf = (name, value) => async () => (await import('./safety-dialogs.js'))[name](value);

const scheduleElement = (time) => h('time', { datetime: time }, formatSchedule(time));

const quote = (reason) => [' “', isolate(reason), '”'];

function freezeBanner(freeze) {
  const { id, starts_at: start, ends_at: end, reason } = freeze;
  const hasBegun = safety.freeze?.id === id || Date.parse(start) <= Date.now();
  const openEnd = openDialogOf('openEndFreezeDialog', freeze);
  return hasBegun
    ? { id: `freeze ${id}`, title: 'Settings are frozen', text: [' until ', scheduleElement(end), ':', quote(reason)], action: button('End freeze…', openEnd) }
    : { id: `freeze ahead ${id}`, title: 'Settings will be frozen', text: [' from ', scheduleElement(start), ' to ', scheduleElement(end), ':', quote(reason)], action: button('Cancel freeze…', openEnd) };
}

const stopBanner = (stop) => ({
  id: `stop ${safety.epoch}`,
  title: 'Session starts are stopped',
  text: [' until ', scheduleElement(stop.stopped_until), ':', quote(stop.reason)],
  action: button('Resume…', openDialogOf('openResumeDialog', stop)),
});

function rolloutBanner({ proposal: number, share, stage, held }) {
  return {
    // A banner that was dismissed returns when the share or the hold changes.
    id: `rollout ${number} ${stage} ${held ?? ''}`,
    title: held ? 'A rollout is held' : 'A rollout is running',
    text: [`: ${share} % of the users, stage ${stage}.`, held && ' A person has to decide.'],
    action: link(`#/proposals/${number}`, `View proposal ${number}`),
  };
}

function emergencyBanner(emergencies) {
  const [newest] = emergencies;
  const id = `emergencies ${emergencies.map(({ number }) => number)}`;
  if (emergencies.length > 1) {
    return {
      id,
      title: pluralize(emergencies.length, 'emergency change'),
      text: ' wait for your acknowledgement.',
      action: link('#/proposals', 'View the proposals'),
    };
  }
  return {
    id,
    title: 'Emergency change',
    text: [' by ', isolate(newest.bypassed_by), ', waiting for your acknowledgement:', quote(newest.reason)],
    action: link(`#/proposals/${newest.number}`, `View proposal ${newest.number}`),
  };
}

/** Returns the contents of the banners that are not dismissed: `{ id, title, text, action }`. */
function banners() {
  const isAnnounced = ({ starts_at: start }) => Date.parse(start) <= Date.now() + ANNOUNCED_AHEAD;
  return [
    safety.emergencies.length > 0 && emergencyBanner(safety.emergencies),
    safety.stop && stopBanner(safety.stop),
    safety.rollout && rolloutBanner(safety.rollout),
    ...safety.freezes.filter(isAnnounced).map(freezeBanner),
  ].filter((banner) => banner && !dismissedIds.has(banner.id));
}

// More banners than this are summarized in one line, so that they do not cover the page.
const maxExpanded = () => (noticeCount() > 0 ? 1 : 2);
let isExpanded = false;

const summaryText = h('strong');
const toggleButton = button('', () => {
  isExpanded = !isExpanded;
  draw();
});
const summary = h('div.banner', { role: 'status', hidden: true }, h('span', null, summaryText), h('span.row', null, toggleButton));
const list = h('div', { id: 'safety-banners' });
toggleButton.setAttribute('aria-controls', list.id);
const container = h('div.safety-banners', null, summary, list);
const elementById = new Map();

/** Creates the element of a banner. */
const bannerElement = ({ id, title, text, action }) => h('div.banner', { role: 'status' }, h('span', null, h('strong', null, title), text),
  h('span.row', null, action, button('Dismiss', () => dismiss(id))));

function draw() {
  const current = banners();
  const ids = new Set(current.map(({ id }) => id));
  for (const [id, element] of elementById) {
    if (ids.has(id)) continue;
    // Removing the focused button would move the focus to the top of the document.
    if (element.contains(document.activeElement)) document.querySelector('main').focus({ preventScroll: true });
    element.remove();
    elementById.delete(id);
  }
  // A banner is created once, so that screen readers announce it once and the focus stays.
  for (const banner of current.filter(({ id }) => !elementById.has(id))) {
    elementById.set(banner.id, bannerElement(banner));
    list.append(elementById.get(banner.id));
  }
  const isLong = current.length > maxExpanded();
  summary.hidden = !isLong;
  list.hidden = isLong && !isExpanded;
  toggleButton.textContent = isExpanded ? 'Show less' : 'Show all';
  toggleButton.setAttribute('aria-expanded', String(isExpanded));
  const titles = isExpanded ? pluralize(current.length, 'banner') : current.map(({ title }) => title).join(' · ');
  // Setting unchanged text would announce the status again.
  if (summaryText.textContent !== titles) summaryText.textContent = titles;
  setReservedLines(isLong ? 1 : current.length);
}

/** Shows the banners above the others in the element `parent`, and updates them. */
export function showSafetyBanners(parent) {
  parent.prepend(container);
  const ifVisible = (load) => () => { if (document.visibilityState === 'visible') load().catch(() => null); };
  const refresh = ifVisible(ensureSafety);
  subscribe('safety', draw);
  subscribe('notices', draw);
  const reload = ifVisible(loadSafety);
  // A response from before the event may lack the change.
  for (const name of ['change', 'resync', 'proposals']) subscribe(name, reload);
  for (const name of ['connected', 'signed-in']) subscribe(name, refresh);
  // A page may have loaded the state before, and another page shows the state from its first moment.
  const showState = () => { if (safety.isLoaded) emit('safety', safety); };
  showState();
  subscribe('page-shown', () => {
    showState();
    refresh();
  });
  document.addEventListener('visibilitychange', reload);
  setInterval(refresh, REFRESH_INTERVAL);
  refresh();
}
