//! The follower: reloads [`GlobalSettingsService`] on every change signal, and on a timer.
//!
//! A signal may be lost, late or duplicated. It only says when to reload; the data is always read from the database.

mod backoff;
mod batch;
mod notify;
mod redis;
mod reloads;
mod store;

use std::time::Duration;

use tokio::time;
use tracing::warn;

use crate::{
    clock::jittered,
    config::Secret,
    database::Pool,
    metrics::Source,
    settings::{
        current::GlobalSettingsService,
        follow::reloads::{reload, reload_after_local_writes},
    },
};

/// The source of change signals, which arrive before the poll.
#[derive(Debug, Clone)]
pub enum ChangeSignal {
    /// Notifications of Postgres.
    Notify,
    /// No signals: for poolers with shared sessions, and for databases without `LISTEN`.
    None,
    /// Messages between the instances, through the Redis server at the URL.
    Redis(Secret),
}

/// Follows the database by notification and by poll, until dropped.
pub async fn follow(pool: Pool, settings: GlobalSettingsService, poll: Duration) {
    follow_by(ChangeSignal::Notify, pool, settings, poll).await;
}

/// Follows the database by `signal` and by poll, until dropped. After a failed reload the current settings stay in
/// force.
pub async fn follow_by(
    signal: ChangeSignal,
    pool: Pool,
    settings: GlobalSettingsService,
    poll: Duration,
) {
    let polls = reload_on_timer(&pool, &settings, poll);
    match signal {
        ChangeSignal::Notify if pool.session_options().is_some() => {
            tokio::join!(notify::listen(&pool, &settings), polls);
        }
        ChangeSignal::Notify | ChangeSignal::None => {
            if let ChangeSignal::Notify = signal {
                warn!(
                    "no notifications through a pooler in transaction mode; changes by other instances are found by \
                     the poll; set DATABASE_DIRECT_URL for a direct connection to listen on"
                );
            }
            // Readiness requires a listener, and no listener is opened without signals.
            settings.set_listening(true);
            tokio::join!(reload_after_local_writes(&pool, &settings), polls);
        }
        ChangeSignal::Redis(url) => {
            // Readiness does not depend on Redis: without Redis the poll finds every change.
            settings.set_listening(true);
            let messages = redis::exchange(&url, &pool, &settings);
            tokio::join!(reload_after_local_writes(&pool, &settings), messages, polls);
        }
    }
}

/// Reloads on a timer.
async fn reload_on_timer(pool: &Pool, settings: &GlobalSettingsService, poll: Duration) {
    loop {
        // With jitter, so that the instances do not poll all at once.
        time::sleep(jittered(poll, 0.9..1.1)).await;
        // Through the pool, not through the listening connection: the poll covers the silent loss of the latter.
        reload(Source::Poll, pool, settings).await;
    }
}
