//! An entry of the audit trail.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{pagination, text::string_enum};

string_enum! {
    /// The kind of change that an entry records.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum Action {
        /// The first value of a key.
        Seed = "seed",
        /// A change by the import of a document.
        Import = "import",
        /// A change by an administrator.
        Update = "update",
        /// A reset to the catalog's default.
        Reset = "reset",
        /// A return to an earlier value.
        Rollback = "rollback",
        /// A rejected write of a locked key; without values.
        Refused = "refused",
        /// The removal of a secret's value from the database; without values.
        SecretCleanup = "secret_cleanup",
        /// An edition, a verdict or the end of a proposal; a freeze, a release, or a stop of starts. Without a version.
        Decision = "decision",
    }
}

/// An entry of the audit trail.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = HistoryEntry)]
pub struct Entry {
    /// The entry's id.
    pub id: Uuid,
    /// The revision of the change set; null if nothing changed.
    #[schema(required)]
    pub revision: Option<i64>,
    /// The key of the setting.
    pub key: String,
    /// The kind of change. A text, because a newer release may store a kind that is not an [`Action`] yet.
    #[schema(example = "update")]
    pub action: String,
    /// The value before.
    #[schema(required)]
    pub old_value: Option<Value>,
    /// The value after.
    #[schema(required)]
    pub new_value: Option<Value>,
    /// The version after.
    #[schema(required)]
    pub version: Option<i32>,
    /// The author.
    pub changed_by: String,
    /// The reason.
    pub reason: String,
    /// The id of the request.
    pub request_id: String,
    /// The time of the change, by the database's clock.
    pub changed_at: DateTime<Utc>,
}

/// Selects entries; a field that is `None` selects all.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// The key.
    pub key: Option<String>,
    /// The author.
    pub changed_by: Option<String>,
    /// The kind of change.
    pub action: Option<Action>,
    /// The request.
    pub request_id: Option<String>,
    /// The revision of the change set.
    pub revision: Option<i64>,
    /// The earliest time, inclusive.
    pub since: Option<DateTime<Utc>>,
    /// The latest time, inclusive.
    pub until: Option<DateTime<Utc>>,
}

impl pagination::Filter for Filter {
    // Part of the tag of a cursor: a cursor of another list is rejected.
    const LIST: &'static str = "history";
    type Position = i64;
}

/// A new entry.
#[derive(Debug, Clone)]
pub struct NewEntry {
    /// The key of the setting.
    pub key: String,
    /// The kind of change.
    pub action: Action,
    /// The value before, unless absent or secret.
    pub old: Option<Value>,
    /// The value after, unless absent or secret.
    pub new: Option<Value>,
    /// The version after; `None` if nothing changed.
    pub version: Option<i32>,
}

impl NewEntry {
    /// Creates the entry of a rejected write of `key`. Without the value, which may be a secret.
    #[must_use]
    pub fn refused(key: &str) -> Self {
        Self::without_values(key, Action::Refused)
    }

    /// Creates an entry without values.
    #[must_use]
    pub fn without_values(key: &str, action: Action) -> Self {
        Self { key: key.to_owned(), action, old: None, new: None, version: None }
    }
}
