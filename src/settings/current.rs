//! The read-only handle on the current settings of the process.

use std::{
    mem,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use arc_swap::{ArcSwap, ArcSwapOption, Guard};
use chrono::{DateTime, Utc};
use tokio::sync::{Mutex, MutexGuard, Notify, watch};
use tracing::info;

use crate::{
    clock::Clock,
    metrics::{Metrics, SettingsMetrics},
    settings::{
        rollout::Epoch,
        rules::Violation,
        snapshot::{InvalidSettings, Snapshot},
        value::Number,
    },
};

/// The current settings of the process: complete and valid. Cheap to clone; a read runs no query and takes no lock.
///
/// A snapshot is replaced only by a snapshot of a greater revision, or if the database lost revisions: by a snapshot of
/// another timeline (a failover), or of a read that began after the snapshot and contradicts the snapshot. Invalid settings never replace a snapshot: readers keep the last valid snapshot, and
/// [`Self::violations`] lists the broken rules.
#[derive(Debug, Clone)]
pub struct GlobalSettingsService(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    metrics: SettingsMetrics,
    // Not a lock: readers on many cores would share its cache line.
    current: ArcSwap<Snapshot>,
    violations: ArcSwap<Vec<Violation>>,
    /// Whether the last reload reached the database.
    reachable: AtomicBool,
    /// The epoch of session starts with the running rollout, as last read: one value, so that no start combines the
    /// number of one epoch with the rollout of another.
    epoch: ArcSwap<Epoch>,
    /// The settings of the candidate, for the snapshot and the epoch of the last start of a candidate user.
    candidate: ArcSwapOption<CachedCandidate>,
    /// The revision of `current`, for subscribers.
    revision: watch::Sender<i64>,
    /// The newest applied revision that a writer may wait for.
    awaited_revision: watch::Sender<i64>,
    listening: watch::Sender<bool>,
    /// Wakes the follower after a local write.
    local_writes: Notify,
    /// Serializes reloads, so that many concurrent callers read the database once.
    reloading: Mutex<ReloadState>,
    clock: Clock,
    /// The microseconds by which the database's clock was ahead of `clock` at the last reload.
    database_clock_offset: AtomicI64,
}

/// What only reloads use.
#[derive(Debug, Default)]
pub(super) struct ReloadState {
    /// The next notification that can be verified; `None` if unknown. At a revision of the past after changes of this
    /// process, which are applied before their notifications arrive.
    pub(super) next_notification: Option<NextNotification>,
}

/// The notification that follows the last verified one.
#[derive(Debug)]
pub(super) struct NextNotification {
    pub(super) revision: i64,
    /// The digest of the secret in the notification.
    pub(super) digest: Vec<u8>,
}

/// The settings of a candidate.
type Candidate = Result<Arc<Snapshot>, Arc<Vec<Violation>>>;

#[derive(Debug)]
struct CachedCandidate {
    base: Arc<Snapshot>,
    epoch: Arc<Epoch>,
    candidate: Candidate,
}

/// The offset before the first reload.
const UNKNOWN_OFFSET: i64 = i64::MIN;

impl GlobalSettingsService {
    /// Creates a handle whose current settings are `snapshot`, and counts reloads in `metrics`.
    #[must_use]
    pub fn new(snapshot: Snapshot, metrics: &Metrics) -> Self {
        let metrics = metrics.settings();
        metrics.applied(snapshot.revision, None);
        Self(Arc::new(Inner {
            metrics,
            revision: watch::Sender::new(snapshot.revision),
            awaited_revision: watch::Sender::new(snapshot.revision),
            current: ArcSwap::from_pointee(snapshot),
            // Read with the first reload, or by the first start after a stop.
            epoch: ArcSwap::default(),
            candidate: ArcSwapOption::empty(),
            violations: ArcSwap::default(),
            reachable: AtomicBool::new(true),
            listening: watch::Sender::new(false),
            local_writes: Notify::new(),
            reloading: Mutex::default(),
            clock: Clock::system(),
            database_clock_offset: AtomicI64::new(UNKNOWN_OFFSET),
        }))
    }

    /// Borrows the current snapshot without touching a reference count, a cache line shared by all cores.
    /// All reads through a guard see one revision. Do not hold a guard across an `await`.
    #[must_use]
    pub fn current(&self) -> Guard<Arc<Snapshot>> {
        self.0.current.load()
    }

    /// Returns the current snapshot, to be kept for any time.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.0.current.load_full()
    }

    /// Returns the revision of the current snapshot.
    #[must_use]
    pub fn revision(&self) -> i64 {
        self.current().revision
    }

    /// Borrows the epoch of session starts with the running rollout, as last read. Like the revision, the epoch may be
    /// outdated, so a statement that relies on both compares both with the database.
    #[must_use]
    pub fn epoch(&self) -> Guard<Arc<Epoch>> {
        self.0.epoch.load()
    }

    /// Returns the settings of the candidate of the rollout of `epoch`: the current settings with the values of the
    /// proposal, or the violated rules. `None` without a rollout.
    #[must_use]
    pub fn candidate(&self, epoch: &Arc<Epoch>) -> Option<Candidate> {
        let rollout = epoch.rollout.as_ref()?;
        let base = self.current();
        let cached = self.0.candidate.load();
        let is_cached = |cached: &&Arc<CachedCandidate>| {
            Arc::ptr_eq(&cached.base, &base) && Arc::ptr_eq(&cached.epoch, epoch)
        };
        if let Some(cached) = cached.as_ref().filter(is_cached) {
            return Some(cached.candidate.clone());
        }
        // Concurrent callers may compute the same result; the last one remains.
        let candidate = rollout.candidate(&base).map(Arc::new).map_err(Arc::new);
        let base = Arc::clone(&base);
        let epoch = Arc::clone(epoch);
        let new = CachedCandidate { base, epoch, candidate: candidate.clone() };
        self.0.candidate.store(Some(Arc::new(new)));
        Some(candidate)
    }

    /// Returns the current value of the string `key`.
    pub fn get_string(&self, key: &str) -> Result<String, InvalidSettings> {
        self.current().get_string(key).map(str::to_owned)
    }

    /// Returns the current value of the number `key`.
    pub fn get_number(&self, key: &str) -> Result<Number, InvalidSettings> {
        self.current().get_number(key)
    }

    /// Returns the current value of the boolean `key`.
    pub fn get_bool(&self, key: &str) -> Result<bool, InvalidSettings> {
        self.current().get_bool(key)
    }

    /// Returns the current value of the list `key`.
    pub fn get_array(&self, key: &str) -> Result<Vec<String>, InvalidSettings> {
        self.current().get_array(key).map(<[String]>::to_vec)
    }

    /// Returns the violations of the stored settings at the last reload; empty when the settings are valid.
    #[must_use]
    pub fn violations(&self) -> Arc<Vec<Violation>> {
        self.0.violations.load_full()
    }

    /// Whether the stored settings were valid at the last reload; as cheap as a read.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.0.violations.load().is_empty()
    }

    /// Whether the database answered the last reload; a reload runs at least once in every poll interval.
    #[must_use]
    pub fn is_reachable(&self) -> bool {
        self.0.reachable.load(Ordering::Relaxed)
    }

    /// Whether the notification channel is open.
    #[must_use]
    pub fn is_listening(&self) -> bool {
        *self.0.listening.borrow()
    }

    /// Subscribes to changes of [`Self::is_listening`].
    #[must_use]
    pub fn listening(&self) -> watch::Receiver<bool> {
        self.0.listening.subscribe()
    }

    /// Subscribes to the current revision.
    #[must_use]
    pub fn revisions(&self) -> watch::Receiver<i64> {
        self.0.revision.subscribe()
    }

    /// Subscribes to the applied revisions that a writer may wait for: all but those of notifications without a waiting
    /// writer, and of writes through this instance.
    #[must_use]
    pub fn awaited_revisions(&self) -> watch::Receiver<i64> {
        self.0.awaited_revision.subscribe()
    }

    /// Waits until the current revision is at least `revision`.
    pub async fn wait_for(&self, revision: i64) {
        // Fails only when the sender is dropped, and `self` owns the sender.
        let _ = self.revisions().wait_for(|current| *current >= revision).await;
    }

    /// Returns the metrics of reloads.
    pub(super) fn metrics(&self) -> &SettingsMetrics {
        &self.0.metrics
    }

    /// Wakes the follower after a local commit.
    pub(super) fn notify_local_write(&self) {
        // `notify_one` keeps a permit, so a commit during a reload triggers the next reload.
        self.0.local_writes.notify_one();
    }

    /// Waits for a local commit.
    pub(super) async fn local_write(&self) {
        self.0.local_writes.notified().await;
    }

    /// Waits for the reload lock.
    pub(super) async fn lock_reload(&self) -> MutexGuard<'_, ReloadState> {
        self.0.reloading.lock().await
    }

    /// Takes the reload lock, unless a reload runs.
    pub(super) fn try_lock_reload(&self) -> Option<MutexGuard<'_, ReloadState>> {
        self.0.reloading.try_lock().ok()
    }

    /// Announces that a writer may wait for the current revision.
    pub(super) fn announce_awaited(&self) {
        self.0.awaited_revision.send_replace(self.revision());
    }

    /// Replaces the current snapshot by `snapshot` if `snapshot` is newer, of another timeline, or a correction: a read
    /// that began after the current snapshot, and contradicts the current snapshot. Returns whether the snapshot was
    /// replaced.
    pub(super) fn advance(&self, snapshot: Snapshot, is_correction: bool) -> bool {
        let current = self.current();
        // No compare-and-swap is needed for the comparison: the caller holds the reload lock.
        let is_newer = snapshot.revision > current.revision
            || snapshot.schema.revision > current.schema.revision;
        let is_other_timeline = snapshot.timeline != current.timeline;
        // With an open guard, `store` would have to count a reference to the old snapshot.
        drop(current);
        // First, so that a subscriber woken by the new revision sees valid settings.
        self.set_violations(Vec::new());
        let replaces = is_newer || is_other_timeline || is_correction;
        if replaces {
            let revision = snapshot.revision;
            self.0.current.store(Arc::new(snapshot));
            // Not `send`, which keeps the old revision without subscribers.
            self.0.revision.send_replace(revision);
        }
        replaces
    }

    /// Records the violations of the stored settings.
    pub(super) fn set_violations(&self, violations: Vec<Violation>) {
        // Most reloads find nothing wrong: an equal list is not stored, which spares the readers a cache miss.
        if *self.0.violations.load_full() != violations {
            self.0.violations.store(Arc::new(violations));
        }
    }

    /// Records the epoch of session starts, as read under the lock of reloads.
    pub(super) fn set_epoch(&self, epoch: Epoch) {
        let current = self.0.epoch.load_full();
        // An equal epoch is not stored, which spares the readers a cache miss.
        if *current == epoch {
            return;
        }
        match &epoch.rollout {
            rollout if *rollout == current.rollout => (),
            Some(rollout) => info!(
                epoch = epoch.number,
                proposal = rollout.number,
                stage = rollout.stage,
                share.basis_points = rollout.share.basis_points(),
                "session starts follow a rollout"
            ),
            None => {
                // The settings of the candidate may be large.
                self.0.candidate.store(None);
                info!(
                    epoch = epoch.number,
                    "the rollout has ended: every new session has the current settings"
                );
            }
        }
        self.0.epoch.store(Arc::new(epoch));
    }

    pub(super) fn set_reachable(&self, reachable: bool) {
        // Relaxed suffices, because the flag publishes no other data.
        self.0.reachable.store(reachable, Ordering::Relaxed);
    }

    /// Returns the local time, for [`Self::set_database_time`].
    pub(super) fn local_time(&self) -> DateTime<Utc> {
        self.0.clock.now()
    }

    /// Records that the database's clock was at `now` during a read that began at the local time `begin`. With the local
    /// time of the end, a slow read would make later ages too small, or negative.
    pub(super) fn set_database_time(&self, now: DateTime<Utc>, begin: DateTime<Utc>) {
        let offset = now.timestamp_micros() - begin.timestamp_micros();
        self.0.database_clock_offset.store(offset, Ordering::Relaxed);
    }

    /// Returns the time since `instant` of the database's clock, too long by at most the duration of a read; `None` before
    /// the first reload.
    pub(super) fn database_time_since(&self, instant: DateTime<Utc>) -> Option<Duration> {
        let offset = self.0.database_clock_offset.load(Ordering::Relaxed);
        if offset == UNKNOWN_OFFSET {
            return None;
        }
        let age = self.0.clock.now().timestamp_micros() + offset - instant.timestamp_micros();
        // A clock that was set back gives a negative age, and then no age is reported.
        u64::try_from(age).ok().map(Duration::from_micros)
    }

    pub(super) fn set_listening(&self, listening: bool) {
        // Wakes subscribers only for a change.
        self.0.listening.send_if_modified(|current| mem::replace(current, listening) != listening);
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::settings::schema::Schema;

    #[test]
    fn a_slow_read_makes_no_later_age_negative() {
        let schema = Schema::new(String::new(), 0, Vec::new());
        let snapshot = Snapshot::new(1, None, Arc::new(schema), Vec::new()).unwrap();
        let settings = GlobalSettingsService::new(snapshot, &Metrics::default());
        let now = settings.local_time();
        assert_eq!(settings.database_time_since(now), None);
        // The clocks are equal, and the answer of the server arrived ten seconds late.
        let begin = now - TimeDelta::seconds(10);
        settings.set_database_time(begin, begin);
        let age = settings.database_time_since(now - TimeDelta::seconds(1));
        assert!(age.is_some_and(|age| age >= Duration::from_secs(1)), "{age:?}");
    }
}
