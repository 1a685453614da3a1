//! The kinds of data that an instance can read. A newer kind is not written while an instance of an older release runs.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// The kinds of data that a release can read. A new kind of data that older releases cannot read gets a new level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i16)]
pub enum FeatureLevel {
    /// Entries of the audit trail with the action `decision`.
    Decisions = 1,
    /// Proposals that roll out, and session starts with the values of a rollout.
    Rollouts = 2,
}

impl FeatureLevel {
    /// The level of this release.
    pub(super) const OWN: Self = Self::Rollouts;

    /// Returns the number in the row of an instance.
    pub(super) fn number(self) -> i16 {
        self as i16
    }
}

/// A running instance whose release is too old for a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct OutdatedInstance {
    /// The id, as in `/admin/instances`.
    pub id: Uuid,
    /// The host name.
    pub host: String,
    /// The version of Brune that the instance runs.
    pub version: String,
}
