//! SQL of expired sessions.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::database::Connection;

/// The result of a batch.
#[derive(Debug)]
pub(super) struct Batch {
    /// Number of marked sessions.
    pub(super) expired: i64,
    /// Latest expiry in the batch; `None` for an empty batch.
    pub(super) until: Option<DateTime<Utc>>,
    /// Seconds since the earliest expiry in the batch.
    pub(super) lag: Option<f64>,
}

/// The messages about the expired sessions.
#[derive(Debug)]
pub(super) struct ExpiredMessages {
    pub(super) topic: &'static str,
    pub(super) sinks: Vec<String>,
    /// The id of each message: one for each session of a full batch, or none without a sink.
    pub(super) ids: Vec<Uuid>,
}

/// Marks up to `limit` sessions that expired at `from` or later, oldest first, and enqueues the messages, in one
/// statement. Skips sessions that are locked by another instance, which marks or ends the sessions.
///
/// `from` skips dead index entries of earlier batches, which remain as long as any transaction may see the entries. The
/// statement uses its own timestamp instead of the clock, because an index lookup needs a constant.
pub(super) async fn expire(
    conn: &mut Connection,
    limit: i64,
    from: Option<DateTime<Utc>>,
    messages: &ExpiredMessages,
) -> sqlx::Result<Batch> {
    sqlx::query_as!(
        Batch,
        r#"
        with due as (
          select id from brune_session
          where status = 'active' and expires_at <= statement_timestamp()
            and expires_at >= coalesce($2, '-infinity'::timestamptz)
          order by expires_at limit $1 for update skip locked),
        expired as (
          update brune_session s set status = 'expired', ended_at = expires_at
          from due where s.id = due.id and s.status = 'active'
          returning s.id, user_id, settings_revision, model, prompt_id, prompt_version, started_at, expires_at),
        messages as (
          insert into brune_outbox (id, sink, topic, payload)
          select ($5::uuid[])[nth], sink, $3, brune_session_over(e.id, user_id, settings_revision, model,
            prompt_id, prompt_version, started_at, expires_at)
          from (select *, row_number() over (order by expired.expires_at, expired.id) as nth from expired) e,
            unnest($4::text[]) sink
          order by nth)
        select count(*) as "expired!", max(expires_at) as until,
          extract(epoch from statement_timestamp() - min(expires_at))::float8 as lag
        from expired
        "#,
        limit,
        from,
        messages.topic,
        &messages.sinks,
        &messages.ids,
    )
    .fetch_one(conn)
    .await
}
