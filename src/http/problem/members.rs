//! Members of problem documents that only some codes have.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    sessions::IneligibleReason,
    settings::{Conflict, PlanEntry},
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
    /// With `session_active`: the active session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) session_id: Option<Uuid>,
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
