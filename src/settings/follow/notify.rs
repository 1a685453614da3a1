//! Notifications of Postgres, on a connection of their own.

use std::{ops::Range, time::Duration};

use futures_util::FutureExt as _;
use sqlx::postgres::{PgListener, PgNotification, PgPoolOptions};
use tokio::time;
use tracing::{debug, info, warn};
use uuid::Uuid;

use crate::{
    clock::jittered,
    database::{self, Connection, Deadline, Pool, TransactionError},
    metrics::Source,
    settings::{
        current::GlobalSettingsService,
        follow::{Backoff, own, store, take_on},
    },
};

const CHANNEL: &str = "brune_settings";
/// How often the listening connection is asked whether it lives: a dead one says nothing by itself.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// How long it may take to answer, and a notification to arrive.
const ANSWER: Duration = Duration::from_secs(2);
/// How soon a channel that nothing arrived on is opened again at first, and at most.
const AGAIN: Range<Duration> = Duration::from_secs(1)..Duration::from_mins(1);

/// Why there is no channel, or no longer one.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error("the listening connection failed")]
    Connection(#[from] sqlx::Error),
    #[error("the database could not be made to notify")]
    Notifying(#[from] TransactionError),
    /// It was opened, and what was sent did not arrive.
    #[error("nothing arrives on it")]
    Swallowed,
}

/// Reads on every notification, and whenever one may have been missed.
pub(super) async fn listen(pool: &Pool, settings: &GlobalSettingsService) {
    let mut pauses = Backoff::new();
    let mut told = false;
    loop {
        let lost = listen_once(pool, settings, &mut pauses).await;
        settings.metrics().listening(false);
        if let Lost::Swallowed = lost {
            if !told {
                warn!(
                    "the database takes LISTEN and no notification arrives: a pooler in transaction mode swallows \
                     them (set BRUNE_DB_POOLER=transaction and DATABASE_DIRECT_URL), or DATABASE_DIRECT_URL leads \
                     to another database; until then changes that others make are found by the poll"
                );
            }
            told = true;
            go_on_without(pool, settings).await;
            continue;
        }
        told = false;
        settings.set_listening(false);
        warn!(
            error = &lost as &dyn std::error::Error,
            "lost the settings channel, opening it again"
        );
        pauses.pause().await;
    }
}

/// Makes do with the timer, for which nobody is less ready, until notifications arrive again.
async fn go_on_without(pool: &Pool, settings: &GlobalSettingsService) {
    settings.set_listening(true);
    let arrives = async {
        let mut pause = AGAIN.start;
        loop {
            time::sleep(jittered(pause, 0.9..1.1)).await;
            if subscribe(pool).await.is_ok() {
                break;
            }
            pause = (pause * 2).min(AGAIN.end);
        }
        info!("notifications of the database arrive");
    };
    tokio::select! {
        () = own(pool, settings) => (),
        () = arrives => (),
    }
}

/// Listens until the connection fails, and returns how.
async fn listen_once(pool: &Pool, settings: &GlobalSettingsService, pauses: &mut Backoff) -> Lost {
    let mut listener = match subscribe(pool).await {
        Ok(listener) => listener,
        Err(lost) => return lost,
    };
    pauses.opened();
    settings.set_listening(true);
    settings.metrics().listening(true);
    // What was committed before the channel was open, or while it was not, was not notified: so every turn
    // reads, whatever woke it.
    let mut source = Source::Connect;
    loop {
        take_on(source, pool, settings).await;
        let woken = time::timeout(HEARTBEAT, notified(&mut listener)).await;
        source = if woken.is_ok() { Source::Notify } else { Source::Poll };
        let alive = match woken {
            Ok(Ok(Some(_))) => Ok(()),
            // The connection was lost; the listener hides what happened meanwhile, so start afresh.
            Ok(Ok(None)) => Err(sqlx::Error::PoolClosed),
            Ok(Err(err)) => Err(err),
            Err(_) => heartbeat(&mut listener).await,
        };
        if let Err(err) = alive {
            return err.into();
        }
    }
}

/// A channel of a connection on which notifications arrive. The connection is its own: it is never given back, and
/// must not take one from the requests.
async fn subscribe(pool: &Pool) -> Result<PgListener, Lost> {
    let options = pool.session_options().ok_or(Lost::Swallowed)?;
    let own = PgPoolOptions::new().max_connections(1).acquire_timeout(ANSWER);
    let mut listener = PgListener::connect_with(&own.connect_with(options).await?).await?;
    listener.eager_reconnect(false);
    // Not before the trial: where a pooler takes the session back, whoever has it next would be sent every change,
    // and fail.
    let trial = format!("brune_trial_{}", Uuid::new_v4().simple());
    listener.listen(&trial).await?;
    hear(&mut listener, pool, &trial).await?;
    listener.unlisten(&trial).await?;
    listener.listen(CHANNEL).await?;
    debug!("listening for changes of settings");
    Ok(listener)
}

/// Waits for a notification, and takes all that are there: one reading answers them.
async fn notified(listener: &mut PgListener) -> sqlx::Result<Option<PgNotification>> {
    let mut heard = listener.try_recv().await;
    while let Ok(Some(_)) = heard {
        let Some(next) = listener.try_recv().now_or_never() else { break };
        heard = next;
    }
    heard
}

/// Waits for a notification on `trial`, which only this process knows. It is sent on another connection: its own
/// might be the very session that a pooler has let listen, and so hear itself.
async fn hear(listener: &mut PgListener, pool: &Pool, trial: &str) -> Result<(), Lost> {
    let notify = async |conn: &mut Connection| store::notify(conn, trial).await;
    match database::execute_autocommit(pool, Deadline::standard(), notify).await {
        // The other connection was on that session, and was sent what it does not expect.
        Err(TransactionError::OutcomeUnknown(sqlx::Error::Protocol(_))) => {
            return Err(Lost::Swallowed);
        }
        notified => notified?,
    }
    let heard = async {
        match listener.try_recv().await? {
            Some(_) => Ok(()),
            None => Err(sqlx::Error::PoolClosed.into()),
        }
    };
    time::timeout(ANSWER, heard).await.unwrap_or(Err(Lost::Swallowed))
}

async fn heartbeat(listener: &mut PgListener) -> sqlx::Result<()> {
    match time::timeout(ANSWER, store::ping(listener)).await {
        Ok(answer) => answer,
        Err(_) => Err(sqlx::Error::PoolTimedOut),
    }
}
