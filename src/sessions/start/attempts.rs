//! Deletion of expired entries of the rate limit, and of expired records of refused starts.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tracing::debug;

use crate::{
    clock::jittered,
    database::{self, Connection, Deadline, Pool},
    sessions::{refusal, start::store},
};

/// Interval of the deletion.
// Rows older than a minute are ignored anyway, so the interval only bounds the table.
const INTERVAL: Duration = Duration::from_mins(2);

/// Deletes attempts of the rate limit older than a minute and refusals older than 8 days, periodically, until dropped.
pub async fn forget_attempts(pool: Pool) {
    // Jitter, so that instances do not run at the same time.
    let mut ticks = interval(jittered(INTERVAL, 0.8..1.2));
    // After a suspension one deletion suffices.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let delete = async |conn: &mut Connection| store::delete_expired_attempts(conn).await;
        // Errors are not logged: tasks that need the database report an outage.
        if let Ok(deleted) = database::execute_autocommit(&pool, Deadline::standard(), delete).await
        {
            debug!(deleted, "deleted expired start attempts");
        }
        if let Ok(deleted) = refusal::forget(&pool).await {
            debug!(deleted, "deleted expired records of refused starts");
        }
    }
}
