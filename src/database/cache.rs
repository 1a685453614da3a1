//! Connections on loan. One on which something is unfinished when it is dropped is closed, never used again; one
//! that is given back waits for its next use as it is. The driver's pool would ask the server after every use
//! whether the connection lives, which costs the server as much as a small statement does.

use std::{
    mem,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use scopeguard::ScopeGuard;
use sqlx::{Postgres, pool::PoolConnection};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};

use crate::database::{ACQUIRE, Connection, Pool};

/// For how long a connection that nobody needs waits, and how old it gets, before the driver's pool has it back,
/// which closes those that have idled or lived too long.
const IDLE: Duration = Duration::from_mins(1);
const LIFE: Duration = Duration::from_mins(10);

/// As many places as there may be connections: whoever has one gets a connection without waiting for it.
#[derive(Debug)]
pub(super) struct ConnectionCache {
    free: Arc<Semaphore>,
    /// The one used last is the next to be used, so that those which are not needed grow old.
    waiting: Mutex<Vec<CachedConnection>>,
}

#[derive(Debug)]
struct CachedConnection {
    connection: PoolConnection<Postgres>,
    opened: Instant,
    since: Instant,
}

impl ConnectionCache {
    pub(super) fn new(size: u32) -> Self {
        let free = Semaphore::new(usize::try_from(size).unwrap_or(Semaphore::MAX_PERMITS));
        Self { free: Arc::new(free), waiting: Mutex::default() }
    }

    /// Gives no place any more.
    pub(super) fn close(&self) {
        self.free.close();
        drop(self.waiting(mem::take));
    }

    async fn take(&self) -> sqlx::Result<OwnedSemaphorePermit> {
        let place = Arc::clone(&self.free).acquire_owned();
        let place = timeout(ACQUIRE, place).await.map_err(|_| sqlx::Error::PoolTimedOut)?;
        place.map_err(|_| sqlx::Error::PoolClosed)
    }

    fn put(&self, connection: PoolConnection<Postgres>, opened: Instant) {
        let now = Instant::now();
        let done_with = self.waiting(|waiting| {
            // Asked under the lock: what came in after `close` has emptied it would be waited for without an end.
            if self.free.is_closed() || LIFE < now - opened {
                return Some(connection);
            }
            waiting.push(CachedConnection { connection, opened, since: now });
            let is_idle = waiting.first().is_some_and(|it| IDLE < now - it.since);
            is_idle.then(|| waiting.remove(0).connection)
        });
        // Not under the lock.
        drop(done_with);
    }

    fn waiting<T>(&self, look: impl FnOnce(&mut Vec<CachedConnection>) -> T) -> T {
        // Nothing that runs under it can leave it half done.
        look(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A connection on loan.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) conn: ScopeGuard<Connection, fn(Connection)>,
    pool: Pool,
    opened: Instant,
    place: Option<OwnedSemaphorePermit>,
}

impl Lease {
    /// One of the pool, which may have broken since it was used.
    pub(super) async fn take(pool: &Pool) -> sqlx::Result<Self> {
        let Some(places) = pool.cache() else {
            return Ok(Self::of(pool, pool.connections().acquire().await?, Instant::now(), None));
        };
        let place = Some(places.take().await?);
        if let Some(CachedConnection { connection, opened, .. }) = places.waiting(Vec::pop) {
            return Ok(Self::of(pool, connection, opened, place));
        }
        let connection = pool.connections().acquire().await?;
        Ok(Self::of(pool, connection, Instant::now(), place))
    }

    /// One that has just answered: those that broke while they waited are closed.
    pub(super) async fn take_live(pool: &Pool) -> sqlx::Result<Self> {
        loop {
            let mut lease = Self::take(pool).await?;
            if lease.conn.ping().await.is_ok() {
                return Ok(lease);
            }
        }
    }

    /// One beside those of the pool; it ends with its use.
    pub(super) async fn outside_pool(pool: &Pool) -> sqlx::Result<Self> {
        let conn = pool.open_extra().await?;
        Ok(Self { conn: closing(conn), pool: pool.clone(), opened: Instant::now(), place: None })
    }

    fn of(
        pool: &Pool,
        inner: PoolConnection<Postgres>,
        opened: Instant,
        place: Option<OwnedSemaphorePermit>,
    ) -> Self {
        let conn = closing(Connection { inner, shared: pool.uses_pooler() });
        Self { conn, pool: pool.clone(), opened, place }
    }

    /// Gives the connection back: all that was asked on it was answered.
    pub(super) fn release(self) {
        let Connection { inner, .. } = ScopeGuard::into_inner(self.conn);
        if let (Some(place), Some(places)) = (self.place, self.pool.cache()) {
            places.put(inner, self.opened);
            // Not before: whoever has a place must find the connection that belongs to it.
            drop(place);
        }
    }
}

/// `conn`, which is closed when it is dropped.
fn closing(conn: Connection) -> ScopeGuard<Connection, fn(Connection)> {
    scopeguard::guard(conn, |mut conn| conn.close_on_drop())
}
