//! A cache in front of sqlx's pool.
//!
//! A released connection is reused without a health check: sqlx pings the server on every release, which costs the
//! server as much as a small statement.

use std::{
    mem,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sqlx::{Postgres, pool::PoolConnection};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};

use crate::database::ACQUIRE;

/// An idle connection goes back to sqlx's pool after this time.
const IDLE: Duration = Duration::from_mins(1);

/// A connection goes back to sqlx's pool at this age. The pool then closes idle and old connections.
const MAX_LIFETIME: Duration = Duration::from_mins(10);

/// Idle connections, and one permit for each connection that may be open.
#[derive(Debug)]
pub(super) struct ConnectionCache {
    permits: Arc<Semaphore>,
    /// A stack: the connection used last is reused first, so that surplus connections grow idle.
    idle: Mutex<Vec<CachedConnection>>,
}

/// An idle connection with its age.
#[derive(Debug)]
pub(super) struct CachedConnection {
    pub(super) connection: PoolConnection<Postgres>,
    pub(super) opened: Instant,
    pub(super) released: Instant,
}

impl ConnectionCache {
    pub(super) fn new(size: u32) -> Self {
        let permits = Semaphore::new(usize::try_from(size).unwrap_or(Semaphore::MAX_PERMITS));
        Self { permits: Arc::new(permits), idle: Mutex::default() }
    }

    /// Closes all idle connections and issues no further permits.
    pub(super) fn close(&self) {
        // Before the list is emptied: a later `push` sees the closed semaphore and stores nothing.
        self.permits.close();
        drop(self.with_idle(mem::take));
    }

    /// Waits up to [`ACQUIRE`] for a permit.
    pub(super) async fn acquire_permit(&self) -> sqlx::Result<OwnedSemaphorePermit> {
        let permit = Arc::clone(&self.permits).acquire_owned();
        // The errors of sqlx's pool, so that callers classify both waits alike.
        let permit = timeout(ACQUIRE, permit).await.map_err(|_| sqlx::Error::PoolTimedOut)?;
        permit.map_err(|_| sqlx::Error::PoolClosed)
    }

    /// Takes the connection that was released last.
    pub(super) fn pop(&self) -> Option<CachedConnection> {
        self.with_idle(Vec::pop)
    }

    /// Stores an intact connection. Drops the oldest idle one if its time is over.
    pub(super) fn push(&self, connection: PoolConnection<Postgres>, opened: Instant) {
        let now = Instant::now();
        let expired = self.with_idle(|idle| {
            // Checked under the lock: a connection pushed after `close` would keep sqlx's pool from closing.
            if self.permits.is_closed() || now - opened > MAX_LIFETIME {
                return Some(connection);
            }
            // For sqlx a cached connection is in use, so sqlx's own time limits do not apply.
            idle.push(CachedConnection { connection, opened, released: now });
            // The stack is ordered by time of release. A single removal keeps the lock short.
            let is_expired = idle.first().is_some_and(|oldest| now - oldest.released > IDLE);
            is_expired.then(|| idle.remove(0).connection)
        });
        // Dropped after the lock is released: sqlx takes the connection back here.
        drop(expired);
    }

    fn with_idle<T>(&self, action: impl FnOnce(&mut Vec<CachedConnection>) -> T) -> T {
        // A panic under the lock leaves the list intact, so a poisoned lock is safe to use.
        action(&mut self.idle.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
