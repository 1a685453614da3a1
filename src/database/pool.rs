//! The connection pool, and the topology between the service and the server.

use std::sync::Arc;

use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use super::{
    ACQUIRE, Connection, Error, SESSION_SETTINGS, cache::ConnectionCache, startup_check, store,
};

/// The way from the service to the server.
#[derive(Debug, Clone)]
pub enum Topology {
    /// No pooler: each connection is a session on the server.
    Direct,
    /// A pooler in transaction mode: each transaction may run on another session. Nothing may outlive a transaction:
    /// no prepared statement, no setting, no lock, no `LISTEN`.
    Pooler {
        /// Options for a direct connection to the server, for work that needs a session.
        direct: Option<Box<PgConnectOptions>>,
    },
}

/// The connection pool of this process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Pool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    connections: PgPool,
    topology: Topology,
    /// `None` where sqlx's pool has other users.
    cache: Option<ConnectionCache>,
}

/// Wraps a pool that has other users; each connection must be a session of its own.
impl From<PgPool> for Pool {
    fn from(connections: PgPool) -> Self {
        Self(Arc::new(Inner { connections, topology: Topology::Direct, cache: None }))
    }
}

impl Pool {
    /// Opens a pool of at most `size` connections, after checking with one connection that the server is reachable, new
    /// enough and no replica. A pool alone would retry silently and then report only a timeout.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn open(
        options: PgConnectOptions,
        topology: Topology,
        size: u32,
    ) -> Result<Self, Error> {
        let (options, topology) = match topology {
            Topology::Direct => (session(options), Topology::Direct),
            Topology::Pooler { direct } => {
                let direct = direct.map(|options| Box::new(session(*options)));
                (pooled(options), Topology::Pooler { direct })
            }
        };
        let server =
            // Behind a declared pooler the session limits are missing on purpose.
            startup_check::connection(&options, matches!(topology, Topology::Direct)).await?;
        // A listener on another server or database would never hear of a change.
        if let Topology::Pooler { direct: Some(direct) } = &topology
            && startup_check::connection(direct, true).await? != server
        {
            return Err(Error::Elsewhere { target: startup_check::target(direct) });
        }
        let pool = PgPoolOptions::new()
            .max_connections(size)
            .acquire_timeout(ACQUIRE)
            // Saves a round trip per use; a dead connection is noticed and retried before COMMIT anyway.
            .test_before_acquire(false);
        let pool = match topology {
            Topology::Direct => {
                // A failover may put a replica behind the same address at any time.
                pool.after_connect(|conn, _| Box::pin(store::refuse_recovery(conn)))
            }
            // The session of a transaction is known only when the transaction begins.
            Topology::Pooler { .. } => pool,
        };
        // Lazy, because the startup check has just shown that a connection succeeds.
        let connections = pool.connect_lazy_with(options);
        let places = Some(ConnectionCache::new(size));
        Ok(Self(Arc::new(Inner { connections, topology, cache: places })))
    }

    /// Whether a pooler is in between, so that a statement outside of a transaction may run on any session.
    #[must_use]
    pub fn uses_pooler(&self) -> bool {
        matches!(self.0.topology, Topology::Pooler { .. })
    }

    /// Returns the options of a session of its own, or `None` if only a pooler is reachable.
    #[must_use]
    pub fn session_options(&self) -> Option<PgConnectOptions> {
        match &self.0.topology {
            Topology::Direct => Some(self.0.connections.connect_options().as_ref().clone()),
            Topology::Pooler { direct } => direct.as_deref().cloned(),
        }
    }

    /// Returns sqlx's pool, for code that does not go through the cache and may find all connections in use. Behind a
    /// pooler a statement outside of a transaction is not safe.
    #[must_use]
    pub fn connections(&self) -> &PgPool {
        &self.0.connections
    }

    /// Closes every connection as soon as it is released.
    pub async fn close(&self) {
        // The cache comes first: sqlx's pool waits for every connection, cached or in use.
        if let Some(places) = &self.0.cache {
            places.close();
        }
        self.0.connections.close().await;
    }

    pub(super) fn cache(&self) -> Option<&ConnectionCache> {
        self.0.cache.as_ref()
    }

    /// Opens a connection outside of the pool, which takes none from requests and closes when dropped.
    pub(super) async fn open_extra(&self) -> sqlx::Result<Connection> {
        let session = self.session_options();
        let is_shared = session.is_none();
        let options =
            session.unwrap_or_else(|| self.0.connections.connect_options().as_ref().clone());
        Ok(Connection::new(single(options).await?.acquire().await?, is_shared))
    }
}

/// Opens a pool of one connection, for work that must not take one from requests.
pub(super) async fn single(options: PgConnectOptions) -> sqlx::Result<PgPool> {
    PgPoolOptions::new().max_connections(1).acquire_timeout(ACQUIRE).connect_with(options).await
}

/// Adds the application name and the settings of every session of the service.
#[must_use]
pub fn session(options: PgConnectOptions) -> PgConnectOptions {
    // Limits in the startup message cost no round trip, and `reset all` restores the same limits.
    options.application_name("brune").options(SESSION_SETTINGS)
}

/// Leaves out the parameters that poolers reject; each transaction sets the limits itself.
fn pooled(options: PgConnectOptions) -> PgConnectOptions {
    // Nothing is lost without `extra_float_digits`: since Postgres 12 floats are exact by default.
    options.application_name("brune").extra_float_digits(None)
}
