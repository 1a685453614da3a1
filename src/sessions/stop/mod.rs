//! The stop of all session starts in an emergency. Running sessions continue.
//!
//! The database holds the stop, and the statement that starts a session checks the stop: a start after an acknowledged
//! stop never begins, on any instance. A stop ends by itself, by the clock of the database.

mod store;

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;
use utoipa::ToSchema;

use crate::{
    audit::Actor,
    clock::jittered,
    database::{self, Connection, Pool, TransactionError},
    idempotency::{self, Execution},
    metrics::Metrics,
    outbox::{Outbox, Topic},
    secret_scanner::SecretKind,
    settings::{SettingsWriter, WriteOptions},
};

/// The pause between two reads of the state for the metrics.
const WATCH_INTERVAL: Duration = Duration::from_secs(5);

/// Whether sessions can start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StartsState {
    /// Grows with every stop and every resumption.
    pub epoch: i64,
    /// The stop in force; null if sessions can start.
    #[schema(required)]
    pub stopped: Option<Stop>,
}

/// A stop of all session starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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
    /// The idempotency key belongs to another request.
    #[error(transparent)]
    Idempotency(#[from] idempotency::Reused),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] TransactionError),
}

impl From<sqlx::Error> for StopError {
    fn from(err: sqlx::Error) -> Self {
        Self::Database(err.into())
    }
}

/// Reads whether sessions can start.
///
/// # Errors
/// The database failed.
pub async fn starts_state(pool: &Pool) -> Result<StartsState, TransactionError> {
    let row = database::read_with_retry(pool, async |conn| store::find(conn).await).await?;
    Ok(row.into())
}

/// The parts of a stop or a resumption.
#[derive(Debug, Clone, Copy)]
pub struct StartsWriter<'a> {
    /// The database.
    pub pool: &'a Pool,
    /// Scans reasons, and records refused ones.
    pub settings: &'a SettingsWriter,
    /// The outbox, for the message `starts.stopped`.
    pub outbox: &'a Outbox,
}

impl StartsWriter<'_> {
    /// Stops all starts for `minutes`. Replaces a stop in force.
    ///
    /// # Errors
    /// The reason looks like a secret, or the database failed.
    pub async fn stop(
        &self,
        actor: &Actor,
        minutes: i64,
        options: &WriteOptions,
    ) -> Result<Execution<StartsState>, StopError> {
        self.refuse_secret(actor, options).await?;
        let insert = async |conn: &mut Connection| {
            let state = StartsState::from(store::insert_stop(conn, actor, minutes).await?);
            self.enqueue(conn, actor, &state).await?;
            Ok::<_, StopError>(state)
        };
        let executed = self.run(options, insert).await?;
        if !executed.is_repeat && !options.dry_run {
            let (by, reason) = (actor.user.as_str(), actor.reason.as_str());
            warn!(by, reason, minutes, "all session starts are stopped");
        }
        Ok(executed)
    }

    /// Ends a stop of all starts. Without a stop in force nothing is stored.
    ///
    /// # Errors
    /// The reason looks like a secret, or the database failed.
    pub async fn resume(
        &self,
        actor: &Actor,
        options: &WriteOptions,
    ) -> Result<Execution<StartsState>, StopError> {
        self.refuse_secret(actor, options).await?;
        let mut is_resumed = false;
        let insert = async |conn: &mut Connection| {
            is_resumed = store::insert_resumption(conn, actor).await?;
            let state = StartsState::from(store::find(conn).await?);
            if is_resumed {
                self.enqueue(conn, actor, &state).await?;
            }
            Ok::<_, StopError>(state)
        };
        let executed = self.run(options, insert).await?;
        if is_resumed && !options.dry_run {
            let (by, reason) = (actor.user.as_str(), actor.reason.as_str());
            warn!(by, reason, "session starts are resumed");
        }
        Ok(executed)
    }

    /// Refuses a secret-like reason, because the reason is stored and logged.
    async fn refuse_secret(&self, actor: &Actor, options: &WriteOptions) -> Result<(), StopError> {
        match self.settings.scan_text(actor, actor.reason.as_str(), options.dry_run).await? {
            Some(kind) => Err(StopError::SecretInReason(kind)),
            None => Ok(()),
        }
    }

    async fn run(
        &self,
        options: &WriteOptions,
        step: impl AsyncFnOnce(&mut Connection) -> Result<StartsState, StopError>,
    ) -> Result<Execution<StartsState>, StopError> {
        let key = options.idempotency.as_ref();
        let executed = idempotency::run_once(self.pool, key, options.on_success(), step).await?;
        // After the commit: an earlier wake-up would find no message.
        self.outbox.wake();
        Ok(executed)
    }

    /// Enqueues the message of a stop or a resumption, in the transaction of `conn`.
    async fn enqueue(
        &self,
        conn: &mut Connection,
        actor: &Actor,
        state: &StartsState,
    ) -> sqlx::Result<()> {
        let stop = state.stopped.as_ref();
        let payload = json!({
            "event": if stop.is_some() { "stopped" } else { "resumed" },
            "epoch": state.epoch,
            "until": stop.map(|stop| stop.stopped_until),
            "by": actor.user,
            "reason": actor.reason.as_str(),
            "request_id": actor.request,
        });
        self.outbox.enqueue(conn, Topic::StartsStopped, &payload).await
    }
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
