//! The result of a write, or the reason for its refusal.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    database, idempotency,
    proposals::{Freeze, RolloutEvent},
    secret_scanner::SecretKind,
    settings::{reload, rules::Violation, value::SettingValue},
};

/// The result of a write, or of a dry run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = Changed)]
pub struct ChangeResult {
    /// The revision after the write.
    pub revision: i64,
    /// Whether the write was a dry run, which stores nothing.
    pub dry_run: bool,
    /// The keys with a new version.
    pub changed: Vec<KeyChange>,
    /// The keys whose values were the requested values already.
    pub unchanged: Vec<String>,
    /// The locked keys that were left out.
    pub ignored: Vec<String>,
    /// The number of the applied proposal, also of an emergency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposal: Option<i64>,
    /// `begun` if the request began the rollout of the proposal: then no setting has changed yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutEvent>,
    /// The number of the proposal whose rollout was reverted by the emergency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reverted: Option<i64>,
}

impl ChangeResult {
    /// Returns the result of a write that changes nothing, at `revision`.
    pub(in crate::settings) fn unchanged(revision: i64) -> Self {
        Self {
            revision,
            dry_run: false,
            changed: Vec::new(),
            unchanged: Vec::new(),
            ignored: Vec::new(),
            proposal: None,
            rollout: None,
            reverted: None,
        }
    }
}

/// A protected setting, and the approvals that a change needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ProtectedKey {
    /// The key.
    pub key: String,
    /// How many other people must approve a change.
    pub needed: i16,
}

/// One key with a new version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = ChangedKey)]
pub struct KeyChange {
    /// The key.
    pub key: String,
    /// The value before the write.
    #[schema(value_type = serde_json::Value)]
    pub old_value: Option<SettingValue>,
    /// The stored value.
    #[schema(value_type = serde_json::Value)]
    pub new_value: SettingValue,
    /// The version after the write.
    pub version: i32,
}

/// A version conflict: base, current and requested value.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Conflict {
    /// The key.
    pub key: String,
    /// The version that the caller expected.
    pub expected_version: Option<i64>,
    /// The value at the expected version, if there was a value.
    #[schema(value_type = serde_json::Value)]
    pub base_value: Option<SettingValue>,
    /// The current version.
    pub current_version: i32,
    /// The current value.
    #[schema(value_type = serde_json::Value)]
    pub current_value: SettingValue,
    /// The requested value.
    #[schema(value_type = serde_json::Value)]
    pub your_value: SettingValue,
    /// The author of the current version.
    pub updated_by: String,
    /// The time of the current version.
    pub updated_at: DateTime<Utc>,
}

/// The parts of a write that look like secrets, without the texts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SecretMatches {
    /// The kind of secret in the reason, if any.
    pub reason: Option<SecretKind>,
    /// The keys with secret-like values, each with the kind of secret.
    pub values: Vec<(String, SecretKind)>,
}

impl SecretMatches {
    /// Returns the secret-like values as violations.
    #[must_use]
    pub fn violations(&self) -> Vec<Violation> {
        self.values.iter().map(|(key, kind)| Violation::secret_like(key, *kind)).collect()
    }
}

/// Why a write failed; nothing was stored, unless the outcome of the transaction is unknown.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The keys are locked. The attempt is in the audit trail.
    #[error("{} may not be changed here", .0.join(", "))]
    Locked(Vec<String>),
    /// The reason or values look like secrets. The attempt is in the audit trail, without the texts.
    #[error("texts that look like secrets are never stored")]
    SecretLike(SecretMatches),
    /// Values break rules, or keys are not declared.
    #[error("the change breaks {} rules", .0.len())]
    Invalid(Vec<Violation>),
    /// The expected version of the keys is missing.
    #[error("missing `version` for {}", .0.join(", "))]
    VersionRequired(Vec<String>),
    /// The expected revision of a rollback of all settings is missing.
    #[error("missing `revision` for a rollback of all settings")]
    RevisionRequired,
    /// The expected revision is not current.
    #[error("the current revision is {current}")]
    Mismatch {
        /// The current revision.
        current: i64,
    },
    /// The settings are protected: a change needs the approval of other people.
    #[error("{} changes only by an approved proposal", .0.iter().map(|key| key.key.as_str()).collect::<Vec<_>>().join(", "))]
    ApprovalRequired(Vec<ProtectedKey>),
    /// Somebody else acts for the subject of the token.
    #[error(
        "proposals, verdicts and emergencies are made in person, and the token says that somebody acts for its subject"
    )]
    Delegated,
    /// All settings are frozen.
    #[error("settings are frozen until {}: {}", .0.ends_at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true), .0.reason)]
    Frozen(Box<Freeze>),
    /// A rollout is running: of the settings, of another proposal, or of the proposal itself.
    #[error("proposal {proposal} is rolling out")]
    RolloutRunning {
        /// The number of the proposal that rolls out.
        proposal: i64,
        /// The settings that roll out and prevent the request; empty if the proposal itself rolls out.
        keys: Vec<String>,
    },
    /// The settings would be invalid with the values of the running rollout.
    #[error("the settings would be invalid with the rollout of proposal {proposal}")]
    RolloutConflict {
        /// The number of the proposal that rolls out.
        proposal: i64,
        /// The broken rules.
        violations: Vec<Violation>,
    },
    /// Expected versions are not current.
    #[error("the settings were changed since they were read")]
    Stale(Vec<Conflict>),
    /// The version, audit entry or revision to restore does not exist.
    #[error("{0}")]
    VersionNotFound(String),
    /// No release has the name.
    #[error("there is no release with this name")]
    ReleaseNotFound,
    /// The idempotency key was used for another request.
    #[error(transparent)]
    Idempotency(#[from] idempotency::Reused),
    /// The declarations changed during the write.
    #[error("the catalog changed during the request; retry")]
    CatalogMoved,
    /// The settings could not be reloaded.
    #[error(transparent)]
    Reload(#[from] reload::Error),
    /// The database failed, or did not answer in time.
    #[error(transparent)]
    Database(#[from] database::TransactionError),
}

impl From<sqlx::Error> for Error {
    fn from(err: sqlx::Error) -> Self {
        Self::Database(err.into())
    }
}
