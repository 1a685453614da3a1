//! Connections, transactions, migrations and roles of the Postgres database.
//!
//! `PG*` variables and password files are ignored: only the configuration of the service counts.

mod address;
mod cache;
mod conflict_retry;
mod connection;
mod inspect;
mod lease;
mod migrations;
mod pool;
pub mod roles;
mod sqlstate;
mod startup_check;
mod store;
mod transaction;
mod transaction_error;

use std::time::Duration;

use sqlx::{Connection as _, PgConnection};

use crate::config::address::AddressError;

pub(crate) use address::refuse_foreign_options;
pub use address::{Parts, options_from_parts, options_from_url};
pub use conflict_retry::ConflictRetry;
pub use connection::Connection;
pub use inspect::{Defect, Inspection, inspect};
pub use migrations::{Migrations, migrations};
pub use pool::{Pool, Topology, session};
pub use transaction::{
    Deadline, OnSuccess, QueryError, Retry, Transaction, execute_autocommit,
    execute_autocommit_live, read_with_retry,
};
pub use transaction_error::TransactionError;

/// The schema, as files of `migrations/`, built into the program.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!();

/// Oldest major version of Postgres that the service runs on.
pub const OLDEST_MAJOR: u32 = 14;

/// The longest wait for a free connection.
const ACQUIRE: Duration = Duration::from_secs(3);

/// Settings of every session, for statements that set none of their own.
const SESSION_SETTINGS: [(&str, &str); 4] = [
    // Below the client's deadline of 4 s, so that the server's error names the lock as the cause.
    ("lock_timeout", "3s"),
    // Above the client's deadline, to end the statements of clients that gave up.
    ("statement_timeout", "5s"),
    // Frees the locks of a client that stopped in the middle of a transaction.
    ("idle_in_transaction_session_timeout", "10s"),
    // The head is never analyzed, because it has one row. Postgres expects hundreds, so a list of all settings looks
    // expensive enough to compile, which takes ten times as long as the list.
    ("jit", "off"),
];

/// The database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database URL is invalid. The message never contains the URL, which may hold a password.
    #[error("the database URL {0}")]
    Address(AddressError),
    /// The driver reads `PGOPTIONS` from the environment and offers no way to drop them.
    #[error("PGOPTIONS is set in the environment and would change every session; unset it")]
    ForeignOptions,
    /// The connection was refused or failed.
    #[error("cannot connect to the database at {target}; is it running, and may this user log in?")]
    Unreachable {
        /// Host, port and database.
        target: String,
        /// The error of the driver or the server.
        source: sqlx::Error,
    },
    /// The server did not answer in time.
    #[error("the database at {target} did not answer within {} s", startup_check::LIMIT.as_secs())]
    Silent {
        /// Host, port and database.
        target: String,
    },
    /// An undeclared pooler rejects the session limits, or drops them silently.
    #[error(
        "the database at {target} is behind a pooler that drops session limits; set \
         BRUNE_DB_POOLER=transaction, or connect to the server directly"
    )]
    Pooled {
        /// Host, port and database.
        target: String,
        /// The pooler's error, if it sent one.
        source: Option<sqlx::Error>,
    },
    /// The direct URL and the pooler lead to different servers or databases.
    #[error(
        "DATABASE_DIRECT_URL leads to {target}, which is not the server and database behind the pooler (or was just \
         restarted); set it to the server behind the pooler"
    )]
    Elsewhere {
        /// Host, port and database.
        target: String,
    },
    /// The server is a replica, which would serve stale settings and reject every change.
    #[error("the database at {target} is in recovery (a replica); connect to the primary")]
    InRecovery {
        /// Host, port and database.
        target: String,
    },
    /// The server is older than the schema needs.
    #[error("the database at {target} is Postgres {found}; {OLDEST_MAJOR} or newer is needed")]
    TooOld {
        /// Host, port and database.
        target: String,
        /// Its major version.
        found: u32,
    },
}

/// Connects without time limits, for migrations, which may rewrite a table. Acts as the owner of the schema if the
/// login may. Returns `None` if only a pooler is reachable.
///
/// # Errors
/// The server cannot be reached.
pub async fn unlimited_owner(pool: &Pool) -> sqlx::Result<Option<PgConnection>> {
    // `set role` needs a session, which a pooler in transaction mode does not keep.
    let Some(mut connection) = unlimited(pool).await? else { return Ok(None) };
    store::become_owner(&mut connection).await?;
    Ok(Some(connection))
}

/// Connects without time limits. Returns `None` if only a pooler is reachable.
///
/// # Errors
/// The server cannot be reached.
pub async fn unlimited(pool: &Pool) -> sqlx::Result<Option<PgConnection>> {
    let Some(options) = pool.session_options() else { return Ok(None) };
    let mut connection = PgConnection::connect_with(&options).await?;
    // The options of a session carry the limits, so the limits are lifted after the login.
    store::lift_limits(&mut connection).await?;
    Ok(Some(connection))
}
