//! SQL of the notification channel.

use sqlx::postgres::PgListener;

use crate::{database::Connection, settings::notification::NotificationKeys};

/// Notifies `channel`.
pub(super) async fn notify(conn: &mut Connection, channel: &str) -> sqlx::Result<()> {
    // Not `NOTIFY`, because `NOTIFY` takes no bind parameters.
    sqlx::query("select pg_notify($1, '')").bind(channel).execute(conn).await?;
    Ok(())
}

/// Checks that the connection of `listener` is alive.
pub(super) async fn ping(listener: &mut PgListener) -> sqlx::Result<()> {
    // A round trip, because TCP detects a dead peer only after unacknowledged data.
    sqlx::query("select 1").execute(listener).await?;
    Ok(())
}

/// Reads the keys of notifications of the server that `listener` is connected to.
pub(super) async fn notification_keys(
    listener: &mut PgListener,
) -> sqlx::Result<Option<NotificationKeys>> {
    let row = sqlx::query!(
        r#"
        select encryption_key as "encryption!", authentication_key as "authentication!",
          (extract(epoch from pg_postmaster_start_time()) * 1000000)::bigint as "server_started_at!"
        from brune_notification_key
        "#,
    )
    .fetch_one(listener)
    .await?;
    Ok(NotificationKeys::new(&row.encryption, &row.authentication, row.server_started_at))
}
