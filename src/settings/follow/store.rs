//! SQL about the channel itself.

use sqlx::postgres::PgListener;

use crate::database::Connection;

/// Notifies whoever listens on `channel`.
pub(super) async fn notify(conn: &mut Connection, channel: &str) -> sqlx::Result<()> {
    sqlx::query("select pg_notify($1, '')").bind(channel).execute(conn).await?;
    Ok(())
}

/// Asks a connection whether it lives.
pub(super) async fn ping(listener: &mut PgListener) -> sqlx::Result<()> {
    sqlx::query("select 1").execute(listener).await?;
    Ok(())
}
