//! SQL about the server itself.

use sqlx::PgConnection;

/// Whether the server is a replica, or still replaying its log.
pub(super) async fn is_in_recovery(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("select pg_is_in_recovery()").fetch_one(connection).await
}
