//! Change signals by notifications of Postgres, on a dedicated connection.

use std::{error::Error, ops::Range, time::Duration};

use futures_util::FutureExt as _;
use sqlx::postgres::{PgListener, PgNotification, PgPoolOptions};
use tokio::time;
use tracing::{debug, info, warn};
use uuid::Uuid;

use crate::{
    database::{self, Connection, Deadline, Pool, TransactionError},
    metrics::Source,
    settings::{
        current::GlobalSettingsService,
        follow::{
            backoff::Backoff,
            reloads::{needs_reload, reload, reload_after_local_writes},
            store,
        },
        notification::{NotificationKey, Payload},
    },
};

const CHANNEL: &str = "brune_settings";
/// The interval of liveness checks of the listening connection: a dead connection is silent.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// The timeout of a liveness check, and of the test notification.
const TIMEOUT: Duration = Duration::from_secs(2);
/// The shortest and the longest pause before another attempt after a lost test notification.
const RETRY_PAUSES: Range<Duration> = Duration::from_secs(1)..Duration::from_mins(1);

/// Why the listener ended.
#[derive(Debug, thiserror::Error)]
enum ListenError {
    #[error("the listening connection failed")]
    Connection(#[from] sqlx::Error),
    #[error("the test notification could not be sent")]
    TestNotification(#[from] TransactionError),
    #[error("LISTEN succeeded but the test notification was not received")]
    NotReceived,
}

/// Reloads the settings on every notification, and whenever a notification may have been missed.
pub(super) async fn listen(pool: &Pool, settings: &GlobalSettingsService) {
    let mut backoff = Backoff::of_reconnects();
    let mut is_reported = false;
    loop {
        let err = listen_once(pool, settings, &mut backoff).await;
        settings.metrics().listening(false);
        // Another attempt will not help: a pooler, or a wrong address, needs a change of the configuration.
        if let ListenError::NotReceived = err {
            if !is_reported {
                warn!(
                    "LISTEN succeeded but the test notification was not received: either a pooler in transaction mode \
                     drops notifications (set BRUNE_DB_POOLER=transaction and DATABASE_DIRECT_URL), or \
                     DATABASE_DIRECT_URL names another database; until fixed, changes by other instances are found by \
                     the poll"
                );
            }
            is_reported = true;
            poll_until_received(pool, settings).await;
            continue;
        }
        is_reported = false;
        settings.set_listening(false);
        let pause = backoff.next_pause();
        warn!(error = &err as &dyn Error, "listener disconnected; reconnecting in {pause:.1?}");
        time::sleep(pause).await;
    }
}

/// Leaves changes of other instances to the poll, until a test notification is received.
async fn poll_until_received(pool: &Pool, settings: &GlobalSettingsService) {
    // The poll finds every change, so the instance stays ready.
    settings.set_listening(true);
    let received = async {
        let mut backoff = Backoff::new(RETRY_PAUSES.start, RETRY_PAUSES.end, 0.9..1.1);
        loop {
            time::sleep(backoff.next_pause()).await;
            if subscribe(pool).await.is_ok() {
                break;
            }
        }
        info!("test notification received; listening again");
    };
    tokio::select! {
        () = reload_after_local_writes(pool, settings) => (),
        () = received => (),
    }
}

/// Listens until the connection fails; returns the failure.
async fn listen_once(
    pool: &Pool,
    settings: &GlobalSettingsService,
    backoff: &mut Backoff,
) -> ListenError {
    let mut channel = match subscribe(pool).await {
        Ok(channel) => channel,
        Err(err) => return err,
    };
    backoff.record_open();
    settings.set_listening(true);
    settings.metrics().listening(true);
    // First of all, since changes committed before LISTEN were not notified.
    channel.reload(Source::Connect, pool, settings).await;
    loop {
        let listener = &mut channel.listener;
        let result = match time::timeout(HEARTBEAT, next_notifications(listener)).await {
            Ok(Ok(payloads)) => channel.receive(&payloads, pool, settings).await,
            Ok(Err(err)) => Err(err),
            Err(_) => match ping(listener).await {
                Ok(()) => {
                    // In case of a lost notification.
                    channel.reload(Source::Poll, pool, settings).await;
                    Ok(())
                }
                Err(err) => Err(err),
            },
        };
        if let Err(err) = result {
            return err.into();
        }
    }
}

/// An open notification channel.
struct Channel {
    listener: PgListener,
    /// Without the key, every notification is only a hint.
    key: Option<NotificationKey>,
    /// Whether the settings contain every notified change. Only then is the secret of the next change still unknown to
    /// all other listeners, since every listener receives notifications in the same order.
    is_in_step: bool,
}

impl Channel {
    /// Applies the changes in `payloads`, or reads the database if the payloads do not suffice.
    async fn receive(
        &mut self,
        payloads: &[PgNotification],
        pool: &Pool,
        settings: &GlobalSettingsService,
    ) -> sqlx::Result<()> {
        let mut changes = Vec::new();
        let mut is_complete = self.is_in_step;
        for notification in payloads {
            match self.key.as_ref().map(|key| key.open(notification.payload())) {
                Some(Payload::Change(change)) => changes.push(change),
                Some(Payload::Hint) | None => is_complete = false,
                Some(Payload::Unreadable) => {
                    is_complete = false;
                    // The owner may have replaced the key.
                    self.key = read_key(&mut self.listener).await?;
                }
            }
        }
        // One read covers all.
        if !is_complete || needs_reload(settings, changes).await {
            self.reload(Source::Notify, pool, settings).await;
        }
        Ok(())
    }

    /// Reads the database, because of `source`.
    async fn reload(&mut self, source: Source, pool: &Pool, settings: &GlobalSettingsService) {
        self.is_in_step = reload(source, pool, settings).await;
    }
}

/// Reads the key of notifications; `None` if the server refuses.
async fn read_key(listener: &mut PgListener) -> sqlx::Result<Option<NotificationKey>> {
    match store::notification_key(listener).await {
        Err(err @ sqlx::Error::Database(_)) => {
            warn!(
                error = &err as &dyn Error,
                "cannot read the key of notifications; every change is read from the database"
            );
            Ok(None)
        }
        result => result,
    }
}

/// Opens a dedicated connection, and listens once a test notification was received.
async fn subscribe(pool: &Pool) -> Result<Channel, ListenError> {
    let options = pool.session_options().ok_or(ListenError::NotReceived)?;
    // Not from the pool: the connection is held forever, and must not take one from the requests.
    let connections = PgPoolOptions::new().max_connections(1).acquire_timeout(TIMEOUT);
    let mut listener = PgListener::connect_with(&connections.connect_with(options).await?).await?;
    // Off: a reconnect behind the scenes would lose notifications unnoticed.
    listener.eager_reconnect(false);
    // On a channel of its own: behind a pooler in transaction mode the next client of the server session would receive
    // the notifications of CHANNEL, and fail.
    let test_channel = format!("brune_trial_{}", Uuid::new_v4().simple());
    listener.listen(&test_channel).await?;
    await_test_notification(&mut listener, pool, &test_channel).await?;
    listener.unlisten(&test_channel).await?;
    let key = read_key(&mut listener).await?;
    listener.listen(CHANNEL).await?;
    debug!("listening on {CHANNEL}");
    Ok(Channel { listener, key, is_in_step: false })
}

/// Waits for a notification; returns the notification and all pending ones, in the order of their commits.
async fn next_notifications(listener: &mut PgListener) -> sqlx::Result<Vec<PgNotification>> {
    let mut notifications = Vec::new();
    let mut next = Some(listener.try_recv().await);
    while let Some(result) = next {
        // `None`: the connection was closed. Notifications may be lost, so begin again with a reload.
        notifications.push(result?.ok_or(sqlx::Error::PoolClosed)?);
        next = listener.try_recv().now_or_never();
    }
    Ok(notifications)
}

/// Sends a notification on `test_channel` and waits for its arrival.
async fn await_test_notification(
    listener: &mut PgListener,
    pool: &Pool,
    test_channel: &str,
) -> Result<(), ListenError> {
    // Sent on another connection: a pooler may use the session that listens for the sender too, and the test would pass.
    let notify = async |conn: &mut Connection| store::notify(conn, test_channel).await;
    match database::execute_autocommit(pool, Deadline::standard(), notify).await {
        // The sender got the listening session of a pooler, and with it a message unexpected by sqlx.
        Err(TransactionError::OutcomeUnknown(sqlx::Error::Protocol(_))) => {
            return Err(ListenError::NotReceived);
        }
        result => result?,
    }
    let receive = async {
        match listener.try_recv().await? {
            Some(_) => Ok(()),
            None => Err(sqlx::Error::PoolClosed.into()),
        }
    };
    time::timeout(TIMEOUT, receive).await.unwrap_or(Err(ListenError::NotReceived))
}

async fn ping(listener: &mut PgListener) -> sqlx::Result<()> {
    match time::timeout(TIMEOUT, store::ping(listener)).await {
        Ok(result) => result,
        // The nearest variant is used, because sqlx has no error for the timeout of a query.
        Err(_) => Err(sqlx::Error::PoolTimedOut),
    }
}
