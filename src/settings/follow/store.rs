//! SQL of the notification channel.

use sqlx::postgres::PgListener;

use crate::{database::Connection, settings::notification::NotificationKey};

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

/// Reads the key of notifications; `None` if the key is not usable.
pub(super) async fn notification_key(
    conn: &mut Connection,
) -> sqlx::Result<Option<NotificationKey>> {
    let key = sqlx::query_scalar!(
        r#"select encryption_key as "encryption_key!" from brune_notification_key"#
    );
    Ok(NotificationKey::new(&key.fetch_one(conn).await?))
}
