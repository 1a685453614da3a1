//! Releases: names of revisions, to compare and to restore by name.
//!
//! A release has no values, because the audit trail has them. The database enforces that a release never changes, except
//! that it is archived once (`migrations/20261129170000_starts_stop.sql`).

mod store;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use store::{archive, find, insert, list};

/// A name of a revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Release {
    /// The name.
    #[schema(example = "winter")]
    pub name: String,
    /// The revision.
    pub revision: i64,
    /// The hash of the last entry of the revision in the audit trail, in hexadecimal digits.
    pub digest: String,
    /// The note of the author.
    pub note: String,
    /// The author.
    pub made_by: String,
    /// When the author made the release.
    pub made_at: DateTime<Utc>,
    /// Who archived the release.
    #[schema(required)]
    pub archived_by: Option<String>,
    /// When the release was archived.
    #[schema(required)]
    pub archived_at: Option<DateTime<Utc>>,
    /// Why the release was archived.
    #[schema(required)]
    pub archive_reason: Option<String>,
}
