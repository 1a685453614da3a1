//! Marks sessions whose time is over. Readers know without it that one is over; this is for whoever counts, and for
//! those who are told. Any number of instances may do it at once: a session is marked by one of them.

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
    sessions::{are_declared, expiry::store::Message},
    settings::GlobalSettingsService,
};

/// The longest pause after failures, unless the usual one is longer.
const LONGEST: Duration = Duration::from_mins(1);

/// How long the database is left to others after a batch, in times of the batch, and at most: there may be a hundred
/// thousand sessions to mark, and who starts one meanwhile is not to notice.
const REST: (f64, Duration) = (2.0, Duration::from_millis(25));

/// Marks sessions whose time is over.
#[derive(Debug)]
pub struct Expiry {
    pool: Pool,
    outbox: Outbox,
    metrics: Metrics,
    batch: u16,
}

/// What one step did.
#[derive(Debug, Clone, Copy)]
pub struct SweepResult {
    /// How many sessions it marked.
    pub expired: i64,
    /// Where the next one goes on; none when there was nothing left for it.
    pub next: Option<DateTime<Utc>>,
}

impl Expiry {
    /// One that marks at most `batch` sessions at a time, and tells the sinks of `outbox`.
    #[must_use]
    pub fn new(pool: Pool, outbox: Outbox, metrics: Metrics, batch: u16) -> Self {
        Self { pool, outbox, metrics, batch }
    }

    /// Marks one batch of those whose time was over at `from` or later, by the database's clock.
    ///
    /// # Errors
    /// The database is not available. What was marked nevertheless is not marked again.
    pub async fn step(&self, from: Option<DateTime<Utc>>) -> Result<SweepResult, TransactionError> {
        let begun = Instant::now();
        let message = self.message();
        let expire = async |conn: &mut Connection| {
            store::expire(conn, self.batch.into(), from, &message).await
        };
        let done = database::execute_autocommit(&self.pool, Deadline::standard(), expire).await?;
        self.metrics.expired(done.expired, done.lag.unwrap_or_default(), begun.elapsed());
        if 0 < done.expired {
            self.outbox.wake();
        }
        let full = i64::from(self.batch) <= done.expired;
        Ok(SweepResult { expired: done.expired, next: done.until.filter(|_| full) })
    }

    /// Marks all there are; says how many.
    ///
    /// # Errors
    /// The database is not available.
    pub async fn sweep(&self) -> Result<i64, TransactionError> {
        let (mut expired, mut from) = (0, None);
        loop {
            let begun = Instant::now();
            let step = self.step(from).await?;
            expired += step.expired;
            if step.next.is_none() {
                return Ok(expired);
            }
            from = step.next;
            let (times, longest) = REST;
            time::sleep(begun.elapsed().mul_f64(times).min(longest)).await;
        }
    }

    /// What is told of each; nothing is made up for nobody.
    fn message(&self) -> Message {
        let topic = Topic::SessionExpired;
        let sinks = self.outbox.sinks(topic);
        let most = if sinks.is_empty() { 0 } else { self.batch };
        Message { topic: topic.as_str(), sinks, ids: (0..most).map(|_| Uuid::now_v7()).collect() }
    }
}

/// Marks what is over, again and again until dropped, while the catalog of `settings` has sessions. A failure is
/// logged once, and waited out.
pub async fn expire(expiry: Expiry, pace: config::Expiry, settings: GlobalSettingsService) {
    let usual = pace.interval;
    let mut pause = usual;
    let mut well = true;
    loop {
        time::sleep(jittered(pause, 0.8..1.2)).await;
        if !are_declared(&settings.current().schema) {
            continue;
        }
        let swept = expiry.sweep().await;
        tell(&swept, well);
        well = swept.is_ok();
        if !well {
            expiry.metrics.expiry_failed();
        }
        pause = if well { usual } else { (pause * 2).min(LONGEST.max(usual)) };
    }
}

fn tell(swept: &Result<i64, TransactionError>, well: bool) {
    match swept {
        Ok(sessions @ 1..) => info!(sessions, "marked sessions whose time was over"),
        Ok(_) if !well => info!("sessions whose time is over can be marked again"),
        Err(err) if well => warn!(
            error = err as &dyn std::error::Error,
            "sessions whose time is over cannot be marked; they count as over all the same"
        ),
        _ => (),
    }
}
