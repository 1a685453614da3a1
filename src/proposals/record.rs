//! Proposals, their editions and verdicts, and freezes.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    rollouts::{HoldReason, PlanDraft},
    text::string_enum,
};

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
        /// Rolls out: new sessions of a share of the users have the proposed values.
        Rolling = "rolling",
        /// The rollout ended without an application.
        Reverted = "reverted",
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
    /// A step of a rollout.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
    #[serde(rename_all = "snake_case")]
    pub enum RolloutEvent {
        /// The rollout began.
        Begun = "begun",
        /// The next stage began.
        Widened = "widened",
        /// The share stays until a person decides.
        Held = "held",
        /// A person ended the hold.
        Resumed = "resumed",
        /// The rollout ended: nobody gets the proposed values.
        Reverted = "reverted",
        /// The change was applied for everybody.
        Promoted = "promoted",
    }
}

string_enum! {
    /// Why a rollout is held.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
    #[serde(rename_all = "snake_case")]
    #[schema(as = RolloutHeldReason)]
    pub enum HeldReason {
        /// A person held the rollout.
        Person = "person",
        /// Three times the users of the stage did not make the evidence clear.
        Inconclusive = "inconclusive",
        /// The hours of the plan have passed.
        MaxHours = "max_hours",
        /// The share of candidate users is not the share of the stage.
        AssignmentOff = "assignment_off",
        /// The last stage is complete, and the plan leaves the promotion to a person.
        Completed = "completed",
        /// The counts could not be read for five minutes.
        Unreadable = "unreadable",
        /// The settings are invalid, or the change can no longer be applied.
        Invalid = "invalid",
        /// The change no longer has its approvals.
        NotApproved = "not_approved",
        /// The database was restored from a copy, or promoted from a standby, and may lack sessions.
        Restored = "restored",
    }
}

impl From<HoldReason> for HeldReason {
    fn from(reason: HoldReason) -> Self {
        match reason {
            HoldReason::Inconclusive => Self::Inconclusive,
            HoldReason::MaxHours => Self::MaxHours,
            HoldReason::AssignmentOff => Self::AssignmentOff,
            HoldReason::Completed => Self::Completed,
        }
    }
}

string_enum! {
    /// Why a rollout was reverted.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
    #[serde(rename_all = "snake_case")]
    #[schema(as = RolloutRevertCause)]
    pub enum RevertCause {
        /// A guard proved harm.
        Guard = "guard",
        /// A person reverted the rollout.
        Person = "person",
        /// An emergency changed a setting of the rollout.
        Emergency = "emergency",
        /// The settings with the change were invalid.
        Invalid = "invalid",
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
    /// How the change is rolled out, with every default written out; absent for a change that takes effect for everybody
    /// at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<PlanDraft>,
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
    /// The rollout, also after its end.
    pub rollout: Option<Rollout>,
    /// The database's clock at the read.
    pub read_at: DateTime<Utc>,
}

/// The state of a rollout that has begun.
#[derive(Debug, Clone)]
pub struct Rollout {
    /// The stage, from 1.
    pub stage: i16,
    /// The share of candidate users in basis points.
    pub share_bp: i32,
    /// When the rollout began.
    pub rolling_since: DateTime<Utc>,
    /// When the stage began.
    pub stage_since: DateTime<Utc>,
    /// When the rollout was last resumed.
    pub resumed_at: Option<DateTime<Utc>>,
    /// Why the rollout is held, if held.
    pub held: Option<HeldReason>,
    /// When the rollout was held, if held.
    pub held_since: Option<DateTime<Utc>>,
    /// Why the rollout was reverted, if reverted.
    pub revert_cause: Option<RevertCause>,
    /// The author of the last step.
    pub step_by: String,
    /// The reason of the last step.
    pub step_reason: String,
}

impl Rollout {
    /// Returns the share of candidate users in percent.
    #[must_use]
    pub fn percent(&self) -> i32 {
        self.share_bp / 100
    }
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
pub struct Applied<'a> {
    /// The revision of the change.
    pub revision: i64,
    /// Whether the proposal was applied as an emergency, without its approvals.
    pub is_emergency: bool,
    /// Of a rollout that ended by the rule: the counts and the evidence.
    pub evidence: Option<&'a Value>,
}
