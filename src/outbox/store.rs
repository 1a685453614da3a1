//! SQL of the outbox.

use serde_json::Value;
use uuid::Uuid;

use crate::database::Connection;

/// Stores the message `id` once for each of `sinks`.
pub(super) async fn insert(
    conn: &mut Connection,
    id: Uuid,
    sinks: &[String],
    topic: &str,
    payload: &Value,
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into brune_outbox (id, sink, topic, payload) select $1, sink, $3, $4 from unnest($2::text[]) sink",
        id,
        sinks,
        topic,
        payload,
    )
    .execute(conn)
    .await?;
    Ok(())
}
