//! Messages to other services, stored in the transaction of what they tell of and delivered afterwards, at
//! least once, in order at each sink.

mod page;
pub mod sink;
mod store;
mod watch;
mod worker;

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use chrono::{DateTime, Utc};
use serde_json::Value;
use tokio::sync::watch as channel;
use uuid::Uuid;

pub use page::{Cursor, Entry, Filter, Page, SinkState, Status, page, retry};
pub use sink::{InvalidSink, Sink, discord, sinks};
pub use watch::watch;
pub use worker::{HasSessions, Worker};

use crate::database::Connection;

/// What a message tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Topic {
    /// A change set was committed by hand: PATCH, PUT, DELETE.
    SettingsChanged,
    /// One was committed that restores what was.
    SettingsRolledBack,
    /// One was committed from a document.
    SettingsImported,
    /// A write was refused: a locked key, or what looks like a secret.
    SettingsRefused,
    /// A session runs.
    SessionStarted,
    /// A session was ended before its time.
    SessionEnded,
    /// A session's time was over.
    SessionExpired,
    /// Secrets were removed from the database.
    SecretsCleaned,
    /// An instance cannot do its work, or has fallen silent.
    InstanceUnhealthy,
}

impl Topic {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::SettingsChanged,
        Self::SettingsRolledBack,
        Self::SettingsImported,
        Self::SettingsRefused,
        Self::SessionStarted,
        Self::SessionEnded,
        Self::SessionExpired,
        Self::SecretsCleaned,
        Self::InstanceUnhealthy,
    ];

    /// As it stands in the database and in what is sent.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SettingsChanged => "settings.changed",
            Self::SettingsRolledBack => "settings.rolled_back",
            Self::SettingsImported => "settings.imported",
            Self::SettingsRefused => "settings.refused",
            Self::SessionStarted => "session.started",
            Self::SessionEnded => "session.ended",
            Self::SessionExpired => "session.expired",
            Self::SecretsCleaned => "secrets.cleaned",
            Self::InstanceUnhealthy => "instance.unhealthy",
        }
    }

    /// The topic spelt `text`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == text)
    }
}

/// What is told to somebody else.
#[derive(Debug, Clone)]
pub struct Message {
    /// Its own, the same at every sink and with every repeat.
    pub id: Uuid,
    /// What it tells of, as [`Topic`] spells it; one of another release may be none of ours.
    pub topic: String,
    /// What is told; never a secret.
    pub payload: Value,
    /// When it was stored, by the database's clock.
    pub at: DateTime<Utc>,
    /// Whether the catalog has sessions.
    pub has_sessions: bool,
    /// How many running sessions keep settings from before the change it tells of, counted as it is delivered.
    pub older_sessions: Option<i64>,
}

/// A sink by its name, and what it wants to hear of.
#[derive(Debug, Clone)]
pub struct Subscription {
    /// Its name, by which messages are kept for it.
    pub sink: String,
    /// What it wants.
    pub topics: Vec<Topic>,
}

/// For whom messages are kept. Cheap to clone; without any sink nothing is stored.
#[derive(Debug, Clone, Default)]
pub struct Outbox(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    subscriptions: Vec<Subscription>,
    /// Wakes whoever delivers.
    stored: channel::Sender<()>,
    /// The sinks that said that they are gone for good, as this instance last heard.
    dead: Mutex<BTreeSet<String>>,
}

impl Outbox {
    /// One for these sinks.
    #[must_use]
    pub fn new(subscriptions: Vec<Subscription>) -> Self {
        Self(Arc::new(Inner { subscriptions, ..Inner::default() }))
    }

    /// The names of the sinks that want to hear of `topic`.
    #[must_use]
    pub fn sinks(&self, topic: Topic) -> Vec<String> {
        let wanting = self.0.subscriptions.iter().filter(|it| it.topics.contains(&topic));
        wanting.map(|it| it.sink.clone()).collect()
    }

    /// Stores a message on `topic` for every sink that wants it, in the caller's transaction. After its commit
    /// [`Self::wake`] has it delivered at once.
    ///
    /// # Errors
    /// The database refuses it.
    pub async fn enqueue(
        &self,
        conn: &mut Connection,
        topic: Topic,
        payload: &Value,
    ) -> sqlx::Result<()> {
        let sinks = self.sinks(topic);
        if sinks.is_empty() {
            return Ok(());
        }
        store::insert(conn, Uuid::now_v7(), &sinks, topic.as_str(), payload).await
    }

    /// Says that messages were stored, and committed. Whoever forgets it has them delivered a moment later.
    pub fn wake(&self) {
        self.0.stored.send_replace(());
    }

    /// Each sink, and whether it is known to be gone for good.
    #[must_use]
    pub fn health(&self) -> Vec<(String, bool)> {
        let dead = self.0.dead.lock().unwrap_or_else(PoisonError::into_inner);
        let health = |it: &Subscription| (it.sink.clone(), dead.contains(&it.sink));
        self.0.subscriptions.iter().map(health).collect()
    }

    fn stored(&self) -> channel::Receiver<()> {
        self.0.stored.subscribe()
    }

    fn subscriptions(&self) -> &[Subscription] {
        &self.0.subscriptions
    }

    /// Takes in whether `sink` is gone; says whether that is news.
    fn set_dead(&self, sink: &str, is_dead: bool) -> bool {
        let mut dead = self.0.dead.lock().unwrap_or_else(PoisonError::into_inner);
        if is_dead { dead.insert(sink.to_owned()) } else { dead.remove(sink) }
    }
}
