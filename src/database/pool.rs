//! The connections to the database, and what stands between them and the server.

use std::sync::Arc;

use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use super::{ACQUIRE, Connection, Error, LIMITS, cache::ConnectionCache, startup_check, store};

/// What stands between the service and the server.
#[derive(Debug, Clone)]
pub enum Topology {
    /// Nothing: a connection is a session on the server.
    Direct,
    /// A pooler that hands out sessions for a transaction each. Nothing may be left on one: no prepared
    /// statement, no setting, no lock, no `LISTEN`.
    Pooler {
        /// Past it, to the server itself, for what cannot do without a session.
        around: Option<Box<PgConnectOptions>>,
    },
}

/// The connections of this process.
#[derive(Debug, Clone)]
pub struct Pool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    connections: PgPool,
    reach: Topology,
    /// Where connections wait for their next use; none where the driver's pool is somebody else's as well.
    cache: Option<ConnectionCache>,
}

/// Connections that are sessions of their own, of a pool that others use too.
impl From<PgPool> for Pool {
    fn from(connections: PgPool) -> Self {
        Self(Arc::new(Inner { connections, reach: Topology::Direct, cache: None }))
    }
}

impl Pool {
    /// At most `size` connections, after one has shown that the server is there, new enough and no replica:
    /// a pool alone retries in silence and then says only that it timed out.
    pub async fn open(
        options: PgConnectOptions,
        reach: Topology,
        size: u32,
    ) -> Result<Self, Error> {
        let (options, reach) = match reach {
            Topology::Direct => (session(options), Topology::Direct),
            Topology::Pooler { around } => {
                let around = around.map(|it| Box::new(session(*it)));
                (borrowed(options), Topology::Pooler { around })
            }
        };
        let server = startup_check::connection(&options, matches!(reach, Topology::Direct)).await?;
        if let Topology::Pooler { around: Some(around) } = &reach
            && startup_check::connection(around, true).await? != server
        {
            return Err(Error::Elsewhere { target: startup_check::target(around) });
        }
        let pool = PgPoolOptions::new()
            .max_connections(size)
            .acquire_timeout(ACQUIRE)
            // One round trip less per use; what finds a dead connection retries before COMMIT anyway.
            .test_before_acquire(false);
        let pool = match reach {
            Topology::Direct => pool.after_connect(|it, _| Box::pin(store::refuse_recovery(it))),
            // What a transaction runs on is known when it begins, and no sooner.
            Topology::Pooler { .. } => pool,
        };
        let connections = pool.connect_lazy_with(options);
        let places = Some(ConnectionCache::new(size));
        Ok(Self(Arc::new(Inner { connections, reach, cache: places })))
    }

    /// Whether what runs outside a transaction may run on any session, and leave something on it.
    #[must_use]
    pub fn uses_pooler(&self) -> bool {
        matches!(self.0.reach, Topology::Pooler { .. })
    }

    /// How to open a session that is nobody else's; `None` where a pooler is all there is.
    #[must_use]
    pub fn session_options(&self) -> Option<PgConnectOptions> {
        match &self.0.reach {
            Topology::Direct => Some(self.0.connections.connect_options().as_ref().clone()),
            Topology::Pooler { around } => around.as_deref().cloned(),
        }
    }

    /// The driver's own, for whoever speaks to the database beside the service, and may find all connections lent;
    /// of sessions that are shared, not safe to use outside a transaction.
    #[must_use]
    pub fn connections(&self) -> &PgPool {
        &self.0.connections
    }

    /// Ends every connection, once it is back.
    pub async fn close(&self) {
        if let Some(places) = &self.0.cache {
            places.close();
        }
        self.0.connections.close().await;
    }

    pub(super) fn cache(&self) -> Option<&ConnectionCache> {
        self.0.cache.as_ref()
    }

    /// A connection beside the others, which takes none from the requests and ends when it is dropped.
    pub(super) async fn open_extra(&self) -> sqlx::Result<Connection> {
        let session = self.session_options();
        let shared = session.is_none();
        let options =
            session.unwrap_or_else(|| self.0.connections.connect_options().as_ref().clone());
        Ok(Connection { inner: alone(options).await?.acquire().await?, shared })
    }
}

/// A pool of one connection, for what must not take one from the requests.
pub(super) async fn alone(options: PgConnectOptions) -> sqlx::Result<PgPool> {
    PgPoolOptions::new().max_connections(1).acquire_timeout(ACQUIRE).connect_with(options).await
}

/// `options` with what every session of the service has: its name, and limits on what it waits for.
#[must_use]
pub fn session(options: PgConnectOptions) -> PgConnectOptions {
    options.application_name("brune").options(LIMITS)
}

/// `options` without what poolers refuse: the limits are set in each transaction.
fn borrowed(options: PgConnectOptions) -> PgConnectOptions {
    options.application_name("brune").extra_float_digits(None)
}
