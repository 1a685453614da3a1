//! The items of the feed.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

/// One committed change set: keys, author and reason, without values.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ChangeSet {
    /// The revision.
    pub revision: i64,
    /// The changed keys, at most 1,000.
    pub keys: Vec<String>,
    /// Whether more keys changed than `keys` lists.
    pub truncated: bool,
    /// The kind of change.
    #[schema(example = "update")]
    pub action: String,
    /// The author.
    pub changed_by: String,
    /// The reason.
    pub reason: String,
    /// The id of the request.
    pub request_id: String,
    /// The time, by the database's clock.
    pub changed_at: DateTime<Utc>,
}

/// One item that a listener receives.
#[derive(Debug, Clone)]
pub enum FeedItem {
    /// The stream is complete from the change after this revision on. The first item, unless [`Self::Resync`] is.
    Start(i64),
    /// The next change set, by revision, as JSON: serialized once for all listeners.
    Change(i64, Arc<str>),
    /// Change sets are missing: reload all settings, which are at this revision.
    Resync(i64),
}
