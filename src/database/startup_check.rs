//! The first connection: whether the server is there, and what the service needs.

use std::time::Duration;

use sqlx::{Connection as _, PgConnection, postgres::PgConnectOptions};
use tokio::time::timeout;

use super::{Error, OLDEST_MAJOR, address, store};

pub(super) const LIMIT: Duration = Duration::from_secs(5);

/// Connects once, with `options` that set limits on the session where it `is_own`; returns what tells the server
/// and the database from others.
pub(super) async fn connection(options: &PgConnectOptions, is_own: bool) -> Result<String, Error> {
    match timeout(LIMIT, examine(options, is_own)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Error::Silent { target: target(options) }),
    }
}

async fn examine(options: &PgConnectOptions, is_own: bool) -> Result<String, Error> {
    address::refuse_foreign_options()?;
    let refused = |source| {
        let target = target(options);
        if is_by_pooler(&source) {
            Error::Pooled { target, source: Some(source) }
        } else {
            Error::Unreachable { target, source }
        }
    };
    let mut connection = PgConnection::connect_with(options).await.map_err(refused)?;
    let found = connection.server_version_num().unwrap_or_default() / 10_000;
    if found < OLDEST_MAJOR {
        return Err(Error::TooOld { target: target(options), found });
    }
    let server = store::server(&mut connection).await.map_err(refused)?;
    if server.is_in_recovery {
        return Err(Error::InRecovery { target: target(options) });
    }
    if is_own && !server.has_limits {
        return Err(Error::Pooled { target: target(options), source: None });
    }
    connection.close().await.map_err(refused)?;
    Ok(server.name)
}

/// Whether a pooler refuses what a server takes: settings of the session, in its first message.
fn is_by_pooler(err: &sqlx::Error) -> bool {
    err.as_database_error().is_some_and(|it| {
        it.code().is_some_and(|code| code == "08P01") && it.message().contains("startup parameter")
    })
}

/// Where `options` lead, without what is secret in them.
pub(super) fn target(options: &PgConnectOptions) -> String {
    let database = options.get_database().unwrap_or_default();
    match options.get_socket() {
        Some(socket) => format!("{} (database {database})", socket.display()),
        None => format!("{}:{} (database {database})", options.get_host(), options.get_port()),
    }
}
