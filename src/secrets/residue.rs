//! What an older release left of secrets in the database.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use crate::{
    config::Secret,
    database::{self, Pool, TransactionError},
    metrics::Metrics,
    secrets::store,
};

/// The secrets of which something is left, by name.
pub type Residue = Vec<String>;

/// What is left of secrets, now.
pub async fn residue(pool: &Pool) -> Result<Residue, TransactionError> {
    database::read_with_retry(pool, store::residue).await
}

/// The secrets that are still stored among the settings, as a release before this boundary read them. A
/// value that is no text, or blank, is of no use and left out.
pub async fn legacy(pool: &Pool) -> Result<Vec<(String, Secret)>, TransactionError> {
    let rows = database::read_with_retry(pool, store::values);
    let secret = |(key, value): (String, serde_json::Value)| match value {
        serde_json::Value::String(text) if !text.trim().is_empty() => {
            Some((key, Secret::new(text)))
        }
        _ => None,
    };
    Ok(rows.await?.into_iter().filter_map(secret).collect())
}

/// Looks for residue again and again, and says in log and metrics what there is.
pub async fn watch(pool: Pool, metrics: Metrics, every: Duration) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut known = Residue::new();
    loop {
        ticks.tick().await;
        // Away for a while is no news of ours: whoever needs the database says so.
        let Ok(found) = residue(&pool).await else { continue };
        metrics.secret_residue(found.len());
        if found != known {
            tell(&found);
        }
        known = found;
    }
}

fn tell(found: &Residue) {
    if found.is_empty() {
        info!("nothing is left of any secret in the database");
        return;
    }
    warn!(
        secrets = found.join(", "),
        "the database still holds values of secrets; provide them outside, restart, and run \
         `brune secrets cleanup`"
    );
}
