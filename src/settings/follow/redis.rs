//! Messages of Redis: each instance tells the others what it has taken on, if nobody told it first.

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
        follow::{Backoff, take_on},
    },
};

const CHANNEL: &str = "brune_settings";
/// How often the connections are asked whether they live.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(2);

/// Hears and tells of changes until dropped. A Redis that is away costs nothing but the hints.
pub(super) async fn exchange(url: &Secret, pool: &Pool, settings: &GlobalSettingsService) {
    let Ok(client) = Client::open(url.expose()) else {
        // What the library says of an address may hold the password in it.
        warn!("REDIS_URL cannot be used; settings are read on the timer");
        return;
    };
    // The newest revision that Redis told of, here or from here.
    let told = AtomicI64::new(settings.revision());
    let mut pauses = Backoff::new();
    loop {
        let lost = tokio::select! {
            lost = hear(&client, &told, &mut pauses, pool, settings) => lost,
            lost = tell(&client, &told, settings) => lost,
        };
        settings.metrics().listening(false);
        warn!(error = lost, "lost Redis, connecting again; settings are read on the timer");
        pauses.pause().await;
    }
}

/// Reads on every message of something newer, until the connection fails; returns how.
async fn hear(
    client: &Client,
    told: &AtomicI64,
    pauses: &mut Backoff,
    pool: &Pool,
    settings: &GlobalSettingsService,
) -> String {
    let mut hints = match within(subscribe(client)).await {
        Ok(hints) => hints,
        Err(lost) => return lost,
    };
    debug!("hearing of changes of settings from Redis");
    pauses.opened();
    settings.metrics().listening(true);
    take_on(Source::Connect, pool, settings).await;
    let mut messages = hints.on_message();
    while let Some(message) = messages.next().await {
        let revision = message.get_payload::<i64>().unwrap_or_default();
        told.fetch_max(revision, Ordering::Relaxed);
        if settings.revision() < revision {
            take_on(Source::Redis, pool, settings).await;
        }
    }
    "the connection was closed".to_owned()
}

async fn subscribe(client: &Client) -> Result<PubSub, RedisError> {
    let mut hints = client.get_async_pubsub().await?;
    hints.subscribe(CHANNEL).await?;
    Ok(hints)
}

/// Tells of every revision that was taken on here and that Redis has not told of, until the connection
/// fails; returns how. Asks now and then whether Redis lives, since silence is no answer.
async fn tell(client: &Client, told: &AtomicI64, settings: &GlobalSettingsService) -> String {
    let mut connection = match within(client.get_multiplexed_async_connection()).await {
        Ok(connection) => connection,
        Err(lost) => return lost,
    };
    let mut revisions = settings.revisions();
    loop {
        let revision = *revisions.borrow_and_update();
        let sent = if told.fetch_max(revision, Ordering::Relaxed) < revision {
            let mut publish = ::redis::cmd("PUBLISH");
            let publish = publish.arg(CHANNEL).arg(revision);
            within(publish.query_async::<()>(&mut connection)).await
        } else {
            within(::redis::cmd("PING").query_async::<()>(&mut connection)).await
        };
        if let Err(lost) = sent {
            // Not told after all: the next connection will be used for it.
            told.store(revision - 1, Ordering::Relaxed);
            return lost;
        }
        let _ = time::timeout(HEARTBEAT, revisions.changed()).await;
    }
}

/// What `step` returns, unless it takes too long.
async fn within<T>(step: impl Future<Output = Result<T, RedisError>>) -> Result<T, String> {
    match time::timeout(ANSWER, step).await {
        Ok(done) => done.map_err(|err| err.category().to_owned()),
        Err(_) => Err("no answer in time".to_owned()),
    }
}
