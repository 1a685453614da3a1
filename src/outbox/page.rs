//! The messages as administrators see them, newest first, and how one is tried again.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    database::Connection,
    outbox::{Outbox, Topic, store},
    pagination,
};

/// How far a message got at a sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It is still to be delivered.
    Waiting,
    /// The sink took it.
    Delivered,
    /// It was given up.
    Dead,
}

impl Status {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Waiting, Self::Delivered, Self::Dead];

    /// As the database and the wire spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
        }
    }

    /// The status spelt `text`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == text)
    }
}

/// Which messages are wanted; a field that is `None` wants all.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// That got so far.
    pub status: Option<Status>,
    /// For this sink.
    pub sink: Option<String>,
    /// Of this.
    pub topic: Option<Topic>,
}

/// What cursors are made for.
const LIST: &str = "outbox";

/// Where a page ended: opaque to callers, and good only with the filter it was made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor(i64);

impl Cursor {
    /// Reads a cursor that [`Page::next_cursor`] gave out for `filter`.
    #[must_use]
    pub fn parse(text: &str, filter: &Filter) -> Option<Self> {
        pagination::decode(text, LIST, filter).map(|it| Self(i64::from_be_bytes(it)))
    }

    fn encode(self, filter: &Filter) -> String {
        pagination::encode(self.0.to_be_bytes(), LIST, filter)
    }
}

/// A message at one sink.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OutboxEntry)]
pub struct Entry {
    /// Its own, the same at every sink and with every repeat.
    pub id: Uuid,
    /// Where it goes.
    #[schema(example = "discord")]
    pub sink: String,
    /// What it tells of.
    #[schema(example = "settings.changed")]
    pub topic: String,
    /// What is told.
    pub payload: Value,
    /// `waiting`, `delivered` or `dead`.
    #[schema(example = "waiting")]
    pub status: String,
    /// How often it was tried, answers that only asked for patience not counted.
    pub attempts: i32,
    /// When it was stored.
    pub created_at: DateTime<Utc>,
    /// Not tried before this.
    pub due_at: DateTime<Utc>,
    /// When it was delivered or given up.
    #[schema(required)]
    pub settled_at: Option<DateTime<Utc>>,
    /// How the last delivery failed.
    #[schema(required)]
    pub last_error: Option<String>,
}

/// A sink, and what is left to do for it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OutboxSink)]
pub struct SinkState {
    /// Its name.
    #[schema(example = "discord")]
    pub sink: String,
    /// What the instance that answers stores for it; empty when it has no address of it.
    pub topics: Vec<&'static str>,
    /// How many messages wait.
    pub waiting: i64,
    /// How many were given up.
    pub dead: i64,
    /// How long the oldest that waits has done so.
    #[schema(required)]
    pub oldest_waiting_seconds: Option<f64>,
    /// Since when it is gone for good: its address is not called until it is another, or a message is retried.
    #[schema(required)]
    pub dead_since: Option<DateTime<Utc>>,
    /// What it said then.
    #[schema(required)]
    pub dead_reason: Option<String>,
}

/// A page of messages, newest first, with what is left to do.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OutboxPage)]
pub struct Page {
    /// The sinks, by name.
    pub sinks: Vec<SinkState>,
    /// The messages.
    pub messages: Vec<Entry>,
    /// Where the next page begins; none on the last.
    pub next_cursor: Option<String>,
}

/// Up to `limit` messages (1..=200) that fit `filter`, after `cursor`.
pub async fn page(
    conn: &mut Connection,
    outbox: &Outbox,
    filter: &Filter,
    cursor: Option<Cursor>,
    limit: u16,
) -> sqlx::Result<Page> {
    let limit = usize::from(limit.clamp(1, 200));
    // One more than is shown tells whether there is a next page.
    let wanted = i64::try_from(limit + 1).unwrap_or(i64::MAX);
    let mut rows = store::page(conn, filter, cursor.map(|it| it.0), wanted).await?;
    let more = limit < rows.len();
    rows.truncate(limit);
    let last = rows.last().map(|row| Cursor(row.seq));
    let next_cursor = last.filter(|_| more).map(|it| it.encode(filter));
    let messages = rows.into_iter().map(Entry::from).collect();
    Ok(Page { sinks: sinks(conn, outbox).await?, messages, next_cursor })
}

async fn sinks(conn: &mut Connection, outbox: &Outbox) -> sqlx::Result<Vec<SinkState>> {
    let (backlog, buried) = (store::backlog(conn).await?, store::buried(conn).await?);
    let ours = outbox.subscriptions().iter().map(|it| it.sink.as_str());
    let mut names: Vec<&str> = ours.chain(backlog.iter().map(|it| it.sink.as_str())).collect();
    names.sort_unstable();
    names.dedup();
    let state = |name: &str| {
        let left = backlog.iter().find(|it| it.sink == name);
        let grave = buried.iter().find(|it| it.sink == name);
        let ours = outbox.subscriptions().iter().find(|it| it.sink == name);
        let topics = ours.map_or(&[][..], |it| &it.topics);
        SinkState {
            sink: name.to_owned(),
            topics: topics.iter().map(|it| it.as_str()).collect(),
            waiting: left.map_or(0, |it| it.waiting),
            dead: left.map_or(0, |it| it.dead),
            oldest_waiting_seconds: left.and_then(|it| it.oldest),
            dead_since: grave.map(|it| it.since),
            dead_reason: grave.map(|it| it.reason.clone()),
        }
    };
    Ok(names.into_iter().map(state).collect())
}

impl From<store::Row> for Entry {
    fn from(row: store::Row) -> Self {
        Self {
            id: row.id,
            sink: row.sink,
            topic: row.topic,
            payload: row.payload,
            status: row.status,
            attempts: row.attempts,
            created_at: row.created_at,
            due_at: row.due_at,
            settled_at: row.settled_at,
            last_error: row.last_error,
        }
    }
}

/// Has the message `id` tried again now at every sink that did not take it, or at `sink` alone; the sinks that it
/// goes to again, and `None` when there is no such message.
pub async fn retry(
    conn: &mut Connection,
    id: Uuid,
    sink: Option<&str>,
) -> sqlx::Result<Option<Vec<String>>> {
    let retried = store::retry(conn, id, sink).await?;
    Ok(retried.found.then_some(retried.sinks))
}
