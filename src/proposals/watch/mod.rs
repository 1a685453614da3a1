//! Counts proposals for the metrics.

mod store;

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::{
    clock::jittered,
    database::{self, Pool, TransactionError},
    metrics::Metrics,
};

/// The pause between two counts.
const INTERVAL: Duration = Duration::from_secs(10);

/// Updates the metrics of proposals periodically. Runs until the future is dropped.
pub async fn watch(pool: Pool, metrics: Metrics) {
    let mut ticks = interval(jittered(INTERVAL, 0.9..1.1));
    // After a stall, one count suffices.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // The settings reload logs a database outage, so errors here are not logged again.
        let _ = count(&pool, &metrics).await;
    }
}

async fn count(pool: &Pool, metrics: &Metrics) -> Result<(), TransactionError> {
    let counts = database::read_with_retry(pool, store::counts).await?;
    let proposals = metrics.proposals();
    proposals.set_open(counts.open, counts.overdue);
    proposals.set_unacknowledged(counts.unacknowledged, counts.oldest_unacknowledged);
    Ok(())
}
