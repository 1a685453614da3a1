//! SQL of the outbox.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    database::Connection,
    outbox::message::{Filter, Status, Topic},
};

/// Inserts the message `id` for each of `sinks`.
pub(super) async fn insert(
    conn: &mut Connection,
    id: Uuid,
    sinks: &[String],
    topic: &str,
    payload: &Value,
) -> sqlx::Result<()> {
    // One statement for all sinks, since the messages of an event are stored together.
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

/// When the next message of a sink is due.
pub(super) struct NextMessage {
    /// The seconds until the next attempt; due if not positive.
    pub(super) wait: f64,
    /// Whether the sink is disabled at the address that the worker has.
    pub(super) is_sink_disabled: bool,
}

/// Returns the first waiting message of `sink`, whose address has the digest `address`.
pub(super) async fn next_message(
    conn: &mut Connection,
    sink: &str,
    address: &[u8],
) -> sqlx::Result<Option<NextMessage>> {
    // Only the first message counts, because later messages must not overtake.
    sqlx::query_as!(
        NextMessage,
        r#"
        select extract(epoch from due_at - clock_timestamp())::float8 as "wait!",
          exists (select from brune_outbox_sink s where s.sink = $1 and s.dead_address = $2) as "is_sink_disabled!"
        from brune_outbox where sink = $1 and status = 'waiting' order by seq limit 1
        "#,
        sink,
        address,
    )
    .fetch_optional(conn)
    .await
}

/// Claims `sink` for the worker with the id `lease`, unless another worker has an unexpired lease; returns whether the
/// claim succeeded.
pub(super) async fn claim(
    conn: &mut Connection,
    sink: &str,
    lease: Uuid,
    term: Duration,
) -> sqlx::Result<bool> {
    // A repeated claim with the same id extends the lease, so a retry after a lost reply is safe.
    let result = sqlx::query!(
        r#"
        insert into brune_outbox_sink as s (sink, lease, leased_until)
        values ($1, $2, clock_timestamp() + make_interval(secs => $3))
        on conflict (sink) do update set lease = excluded.lease, leased_until = excluded.leased_until
        where s.lease is null or s.lease = excluded.lease or s.leased_until <= clock_timestamp()
        "#,
        sink,
        lease,
        term.as_secs_f64(),
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// A waiting message.
pub(super) struct WaitingMessage {
    pub(super) id: Uuid,
    pub(super) topic: String,
    pub(super) payload: Value,
    pub(super) created_at: DateTime<Utc>,
    pub(super) attempts: i32,
    pub(super) is_due: bool,
}

/// Returns the first waiting messages of `sink`. Must follow [`claim`]: only then are all results of the previous worker
/// visible.
pub(super) async fn batch(
    conn: &mut Connection,
    sink: &str,
    limit: i64,
) -> sqlx::Result<Vec<WaitingMessage>> {
    // A setting may have become a secret since the message was stored.
    sqlx::query_as!(
        WaitingMessage,
        r#"
        select id, topic, created_at, attempts, due_at <= clock_timestamp() as "is_due!",
          brune_changes_redacted(payload, array(select key from app_global_setting_schema where kind = 'secret')) as "payload!"
        from brune_outbox where sink = $1 and status = 'waiting' order by seq limit $2
        "#,
        sink,
        limit,
    )
    .fetch_all(conn)
    .await
}

/// Counts active sessions with settings from before `revision`.
pub(super) async fn older_sessions(conn: &mut Connection, revision: i64) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"
        select count(*) as "count!" from brune_session
        where status = 'active' and expires_at > clock_timestamp() and settings_revision < $1
        "#,
        revision,
    )
    .fetch_one(conn)
    .await
}

/// The lease of a worker on a sink.
#[derive(Clone, Copy)]
pub(super) struct SinkLease<'a> {
    pub(super) sink: &'a str,
    pub(super) id: Uuid,
    pub(super) term: Duration,
}

/// The result of a delivery.
pub(super) struct DeliveryResult<'a> {
    pub(super) status: &'a str,
    pub(super) attempts: i32,
    /// The time until the next attempt.
    pub(super) pause: Duration,
    pub(super) error: Option<&'a str>,
}

/// Records the result of the message `id` and extends the lease; returns whether the lease was still held. A worker
/// whose lease has expired records nothing.
pub(super) async fn record_result(
    conn: &mut Connection,
    lease: SinkLease<'_>,
    id: Uuid,
    result: &DeliveryResult<'_>,
) -> sqlx::Result<bool> {
    // One statement, so that a worker without the lease can never record a result.
    let result = sqlx::query!(
        r#"
        with held as (
          update brune_outbox_sink set leased_until = clock_timestamp() + make_interval(secs => $3),
            -- A delivery enables the sink, whatever the state of another address.
            dead_since = case when $5 <> 'delivered' then dead_since end,
            dead_reason = case when $5 <> 'delivered' then dead_reason end,
            dead_address = case when $5 <> 'delivered' then dead_address end
          where sink = $1 and lease = $2 and leased_until > clock_timestamp() returning 1)
        update brune_outbox set status = $5, attempts = $6, last_error = $8,
          due_at = clock_timestamp() + make_interval(secs => $7),
          settled_at = case when $5 <> 'waiting' then clock_timestamp() end
        where id = $4 and sink = $1 and status = 'waiting' and exists (select from held)
        "#,
        lease.sink,
        lease.id,
        lease.term.as_secs_f64(),
        id,
        result.status,
        result.attempts,
        result.pause.as_secs_f64(),
        result.error,
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// Disables the sink at the address with the digest `address`, and releases the lease.
pub(super) async fn disable_sink(
    conn: &mut Connection,
    lease: SinkLease<'_>,
    address: &[u8],
    reason: &str,
) -> sqlx::Result<()> {
    // Only for the holder of the lease: a late result must not disable a repaired sink.
    sqlx::query!(
        r#"
        update brune_outbox_sink set lease = null, leased_until = null, dead_since = clock_timestamp(),
          dead_reason = $4, dead_address = $3
        where sink = $1 and lease = $2 and leased_until > clock_timestamp()
        "#,
        lease.sink,
        lease.id,
        address,
        reason,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Releases the lease of `sink`, or every lease of the worker.
pub(super) async fn release(
    conn: &mut Connection,
    lease: Uuid,
    sink: Option<&str>,
) -> sqlx::Result<()> {
    // The lease must match: a late release must not free the claim of another worker.
    sqlx::query!(
        r#"
        update brune_outbox_sink set lease = null, leased_until = null
        where lease = $1 and sink = coalesce($2, sink)
        "#,
        lease,
        sink,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The backlog of a sink.
pub(super) struct Backlog {
    pub(super) sink: String,
    pub(super) waiting: i64,
    pub(super) dead: i64,
    /// The age of the oldest waiting message in seconds.
    pub(super) oldest: Option<f64>,
}

/// Returns the backlog of every sink with waiting or dead messages.
pub(super) async fn backlog(conn: &mut Connection) -> sqlx::Result<Vec<Backlog>> {
    // Without the delivered messages, which are most of the table.
    sqlx::query_as!(
        Backlog,
        r#"
        select sink, count(*) filter (where status = 'waiting') as "waiting!",
          count(*) filter (where status = 'dead') as "dead!",
          extract(epoch from clock_timestamp() - min(created_at) filter (where status = 'waiting'))::float8 as oldest
        from brune_outbox where status in ('waiting', 'dead') group by sink order by sink
        "#,
    )
    .fetch_all(conn)
    .await
}

/// Marks messages as dead that have waited longer than `after`; returns the count.
pub(super) async fn abandon_undelivered(
    conn: &mut Connection,
    after: Duration,
) -> sqlx::Result<u64> {
    // Covers sinks without a worker, for example after an address was removed.
    let result = sqlx::query!(
        r#"
        update brune_outbox set status = 'dead', settled_at = clock_timestamp(),
          last_error = coalesce(last_error, 'no worker delivered the message')
        where status = 'waiting' and created_at < clock_timestamp() - make_interval(secs => $1)
        "#,
        after.as_secs_f64(),
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected())
}

/// Deletes up to `limit` messages that reached `status` longer than `after` ago; returns the count.
pub(super) async fn delete_settled(
    conn: &mut Connection,
    status: &str,
    after: Duration,
    limit: i64,
) -> sqlx::Result<u64> {
    // Skips locked rows, so that instances clean up concurrently.
    // The second condition on the status lets the planner use the partial index.
    let result = sqlx::query!(
        r#"
        delete from brune_outbox where (id, sink) in (
          select id, sink from brune_outbox
          where status = $1 and status <> 'waiting'
            and settled_at < clock_timestamp() - make_interval(secs => $2)
          order by settled_at limit $3 for update skip locked)
        "#,
        status,
        after.as_secs_f64(),
        limit,
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected())
}

/// A message at a sink.
pub(super) struct Row {
    pub(super) seq: i64,
    pub(super) id: Uuid,
    pub(super) sink: String,
    pub(super) topic: String,
    pub(super) payload: Value,
    pub(super) status: String,
    pub(super) attempts: i32,
    pub(super) created_at: DateTime<Utc>,
    pub(super) due_at: DateTime<Utc>,
    pub(super) settled_at: Option<DateTime<Utc>>,
    pub(super) last_error: Option<String>,
}

/// Returns up to `limit` messages that match `filter`, older than `before`, newest first.
pub(super) async fn page(
    conn: &mut Connection,
    filter: &Filter,
    before: Option<i64>,
    limit: i64,
) -> sqlx::Result<Vec<Row>> {
    sqlx::query_as!(
        Row,
        r#"
        select seq as "seq!", id, sink, topic, status, attempts, created_at, due_at, settled_at, last_error,
          brune_changes_redacted(payload, array(select key from app_global_setting_schema where kind = 'secret')) as "payload!"
        from brune_outbox
        where ($1::text is null or status = $1) and ($2::text is null or sink = $2)
          and ($3::text is null or topic = $3) and ($4::bigint is null or seq < $4)
        order by seq desc limit $5
        "#,
        filter.status.map(Status::as_str),
        filter.sink,
        filter.topic.map(Topic::as_str),
        before,
        limit,
    )
    .fetch_all(conn)
    .await
}

/// A disabled sink.
pub(super) struct DisabledSink {
    pub(super) sink: String,
    pub(super) since: DateTime<Utc>,
    pub(super) reason: String,
}

/// Returns the disabled sinks.
pub(super) async fn disabled_sinks(conn: &mut Connection) -> sqlx::Result<Vec<DisabledSink>> {
    sqlx::query_as!(
        DisabledSink,
        r#"
        select sink, dead_since as "since!", dead_reason as "reason!" from brune_outbox_sink
        where dead_since is not null and dead_reason is not null
        "#,
    )
    .fetch_all(conn)
    .await
}

/// The result of a retry.
pub(super) struct RetryResult {
    /// The sinks that receive the message again.
    pub(super) sinks: Vec<String>,
    /// Whether the message exists for the sink.
    pub(super) exists: bool,
}

/// Makes the message `id` due at every sink that has not accepted the message, or only at `sink`, and enables these
/// sinks.
pub(super) async fn retry(
    conn: &mut Connection,
    id: Uuid,
    sink: Option<&str>,
) -> sqlx::Result<RetryResult> {
    // Attempts restart at 0, so that the backoff starts again.
    sqlx::query_as!(
        RetryResult,
        r#"
        with again as (
          update brune_outbox set status = 'waiting', attempts = 0, due_at = clock_timestamp(), settled_at = null
          where id = $1 and sink = coalesce($2, sink) and status <> 'delivered' returning sink),
        raised as (
          update brune_outbox_sink set dead_since = null, dead_reason = null, dead_address = null
          where sink in (select sink from again) returning 1)
        select array(select sink from again order by sink) as "sinks!",
          exists (select from brune_outbox where id = $1 and sink = coalesce($2, sink)) as "exists!"
        "#,
        id,
        sink,
    )
    .fetch_one(conn)
    .await
}
