//! The expiry task, which marks expired sessions and enqueues messages. Readers compute the status without the mark.
//! Several instances may run the task concurrently: each session is marked by exactly one instance.

mod store;

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::{self, Instant};
use tracing::{info, warn};
use uuid::Uuid;

use crate::{
    clock::jittered,
    config,
    database::{self, Connection, Deadline, Pool, TransactionError},
    metrics::Metrics,
    outbox::{Outbox, Topic},
    sessions::{expiry::store::ExpiredMessages, rules::are_declared},
    settings::GlobalSettingsService,
};

/// Maximum backoff after errors, unless the regular interval is longer.
const MAX_BACKOFF: Duration = Duration::from_mins(1);

/// Pause after a batch, as a multiple of the batch duration. The backlog may have a hundred thousand sessions, and must
/// not slow down session starts.
const PAUSE_FACTOR: f64 = 2.0;
/// Maximum pause after a batch.
const MAX_PAUSE: Duration = Duration::from_millis(25);

/// Marks expired sessions.
#[derive(Debug)]
pub struct Expiry {
    pool: Pool,
    outbox: Outbox,
    metrics: Metrics,
    batch: u16,
}

/// The result of a batch.
#[derive(Debug, Clone, Copy)]
pub struct SweepResult {
    /// Number of marked sessions.
    pub expired: i64,
    /// The start of the next batch; `None` after the last batch.
    pub next: Option<DateTime<Utc>>,
}

impl Expiry {
    /// Creates a task that marks up to `batch` sessions at a time, with a message for each sink of `outbox`.
    #[must_use]
    pub fn new(pool: Pool, outbox: Outbox, metrics: Metrics, batch: u16) -> Self {
        Self { pool, outbox, metrics, batch }
    }

    /// Marks one batch of sessions that expired at `from` or later, by the database's clock.
    ///
    /// # Errors
    /// The database failed. Sessions of a batch with unknown outcome are not marked twice.
    pub async fn step(&self, from: Option<DateTime<Utc>>) -> Result<SweepResult, TransactionError> {
        let started_at = Instant::now();
        let messages = self.messages();
        let expire = async |conn: &mut Connection| {
            store::expire(conn, self.batch.into(), from, &messages).await
        };
        let batch = database::execute_autocommit(&self.pool, Deadline::standard(), expire).await?;
        self.metrics.expired(batch.expired, batch.lag.unwrap_or_default(), started_at.elapsed());
        // Without the wake-up the messages would wait for the worker's timer.
        if batch.expired > 0 {
            self.outbox.wake();
        }
        // A full batch indicates further expired sessions.
        let is_full = batch.expired >= i64::from(self.batch);
        Ok(SweepResult { expired: batch.expired, next: batch.until.filter(|_| is_full) })
    }

    /// Marks all expired sessions and returns the count.
    ///
    /// # Errors
    /// The database failed.
    pub async fn sweep(&self) -> Result<i64, TransactionError> {
        let mut expired = 0;
        let mut from = None;
        loop {
            let started_at = Instant::now();
            let step = self.step(from).await?;
            expired += step.expired;
            if step.next.is_none() {
                return Ok(expired);
            }
            from = step.next;
            time::sleep(started_at.elapsed().mul_f64(PAUSE_FACTOR).min(MAX_PAUSE)).await;
        }
    }

    fn messages(&self) -> ExpiredMessages {
        let topic = Topic::SessionExpired;
        let sinks = self.outbox.sinks(topic);
        // Without a sink no ids are generated, because no message is stored.
        let count = if sinks.is_empty() { 0 } else { self.batch };
        let ids = (0..count).map(|_| Uuid::now_v7()).collect();
        ExpiredMessages { topic: topic.as_str(), sinks, ids }
    }
}

/// Marks expired sessions periodically until dropped, while the catalog of `settings` declares sessions. Retries errors
/// with a backoff and logs only the first error.
pub async fn expire(expiry: Expiry, config: config::Expiry, settings: GlobalSettingsService) {
    let interval = config.interval;
    let mut pause = interval;
    let mut is_healthy = true;
    loop {
        // Jitter, so that instances do not run at the same time.
        time::sleep(jittered(pause, 0.8..1.2)).await;
        // A catalog without sessions may be published at any time.
        if !are_declared(&settings.current().schema) {
            continue;
        }
        let result = expiry.sweep().await;
        log_result(&result, is_healthy);
        is_healthy = result.is_ok();
        if !is_healthy {
            expiry.metrics.expiry_failed();
        }
        let backoff = (pause * 2).min(MAX_BACKOFF.max(interval));
        pause = if is_healthy { interval } else { backoff };
    }
}

fn log_result(result: &Result<i64, TransactionError>, was_healthy: bool) {
    match result {
        Ok(sessions @ 1..) => info!(sessions, "marked expired sessions"),
        Ok(_) if !was_healthy => info!("marking of expired sessions recovered"),
        Err(err) if was_healthy => warn!(
            error = err as &dyn std::error::Error,
            "failed to mark expired sessions; readers treat expired sessions as over nevertheless"
        ),
        _ => (),
    }
}
