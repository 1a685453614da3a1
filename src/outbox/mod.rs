//! Messages to other services, stored in the transaction of what they tell of and delivered afterwards, at
//! least once, in order at each sink.

pub mod sink;
mod store;

use std::sync::Arc;

use serde_json::Value;
use uuid::Uuid;

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
pub struct Outbox(Arc<[Subscription]>);

impl Outbox {
    /// One for these sinks.
    #[must_use]
    pub fn new(subscriptions: Vec<Subscription>) -> Self {
        Self(subscriptions.into())
    }

    /// The names of the sinks that want to hear of `topic`.
    #[must_use]
    pub fn sinks(&self, topic: Topic) -> Vec<String> {
        let wanting = self.0.iter().filter(|it| it.topics.contains(&topic));
        wanting.map(|it| it.sink.clone()).collect()
    }

    /// Stores a message on `topic` for every sink that wants it, in the caller's transaction.
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
}
