//! The handle on the current snapshot, and how others wait for a newer one.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use arc_swap::{ArcSwap, Guard};
use tokio::sync::{Mutex, Notify, watch};

use crate::{
    metrics::Metrics,
    outbox::Outbox,
    secret_scanner::SecretScanner,
    settings::{
        rules::Violation,
        snapshot::{InvalidSettings, Snapshot},
        value::Number,
    },
};

/// The settings of this process: current, complete and valid. Cheap to clone; reading takes no query
/// and waits for nobody.
///
/// Two rules are kept here. A snapshot is replaced only by one of a greater revision, or one of another
/// history of the database (a failover can lose revisions). And what is invalid never replaces it:
/// readers keep the last good snapshot, while [`Self::faults`] names what is wrong.
#[derive(Debug, Clone)]
pub struct GlobalSettingsService(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    scanner: SecretScanner,
    outbox: Outbox,
    metrics: Metrics,
    current: ArcSwap<Snapshot>,
    faults: ArcSwap<Vec<Violation>>,
    /// Whether the last attempt to read the database succeeded.
    reachable: AtomicBool,
    /// The newest revision taken on; what waiters wait on.
    revision: watch::Sender<i64>,
    listening: watch::Sender<bool>,
    /// Wakes whoever follows the database without being notified by it.
    written: Notify,
    /// Held while the database is read, so that a crowd of readers reads it once.
    refreshing: Mutex<()>,
}

impl GlobalSettingsService {
    /// A handle that starts at `snapshot`; `scanner` is what every write through it has to pass. Nobody is told of
    /// what is written.
    #[must_use]
    pub fn new(snapshot: Snapshot, scanner: SecretScanner) -> Self {
        Self::with_outbox(Outbox::default(), snapshot, scanner)
    }

    /// [`Self::new`], with `outbox` for messages of all that is written through it.
    #[must_use]
    pub fn with_outbox(outbox: Outbox, snapshot: Snapshot, scanner: SecretScanner) -> Self {
        let metrics = Metrics::default();
        metrics.applied(snapshot.revision, None);
        Self(Arc::new(Inner {
            scanner,
            outbox,
            metrics,
            revision: watch::Sender::new(snapshot.revision),
            current: ArcSwap::from_pointee(snapshot),
            faults: ArcSwap::default(),
            reachable: AtomicBool::new(true),
            listening: watch::Sender::new(false),
            written: Notify::new(),
            refreshing: Mutex::new(()),
        }))
    }

    /// The settings now. Hold the guard to see one consistent revision; it borrows and never counts, which
    /// is what keeps it fast on many cores. Do not hold it over an `await`.
    #[must_use]
    pub fn current(&self) -> Guard<Arc<Snapshot>> {
        self.0.current.load()
    }

    /// The settings now, to be kept as long as one likes.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.0.current.load_full()
    }

    /// What tells a secret from a value.
    #[must_use]
    pub fn secret_scanner(&self) -> &SecretScanner {
        &self.0.scanner
    }

    /// Where those who write through this handle leave word.
    #[must_use]
    pub fn outbox(&self) -> &Outbox {
        &self.0.outbox
    }

    /// What counts what happens to the settings.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// The newest revision taken on.
    #[must_use]
    pub fn revision(&self) -> i64 {
        self.current().revision
    }

    /// The string `key` now.
    pub fn get_string(&self, key: &str) -> Result<String, InvalidSettings> {
        self.current().get_string(key).map(str::to_owned)
    }

    /// The number `key` now.
    pub fn get_number(&self, key: &str) -> Result<Number, InvalidSettings> {
        self.current().get_number(key)
    }

    /// The boolean `key` now.
    pub fn get_bool(&self, key: &str) -> Result<bool, InvalidSettings> {
        self.current().get_bool(key)
    }

    /// The list `key` now.
    pub fn get_array(&self, key: &str) -> Result<Vec<String>, InvalidSettings> {
        self.current().get_array(key).map(<[String]>::to_vec)
    }

    /// What keeps the database's settings from being taken on; empty when nothing does.
    #[must_use]
    pub fn violations(&self) -> Arc<Vec<Violation>> {
        self.0.faults.load_full()
    }

    /// Whether there is any fault; as cheap as a read.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.0.faults.load().is_empty()
    }

    /// Whether the database answered when it was last asked, which is at least once in every poll.
    #[must_use]
    pub fn is_reachable(&self) -> bool {
        self.0.reachable.load(Ordering::Relaxed)
    }

    /// Whether the notification channel is open.
    #[must_use]
    pub fn is_listening(&self) -> bool {
        *self.0.listening.borrow()
    }

    /// Wakes with every change of [`Self::is_listening`].
    #[must_use]
    pub fn listening(&self) -> watch::Receiver<bool> {
        self.0.listening.subscribe()
    }

    /// Wakes with every revision taken on.
    #[must_use]
    pub fn revisions(&self) -> watch::Receiver<i64> {
        self.0.revision.subscribe()
    }

    /// Waits until `revision`, or a newer one, was taken on.
    pub async fn wait_for(&self, revision: i64) {
        // An error would mean that the sender is gone, and `self` holds it.
        let _ = self.revisions().wait_for(|taken_on| revision <= *taken_on).await;
    }

    /// Says that a change was made through this instance.
    pub(super) fn notify_local_write(&self) {
        self.0.written.notify_one();
    }

    /// Waits for a change that is made through this instance.
    pub(super) async fn written(&self) {
        self.0.written.notified().await;
    }

    /// Keeps other refreshes out while one reads.
    pub(super) async fn refreshing(&self) -> impl Drop + '_ {
        self.0.refreshing.lock().await
    }

    /// Takes `snapshot` on if it is newer, or of another history; says whether it did.
    pub(super) fn advance(&self, snapshot: Snapshot) -> bool {
        let held = self.current();
        let elsewhere = held.timeline != snapshot.timeline;
        let newer =
            held.revision < snapshot.revision || held.schema.revision < snapshot.schema.revision;
        drop(held);
        self.set_violations(Vec::new());
        if newer || elsewhere {
            let revision = snapshot.revision;
            self.0.current.store(Arc::new(snapshot));
            self.0.revision.send_replace(revision);
        }
        newer || elsewhere
    }

    /// Says what is wrong with the settings in the database.
    pub(super) fn set_violations(&self, faults: Vec<Violation>) {
        if *self.0.faults.load_full() != faults {
            self.0.faults.store(Arc::new(faults));
        }
    }

    pub(super) fn set_reachable(&self, reachable: bool) {
        self.0.reachable.store(reachable, Ordering::Relaxed);
    }

    pub(super) fn set_listening(&self, listening: bool) {
        self.0.listening.send_if_modified(|held| std::mem::replace(held, listening) != listening);
    }
}
