//! Members of problem documents that only some codes have.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    fleet::OutdatedInstance,
    proposals::ApprovalStatus,
    sessions::IneligibleReason,
    settings::{Conflict, PlanEntry, ProtectedKey},
};

/// Additional members of some codes.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
#[schema(as = ProblemMembers)]
pub(super) struct Members {
    /// With `version_conflict`: each setting changed in the meantime.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) conflicts: Option<Conflicts>,
    /// With `revision_mismatch`: the current revision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) current_revision: Option<i64>,
    /// With `not_eligible`: every applicable rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reasons: Option<Vec<IneligibleReason>>,
    /// With `approval_required`: the protected settings. With `rollout_running`: the settings that roll out; absent if
    /// the proposal of the request itself rolls out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) keys: Option<Keys>,
    /// With `rollout_running` and `rollout_conflict`: the number of the proposal that rolls out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) proposal: Option<i64>,
    /// With `approval_required`: where to propose the change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) propose: Option<&'static str>,
    /// With `edition_outdated`: the current edition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) edition: Option<i32>,
    /// With `edition_outdated`: the author of the current edition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) written_by: Option<String>,
    /// With `not_approved`: the approvals and objections.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) standing: Option<ApprovalStatus>,
    /// With `proposal_closed`: the revision, if applied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) applied_revision: Option<i64>,
    /// With `change_frozen` and `proposal_not_due`: the end of the wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) until: Option<DateTime<Utc>>,
    /// With `change_frozen`: the freeze.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) freeze: Option<Uuid>,
    /// With `fleet_outdated`: the instances of older releases.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) instances: Option<Vec<OutdatedInstance>>,
    /// With `session_active`: the active session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) session_id: Option<Uuid>,
}

impl Members {
    /// Returns the members of a conflict with the rollout of `proposal`.
    pub(super) fn of_rollout(proposal: i64, keys: Option<Keys>) -> Self {
        Self { proposal: Some(proposal), keys, ..Self::default() }
    }
}

/// The settings that prevent a write.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = ProblemKeys)]
pub(super) enum Keys {
    /// Settings that need approvals.
    Protected(Vec<ProtectedKey>),
    /// Settings that roll out.
    Rolling(Vec<String>),
}

/// The conflicts of a write.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = ProblemConflicts)]
pub(super) enum Conflicts {
    /// Of changes with expected versions.
    Changes(Vec<Conflict>),
    /// Of an import.
    Import(Vec<PlanEntry>),
}
