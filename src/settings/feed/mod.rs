//! What changed, change set by change set, for whoever listens: read from the trail once per instance, however
//! many listen, and not at all while nobody does.

mod ring;
pub(super) mod store;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio::{
    sync::{Notify, watch},
    time,
};
use tracing::warn;
use utoipa::ToSchema;

use crate::{
    clock::jittered,
    database::{self, Pool, TransactionError},
    settings::{current::GlobalSettingsService, feed::ring::Ring},
};

/// How many change sets are held for listeners that come back; who missed more is told to read everything.
pub const FEED_CAPACITY: i64 = 256;

/// Keys of a change set that are named; of an import of ten thousand, nobody wants them pushed.
const NAMED: i32 = 1_000;

/// The pause after the trail could not be read, before jitter.
const PAUSE: Duration = Duration::from_millis(500);

/// One committed change set: what was changed, by whom and why. No values.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ChangeSet {
    /// Its revision.
    pub revision: i64,
    /// The settings it changed, by name; at most a thousand of them.
    pub keys: Vec<String>,
    /// Whether there were more than `keys` names.
    pub truncated: bool,
    /// What kind of change.
    #[schema(example = "update")]
    pub action: String,
    /// Who.
    pub changed_by: String,
    /// Why.
    pub reason: String,
    /// In which request.
    pub request_id: String,
    /// When, by the database's clock.
    pub changed_at: DateTime<Utc>,
}

/// What a listener hears.
#[derive(Debug, Clone)]
pub enum FeedItem {
    /// The stream starts after this revision: nothing is missing from here on. The first there is to hear, unless it
    /// is [`Self::Resync`].
    Start(i64),
    /// The next change set, and itself as JSON, written once for all who listen.
    Change(i64, Arc<str>),
    /// What comes next cannot be told change by change: read the settings, which are at this revision.
    Resync(i64),
}

/// Tells change sets to listeners. Cheap to clone; [`tell`] feeds it.
#[derive(Debug, Clone)]
pub struct Feed(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    ring: Mutex<Ring>,
    /// Wakes listeners; counts how often there was something new.
    moved: watch::Sender<u64>,
    /// Wakes [`tell`] for the first listener.
    wanted: Notify,
}

impl Feed {
    /// One that has not read the trail yet, for `settings`.
    #[must_use]
    pub fn new(settings: &GlobalSettingsService) -> Self {
        let snapshot = settings.current();
        let ring = Ring::of(snapshot.revision, snapshot.timeline.clone());
        let (moved, wanted) = (watch::Sender::new(0), Notify::new());
        Self(Arc::new(Inner { ring: Mutex::new(ring), moved, wanted }))
    }

    /// Listens for what comes after `after`, which the settings, now at `current`, may have passed already. The first
    /// item says where the stream starts.
    #[must_use]
    pub fn listen(&self, after: i64, current: i64) -> Listener {
        let mut moved = self.0.moved.subscribe();
        moved.mark_changed();
        self.0.wanted.notify_one();
        let (era, gone) = self.ring(|ring| (ring.era(), ring.is_gone(after)));
        // What is held reaches back from what was current when it was read, which is no later than now.
        let lost = after > current || gone || after < current - FEED_CAPACITY;
        let first = if lost { FeedItem::Resync(current) } else { FeedItem::Start(after) };
        Listener { feed: self.clone(), moved, era, after, first: Some(first) }
    }

    /// How many listen.
    #[must_use]
    pub fn listeners(&self) -> usize {
        self.0.moved.receiver_count()
    }

    fn ring<T>(&self, look: impl FnOnce(&mut Ring) -> T) -> T {
        // Nothing that runs under it can leave it half done.
        look(&mut self.0.ring.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Brings what is held up to what `settings` are at.
    async fn catch_up(
        &self,
        pool: &Pool,
        settings: &GlobalSettingsService,
    ) -> Result<(), TransactionError> {
        let (revision, timeline) = {
            let snapshot = settings.current();
            (snapshot.revision, snapshot.timeline.clone())
        };
        let Some(since) = self.ring(|ring| ring.missing(revision, timeline)) else { return Ok(()) };
        let sets = database::read_with_retry(pool, async |conn| {
            Ok::<_, TransactionError>(store::change_sets(conn, since, revision, NAMED).await?)
        });
        let sets = sets.await?;
        self.ring(|ring| ring.extend(since, revision, sets));
        Ok(())
    }
}

/// Somebody who listens. Dropped, it leaves nothing behind.
#[derive(Debug)]
pub struct Listener {
    feed: Feed,
    moved: watch::Receiver<u64>,
    era: u64,
    after: i64,
    /// Where the stream starts, until that was told.
    first: Option<FeedItem>,
}

impl Listener {
    /// The next there is to tell. Whoever listens slowly is not waited for: what they missed is one
    /// [`Told::Resync`]. May be dropped while it waits.
    pub async fn next(&mut self) -> FeedItem {
        loop {
            if let Some(told) = self.due() {
                return told;
            }
            // An error would mean that the feed is gone, and `self` holds it.
            let _ = self.moved.changed().await;
        }
    }

    fn due(&mut self) -> Option<FeedItem> {
        let (era, told) = self.feed.ring(|ring| (ring.era(), ring.after(self.after)));
        let told = if let Some(first) = self.first.take() {
            first
        } else if self.era == era {
            told?
        } else {
            FeedItem::Resync(self.feed.ring(|ring| ring.newest()))
        };
        self.era = era;
        self.after = match &told {
            FeedItem::Start(revision)
            | FeedItem::Change(revision, _)
            | FeedItem::Resync(revision) => *revision,
        };
        Some(told)
    }
}

/// Feeds `feed` with what `settings` take on, until dropped. A trail that cannot be read is read later.
pub async fn publish_changes(pool: Pool, settings: GlobalSettingsService, feed: Feed) {
    let mut revisions = settings.revisions();
    loop {
        // Before the look, so that what comes during it is not missed.
        revisions.mark_unchanged();
        if 0 < feed.listeners() {
            if let Err(err) = feed.catch_up(&pool, &settings).await {
                warn!(error = &err as &dyn std::error::Error, "a change cannot be told yet");
                time::sleep(jittered(PAUSE, 1.0..2.0)).await;
                continue;
            }
            feed.0.moved.send_modify(|times| *times += 1);
        }
        tokio::select! {
            _ = revisions.changed() => (),
            () = feed.0.wanted.notified() => (),
        }
    }
}
