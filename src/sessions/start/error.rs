//! Errors of a session start.

use std::num::NonZeroU32;

use uuid::Uuid;

use crate::{
    database::{ConflictRetry, TransactionError},
    idempotency,
    sessions::{eligibility::IneligibleReason, plans::PlanUnavailable, realtime::RealtimeError},
    settings::{self, InvalidSettings},
};

/// The reason why a session did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The user cannot start now, for all of these reasons.
    #[error("the user is not eligible")]
    NotEligible(Vec<IneligibleReason>),
    /// The user already has an active or starting session.
    #[error("session {0} is running")]
    Active(Uuid),
    /// An earlier request with the idempotency key is still in progress.
    #[error("the first request with this idempotency key is still in progress")]
    InProgress,
    /// The user exceeded the rate limit.
    #[error("at most {per_minute} starts per minute are allowed; retry in {wait} s")]
    RateLimited {
        /// Allowed starts per minute.
        per_minute: NonZeroU32,
        /// Seconds to wait.
        wait: u32,
    },
    /// An administrator has stopped all starts.
    #[error("session starts are stopped; retry in {wait} s")]
    Stopped {
        /// Seconds until the stop ends by itself.
        wait: u32,
    },
    /// The idempotency key belongs to another request.
    #[error(transparent)]
    Idempotency(#[from] idempotency::Reused),
    /// Missing or invalid settings in the database: keys and problems.
    #[error("the settings are missing or invalid: {}", describe(.0))]
    Settings(Vec<(String, String)>),
    /// The settings changed too often during the request.
    #[error("settings changed {} times during the request; retry", ConflictRetry::LIMIT)]
    Unsettled,
    /// The settings could not be read.
    #[error(transparent)]
    Reload(#[from] settings::ReloadError),
    /// The user's plan is unknown.
    #[error(transparent)]
    Plan(#[from] PlanUnavailable),
    /// The realtime provider failed.
    #[error(transparent)]
    Realtime(#[from] RealtimeError),
    /// The start took so long that another request treated the session as abandoned.
    #[error("the start timed out")]
    GivenUp,
    /// The database failed.
    #[error(transparent)]
    Database(#[from] TransactionError),
}

impl From<Vec<InvalidSettings>> for Error {
    fn from(invalid: Vec<InvalidSettings>) -> Self {
        Self::Settings(invalid.into_iter().map(problem).collect())
    }
}

fn problem(invalid: InvalidSettings) -> (String, String) {
    match invalid {
        InvalidSettings::Missing(key) => (key, "is missing".to_owned()),
        InvalidSettings::Mistyped { key, expected } => (key, format!("must be {expected}")),
    }
}

fn describe(problems: &[(String, String)]) -> String {
    let problems = problems.iter().map(|(key, problem)| format!("{key} {problem}"));
    problems.collect::<Vec<_>>().join("; ")
}
