//! Errors of a start.

use std::net::SocketAddr;

use crate::{config, database, embedded_postgres, outbound, outbox, settings};

/// An error that prevents the start, or ends the service.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration is invalid.
    #[error(transparent)]
    Config(#[from] config::ConfigErrors),
    /// The catalog is invalid.
    #[error("{0}")]
    Catalog(String),
    /// The database cannot be used.
    #[error(transparent)]
    Database(#[from] database::Error),
    /// The private Postgres did not start, or exited.
    #[error(transparent)]
    Embedded(#[from] embedded_postgres::Error),
    /// A migration failed.
    #[error("the migrations failed")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// The catalog does not fit the stored settings.
    #[error(transparent)]
    Publish(#[from] settings::PublishError),
    /// The database role lacks a right, or has too many. The text says what to do.
    #[error("{0}")]
    Role(String),
    /// The startup guard found problems. Displays one per line.
    #[error("not ready to serve:\n  {}", .0.join("\n  "))]
    NotReady(Vec<String>),
    /// The settings cannot be read.
    #[error(transparent)]
    Settings(#[from] settings::ReloadError),
    /// The address is in use or not permitted.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        source: std::io::Error,
    },
    /// A receiver of alerts is invalid.
    #[error(transparent)]
    Sinks(#[from] outbox::InvalidSink),
    /// A signal handler cannot be installed.
    #[error("cannot install the signal handlers")]
    Signals(#[source] std::io::Error),
    /// The client for other services cannot be created.
    #[error("cannot create the client for other services")]
    Outbound(#[from] outbound::OutboundError),
    /// A read from the database failed.
    #[error(transparent)]
    Read(#[from] database::TransactionError),
    /// A statement failed.
    #[error("the database rejected a statement")]
    Query(#[from] sqlx::Error),
}
