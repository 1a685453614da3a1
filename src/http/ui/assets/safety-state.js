// What restricts changes and session starts now: freezes, a stop of starts, a rollout, open proposals, unacknowledged emergencies.
import { fetchJson } from './api.js';
import { emit } from './dom.js';
import { session } from './session.js';

// The banners name no more proposals than fit on one page of the list.
const MAX_PROPOSALS = 200;

/**
 * `freeze` is in force, `freezes` are all that have not ended, the next first. `stop` is the stop of session starts in force.
 * `emergencies` wait for the acknowledgement of the user. `openProposals` has the numbers of open
 * proposals by setting, and of the one that rolls out. `rollout` is running, or held if `held` has a reason.
 */
export const safety = { isLoaded: false, freeze: null, freezes: [], stop: null, epoch: 0, emergencies: [], openProposals: new Map(), rollout: null };

const MAX_AGE = 5000;
let loadedAt = -Infinity;
let pendingLoad = null;
let isOutdated = false;

/** Loads the state and publishes `safety`. */
export function loadSafety() {
  // The response of a pending load may be older than the change that the caller has made.
  isOutdated = pendingLoad !== null;
  pendingLoad ??= load().finally(() => {
    pendingLoad = null;
    if (isOutdated) return loadSafety();
    return null;
  });
  return pendingLoad;
}

// A banner must not open the sign-in dialog: the requests of the page do so.
const read = (path, query) => fetchJson(path, query, { retryAfterSignIn: false });

/** Returns once a recent state is loaded. */
export const ensureSafety = async () => {
  if (pendingLoad) await pendingLoad;
  else if (performance.now() - loadedAt > MAX_AGE) await loadSafety();
};

/** Returns the rollout that is running, or null. The list is cheap to read: the report of a rollout counts all users. */
async function loadRollout() {
  // An instance of an older release knows no rollouts.
  const { proposals: [summary] } = await read('/admin/proposals', { state: 'rolling', limit: 1 }).catch(() => ({ proposals: [] }));
  if (!summary) return null;
  const { number, keys, share, stage, held } = summary;
  return { proposal: number, keys, share, stage, held };
}

async function load() {
  const [{ active: activeFreeze, freezes }, { epoch, stopped: stop }, waitingPage, openPage, rollout] = await Promise.all([
    read('/admin/freezes'),
    session.hasSessions ? read('/admin/starts') : { epoch: 0, stopped: null },
    read('/admin/proposals', { waiting_for_me: true, limit: MAX_PROPOSALS }),
    read('/admin/proposals', { state: 'open', limit: MAX_PROPOSALS }),
    session.hasSessions ? loadRollout() : null,
  ]);
  const now = Date.now();
  const hasNotEnded = (freeze) => !freeze.ended_at && Date.parse(freeze.ends_at) > now;
  const openProposals = new Map();
  const rolling = rollout ? [{ number: rollout.proposal, keys: rollout.keys }] : [];
  for (const { number, keys } of [...rolling, ...openPage.proposals]) {
    for (const key of keys) openProposals.set(key, [...openProposals.get(key) ?? [], number]);
  }
  Object.assign(safety, {
    isLoaded: true,
    freeze: activeFreeze,
    freezes: freezes.filter(hasNotEnded).sort((a, b) => Date.parse(a.starts_at) - Date.parse(b.starts_at)),
    stop,
    epoch,
    emergencies: waitingPage.proposals.filter((proposal) => proposal.bypassed_by),
    openProposals,
    rollout,
  });
  loadedAt = performance.now();
  emit('safety', safety);
}
