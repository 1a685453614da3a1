//! Reloads of the follower: failures are logged, and the current settings stay in force.

use std::error::Error;

use tracing::error;

use crate::{
    database::Pool,
    metrics::Source,
    settings::{current::GlobalSettingsService, reload},
};

/// Reloads the settings because of `source`.
pub(super) async fn reload(source: Source, pool: &Pool, settings: &GlobalSettingsService) {
    // Logged, not returned, because the follower must outlive an outage of the database.
    if let Err(err) = reload::refresh_for(source, pool, settings).await {
        let revision = settings.revision();
        error!(error = &err as &dyn Error, "reload failed; revision {revision} stays in force");
    }
}

/// Reloads the settings after every write through this instance, for followers without notifications.
pub(super) async fn reload_after_local_writes(pool: &Pool, settings: &GlobalSettingsService) {
    loop {
        settings.local_write().await;
        reload(Source::Demand, pool, settings).await;
    }
}
