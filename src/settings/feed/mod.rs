//! The feed of committed change sets: read from the audit trail once per instance for all listeners, and never without
//! listeners.

mod item;
mod ring;
pub(super) mod store;

use std::{
    error::Error,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time,
};
use tracing::warn;

use crate::{
    clock::jittered,
    database::{self, Pool, TransactionError},
    settings::{current::GlobalSettingsService, feed::ring::Ring},
};

pub use item::{ChangeSet, FeedItem};
pub use ring::FEED_CAPACITY;

/// The maximum number of keys in a change set: an import may change ten thousand.
const MAX_KEYS: i32 = 1_000;

/// The pause after the audit trail could not be read, before jitter.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// Publishes change sets to listeners. Cheap to clone; [`publish_changes`] is the producer.
#[derive(Debug, Clone)]
pub struct Feed(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    ring: Mutex<Ring>,
    /// Wakes the listeners; counts the updates of the ring.
    updates: watch::Sender<u64>,
    /// Wakes the producer when the first listener subscribes.
    subscribed: Notify,
}

impl Feed {
    /// Creates an empty feed at the current revision of `settings`.
    #[must_use]
    pub fn new(settings: &GlobalSettingsService) -> Self {
        let snapshot = settings.current();
        let ring = Ring::new(snapshot.revision, snapshot.timeline.clone());
        Self(Arc::new(Inner {
            ring: Mutex::new(ring),
            updates: watch::Sender::new(0),
            subscribed: Notify::new(),
        }))
    }

    /// Subscribes to the changes after the revision `after`; `current` is the current revision of the settings.
    #[must_use]
    pub fn listen(&self, after: i64, current: i64) -> Listener {
        // Before the ring is read, so an update after the read wakes the listener.
        let mut updates = self.0.updates.subscribe();
        // The first item is ready at once.
        updates.mark_changed();
        self.0.subscribed.notify_one();
        let (epoch, is_evicted) = self.with_ring(|ring| (ring.epoch(), ring.is_evicted(after)));
        // The ring may not have been read yet, so the distance to the current revision counts as well.
        let is_lost = after > current || is_evicted || after < current - FEED_CAPACITY;
        let first = if is_lost { FeedItem::Resync(current) } else { FeedItem::Start(after) };
        Listener { feed: self.clone(), updates, epoch, after, first: Some(first) }
    }

    /// Returns the number of listeners.
    #[must_use]
    pub fn listeners(&self) -> usize {
        self.0.updates.receiver_count()
    }

    fn with_ring<T>(&self, access: impl FnOnce(&mut Ring) -> T) -> T {
        // No method of the ring leaves an inconsistent state behind, so a poisoned lock is safe to use.
        access(&mut self.0.ring.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the change sets up to the current revision of `settings` into the ring.
    async fn catch_up(
        &self,
        pool: &Pool,
        settings: &GlobalSettingsService,
    ) -> Result<(), TransactionError> {
        // A block, since the guard must not be held across an await.
        let (revision, timeline) = {
            let snapshot = settings.current();
            (snapshot.revision, snapshot.timeline.clone())
        };
        let missing = self.with_ring(|ring| ring.missing_after(revision, timeline));
        let Some(since) = missing else { return Ok(()) };
        let sets = database::read_with_retry(pool, async |conn| {
            store::change_sets(conn, since, revision, MAX_KEYS).await
        });
        let sets = sets.await?;
        // The ring is unchanged since the first access, because a feed has a single producer.
        self.with_ring(|ring| ring.extend(since, revision, sets));
        Ok(())
    }
}

/// One subscription: a position in the feed, without a buffer of its own.
#[derive(Debug)]
pub struct Listener {
    feed: Feed,
    updates: watch::Receiver<u64>,
    epoch: u64,
    after: i64,
    /// The first item, until delivered.
    first: Option<FeedItem>,
}

impl Listener {
    /// Waits for the next item. A listener too slow for the capacity of the feed gets one [`FeedItem::Resync`] in place
    /// of the missed changes. Cancel-safe.
    pub async fn next(&mut self) -> FeedItem {
        loop {
            if let Some(item) = self.next_ready() {
                return item;
            }
            // Fails only when the feed is dropped, and `self` owns a handle.
            let _ = self.updates.changed().await;
        }
    }

    fn next_ready(&mut self) -> Option<FeedItem> {
        let (epoch, next) = self.feed.with_ring(|ring| (ring.epoch(), ring.next(self.after)));
        let item = if let Some(first) = self.first.take() {
            first
        } else if self.epoch == epoch {
            next?
        } else {
            // Another epoch: the position is a revision of a lost timeline.
            FeedItem::Resync(self.feed.with_ring(|ring| ring.newest()))
        };
        self.epoch = epoch;
        self.after = match &item {
            FeedItem::Start(revision)
            | FeedItem::Change(revision, _)
            | FeedItem::Resync(revision) => *revision,
        };
        Some(item)
    }
}

/// Publishes the changes of `settings` in `feed` until dropped; retries after a failed read of the audit trail.
pub async fn publish_changes(pool: Pool, settings: GlobalSettingsService, feed: Feed) {
    let mut revisions = settings.revisions();
    loop {
        // Before the read, so that a change during the read triggers another one.
        revisions.mark_unchanged();
        // Without listeners the audit trail is not read at all.
        if feed.listeners() > 0 {
            if let Err(err) = feed.catch_up(&pool, &settings).await {
                let pause = jittered(RETRY_PAUSE, 1.0..2.0);
                warn!(
                    error = &err as &dyn Error,
                    "cannot read the changes to publish; retrying in {pause:.1?}"
                );
                time::sleep(pause).await;
                continue;
            }
            feed.0.updates.send_modify(|count| *count += 1);
        }
        tokio::select! {
            _ = revisions.changed() => (),
            () = feed.0.subscribed.notified() => (),
        }
    }
}
