//! Change signals by Redis: each instance publishes its revision, unless another instance was first.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use ::redis::{Client, RedisError, aio::PubSub};
use tokio::time;
use tokio_stream::StreamExt as _;
use tracing::{debug, warn};

use crate::{
    config::Secret,
    database::Pool,
    metrics::Source,
    settings::{
        current::GlobalSettingsService,
        follow::{backoff::Backoff, reloads::reload},
    },
};

const CHANNEL: &str = "brune_settings";
/// The interval of liveness checks of the connection.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// The timeout of a command.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Publishes and receives revisions until dropped. Without Redis, changes are detected by polling.
pub(super) async fn exchange(url: &Secret, pool: &Pool, settings: &GlobalSettingsService) {
    // `open` only parses the URL, so an outage of Redis never ends the function.
    let Ok(client) = Client::open(url.expose()) else {
        // Without the error of the library, which may quote the URL with its password.
        warn!("invalid REDIS_URL; changes are detected by polling");
        return;
    };
    // The newest revision published by any instance.
    let published = AtomicI64::new(settings.revision());
    let mut backoff = Backoff::of_reconnects();
    loop {
        // Each direction has a connection, because a subscribed connection of RESP2 cannot publish.
        let err = tokio::select! {
            err = receive(&client, &published, &mut backoff, pool, settings) => err,
            err = publish(&client, &published, settings) => err,
        };
        settings.metrics().listening(false);
        let pause = backoff.next_pause();
        warn!(
            error = err,
            "Redis disconnected; reconnecting in {pause:.1?}; changes are detected by polling"
        );
        time::sleep(pause).await;
    }
}

/// Reloads the settings on every message with a newer revision, until the connection fails; returns the failure.
async fn receive(
    client: &Client,
    published: &AtomicI64,
    backoff: &mut Backoff,
    pool: &Pool,
    settings: &GlobalSettingsService,
) -> String {
    let mut subscription = match with_timeout(subscribe(client)).await {
        Ok(subscription) => subscription,
        Err(err) => return err,
    };
    debug!("subscribed to {CHANNEL} of Redis");
    backoff.record_open();
    settings.metrics().listening(true);
    // Messages before the subscription are lost.
    reload(Source::Connect, pool, settings).await;
    let mut messages = subscription.on_message();
    while let Some(message) = messages.next().await {
        // A payload without a revision counts as 0, and revision 0 is never newer.
        let revision = message.get_payload::<i64>().unwrap_or_default();
        // Not to be published a second time by this instance.
        published.fetch_max(revision, Ordering::Relaxed);
        if revision > settings.revision() {
            reload(Source::Redis, pool, settings).await;
        }
    }
    "connection closed".to_owned()
}

async fn subscribe(client: &Client) -> Result<PubSub, RedisError> {
    let mut subscription = client.get_async_pubsub().await?;
    subscription.subscribe(CHANNEL).await?;
    Ok(subscription)
}

/// Publishes the revisions not published by another instance, until the connection fails; returns the failure.
async fn publish(
    client: &Client,
    published: &AtomicI64,
    settings: &GlobalSettingsService,
) -> String {
    let mut connection = match with_timeout(client.get_multiplexed_async_connection()).await {
        Ok(connection) => connection,
        Err(err) => return err,
    };
    let mut revisions = settings.revisions();
    loop {
        let revision = *revisions.borrow_and_update();
        let result = if published.fetch_max(revision, Ordering::Relaxed) < revision {
            let mut command = ::redis::cmd("PUBLISH");
            let command = command.arg(CHANNEL).arg(revision);
            with_timeout(command.query_async::<()>(&mut connection)).await
        } else {
            // A liveness check: a dead connection is silent.
            with_timeout(::redis::cmd("PING").query_async::<()>(&mut connection)).await
        };
        if let Err(err) = result {
            // Not published after all, so the next connection must publish the revision.
            published.store(revision - 1, Ordering::Relaxed);
            return err;
        }
        let _ = time::timeout(HEARTBEAT, revisions.changed()).await;
    }
}

/// Awaits `command`, up to the timeout.
async fn with_timeout<T>(
    command: impl Future<Output = Result<T, RedisError>>,
) -> Result<T, String> {
    match time::timeout(TIMEOUT, command).await {
        // Only the category is kept, because a message of the library may quote the URL.
        Ok(result) => result.map_err(|err| err.category().to_owned()),
        Err(_) => Err("timed out".to_owned()),
    }
}
