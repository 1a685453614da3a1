//! Change signals by notifications of Postgres, on a dedicated connection.

use std::{error::Error, ops::Range, time::Duration};

use futures_util::FutureExt as _;
use sqlx::postgres::{PgListener, PgPoolOptions};
use tokio::time::{self, Instant};
use tracing::{debug, info, warn};
use uuid::Uuid;

use crate::{
    database::{self, Connection, Deadline, Pool, TransactionError},
    metrics::Source,
    settings::{
        current::GlobalSettingsService,
        follow::{
            backoff::Backoff,
            batch::Batch,
            reloads::{needs_reload, reload, reload_after_local_writes},
            store,
        },
        notification::NotificationKey,
    },
};

const CHANNEL: &str = "brune_settings";
/// The interval of liveness checks of the listening connection: a dead connection is silent.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// The timeout of a liveness check, and of the test notification.
const TIMEOUT: Duration = Duration::from_secs(2);
/// The shortest time between two reads of the key: every login may send notifications that cannot be decrypted.
const KEY_INTERVAL: Duration = Duration::from_secs(1);
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
        // Nothing is lost at the timeout: only the wait for the first notification can be interrupted.
        match time::timeout(HEARTBEAT, channel.next_batch()).await {
            Ok(Ok(batch)) => channel.receive(batch, pool, settings).await,
            Ok(Err(err)) => return err.into(),
            Err(_) => {
                if let Err(err) = ping(&mut channel.listener).await {
                    return err.into();
                }
                // In case of a lost notification.
                channel.reload(Source::Poll, pool, settings).await;
            }
        }
        channel.renew_key(pool).await;
    }
}

/// An open notification channel.
struct Channel {
    listener: PgListener,
    /// Without the key, every notification is only a hint.
    key: Option<NotificationKey>,
    /// Whether a notification could not be decrypted since the last read of the key.
    is_key_outdated: bool,
    /// The earliest time of the next read of the key.
    next_key_read: Instant,
    /// Whether the settings contain every notified change. Only then is the secret of the next change still unknown to
    /// all other listeners, since every listener receives notifications in the same order.
    is_in_step: bool,
}

impl Channel {
    /// Waits for a notification; returns the notification and pending ones.
    async fn next_batch(&mut self) -> sqlx::Result<Batch> {
        let mut batch = Batch::new(!self.is_in_step);
        let mut next = Some(self.listener.try_recv().await);
        while let Some(result) = next {
            // `None`: the connection was closed. Notifications may be lost, so begin again with a reload.
            let notification = result?.ok_or(sqlx::Error::PoolClosed)?;
            batch.add(notification.payload(), self.key.as_ref());
            next = if batch.is_full() { None } else { self.listener.try_recv().now_or_never() };
        }
        Ok(batch)
    }

    /// Applies the changes in `batch`, or reads the database if the changes do not suffice.
    async fn receive(&mut self, batch: Batch, pool: &Pool, settings: &GlobalSettingsService) {
        self.is_key_outdated |= batch.has_unreadable();
        let needs_read = match batch.into_changes() {
            Some(changes) => needs_reload(settings, changes).await,
            None => true,
        };
        if needs_read {
            self.reload(Source::Notify, pool, settings).await;
        }
    }

    /// Reads the database, because of `source`.
    async fn reload(&mut self, source: Source, pool: &Pool, settings: &GlobalSettingsService) {
        self.is_in_step = reload(source, pool, settings).await;
    }

    /// Reads the key again if a notification could not be decrypted: the owner may have replaced the key.
    async fn renew_key(&mut self, pool: &Pool) {
        if !self.is_key_outdated || Instant::now() < self.next_key_read {
            return;
        }
        self.next_key_read = Instant::now() + KEY_INTERVAL;
        // Not on the listening connection: its driver keeps all notifications that arrive during a query.
        let key =
            database::read_with_retry(pool, async |conn| store::notification_key(conn).await).await;
        match key {
            Ok(key) => {
                self.key = key;
                self.is_key_outdated = false;
            }
            Err(err) => warn!(
                error = &err as &dyn Error,
                "cannot read the key of notifications; changes are read from the database"
            ),
        }
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
    listener.listen(CHANNEL).await?;
    debug!("listening on {CHANNEL}");
    let next_key_read = Instant::now();
    let mut channel =
        Channel { listener, key: None, is_key_outdated: true, next_key_read, is_in_step: false };
    channel.renew_key(pool).await;
    // The first notification that cannot be decrypted may read the key at once.
    channel.next_key_read = next_key_read;
    Ok(channel)
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
