//! Releases: names of revisions, to compare and to restore by name.
//!
//! A release has no values, because the audit trail has them. The database enforces that a release never changes, except
//! that it is archived once (`migrations/20261129170000_starts_stop.sql`).

mod store;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use store::{archive, find, insert, list};

/// The rule of [`is_name`], in words.
pub const NAME_RULE: &str =
    "must have 1 to 64 characters of `a-z`, `0-9`, `.`, `_` and `-`, the first a letter or a digit";

/// Returns whether a release can have the name `text`. The database enforces the same rule.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_allowed = |byte: u8| is_plain(byte) || b"._-".contains(&byte);
    text.bytes().next().is_some_and(is_plain) && text.bytes().all(is_allowed) && text.len() <= 64
}

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
