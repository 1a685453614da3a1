//! The stored state of a rollout, as far as the rule needs it.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    database::TransactionError,
    proposals::HeldReason,
    rollouts::{Plan, Share},
    settings::{ProposalError, RolloutPosition},
};

/// The stored state of a rollout.
#[derive(Debug, Clone)]
pub(super) struct Rollout {
    /// The id of the proposal.
    pub(super) id: Uuid,
    /// The number of the proposal.
    pub(super) number: i64,
    /// Whether some users get the candidate; false after the end.
    pub(super) is_rolling: bool,
    /// The stage, from 1.
    pub(super) stage: i16,
    pub(super) share: Share,
    pub(super) plan: Plan,
    pub(super) stage_since: DateTime<Utc>,
    pub(super) resumed_at: Option<DateTime<Utc>>,
    pub(super) held: Option<HeldReason>,
    /// Whole minutes since the stage began or was resumed, by the database's clock.
    pub(super) stage_minutes: u32,
    /// Whole minutes since the rollout began or was resumed, by the database's clock.
    pub(super) total_minutes: u32,
    /// Whether the last begin, stage or resumption was in another database: the database was restored, or promoted from
    /// a standby.
    pub(super) is_restored: bool,
}

impl Rollout {
    /// Returns the index of the stage in the plan.
    pub(super) fn stage_index(&self) -> usize {
        // The database stores no stage below 1.
        usize::try_from(self.stage.saturating_sub(1)).unwrap_or_default()
    }

    /// Returns the state for which the rule decides.
    pub(super) fn position(&self) -> RolloutPosition {
        let &Self { number, stage, held, resumed_at, .. } = self;
        RolloutPosition { number, stage, held, resumed_at }
    }

    /// Returns the time from which users count for the stage.
    pub(super) fn counts_from(&self) -> DateTime<Utc> {
        // A hold ends the observation of the stage: the cause of the hold may be gone.
        self.resumed_at.map_or(self.stage_since, |resumed_at| resumed_at.max(self.stage_since))
    }
}

/// Why a rollout cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RolloutError {
    /// The proposal plans no rollout.
    #[error("proposal {0} plans no rollout")]
    NotPlanned(i64),
    /// The rollout cannot be read: there is none, or the database failed.
    #[error(transparent)]
    Proposal(#[from] ProposalError),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] TransactionError),
}

impl From<sqlx::Error> for RolloutError {
    fn from(err: sqlx::Error) -> Self {
        Self::Database(err.into())
    }
}
