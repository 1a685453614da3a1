//! SQL of sessions whose time is over.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::database::Connection;

/// What one batch did.
#[derive(Debug)]
pub(super) struct Batch {
    /// How many sessions it marked.
    pub(super) expired: i64,
    /// When the last of them was over; none when it marked none.
    pub(super) until: Option<DateTime<Utc>>,
    /// For how many seconds the first of them had been over.
    pub(super) lag: Option<f64>,
}

/// What is told of each session that is marked.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) topic: &'static str,
    /// Who is told.
    pub(super) sinks: Vec<String>,
    /// The id of each message: as many as the batch may have sessions, or none without a sink.
    pub(super) ids: Vec<Uuid>,
}

/// Marks at most `most` sessions whose time was over at `from` or later, the oldest first, and stores what is told of
/// each. In one statement, so that neither can be without the other. Those that somebody else has in hand are passed
/// over: they are marked there, or ended.
///
/// `from` spares a batch the entries of all before it, which stay in the index as long as any transaction of the
/// server may still want them. The statement's own time, and not the clock's: only what does not move while it runs
/// can be looked up in an index.
pub(super) async fn expire(
    conn: &mut Connection,
    most: i64,
    from: Option<DateTime<Utc>>,
    message: &Message,
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
        told as (
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
        most,
        from,
        message.topic,
        &message.sinks,
        &message.ids,
    )
    .fetch_one(conn)
    .await
}
