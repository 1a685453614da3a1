//! The database: where it is, how a session on it behaves, and what its schema is.
//!
//! Nothing here is taken from `PG*` variables or a password file: what the service was told in its
//! own configuration is all that counts.

mod address;
mod cache;
mod connection;
mod inspect;
mod migrations;
mod pool;
pub mod roles;
mod sqlstate;
mod startup_check;
mod store;
mod transaction;

use std::time::Duration;

use sqlx::{Connection as _, PgConnection};

use crate::config::address::AddressError;

pub(crate) use address::refuse_foreign_options;
pub use address::{Parts, options_from_parts, options_from_url};
pub use connection::Connection;
pub use inspect::{Defect, Inspection, inspect};
pub use migrations::{Migrations, migrations};
pub use pool::{Pool, Topology, session};
pub use transaction::{
    Deadline, OnSuccess, QueryError, Retry, Transaction, TransactionError, execute_autocommit,
    read_with_retry,
};

/// The schema, as files of `migrations/`, built into the program.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!();

/// Oldest major version of Postgres that the service runs on.
pub const OLDEST_MAJOR: u32 = 14;

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
    Address(AddressError),
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
    #[error("the database at {target} did not answer within {} s", startup_check::LIMIT.as_secs())]
    Silent {
        /// Host, port and database.
        target: String,
    },
    /// A pooler is in between that was not told of: it refuses what every session of the service is started
    /// with, or drops it in silence.
    #[error(
        "the database at {target} is behind a pooler, which does not let a session's limits through; set \
         BRUNE_DB_POOLER=transaction, or name the server itself"
    )]
    Pooled {
        /// Host, port and database.
        target: String,
        /// What the pooler said, if it said something.
        source: Option<sqlx::Error>,
    },
    /// The way around the pooler ends somewhere else.
    #[error(
        "DATABASE_DIRECT_URL leads to {target}, which is not the server and database behind the pooler (or \
         was started again this moment); name the one that the pooler leads to"
    )]
    Elsewhere {
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

/// Connects without the limits of a request, for migrations, which may rewrite a table, as the owner of the schema if
/// this role may. `None` where a pooler is all there is.
///
/// # Errors
/// The server cannot be reached.
pub async fn unlimited_owner(pool: &Pool) -> sqlx::Result<Option<PgConnection>> {
    let Some(mut connection) = unlimited(pool).await? else { return Ok(None) };
    store::become_owner(&mut connection).await?;
    Ok(Some(connection))
}

/// Connects without the limits of a request. `None` where a pooler is all there is.
///
/// # Errors
/// The server cannot be reached.
pub async fn unlimited(pool: &Pool) -> sqlx::Result<Option<PgConnection>> {
    let Some(options) = pool.session_options() else { return Ok(None) };
    let mut connection = PgConnection::connect_with(&options).await?;
    store::lift_limits(&mut connection).await?;
    Ok(Some(connection))
}
