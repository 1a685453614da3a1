//! Proposals, their editions and verdicts, and freezes.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::text::string_enum;

string_enum! {
    /// The state of a proposal. There is no state "approved": it is computed from the verdicts.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
    #[serde(rename_all = "snake_case")]
    #[schema(as = ProposalState)]
    pub enum State {
        /// Waits for verdicts, for its time, or for somebody to apply it.
        Open = "open",
        /// Could not be applied when due; a new edition opens the proposal again.
        Failed = "failed",
        /// Applied.
        Applied = "applied",
        /// Withdrawn by a person.
        Withdrawn = "withdrawn",
    }
}

string_enum! {
    /// Why a due proposal was not applied.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
    #[serde(rename_all = "snake_case")]
    #[schema(as = ProposalFailure)]
    pub enum Failure {
        /// A setting was changed since the edition was written.
        Stale = "stale",
        /// The settings would be invalid, or a key is no longer declared.
        Invalid = "invalid",
        /// The grace period had passed.
        Missed = "missed",
        /// Approvals were missing, or somebody objected.
        NotApproved = "not_approved",
        /// The proposal of `after` was not applied.
        Predecessor = "predecessor",
    }
}

string_enum! {
    /// The verdict of a person on an edition.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
    #[serde(rename_all = "snake_case")]
    pub enum VerdictKind {
        /// Approves the edition.
        Approve = "approve",
        /// Objects to the edition; blocks the proposal until the same person approves, or until a new edition.
        Object = "object",
        /// Confirms that another person has looked at an emergency.
        Acknowledge = "acknowledge",
    }
}

/// When a proposal takes effect.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ProposalPlan)]
pub struct Plan {
    /// The time from which the proposal is applied by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<DateTime<Utc>>,
    /// The minutes after `at` in which the proposal is still applied; 30 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_minutes: Option<i32>,
    /// The number of the proposal on whose result this one builds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<i64>,
}

/// A value of an edition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProposedValue {
    /// The new value; null if redacted.
    #[serde(default)]
    pub value: Value,
    /// Whether the value was removed because the key is a secret, or was one. Such an edition is never applied.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub redacted: bool,
    /// The version that must be current before the change; `None` for a setting without a value.
    pub version: Option<i64>,
}

/// The state of a proposal.
#[derive(Debug, Clone)]
pub struct Proposal {
    /// The id.
    pub id: Uuid,
    /// The number that people use.
    pub number: i64,
    /// The state.
    pub state: State,
    /// The current edition.
    pub edition: i32,
    /// The author of the first edition.
    pub created_by: String,
    /// When the proposal was made.
    pub created_at: DateTime<Utc>,
    /// When the current edition is due, if scheduled.
    pub due_at: Option<DateTime<Utc>>,
    /// Who applied the proposal without its approvals.
    pub bypassed_by: Option<String>,
    /// The revision of the change.
    pub applied_revision: Option<i64>,
    /// Who ended the proposal.
    pub ended_by: Option<String>,
    /// Why the proposal ended.
    pub end_reason: Option<String>,
    /// When the proposal ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// Why the proposal failed.
    pub failure: Option<Failure>,
    /// The database's clock at the read.
    pub read_at: DateTime<Utc>,
}

/// The content of a proposal.
#[derive(Debug, Clone)]
pub struct Edition {
    /// The number, from 1.
    pub edition: i32,
    /// The author.
    pub written_by: String,
    /// The reason of the change.
    pub reason: String,
    /// The new values by key.
    pub edits: BTreeMap<String, ProposedValue>,
    /// When the change takes effect.
    pub plan: Plan,
    /// SHA-256 of a random salt, edits, plan and reason.
    pub digest: Vec<u8>,
    /// When the edition was written.
    pub written_at: DateTime<Utc>,
}

impl Edition {
    /// Returns the current edition of `proposal` without its content, which cannot be read.
    #[must_use]
    pub fn unreadable(proposal: &Proposal) -> Self {
        Self {
            edition: proposal.edition,
            written_by: proposal.created_by.clone(),
            reason: String::new(),
            edits: BTreeMap::new(),
            plan: Plan::default(),
            digest: Vec::new(),
            written_at: proposal.created_at,
        }
    }
}

/// An edition to be stored.
#[derive(Debug, Clone)]
pub struct NewEdition {
    /// The new values by key.
    pub edits: BTreeMap<String, ProposedValue>,
    /// When the change takes effect.
    pub plan: Plan,
}

/// The verdict of a person on an edition.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = ProposalVerdict)]
pub struct Verdict {
    /// The edition.
    pub edition: i32,
    /// The person.
    pub given_by: String,
    /// The verdict.
    #[schema(value_type = String, example = "approve")]
    pub verdict: String,
    /// A note for the readers.
    pub note: String,
    /// When the verdict was given.
    pub given_at: DateTime<Utc>,
}

/// The approvals and objections of an edition; the newest verdict of each person counts.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = ProposalStanding)]
pub struct ApprovalStatus {
    /// The number of approvals that the settings of the edition need today.
    pub needed: i16,
    /// The approvals.
    pub approvals: Vec<Verdict>,
    /// The objections.
    pub objections: Vec<Verdict>,
}

impl ApprovalStatus {
    /// Whether the approvals suffice and nobody objects.
    #[must_use]
    pub fn is_approved(&self) -> bool {
        self.objections.is_empty()
            && self.approvals.len() >= usize::try_from(self.needed).unwrap_or(0)
    }
}

/// How a proposal was applied.
#[derive(Debug, Clone, Copy)]
pub struct Applied {
    /// The revision of the change.
    pub revision: i64,
    /// Whether the proposal was applied as an emergency, without its approvals.
    pub is_emergency: bool,
}
