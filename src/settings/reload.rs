//! Keeps [`GlobalSettingsService`] at what the database says: on every notification, and on a timer.

use std::{ops::Range, sync::Arc, time::Duration};

use rand::RngExt as _;
use sqlx::{
    PgConnection, PgPool,
    postgres::{PgListener, PgPoolOptions},
};
use tokio::time;
use tracing::{debug, error, info, warn};

use crate::{
    database::{self, Deadline, Ending, Failure, Work},
    settings::{
        rules::Violation,
        schema::{self, Schema},
        service::GlobalSettingsService,
        snapshot::Snapshot,
        store,
    },
};

const CHANNEL: &str = "brune_settings";
/// How often the listening connection is asked whether it lives: a dead one says nothing by itself.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// How long it may take to answer.
const ANSWER: Duration = Duration::from_secs(2);

/// Why the database's settings were not taken on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// They break their own rules.
    #[error("the stored settings are invalid: {}", describe(.0))]
    Invalid(Vec<Violation>),
    /// The server is a standby, which may lag.
    #[error("the database server is in recovery")]
    Recovering,
    /// The database failed, or did not answer in time.
    #[error("the settings could not be read")]
    Database(#[from] Failure),
}

/// A declaration that is not understood is a fault of its key, told and mended like any other.
impl From<schema::Unreadable> for Error {
    fn from(unreadable: schema::Unreadable) -> Self {
        Self::Invalid(vec![Violation::undeclared(&unreadable.key, &unreadable.fault.to_string())])
    }
}

impl From<sqlx::Error> for Error {
    fn from(err: sqlx::Error) -> Self {
        Self::Database(err.into())
    }
}

/// The faults in one line.
fn describe(faults: &[Violation]) -> String {
    faults.iter().map(|it| format!("{} {}", it.key, it.detail)).collect::<Vec<_>>().join("; ")
}

/// Reads everything: declarations and values at one revision.
pub async fn load(pool: &PgPool) -> Result<Snapshot, Error> {
    // One state of the database for both, whatever is committed between the statements.
    let deadline = Deadline::usual();
    let mut work = Work::begin_reading(pool, deadline).await?;
    let read = deadline.within(read_all(work.conn())).await;
    work.conclude(read, Ending::Rollback).await
}

async fn read_all(conn: &mut PgConnection) -> Result<Snapshot, Error> {
    let head = store::head(conn).await?;
    let timeline = head.timeline.ok_or(Error::Recovering)?;
    let definitions = schema::store::all(conn).await??;
    // A contradiction in the declarations shows as values that break a rule.
    let catalog = head.catalog.unwrap_or_default();
    let schema = Schema::new(catalog, head.catalog_revision, definitions);
    let rows = store::all(conn).await?;
    Snapshot::new(head.revision, Some(timeline), Arc::new(schema), rows).map_err(Error::Invalid)
}

/// Reads what is newer than what is held, and takes it on; says whether anything was.
pub async fn refresh(pool: &PgPool, settings: &GlobalSettingsService) -> Result<bool, Error> {
    let _only = settings.refreshing().await;
    let read = newer(pool, settings).await;
    settings.set_reachable(!matches!(read, Err(Error::Database(_) | Error::Recovering)));
    match read {
        Ok(Some(snapshot)) => {
            let revision = snapshot.revision;
            let taken = settings.advance(snapshot);
            if taken {
                info!(settings.revision = revision, "took on new settings");
            }
            Ok(taken)
        }
        Ok(None) => Ok(false),
        Err(err) => {
            if let Error::Invalid(faults) = &err {
                settings.accuse(faults.clone());
            }
            Err(err)
        }
    }
}

/// The settings in the database when they are other than those held.
async fn newer(pool: &PgPool, settings: &GlobalSettingsService) -> Result<Option<Snapshot>, Error> {
    let held = settings.snapshot();
    let since = held.revision;
    let changes = database::look(pool, async |conn| {
        Ok::<_, Failure>(store::changed_since(conn, since).await?)
    });
    let changes = changes.await?;
    let Some(head) = changes.first() else { return load(pool).await.map(Some) };
    if head.timeline.is_none() {
        return Err(Error::Recovering);
    }
    // Another history, another catalog, or a fault found before: nothing held can be built upon.
    let known = head.timeline == held.timeline
        && head.catalog_revision == held.schema.revision
        && settings.is_sound();
    if !known || head.revision < held.revision {
        return load(pool).await.map(Some);
    }
    if head.revision == held.revision {
        return Ok(None);
    }
    let revision = head.revision;
    let rows = changes.into_iter().filter_map(store::Change::stored).collect();
    held.advanced(revision, rows).map(Some).map_err(Error::Invalid)
}

/// Follows the database until dropped. A failure leaves the last good settings in force.
pub async fn follow(pool: PgPool, settings: GlobalSettingsService, poll: Duration) {
    tokio::join!(listen(&pool, &settings), tick(&pool, &settings, poll));
}

/// Reads on a timer, with jitter, so that instances do not all read at once. Its reads go through the
/// pool: a poll must not depend on the connection whose silence it is there to survive.
async fn tick(pool: &PgPool, settings: &GlobalSettingsService, poll: Duration) {
    loop {
        time::sleep(jittered(poll, 0.9..1.1)).await;
        take_on(pool, settings).await;
    }
}

/// Reads on every notification, and whenever one may have been missed.
async fn listen(pool: &PgPool, settings: &GlobalSettingsService) {
    let mut pause = Duration::from_millis(50);
    loop {
        let before = time::Instant::now();
        let lost = listen_once(pool, settings).await;
        settings.set_listening(false);
        warn!(
            error = &lost as &dyn std::error::Error,
            "lost the settings channel, opening it again"
        );
        // Full jitter: a fleet that lost its database must not come back all at once.
        pause = if before.elapsed() < HEARTBEAT {
            (pause * 2).min(HEARTBEAT)
        } else {
            Duration::from_millis(50)
        };
        time::sleep(jittered(pause, 0.0..1.0)).await;
    }
}

/// `pause` times something in `range`. A function, because the generator must not live over an `await`.
fn jittered(pause: Duration, range: Range<f64>) -> Duration {
    pause.mul_f64(rand::rng().random_range(range))
}

/// Listens until the connection fails, and returns how.
async fn listen_once(pool: &PgPool, settings: &GlobalSettingsService) -> sqlx::Error {
    let mut listener = match subscribe(pool).await {
        Ok(listener) => listener,
        Err(err) => return err,
    };
    settings.set_listening(true);
    loop {
        // What was committed before the channel was open, or while it was not, was not notified: so every
        // turn reads, whatever woke it.
        take_on(pool, settings).await;
        let woken = time::timeout(HEARTBEAT, listener.try_recv()).await;
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

async fn heartbeat(listener: &mut PgListener) -> sqlx::Result<()> {
    match time::timeout(ANSWER, store::ping(listener)).await {
        Ok(answer) => answer,
        Err(_) => Err(sqlx::Error::PoolTimedOut),
    }
}

async fn take_on(pool: &PgPool, settings: &GlobalSettingsService) {
    if let Err(err) = refresh(pool, settings).await {
        error!(
            error = &err as &dyn std::error::Error,
            "kept the settings of revision {}",
            settings.revision()
        );
    }
}
