//! Values of secrets that an older release stored in the database.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use crate::{
    config::Secret,
    database::{self, Pool, TransactionError},
    metrics::Metrics,
    secrets::store,
};

/// Names of secrets with stored values, sorted.
pub type Residue = Vec<String>;

/// Returns the secrets with stored values.
pub async fn residue(pool: &Pool) -> Result<Residue, TransactionError> {
    database::read_with_retry(pool, store::residue).await
}

/// Returns the values of secrets that are still stored as settings, except blank values and values that are not
/// strings.
pub async fn legacy(pool: &Pool) -> Result<Vec<(String, Secret)>, TransactionError> {
    let rows = database::read_with_retry(pool, store::values);
    let secret = |(key, value): (String, serde_json::Value)| match value {
        serde_json::Value::String(text) if !text.trim().is_empty() => {
            Some((key, Secret::new(text)))
        }
        // Secrets are texts: a value of another type was never usable as a secret.
        _ => None,
    };
    Ok(rows.await?.into_iter().filter_map(secret).collect())
}

/// Reports secrets with stored values periodically, in the log and in a metric, until dropped.
pub async fn watch(pool: Pool, metrics: Metrics, every: Duration) {
    let mut ticks = interval(every);
    // After a suspension one report suffices.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Empty at first, so a clean database logs nothing at the start.
    let mut last_reported = Residue::new();
    loop {
        ticks.tick().await;
        // Not logged: tasks that need the database report an outage.
        let Ok(current) = residue(&pool).await else { continue };
        metrics.secret_residue(current.len());
        if current != last_reported {
            report(&current);
        }
        last_reported = current;
    }
}

fn report(residue: &Residue) {
    if residue.is_empty() {
        info!("no secret is stored in the database anymore");
        return;
    }
    warn!(
        secrets = residue.join(", "),
        "values of secrets are still stored in the database; provide the secrets from outside, restart, and run \
         `brune secrets cleanup`"
    );
}
