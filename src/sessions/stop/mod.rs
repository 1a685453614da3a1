//! The stop of all session starts in an emergency. Running sessions continue.
//!
//! The database holds the stop, and the statement that starts a session checks the stop: a start after an acknowledged
//! stop never begins, on any instance. A stop ends by itself, by the clock of the database.

mod store;

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;
use utoipa::ToSchema;

use crate::{
    audit::Actor,
    clock::jittered,
    database::{self, Connection, Deadline, Pool, TransactionError},
    metrics::Metrics,
    secret_scanner::{SecretKind, SecretScanner},
};

/// The pause between two reads of the state for the metrics.
const WATCH_INTERVAL: Duration = Duration::from_secs(5);

/// Whether sessions can start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct StartsState {
    /// Grows with every stop and every resumption.
    pub epoch: i64,
    /// The stop in force; null if sessions can start.
    #[schema(required)]
    pub stopped: Option<Stop>,
}

/// A stop of all session starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = StartsStop)]
pub struct Stop {
    /// The author.
    pub stopped_by: String,
    /// The reason.
    pub reason: String,
    /// The beginning.
    pub stopped_at: DateTime<Utc>,
    /// When the stop ends by itself.
    pub stopped_until: DateTime<Utc>,
}

/// Why starts could not be stopped or resumed.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    /// The reason looks like a secret.
    #[error("the reason {}", .0.detail())]
    SecretInReason(SecretKind),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] TransactionError),
}

/// Reads whether sessions can start.
///
/// # Errors
/// The database failed.
pub async fn starts_state(pool: &Pool) -> Result<StartsState, TransactionError> {
    let row = database::read_with_retry(pool, async |conn| store::find(conn).await).await?;
    Ok(row.into())
}

/// Stops all starts for `minutes`. Replaces a stop in force.
///
/// # Errors
/// The reason looks like a secret, or the database failed.
pub async fn stop_starts(
    pool: &Pool,
    scanner: &SecretScanner,
    actor: &Actor,
    minutes: i64,
) -> Result<StartsState, StopError> {
    refuse_secret(scanner, actor)?;
    let insert = async |conn: &mut Connection| store::insert_stop(conn, actor, minutes).await;
    let row = database::execute_autocommit(pool, Deadline::standard(), insert).await?;
    let (by, reason) = (actor.user.as_str(), actor.reason.as_str());
    warn!(by, reason, minutes, "all session starts are stopped");
    Ok(row.into())
}

/// Ends a stop of all starts. Without a stop in force nothing is stored.
///
/// # Errors
/// The reason looks like a secret, or the database failed.
pub async fn resume_starts(
    pool: &Pool,
    scanner: &SecretScanner,
    actor: &Actor,
) -> Result<StartsState, StopError> {
    refuse_secret(scanner, actor)?;
    let insert = async |conn: &mut Connection| store::insert_resumption(conn, actor).await;
    if database::execute_autocommit(pool, Deadline::standard(), insert).await? {
        let (by, reason) = (actor.user.as_str(), actor.reason.as_str());
        warn!(by, reason, "session starts are resumed");
    }
    Ok(starts_state(pool).await?)
}

/// Updates the metric of the stop, periodically, until dropped.
pub async fn watch_stop(pool: Pool, metrics: Metrics) {
    // Jitter, so that instances do not read at the same time.
    let mut ticks = interval(jittered(WATCH_INTERVAL, 0.8..1.2));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // Errors are not logged: tasks that need the database report an outage.
        if let Ok(state) = starts_state(&pool).await {
            metrics.starts_stopped(state.stopped.is_some());
        }
    }
}

/// Refuses a secret-like reason, because the reason is stored and logged.
fn refuse_secret(scanner: &SecretScanner, actor: &Actor) -> Result<(), StopError> {
    match scanner.scan(actor.reason.as_str()) {
        Some(kind) => Err(StopError::SecretInReason(kind)),
        None => Ok(()),
    }
}
