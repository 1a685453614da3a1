//! The check of the server at startup: reachable, new enough, no replica, no undeclared pooler.

use std::time::Duration;

use sqlx::{Connection as _, PgConnection, postgres::PgConnectOptions};
use tokio::time::timeout;

use super::{Error, OLDEST_MAJOR, address, store};

/// Time limit of the check.
pub(super) const LIMIT: Duration = Duration::from_secs(5);

/// Connects once and checks the server. With `is_own`, also that the session kept the limits in `options`. Returns a
/// name that identifies the server and the database.
pub(super) async fn connection(options: &PgConnectOptions, is_own: bool) -> Result<String, Error> {
    // The driver has no limit for a connect: lost packets would delay the start for minutes.
    match timeout(LIMIT, examine(options, is_own)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Error::Silent { target: target(options) }),
    }
}

async fn examine(options: &PgConnectOptions, is_own: bool) -> Result<String, Error> {
    // Before the connect, because the startup message already carries `PGOPTIONS`.
    address::refuse_foreign_options()?;
    let to_error = |source| {
        let target = target(options);
        if is_pooler_rejection(&source) {
            Error::Pooled { target, source: Some(source) }
        } else {
            Error::Unreachable { target, source }
        }
    };
    let mut connection = PgConnection::connect_with(options).await.map_err(to_error)?;
    // A server without a readable version is rejected as too old.
    let major = connection.server_version_num().unwrap_or_default() / 10_000;
    if major < OLDEST_MAJOR {
        return Err(Error::TooOld { target: target(options), found: major });
    }
    let server = store::server(&mut connection).await.map_err(to_error)?;
    if server.is_in_recovery {
        return Err(Error::InRecovery { target: target(options) });
    }
    // A pooler may drop startup parameters without an error.
    if is_own && !server.has_limits {
        return Err(Error::Pooled { target: target(options), source: None });
    }
    connection.close().await.map_err(to_error)?;
    Ok(server.name)
}

/// Whether a pooler rejected session settings in the startup message, which a server accepts.
fn is_pooler_rejection(err: &sqlx::Error) -> bool {
    err.as_database_error().is_some_and(|error| {
        let is_protocol_violation = error.code().is_some_and(|code| code == "08P01");
        // PgBouncer reports `unsupported startup parameter`; the code alone has other causes too.
        is_protocol_violation && error.message().contains("startup parameter")
    })
}

/// Describes the target of `options` without its secrets.
pub(super) fn target(options: &PgConnectOptions) -> String {
    let database = options.get_database().unwrap_or_default();
    match options.get_socket() {
        Some(socket) => format!("{} (database {database})", socket.display()),
        None => format!("{}:{} (database {database})", options.get_host(), options.get_port()),
    }
}
