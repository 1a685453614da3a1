//! The database: where it is, how a session on it behaves, and what its schema is.
//!
//! Nothing here is taken from `PG*` variables or a password file: what the service was told in its
//! own configuration is all that counts.

mod address;
pub mod embedded;
mod migrations;
mod store;
mod work;

use std::time::Duration;

use sqlx::{
    Connection as _, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::time::timeout;

pub use address::{Parts, options_from_parts, options_from_url};
pub use migrations::{Migrations, migrations};
pub use work::{Attempts, Deadline, Ending, Failure, Work, look, once};

/// The schema, as files of `migrations/`, built into the program.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!();

/// Oldest major version of Postgres that the service runs on.
pub const OLDEST_MAJOR: u32 = 14;

const FIRST_CONNECTION: Duration = Duration::from_secs(5);
const ACQUIRE: Duration = Duration::from_secs(3);

/// What a session never waits longer for, whoever forgot to set a limit of their own.
const LIMITS: [(&str, &str); 3] = [
    ("lock_timeout", "3s"),
    ("statement_timeout", "5s"),
    ("idle_in_transaction_session_timeout", "10s"),
];

/// Why there is no database to work with.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database URL says too little, too much, or nothing that can be read; its text is not
    /// repeated, because it may hold a password.
    #[error("the database URL {0}")]
    Address(String),
    /// The driver takes `PGOPTIONS` from the environment, and its interface cannot take them out
    /// again.
    #[error("PGOPTIONS is set in the environment and would change every session; unset it")]
    ForeignOptions,
    /// Nobody answers there, or not to us.
    #[error("cannot connect to the database at {target}; is it running, and may this user log in?")]
    Unreachable {
        /// Host, port and database.
        target: String,
        /// What the driver or the server said.
        source: sqlx::Error,
    },
    /// Something accepted the connection, or nothing refused it, and then silence.
    #[error("the database at {target} did not answer within {} s", FIRST_CONNECTION.as_secs())]
    Silent {
        /// Host, port and database.
        target: String,
    },
    /// A replica: it would serve what is out of date and refuse every change.
    #[error("the database at {target} is in recovery (a replica); name the primary")]
    InRecovery {
        /// Host, port and database.
        target: String,
    },
    /// The server lacks what the schema uses.
    #[error("the database at {target} is Postgres {found}; {OLDEST_MAJOR} or newer is needed")]
    TooOld {
        /// Host, port and database.
        target: String,
        /// Its major version.
        found: u32,
    },
}

/// A pool of at most `size` connections, after one connection has shown that the server is there,
/// new enough and no replica: a pool alone retries in silence and then says only that it timed out.
pub async fn pool(options: PgConnectOptions, size: u32) -> Result<PgPool, Error> {
    let options = session(options);
    match timeout(FIRST_CONNECTION, first_connection(&options)).await {
        Ok(outcome) => outcome?,
        Err(_) => return Err(Error::Silent { target: target(&options) }),
    }
    Ok(PgPoolOptions::new()
        .max_connections(size)
        .acquire_timeout(ACQUIRE)
        // One round trip less per use; what finds a dead connection retries before COMMIT anyway.
        .test_before_acquire(false)
        .after_connect(|connection, _| Box::pin(refuse_recovery(connection)))
        .connect_lazy_with(options))
}

/// A connection of its own like those of `pool`, without the limits of a request: for migrations, which may
/// rewrite a table, and for reading the whole trail.
pub async fn unlimited(pool: &PgPool) -> sqlx::Result<PgConnection> {
    let mut connection = PgConnection::connect_with(&pool.connect_options()).await?;
    store::lift_limits(&mut connection).await?;
    Ok(connection)
}

/// `options` with what every session of the service has: its name, and limits on what it waits for.
#[must_use]
pub fn session(options: PgConnectOptions) -> PgConnectOptions {
    options.application_name("brune").options(LIMITS)
}

async fn first_connection(options: &PgConnectOptions) -> Result<(), Error> {
    address::refuse_foreign_options()?;
    let unreachable = |source| Error::Unreachable { target: target(options), source };
    let mut connection = PgConnection::connect_with(options).await.map_err(unreachable)?;
    let found = connection.server_version_num().unwrap_or_default() / 10_000;
    if found < OLDEST_MAJOR {
        return Err(Error::TooOld { target: target(options), found });
    }
    if store::is_in_recovery(&mut connection).await.map_err(unreachable)? {
        return Err(Error::InRecovery { target: target(options) });
    }
    connection.close().await.map_err(unreachable)
}

/// During a failover a proxy may hand out a replica: it must not get into the pool.
async fn refuse_recovery(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    if store::is_in_recovery(connection).await? {
        return Err(sqlx::Error::Configuration("the server is in recovery (a replica)".into()));
    }
    Ok(())
}

/// Where `options` lead, without what is secret in them.
fn target(options: &PgConnectOptions) -> String {
    let database = options.get_database().unwrap_or_default();
    match options.get_socket() {
        Some(socket) => format!("{} (database {database})", socket.display()),
        None => format!("{}:{} (database {database})", options.get_host(), options.get_port()),
    }
}
