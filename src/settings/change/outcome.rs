//! What a write did, or why it did nothing.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    database, idempotency,
    secret_scanner::SecretKind,
    settings::{reload, rules::Violation, value::SettingValue},
};

/// What a write did, or would do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Changed {
    /// The revision that is current now.
    pub revision: i64,
    /// Whether nothing was stored.
    pub dry_run: bool,
    /// The keys that have a new version.
    pub changed: Vec<ChangedKey>,
    /// The keys that already had the value.
    pub unchanged: Vec<String>,
    /// The keys that were left out because they may not be written.
    pub ignored: Vec<String>,
}

/// One key with a new version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ChangedKey {
    /// The key.
    pub key: String,
    /// Its value before.
    #[schema(value_type = serde_json::Value)]
    pub old_value: Option<SettingValue>,
    /// Its value as it is stored.
    #[schema(value_type = serde_json::Value)]
    pub new_value: SettingValue,
    /// Its version now.
    pub version: i32,
}

/// A version that is not the current one, told three ways.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Conflict {
    /// The key.
    pub key: String,
    /// The version that the caller saw.
    pub expected_version: Option<i64>,
    /// The value at that version, if there was one.
    #[schema(value_type = serde_json::Value)]
    pub base_value: Option<SettingValue>,
    /// The version that stands.
    pub current_version: i32,
    /// The value that stands.
    #[schema(value_type = serde_json::Value)]
    pub current_value: SettingValue,
    /// The value that the caller wanted.
    #[schema(value_type = serde_json::Value)]
    pub your_value: SettingValue,
    /// Who was faster.
    pub updated_by: String,
    /// When.
    pub updated_at: DateTime<Utc>,
}

/// What of a change looks like a secret; no part of what was sent.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SecretMatches {
    /// What the reason looks like, if it does.
    pub reason: Option<SecretKind>,
    /// The keys whose values do.
    pub values: Vec<(String, SecretKind)>,
}

impl SecretMatches {
    /// The values, as rules that are broken.
    #[must_use]
    pub fn violations(&self) -> Vec<Violation> {
        self.values.iter().map(|(key, likeness)| Violation::secret_like(key, *likeness)).collect()
    }
}

/// Why a change did not happen.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// These keys are not written here; the attempt is on the trail.
    #[error("{} may not be changed here", .0.join(", "))]
    Locked(Vec<String>),
    /// The reason or values look like secrets; the attempt is on the trail without them.
    #[error("what looks like a secret is never stored")]
    SecretLike(SecretMatches),
    /// Values break rules, or name nothing.
    #[error("the change breaks {} rules", .0.len())]
    Invalid(Vec<Violation>),
    /// These keys came without the version they must still be at.
    #[error("no version for {}", .0.join(", "))]
    VersionRequired(Vec<String>),
    /// A change of everything came without the revision it must still be at.
    #[error("no revision for a change of every setting")]
    RevisionRequired,
    /// The whole is at another revision than the caller saw.
    #[error("the settings are at revision {current}")]
    Mismatch {
        /// The revision that stands.
        current: i64,
    },
    /// Somebody else was faster.
    #[error("the settings were changed since they were read")]
    Stale(Vec<Conflict>),
    /// There is nothing to go back to.
    #[error("{0}")]
    VersionNotFound(String),
    /// The idempotency key was used for another request.
    #[error(transparent)]
    Idempotency(#[from] idempotency::Reused),
    /// The declarations changed while the change was made.
    #[error("the catalog was changed meanwhile")]
    CatalogMoved,
    /// The database's settings could not be read.
    #[error(transparent)]
    Reload(#[from] reload::Error),
    /// The database failed, or could not be waited for.
    #[error(transparent)]
    Database(#[from] database::TransactionError),
}

impl From<sqlx::Error> for Error {
    fn from(err: sqlx::Error) -> Self {
        Self::Database(err.into())
    }
}
