//! Reloads of the follower: failures are logged, and the current settings stay in force.

use std::error::Error;

use tracing::error;

use crate::{
    database::Pool,
    metrics::Source,
    settings::{current::GlobalSettingsService, notification::NotifiedChange, reload},
};

/// Reloads the settings because of `source`. Returns whether the database was read and is valid.
pub(super) async fn reload(source: Source, pool: &Pool, settings: &GlobalSettingsService) -> bool {
    let result = reload::refresh_for(source, pool, settings).await;
    if let Err(err) = &result {
        log(err, settings);
    }
    result.is_ok()
}

/// Applies notified `changes`, in the order of their commits. Returns whether the database has to be read.
pub(super) async fn needs_reload(
    settings: &GlobalSettingsService,
    changes: Vec<NotifiedChange>,
) -> bool {
    match reload::apply_notified(settings, changes).await {
        Ok(is_current) => !is_current,
        Err(err) => {
            log(&err, settings);
            // The database has the same invalid settings.
            false
        }
    }
}

/// Logs a failed reload.
fn log(err: &reload::Error, settings: &GlobalSettingsService) {
    // Logged, not returned, because the follower must outlive an outage of the database.
    let revision = settings.revision();
    error!(error = err as &dyn Error, "reload failed; revision {revision} stays in force");
}

/// Reloads the settings after every write through this instance, for followers without notifications.
pub(super) async fn reload_after_local_writes(pool: &Pool, settings: &GlobalSettingsService) {
    loop {
        settings.local_write().await;
        reload(Source::Demand, pool, settings).await;
    }
}
