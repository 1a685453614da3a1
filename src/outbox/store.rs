//! SQL of the outbox.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    database::Connection,
    outbox::{Filter, Status, Topic},
};

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

/// The next message of a sink, as far as a worker has to know it before it takes the sink.
pub(super) struct Due {
    /// Seconds until it may be tried; none are left when this is not positive.
    pub(super) wait: f64,
    /// Whether the sink said that it is gone, of the address that the worker has.
    pub(super) dead: bool,
}

/// The next message that waits for `sink`, called at the address with this digest.
pub(super) async fn due(
    conn: &mut Connection,
    sink: &str,
    address: &[u8],
) -> sqlx::Result<Option<Due>> {
    sqlx::query_as!(
        Due,
        r#"
        select extract(epoch from due_at - clock_timestamp())::float8 as "wait!",
          exists (select from brune_outbox_sink s where s.sink = $1 and s.dead_address = $2) as "dead!"
        from brune_outbox where sink = $1 and status = 'waiting' order by seq limit 1
        "#,
        sink,
        address,
    )
    .fetch_optional(conn)
    .await
}

/// Takes `sink` for the worker with this `lease`, unless another has it; says whether it did. Repeated it says
/// the same.
pub(super) async fn take(
    conn: &mut Connection,
    sink: &str,
    lease: Uuid,
    term: Duration,
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
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
    Ok(done.rows_affected() == 1)
}

/// A message that waits, with what is known of its delivery.
pub(super) struct Waiting {
    pub(super) id: Uuid,
    pub(super) topic: String,
    pub(super) payload: Value,
    pub(super) created_at: DateTime<Utc>,
    pub(super) attempts: i32,
    pub(super) is_due: bool,
}

/// The first messages that wait for `sink`. To be read after the sink was taken: only then is everything to be
/// seen that the worker before has marked.
pub(super) async fn batch(
    conn: &mut Connection,
    sink: &str,
    most: i64,
) -> sqlx::Result<Vec<Waiting>> {
    sqlx::query_as!(
        Waiting,
        r#"
        select id, topic, payload, created_at, attempts, due_at <= clock_timestamp() as "is_due!"
        from brune_outbox where sink = $1 and status = 'waiting' order by seq limit $2
        "#,
        sink,
        most,
    )
    .fetch_all(conn)
    .await
}

/// How many running sessions keep settings from before `revision`.
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

/// What a worker has: a sink, until when, and by which token.
#[derive(Clone, Copy)]
pub(super) struct ClaimedBatch<'a> {
    pub(super) sink: &'a str,
    pub(super) lease: Uuid,
    pub(super) term: Duration,
}

/// How a delivery ended.
pub(super) struct Settled<'a> {
    pub(super) status: &'a str,
    pub(super) attempts: i32,
    /// Until it may be tried again.
    pub(super) pause: Duration,
    pub(super) error: Option<&'a str>,
}

/// Marks the message `id`, and goes on holding the sink; says whether it was still held. A worker that was paused
/// for too long marks nothing.
pub(super) async fn record_result(
    conn: &mut Connection,
    held: ClaimedBatch<'_>,
    id: Uuid,
    settled: &Settled<'_>,
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        r#"
        with held as (
          update brune_outbox_sink set leased_until = clock_timestamp() + make_interval(secs => $3),
            -- Whatever was said of another address: this one took it.
            dead_since = case when $5 <> 'delivered' then dead_since end,
            dead_reason = case when $5 <> 'delivered' then dead_reason end,
            dead_address = case when $5 <> 'delivered' then dead_address end
          where sink = $1 and lease = $2 and leased_until > clock_timestamp() returning 1)
        update brune_outbox set status = $5, attempts = $6, last_error = $8,
          due_at = clock_timestamp() + make_interval(secs => $7),
          settled_at = case when $5 <> 'waiting' then clock_timestamp() end
        where id = $4 and sink = $1 and status = 'waiting' and exists (select from held)
        "#,
        held.sink,
        held.lease,
        held.term.as_secs_f64(),
        id,
        settled.status,
        settled.attempts,
        settled.pause.as_secs_f64(),
        settled.error,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Says that the sink is gone for good at the address with this digest, and gives it back.
pub(super) async fn disable_sink(
    conn: &mut Connection,
    held: ClaimedBatch<'_>,
    address: &[u8],
    reason: &str,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        update brune_outbox_sink set lease = null, leased_until = null, dead_since = clock_timestamp(),
          dead_reason = $4, dead_address = $3
        where sink = $1 and lease = $2 and leased_until > clock_timestamp()
        "#,
        held.sink,
        held.lease,
        address,
        reason,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Gives back what is held by `lease`: `sink`, or every one.
pub(super) async fn release(
    conn: &mut Connection,
    lease: Uuid,
    sink: Option<&str>,
) -> sqlx::Result<()> {
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

/// What is left to do for a sink.
pub(super) struct Backlog {
    pub(super) sink: String,
    pub(super) waiting: i64,
    pub(super) dead: i64,
    /// Seconds since the oldest one that waits was stored.
    pub(super) oldest: Option<f64>,
}

/// What is left to do, for every sink that has something.
pub(super) async fn backlog(conn: &mut Connection) -> sqlx::Result<Vec<Backlog>> {
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

/// Gives up what nobody delivered for so long.
pub(super) async fn give_up(conn: &mut Connection, after: Duration) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        r#"
        update brune_outbox set status = 'dead', settled_at = clock_timestamp(),
          last_error = coalesce(last_error, 'nobody delivered it')
        where status = 'waiting' and created_at < clock_timestamp() - make_interval(secs => $1)
        "#,
        after.as_secs_f64(),
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// Deletes up to `most` messages that were settled as `status` so long ago; says how many.
pub(super) async fn forget(
    conn: &mut Connection,
    status: &str,
    after: Duration,
    most: i64,
) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        r#"
        delete from brune_outbox where (id, sink) in (
          select id, sink from brune_outbox
          where status = $1 and status <> 'waiting'
            and settled_at < clock_timestamp() - make_interval(secs => $2)
          order by settled_at limit $3 for update skip locked)
        "#,
        status,
        after.as_secs_f64(),
        most,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// A message at one sink, as a page shows it.
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

/// The newest messages that fit, before `before`.
pub(super) async fn page(
    conn: &mut Connection,
    filter: &Filter,
    before: Option<i64>,
    most: i64,
) -> sqlx::Result<Vec<Row>> {
    sqlx::query_as!(
        Row,
        r#"
        select seq as "seq!", id, sink, topic, payload, status, attempts, created_at, due_at, settled_at, last_error
        from brune_outbox
        where ($1::text is null or status = $1) and ($2::text is null or sink = $2)
          and ($3::text is null or topic = $3) and ($4::bigint is null or seq < $4)
        order by seq desc limit $5
        "#,
        filter.status.map(Status::as_str),
        filter.sink,
        filter.topic.map(Topic::as_str),
        before,
        most,
    )
    .fetch_all(conn)
    .await
}

/// A sink that said that it is gone for good.
pub(super) struct DisabledSink {
    pub(super) sink: String,
    pub(super) since: DateTime<Utc>,
    pub(super) reason: String,
}

/// The sinks that are gone.
pub(super) async fn buried(conn: &mut Connection) -> sqlx::Result<Vec<DisabledSink>> {
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

/// What was found of a message that is to be tried again.
pub(super) struct Retried {
    /// The sinks that it goes to again.
    pub(super) sinks: Vec<String>,
    /// Whether there is such a message for such a sink at all.
    pub(super) found: bool,
}

/// Has the message `id` tried again now wherever it was not delivered, or at `sink` alone; and those sinks, should
/// they be gone.
pub(super) async fn retry(
    conn: &mut Connection,
    id: Uuid,
    sink: Option<&str>,
) -> sqlx::Result<Retried> {
    sqlx::query_as!(
        Retried,
        r#"
        with again as (
          update brune_outbox set status = 'waiting', attempts = 0, due_at = clock_timestamp(), settled_at = null
          where id = $1 and sink = coalesce($2, sink) and status <> 'delivered' returning sink),
        raised as (
          update brune_outbox_sink set dead_since = null, dead_reason = null, dead_address = null
          where sink in (select sink from again) returning 1)
        select array(select sink from again order by sink) as "sinks!",
          exists (select from brune_outbox where id = $1 and sink = coalesce($2, sink)) as "found!"
        "#,
        id,
        sink,
    )
    .fetch_one(conn)
    .await
}
