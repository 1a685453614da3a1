//! Enqueues messages and wakes the worker.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::Value;
use tokio::sync::watch;
use uuid::Uuid;

use crate::{
    database::Connection,
    outbox::{
        message::{Subscription, Topic},
        store,
    },
};

/// The subscriptions of all sinks. Cheap to clone; without sinks, nothing is stored.
#[derive(Debug, Clone, Default)]
pub struct Outbox(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    subscriptions: Vec<Subscription>,
    /// Notifies the worker of committed messages.
    committed: watch::Sender<()>,
    /// The disabled sinks, as last read by this instance.
    disabled: Mutex<BTreeSet<String>>,
}

impl Outbox {
    /// Creates an outbox for `subscriptions`.
    #[must_use]
    pub fn new(subscriptions: Vec<Subscription>) -> Self {
        Self(Arc::new(Inner { subscriptions, ..Inner::default() }))
    }

    /// Returns the names of the sinks that subscribe to `topic`.
    #[must_use]
    pub fn sinks(&self, topic: Topic) -> Vec<String> {
        let subscriptions = self.0.subscriptions.iter();
        let subscribed = subscriptions.filter(|subscription| subscription.topics.contains(&topic));
        subscribed.map(|subscription| subscription.sink.clone()).collect()
    }

    /// Stores a message for every sink that subscribes to `topic`, in the caller's transaction. Call [`Self::wake`]
    /// after the commit.
    ///
    /// # Errors
    /// The database rejects the message.
    pub async fn enqueue(
        &self,
        conn: &mut Connection,
        topic: Topic,
        payload: &Value,
    ) -> sqlx::Result<()> {
        let sinks = self.sinks(topic);
        // Without a sink, the transaction of the caller saves a round trip.
        if sinks.is_empty() {
            return Ok(());
        }
        // One id for all sinks, so that receivers can recognize duplicates.
        store::insert(conn, Uuid::now_v7(), &sinks, topic.as_str(), payload).await
    }

    /// Wakes the worker after a commit. Without a wake-up, messages are delivered at the next poll.
    pub fn wake(&self) {
        // No NOTIFY: its commits would queue behind a lock of the whole database server.
        self.0.committed.send_replace(());
    }

    /// Returns each sink, and whether the sink is disabled.
    #[must_use]
    pub fn health(&self) -> Vec<(String, bool)> {
        // A set of names stays consistent even if a holder of the lock panicked.
        let disabled = self.0.disabled.lock().unwrap_or_else(PoisonError::into_inner);
        let names = self.0.subscriptions.iter().map(|subscription| subscription.sink.clone());
        names.map(|name| (name.clone(), disabled.contains(&name))).collect()
    }

    /// Returns a receiver that changes with each [`Self::wake`].
    pub(super) fn wake_ups(&self) -> watch::Receiver<()> {
        self.0.committed.subscribe()
    }

    pub(super) fn subscriptions(&self) -> &[Subscription] {
        &self.0.subscriptions
    }

    /// Records whether `sink` is disabled, and returns whether the state is new.
    pub(super) fn set_disabled(&self, sink: &str, is_disabled: bool) -> bool {
        let mut disabled = self.0.disabled.lock().unwrap_or_else(PoisonError::into_inner);
        if is_disabled { disabled.insert(sink.to_owned()) } else { disabled.remove(sink) }
    }
}
