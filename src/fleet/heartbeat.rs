//! The heartbeat of this instance: soon after each applied revision, and on a timer.

use std::time::Duration;

use tokio::time::{self, Instant};
use tracing::{info, warn};

use crate::{
    clock::jittered,
    database::{Pool, TransactionError},
    fleet::member::{Fleet, members},
    metrics::Metrics,
    outbox::Outbox,
    settings::GlobalSettingsService,
};

/// The backoff after the first failed heartbeat; doubles up to the regular interval.
const FIRST_BACKOFF: Duration = Duration::from_millis(100);

/// The shortest time between the starts of two heartbeats. Changes at a high rate must not cause as many writes of each
/// instance.
const MIN_INTERVAL: Duration = Duration::from_millis(2);

/// Sends heartbeats until dropped: at once for an applied revision that a writer may wait for, and later for others, so
/// that the acknowledgements do not compete with the instances that still apply the change. Several revisions until then
/// are acknowledged by one heartbeat.
pub async fn keep(
    pool: Pool,
    settings: GlobalSettingsService,
    fleet: Fleet,
    outbox: Outbox,
    metrics: Metrics,
) {
    let mut revisions = settings.revisions();
    let mut awaited_revisions = settings.awaited_revisions();
    let interval = fleet.policy().beat;
    let mut pause = interval;
    let mut reported_keys = Vec::new();
    loop {
        // Marked as seen before the heartbeat, so that a revision during the heartbeat triggers another heartbeat.
        awaited_revisions.mark_unchanged();
        let revision = *revisions.borrow_and_update();
        let started_at = Instant::now();
        let result = fleet.join(&pool, revision).await;
        // Only a backoff is shorter than the interval, so the pause also serves as the state.
        let was_failing = pause < interval;
        log_transition(&result, was_failing);
        pause = match result {
            Ok(()) => interval,
            Err(_) if was_failing => (pause * 2).min(interval),
            // Below the interval, because `was_failing` compares the pause with the interval.
            Err(_) => FIRST_BACKOFF.min(interval / 2),
        };
        let acknowledgement = async {
            let _ = revisions.changed().await;
            // Wide jitter: the acknowledgements of all instances must not coincide either.
            time::sleep(jittered(fleet.policy().acknowledgement, 0.5..1.5)).await;
        };
        tokio::select! {
            _ = awaited_revisions.changed() => {
                // Usually long past, because changes are rarer.
                time::sleep_until(started_at + MIN_INTERVAL).await;
            }
            () = acknowledgement => (),
            // Jitter, so that instances do not write at the same time.
            () = time::sleep(jittered(pause, 0.9..1.1)) => {
                // Only on the timer, so that no heartbeat of a new revision is delayed.
                report(&pool, &settings, &fleet, &outbox, &mut reported_keys).await;
                sweep(&pool, &fleet, &outbox, &metrics).await;
            }
        }
    }
}

/// Logs the first failure and the recovery, not every heartbeat.
fn log_transition(result: &Result<(), TransactionError>, was_failing: bool) {
    match result {
        Err(err) if !was_failing => warn!(
            error = err as &dyn std::error::Error,
            "heartbeat failed; writers will soon no longer wait for this instance"
        ),
        Ok(()) if was_failing => info!("heartbeat recovered"),
        _ => (),
    }
}

/// Counts live instances and deletes expired instances.
async fn sweep(pool: &Pool, fleet: &Fleet, outbox: &Outbox, metrics: &Metrics) {
    // Errors are not logged, because the next heartbeat will fail and log too.
    if let Ok(listing) = members(pool, fleet).await {
        metrics.instances(listing.instances.iter().filter(|instance| instance.live).count());
    }
    if let Ok(expired @ 1..) = fleet.delete_expired(pool, outbox).await {
        info!(instances = expired, "deleted expired instances");
    }
}

/// Enqueues a message when the settings in the database become invalid or valid again. `reported` are the invalid keys
/// of the last message.
async fn report(
    pool: &Pool,
    settings: &GlobalSettingsService,
    fleet: &Fleet,
    outbox: &Outbox,
    reported: &mut Vec<String>,
) {
    let violations = settings.violations();
    if violations.is_empty() == reported.is_empty() {
        return;
    }
    let keys: Vec<String> = violations.iter().map(|violation| violation.key.clone()).collect();
    // After a failure the next sweep retries.
    if fleet.report_validity(pool, outbox, &keys).await.is_ok() {
        *reported = keys;
    }
}
