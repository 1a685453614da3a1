//! A connection borrowed from the pool. A lease that is dropped closes its connection, because a statement may still
//! run there; only [`Lease::release`] returns the connection for reuse.

use std::time::Duration;

use scopeguard::ScopeGuard;
use sqlx::{Postgres, pool::PoolConnection};
use tokio::{sync::OwnedSemaphorePermit, time::Instant};

use crate::database::{Connection, Pool, cache::CachedConnection};

/// A connection that was used within this time is taken for live.
const RECENT: Duration = Duration::from_secs(1);

/// A borrowed connection.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) conn: ScopeGuard<Connection, fn(Connection)>,
    pool: Pool,
    opened: Instant,
    /// The end of the last use; `None` for a connection that does not come from the cache.
    released: Option<Instant>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Lease {
    /// Borrows a connection. A cached one may have broken since its last use.
    pub(super) async fn acquire(pool: &Pool) -> sqlx::Result<Self> {
        let Some(cache) = pool.cache() else {
            let connection = pool.connections().acquire().await?;
            return Ok(Self::new(pool, connection, Instant::now(), None));
        };
        // The permit comes first: the holder has a right to a cached or a new connection.
        let permit = Some(cache.acquire_permit().await?);
        if let Some(CachedConnection { connection, opened, released }) = cache.pop() {
            let lease = Self::new(pool, connection, opened, permit);
            return Ok(Self { released: Some(released), ..lease });
        }
        let connection = pool.connections().acquire().await?;
        Ok(Self::new(pool, connection, Instant::now(), permit))
    }

    /// Borrows a connection that was used a moment ago, or answers a ping.
    pub(super) async fn acquire_recent(pool: &Pool) -> sqlx::Result<Self> {
        let mut lease = Self::acquire(pool).await?;
        let is_recent = lease.released.is_some_and(|released| released.elapsed() < RECENT);
        if is_recent || lease.conn.ping().await.is_ok() {
            return Ok(lease);
        }
        // The others are probably broken, too. Dropped first: the next connection needs the permit.
        drop(lease);
        Self::acquire_live(pool).await
    }

    /// Borrows a connection that answers a ping, and closes the broken ones on the way.
    pub(super) async fn acquire_live(pool: &Pool) -> sqlx::Result<Self> {
        loop {
            // The loop ends: broken connections leave the cache, and an error returns.
            let mut lease = Self::acquire(pool).await?;
            if lease.conn.ping().await.is_ok() {
                return Ok(lease);
            }
        }
    }

    /// Opens a connection outside of the pool, which closes after its use.
    pub(super) async fn outside_pool(pool: &Pool) -> sqlx::Result<Self> {
        let conn = guarded(pool.open_extra().await?);
        Ok(Self { conn, pool: pool.clone(), opened: Instant::now(), released: None, permit: None })
    }

    fn new(
        pool: &Pool,
        inner: PoolConnection<Postgres>,
        opened: Instant,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Self {
        let conn = guarded(Connection::new(inner, pool.uses_pooler()));
        Self { conn, pool: pool.clone(), opened, released: None, permit }
    }

    /// Returns the connection for reuse: every statement on it was answered.
    pub(super) fn release(self) {
        let Connection { inner, .. } = ScopeGuard::into_inner(self.conn);
        // Without a permit the connection is dropped, which hands the connection back to sqlx.
        if let (Some(permit), Some(cache)) = (self.permit, self.pool.cache()) {
            cache.push(inner, self.opened);
            // After the push: the next holder of the permit must find this connection.
            drop(permit);
        }
    }
}

/// Wraps `conn` so that dropping closes it.
fn guarded(conn: Connection) -> ScopeGuard<Connection, fn(Connection)> {
    // sqlx closes the connection in a background task, so that a drop never blocks.
    scopeguard::guard(conn, |mut conn| conn.close_on_drop())
}
