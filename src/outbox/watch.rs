//! Reports the backlog as metrics and deletes old messages.

use std::{collections::BTreeSet, time::Duration};

use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use crate::{
    clock::jittered,
    database::{self, Pool, TransactionError},
    metrics::Metrics,
    outbox::{queue::Outbox, store},
};

/// The interval of measuring the backlog.
const INTERVAL: Duration = Duration::from_secs(10);
/// The number of measurements between two clean-ups.
// Once an hour, at a measurement every ten seconds.
const CLEANUP_EVERY: u32 = 360;
/// How long delivered messages are kept.
const KEEP_DELIVERED: Duration = Duration::from_hours(7 * 24);
/// How long dead messages are kept, and how long a message may wait.
const KEEP_DEAD: Duration = Duration::from_hours(30 * 24);
/// The number of messages that one statement deletes.
const DELETE_BATCH: u16 = 1_000;

/// Measures and cleans up periodically, until dropped.
pub async fn watch(pool: Pool, outbox: Outbox, metrics: Metrics) {
    let mut ticks = interval(jittered(INTERVAL, 0.9..1.1));
    // After a stall, one measurement suffices.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut measurements = 0_u32;
    let subscriptions = outbox.subscriptions().iter();
    let mut sinks: BTreeSet<String> =
        subscriptions.map(|subscription| subscription.sink.clone()).collect();
    loop {
        ticks.tick().await;
        // The settings reload logs a database outage, so errors here are not logged again.
        let _ = measure(&pool, &metrics, &mut sinks).await;
        // True for 0 as well, so each start of an instance cleans up.
        if measurements.is_multiple_of(CLEANUP_EVERY) {
            let _ = clean_up(&pool).await;
        }
        measurements = measurements.wrapping_add(1);
    }
}

/// Reports the backlog of each of `sinks`, 0 if empty, and adds sinks with a backlog.
async fn measure(
    pool: &Pool,
    metrics: &Metrics,
    sinks: &mut BTreeSet<String>,
) -> Result<(), TransactionError> {
    let backlog = database::read_with_retry(pool, store::backlog).await?;
    // A sink without messages has no row, but its series must return to 0.
    for sink in sinks.iter().filter(|name| !backlog.iter().any(|row| row.sink == **name)) {
        metrics.backlog(sink, 0, 0, 0.0);
    }
    for row in backlog {
        metrics.backlog(&row.sink, row.waiting, row.dead, row.oldest.unwrap_or_default());
        sinks.insert(row.sink);
    }
    Ok(())
}

/// Abandons messages that waited too long, and deletes old ones.
async fn clean_up(pool: &Pool) -> Result<(), TransactionError> {
    let abandon = async |conn: &mut _| store::abandon_undelivered(conn, KEEP_DEAD).await;
    let messages = database::read_with_retry(pool, abandon).await?;
    if messages > 0 {
        warn!(messages, "abandoned messages that were not delivered in 30 days");
    }
    let mut messages = 0;
    for (status, age) in [("delivered", KEEP_DELIVERED), ("dead", KEEP_DEAD)] {
        let limit = i64::from(DELETE_BATCH);
        let delete = async |conn: &mut _| store::delete_settled(conn, status, age, limit).await;
        // In batches, so that no statement holds locks for long.
        loop {
            let deleted = database::read_with_retry(pool, delete).await?;
            messages += deleted;
            if deleted < DELETE_BATCH.into() {
                break;
            }
        }
    }
    if messages > 0 {
        info!(messages, "deleted old messages");
    }
    Ok(())
}
