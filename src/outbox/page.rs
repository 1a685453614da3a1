//! The outbox as shown to administrators, newest messages first, and the retry of a message.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    database::Connection,
    outbox::{
        message::{Filter, Topic},
        queue::Outbox,
        store::{self, Backlog, DisabledSink, Row},
    },
    pagination::{self, PageSize},
};

/// The position of a message in the list.
pub type Cursor = pagination::Cursor<i64>;

/// A message at a sink.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OutboxEntry)]
pub struct Entry {
    /// The id, the same at every sink and for every attempt.
    pub id: Uuid,
    /// The name of the sink.
    #[schema(example = "discord")]
    pub sink: String,
    /// The topic.
    #[schema(example = "settings.changed")]
    pub topic: String,
    /// The content.
    pub payload: Value,
    /// `waiting`, `delivered` or `dead`.
    #[schema(example = "waiting")]
    pub status: String,
    /// The number of attempts, without those that the sink asked to postpone.
    pub attempts: i32,
    /// When the message was stored.
    pub created_at: DateTime<Utc>,
    /// The earliest time of the next attempt.
    pub due_at: DateTime<Utc>,
    /// When the message was delivered or abandoned.
    #[schema(required)]
    pub settled_at: Option<DateTime<Utc>>,
    /// The error of the last attempt.
    #[schema(required)]
    pub last_error: Option<String>,
}

/// A sink and its backlog.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OutboxSink)]
pub struct SinkState {
    /// The name.
    #[schema(example = "discord")]
    pub sink: String,
    /// The topics that the responding instance stores for the sink; empty if the instance has no address for the sink.
    pub topics: Vec<&'static str>,
    /// The number of waiting messages.
    pub waiting: i64,
    /// The number of dead messages.
    pub dead: i64,
    /// The age of the oldest waiting message.
    #[schema(required)]
    pub oldest_waiting_seconds: Option<f64>,
    /// When the sink was disabled. Its address is not called until the address changes or a message is retried.
    #[schema(required)]
    pub dead_since: Option<DateTime<Utc>>,
    /// Why the sink was disabled.
    #[schema(required)]
    pub dead_reason: Option<String>,
}

/// A page of messages, newest first, with the state of all sinks.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OutboxPage)]
pub struct Page {
    /// The sinks, by name.
    pub sinks: Vec<SinkState>,
    /// The messages.
    pub messages: Vec<Entry>,
    /// The cursor of the next page; null on the last page.
    pub next_cursor: Option<String>,
}

/// Returns up to `limit` messages (1..=200) that match `filter`, after `cursor`.
pub async fn page(
    conn: &mut Connection,
    outbox: &Outbox,
    filter: &Filter,
    cursor: Option<Cursor>,
    limit: u16,
) -> sqlx::Result<Page> {
    let size = PageSize::clamped(limit);
    let before = cursor.map(Cursor::position);
    let mut rows = store::page(conn, filter, before, size.fetch_limit()).await?;
    let next_cursor = size.split(&mut rows, filter, |row| row.seq);
    let messages = rows.into_iter().map(Entry::from).collect();
    let backlog = store::backlog(conn).await?;
    let disabled = store::disabled_sinks(conn).await?;
    Ok(Page { sinks: sink_states(outbox, &backlog, &disabled), messages, next_cursor })
}

/// Merges the configured sinks with those that have a backlog, by name.
fn sink_states(outbox: &Outbox, backlog: &[Backlog], disabled: &[DisabledSink]) -> Vec<SinkState> {
    let subscriptions = outbox.subscriptions();
    let configured = subscriptions.iter().map(|subscription| subscription.sink.as_str());
    // A sink that is no longer configured may still have messages.
    let mut names: Vec<&str> =
        configured.chain(backlog.iter().map(|row| row.sink.as_str())).collect();
    names.sort_unstable();
    names.dedup();
    let state = |name: &str| {
        let backlog = backlog.iter().find(|row| row.sink == name);
        let disabled = disabled.iter().find(|row| row.sink == name);
        let subscription = subscriptions.iter().find(|subscription| subscription.sink == name);
        // Topics are configuration of the responding instance; the database stores only messages.
        let topics = subscription.map_or(&[][..], |subscription| &subscription.topics);
        SinkState {
            sink: name.to_owned(),
            topics: topics.iter().copied().map(Topic::as_str).collect(),
            // A sink without waiting or dead messages has no row in the backlog.
            waiting: backlog.map_or(0, |row| row.waiting),
            dead: backlog.map_or(0, |row| row.dead),
            oldest_waiting_seconds: backlog.and_then(|row| row.oldest),
            dead_since: disabled.map(|row| row.since),
            dead_reason: disabled.map(|row| row.reason.clone()),
        }
    };
    names.into_iter().map(state).collect()
}

impl From<Row> for Entry {
    fn from(row: Row) -> Self {
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

/// Retries the message `id` at every sink that has not accepted the message, or only at `sink`. Returns the names of
/// the sinks, or `None` if there is no such message.
pub async fn retry(
    conn: &mut Connection,
    id: Uuid,
    sink: Option<&str>,
) -> sqlx::Result<Option<Vec<String>>> {
    let retry = store::retry(conn, id, sink).await?;
    // An empty list means delivered everywhere, and must differ from an unknown id.
    Ok(retry.exists.then_some(retry.sinks))
}
