//! Keeps this instance's row: at once with each revision applied, and on a timer.

use std::time::Duration;

use tokio::time;
use tracing::{info, warn};

use crate::{
    clock::jittered,
    database::{Pool, TransactionError},
    fleet::{Fleet, members},
    metrics::Metrics,
    outbox::Outbox,
    settings::GlobalSettingsService,
};

/// The pause after the first heartbeat that failed; it doubles up to the usual one.
const SOON: Duration = Duration::from_millis(100);

/// How long an instance that has applied a revision leaves the database to those that have not.
const AFTER: Duration = Duration::from_millis(4);

/// Keeps the row until dropped. Revisions that come while one is written are written together, by the next.
pub async fn keep(
    pool: Pool,
    settings: GlobalSettingsService,
    fleet: Fleet,
    outbox: Outbox,
    metrics: Metrics,
) {
    let mut revisions = settings.revisions();
    let usual = fleet.pace().beat;
    let mut pause = usual;
    let mut faults = Vec::new();
    loop {
        let revision = *revisions.borrow_and_update();
        let written = fleet.join(&pool, revision).await;
        tell(&written, pause < usual);
        pause = match written {
            Ok(()) => usual,
            Err(_) if pause < usual => (pause * 2).min(usual),
            Err(_) => SOON.min(usual / 2),
        };
        match time::timeout(jittered(pause, 0.9..1.1), revisions.changed()).await {
            Ok(_) => time::sleep(jittered(AFTER, 0.5..1.5)).await,
            Err(_) => {
                report(&pool, &settings, &fleet, &outbox, &mut faults).await;
                sweep(&pool, &fleet, &outbox, &metrics).await;
            }
        }
    }
}

/// Says once that nobody sees this instance, and once that they do again.
fn tell(written: &Result<(), TransactionError>, known: bool) {
    match written {
        Err(err) if !known => warn!(
            error = err as &dyn std::error::Error,
            "this instance's heartbeat was not stored: soon nobody will wait for it"
        ),
        Ok(()) if known => info!("this instance's heartbeat is stored again"),
        _ => (),
    }
}

/// On the timer only: a revision is nothing to be held up.
async fn sweep(pool: &Pool, fleet: &Fleet, outbox: &Outbox, metrics: &Metrics) {
    // A failure is the next heartbeat's to tell.
    if let Ok(listing) = members(pool, fleet).await {
        metrics.instances(listing.instances.iter().filter(|it| it.live).count());
    }
    if let Ok(gone @ 1..) = fleet.forget(pool, outbox).await {
        info!(instances = gone, "forgot instances that ended without saying so");
    }
}

/// Leaves word when the settings of the database have become invalid, and when they are valid again: `told` is
/// what was last said of them.
async fn report(
    pool: &Pool,
    settings: &GlobalSettingsService,
    fleet: &Fleet,
    outbox: &Outbox,
    told: &mut Vec<String>,
) {
    let faults = settings.violations();
    if faults.is_empty() == told.is_empty() {
        return;
    }
    let keys: Vec<String> = faults.iter().map(|it| it.key.clone()).collect();
    // What could not be said is said with the next heartbeat.
    if fleet.report(pool, outbox, &keys).await.is_ok() {
        *told = keys;
    }
}
