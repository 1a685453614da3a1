//! The errors of proposals.

use chrono::{DateTime, SecondsFormat, Utc};

use crate::{
    database::TransactionError,
    idempotency,
    proposals::{ApprovalStatus, FreezeError, State},
    secret_scanner::SecretKind,
    settings::change::Error as ChangeError,
};

/// Why a step of a proposal failed; nothing was stored.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No proposal has the number.
    #[error("there is no proposal {0}")]
    NotFound(i64),
    /// The proposal has no such edition.
    #[error("proposal {number} has no edition {edition}")]
    EditionNotFound {
        /// The number of the proposal.
        number: i64,
        /// The edition.
        edition: i32,
    },
    /// The person read another edition than the current one.
    #[error("the current edition is {edition}, by {written_by}")]
    EditionOutdated {
        /// The current edition.
        edition: i32,
        /// Its author.
        written_by: String,
    },
    /// The state of the proposal does not permit the step.
    #[error("the proposal is {}", .state.as_str())]
    Closed {
        /// The state.
        state: State,
        /// The revision of the change, if applied.
        revision: Option<i64>,
    },
    /// Only an emergency is acknowledged.
    #[error("only an emergency is acknowledged")]
    NoEmergency,
    /// An author approves or acknowledges the own proposal.
    #[error("a person who wrote an edition of the proposal cannot approve or acknowledge it")]
    SelfApproval,
    /// Approvals are missing, or somebody objects.
    #[error("{} of {} approvals, {} objections", .0.approvals.len(), .0.needed, .0.objections.len())]
    NotApproved(Box<ApprovalStatus>),
    /// The time of the proposal has not come.
    #[error("the proposal takes effect at {}", .0.to_rfc3339_opts(SecondsFormat::Secs, true))]
    NotDue(DateTime<Utc>),
    /// The proposal builds on another one that is not applied.
    #[error("proposal {0} has to be applied first{end}", end = describe_end(*.1))]
    Predecessor(i64, State),
    /// A part of the plan is invalid.
    #[error("{field} {detail}")]
    Plan {
        /// The member of the plan.
        field: &'static str,
        /// What is wrong.
        detail: String,
    },
    /// The plan has a rollout, and some settings of the change do not apply to new sessions.
    #[error(
        "{} cannot be rolled out: only settings for new sessions can; propose the rest without a rollout",
        .0.join(", ")
    )]
    NotRollable(Vec<String>),
    /// No rollout of the proposal is running.
    #[error("the proposal is {}, not rolling out", .0.as_str())]
    RolloutNotRunning(State),
    /// The proposal has no rollout, or its rollout has not begun.
    #[error("no rollout of proposal {0} has begun")]
    RolloutNotFound(i64),
    /// The state of the rollout does not permit the step.
    #[error("{0}")]
    StepNotPossible(&'static str),
    /// Every proposed value is the current one.
    #[error("every proposed value is the current value")]
    NothingChanges,
    /// The note of a verdict looks like a secret.
    #[error("the note {}", .0.detail())]
    SecretInNote(SecretKind),
    /// A freeze could not be set or ended.
    #[error(transparent)]
    Freeze(FreezeError),
    /// The change itself is refused.
    #[error(transparent)]
    Change(#[from] ChangeError),
}

impl From<FreezeError> for Error {
    fn from(err: FreezeError) -> Self {
        match err {
            FreezeError::Database(err) => err.into(),
            err => Self::Freeze(err),
        }
    }
}

impl From<TransactionError> for Error {
    fn from(err: TransactionError) -> Self {
        Self::Change(err.into())
    }
}

impl From<sqlx::Error> for Error {
    fn from(err: sqlx::Error) -> Self {
        Self::Change(err.into())
    }
}

impl From<idempotency::Reused> for Error {
    fn from(err: idempotency::Reused) -> Self {
        Self::Change(err.into())
    }
}

/// Describes how a predecessor ended that can no longer be applied by itself.
fn describe_end(state: State) -> &'static str {
    match state {
        State::Open | State::Rolling | State::Applied => "",
        State::Failed => ", but has failed",
        State::Withdrawn => ", but was withdrawn",
        State::Reverted => ", but its rollout was reverted",
    }
}
