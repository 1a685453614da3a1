//! Notifications of Postgres, on a connection of their own.

use std::time::Duration;

use futures_util::FutureExt as _;
use sqlx::{
    PgPool,
    postgres::{PgListener, PgNotification, PgPoolOptions},
};
use tokio::time;
use tracing::{debug, warn};

use crate::{
    metrics::Source,
    settings::{
        follow::{Pauses, take_on},
        service::GlobalSettingsService,
        store,
    },
};

const CHANNEL: &str = "brune_settings";
/// How often the listening connection is asked whether it lives: a dead one says nothing by itself.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// How long it may take to answer.
const ANSWER: Duration = Duration::from_secs(2);

/// Reads on every notification, and whenever one may have been missed.
pub(super) async fn listen(pool: &PgPool, settings: &GlobalSettingsService) {
    let mut pauses = Pauses::new();
    loop {
        let lost = listen_once(pool, settings, &mut pauses).await;
        settings.set_listening(false);
        settings.metrics().listening(false);
        warn!(
            error = &lost as &dyn std::error::Error,
            "lost the settings channel, opening it again"
        );
        pauses.pause().await;
    }
}

/// Listens until the connection fails, and returns how.
async fn listen_once(
    pool: &PgPool,
    settings: &GlobalSettingsService,
    pauses: &mut Pauses,
) -> sqlx::Error {
    let mut listener = match subscribe(pool).await {
        Ok(listener) => listener,
        Err(err) => return err,
    };
    pauses.opened();
    settings.set_listening(true);
    settings.metrics().listening(true);
    // What was committed before the channel was open, or while it was not, was not notified: so every turn
    // reads, whatever woke it.
    let mut source = Source::Connect;
    loop {
        take_on(source, pool, settings).await;
        let woken = time::timeout(HEARTBEAT, hear(&mut listener)).await;
        source = if woken.is_ok() { Source::Notify } else { Source::Poll };
        let alive = match woken {
            Ok(Ok(Some(_))) => Ok(()),
            // The connection was lost; the listener hides what happened meanwhile, so start afresh.
            Ok(Ok(None)) => Err(sqlx::Error::PoolClosed),
            Ok(Err(err)) => Err(err),
            Err(_) => heartbeat(&mut listener).await,
        };
        if let Err(err) = alive {
            return err;
        }
    }
}

/// A connection of its own: it is never given back, and must not take one from the requests.
async fn subscribe(pool: &PgPool) -> sqlx::Result<PgListener> {
    let own = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(ANSWER)
        .connect_with(pool.connect_options().as_ref().clone())
        .await?;
    let mut listener = PgListener::connect_with(&own).await?;
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await?;
    debug!("listening for changes of settings");
    Ok(listener)
}

/// Waits for a notification, and takes all that are there: one reading answers them.
async fn hear(listener: &mut PgListener) -> sqlx::Result<Option<PgNotification>> {
    let mut heard = listener.try_recv().await;
    while let Ok(Some(_)) = heard {
        let Some(next) = listener.try_recv().now_or_never() else { break };
        heard = next;
    }
    heard
}

async fn heartbeat(listener: &mut PgListener) -> sqlx::Result<()> {
    match time::timeout(ANSWER, store::ping(listener)).await {
        Ok(answer) => answer,
        Err(_) => Err(sqlx::Error::PoolTimedOut),
    }
}
