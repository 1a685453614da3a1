//! SQL of a session start.

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    database::Connection,
    sessions::{
        eligibility::{Bounds, History},
        session::Candidate,
    },
};

/// The state of the user and the settings after a failed insert.
pub(super) struct Diagnosis {
    /// The newest revision of the settings.
    pub(super) revision: i64,
    pub(super) last_ended_at: Option<DateTime<Utc>>,
    pub(super) started_today: i64,
    /// The active or starting session.
    pub(super) active: Option<Uuid>,
    /// The session with the same idempotency key.
    pub(super) prior: Option<Uuid>,
    pub(super) prior_digest: Option<Vec<u8>>,
    pub(super) prior_is_starting: Option<bool>,
    /// Whether the rate limit allowed the attempt. A request counts as one attempt.
    pub(super) counted: bool,
    /// Seconds until the rate limit allows an attempt.
    pub(super) try_again_in: Option<i32>,
}

impl Diagnosis {
    pub(super) fn history(&self) -> History {
        History { last_ended_at: self.last_ended_at, started_today: self.started_today }
    }
}

/// The rate limit of a user's attempts.
#[derive(Clone, Copy)]
pub(super) struct RateLimit {
    /// Allowed attempts per minute.
    pub(super) per_minute: i32,
    /// Whether the current request is already counted.
    pub(super) counted: bool,
}

/// The result of an insert.
pub(super) struct InsertResult {
    pub(super) counted: bool,
    pub(super) inserted: bool,
}

/// Inserts `candidate` if the settings are current, the user's history is within `bounds` and the rate limit allows
/// the attempt; all in one statement, so in one state of the database.
///
/// The statement does not return the obstacle; see [`diagnose`]. A reused idempotency key violates a unique index,
/// as does a concurrent start.
pub(super) async fn insert_if_eligible(
    conn: &mut Connection,
    candidate: &Candidate,
    bounds: &Bounds,
    limit: RateLimit,
) -> sqlx::Result<InsertResult> {
    let Candidate { user, settings, .. } = candidate;
    let (idempotency_key, idempotency_digest) = candidate.idempotency();
    sqlx::query_as!(
        InsertResult,
        r#"
        with tried as (
          insert into brune_start_attempt as a (user_id, tried_at)
          select $2, array[clock_timestamp()]
          where not $17 and ($12::text is null or not exists (select from brune_session
            where user_id = $2 and idempotency_key = $12 and status <> 'failed'))
          on conflict (user_id) do update
          set tried_at = brune_within_a_minute(a.tried_at) || clock_timestamp()
          where cardinality(brune_within_a_minute(a.tried_at)) < $18 returning 1),
        inserted as (
          insert into brune_session (id, user_id, plan, level, started_at, expires_at, settings_revision,
            prompt_id, prompt_version, model, session_max_minutes, idempotency_key, idempotency_digest,
            status, starting_until)
          select $1, $2, $3, $4, $5, $6, revision, $8, $9, $10, $11, $12, $13,
            case when $19 then 'starting' else 'active' end, case when $19 then clock_timestamp() + interval '30 s' end
          from app_global_setting_head
          -- What a crash loses of a first step was never a session: only the second is waited for on disk.
          where revision = $7 and (not $19 or set_config('synchronous_commit', 'off', true) = 'off')
            and ($17 or exists (select from tried)) and (
            -- Sessions of a user follow one another, so what holds of the last holds if it does of any.
            select count(*) filter (where started_at >= $15) < $16
              and coalesce(bool_and(status not in ('starting', 'active') and least(ended_at, expires_at) <= $14), true)
            from (select status, started_at, ended_at, expires_at from brune_session
              where user_id = $2 and status <> 'failed' order by started_at desc limit $16) newest) returning 1)
        select $17 or exists (select from tried) as "counted!", exists (select from inserted) as "inserted!"
        "#,
        candidate.id,
        user.id.as_str(),
        user.plan,
        user.level,
        candidate.started_at,
        candidate.expires_at,
        settings.revision,
        settings.prompt_id,
        settings.prompt_version,
        settings.model,
        settings.session_max_minutes,
        idempotency_key,
        idempotency_digest,
        bounds.ended_by,
        bounds.day_start,
        bounds.max_today,
        limit.counted,
        limit.per_minute,
        candidate.in_two_steps,
    )
    .fetch_one(conn)
    .await
}

/// The message about an expired session that a start closes.
#[derive(Clone, Default)]
pub(super) struct ExpiredMessage {
    pub(super) message_id: Uuid,
    pub(super) topic: &'static str,
    pub(super) sinks: Vec<String>,
}

/// Returns the obstacles to `candidate`, in one state of the database.
///
/// With a `message`, and within the rate limit, also closes an expired session of the user and enqueues the message:
/// the unique index allows only one open session.
pub(super) async fn diagnose(
    conn: &mut Connection,
    candidate: &Candidate,
    bounds: &Bounds,
    limit: RateLimit,
    message: Option<&ExpiredMessage>,
) -> sqlx::Result<Diagnosis> {
    let ExpiredMessage { message_id, topic, sinks } = message.cloned().unwrap_or_default();
    sqlx::query_as!(
        Diagnosis,
        r#"
        with own as not materialized (select * from brune_session_counted where user_id = $1),
        last as (select id, least(ended_at, expires_at) as ended_at,
            status = 'starting' or status = 'active' and expires_at > $2 as running
          from own order by started_at desc limit 1),
        prior as (select id, idempotency_digest as digest, status = 'starting' as is_starting from own
          where idempotency_key = $3),
        -- A repeat is no attempt. Whoever takes this row and a session's takes them in this order.
        tried as (
          insert into brune_start_attempt as a (user_id, tried_at)
          select $1, array[clock_timestamp()] where not $5 and not exists (select from prior)
          on conflict (user_id) do update
          set tried_at = brune_within_a_minute(a.tried_at) || clock_timestamp()
          where cardinality(brune_within_a_minute(a.tried_at)) < $6 returning 1),
        counted as (select $5 or exists (select from tried) as is_so),
        lapsed as (
          update brune_session
          set status = case status when 'starting' then 'failed' else 'expired' end,
            ended_at = case status when 'starting' then greatest(started_at, $2) else expires_at end
          where user_id = $1 and $7 and (select is_so from counted) and (status = 'active' and expires_at <= $2
            or status = 'starting' and starting_until <= statement_timestamp()) returning *),
        told as (
          insert into brune_outbox (id, sink, topic, payload)
          select $8, sink, $9, brune_session_over(id, user_id, settings_revision, model, prompt_id,
            prompt_version, started_at, expires_at)
          from lapsed, unnest($10::text[]) sink where status = 'expired')
        select revision, (select count(*) from own where started_at >= $4) as "started_today!",
          (select case when not running then ended_at end from last) as last_ended_at,
          (select id from last where running) as active, (select id from prior) as prior,
          (select digest from prior) as prior_digest, (select is_starting from prior) as prior_is_starting,
          (select is_so from counted) as "counted!",
          (select ceil(extract(epoch from t + interval '1 minute' - statement_timestamp()))::integer
            from brune_start_attempt, unnest(tried_at) t where user_id = $1
            order by t desc offset $6 - 1 limit 1) as try_again_in
        from app_global_setting_head
        "#,
        candidate.user.id.as_str(),
        candidate.started_at,
        candidate.idempotency().0,
        bounds.day_start,
        limit.counted,
        limit.per_minute,
        message.is_some(),
        message_id,
        topic,
        &sinks,
    )
    .fetch_one(conn)
    .await
}

/// The activation of a session and the message about the start.
pub(super) struct Activation {
    pub(super) id: Uuid,
    pub(super) provider_session_id: Option<String>,
    pub(super) provider_request_id: Option<String>,
    /// The id of the message; the same for all attempts.
    pub(super) message_id: Uuid,
    pub(super) topic: &'static str,
    pub(super) sinks: Vec<String>,
    pub(super) payload: Value,
}

/// Activates a session that is starting and not abandoned, and enqueues the message for each sink. Returns whether the
/// session was activated.
pub(super) async fn activate(conn: &mut Connection, new: &Activation) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"
        with activated as (
          update brune_session
          set status = 'active', provider_session_id = $2, provider_request_id = $3
          where id = $1 and status = 'starting' and starting_until > clock_timestamp()
          returning 1),
        told as (
          insert into brune_outbox (id, sink, topic, payload)
          select $4, sink, $5, $6 from activated, unnest($7::text[]) sink)
        select exists (select from activated) as "it!"
        "#,
        new.id,
        new.provider_session_id,
        new.provider_request_id,
        new.message_id,
        new.topic,
        new.payload,
        &new.sinks,
    )
    .fetch_one(conn)
    .await
}

/// Marks a starting session as failed.
pub(super) async fn fail(conn: &mut Connection, id: Uuid, now: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!(
        "update brune_session set status = 'failed', ended_at = greatest(started_at, $2)
         where id = $1 and status = 'starting'",
        id,
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Deletes attempts older than a minute, except rows locked by a concurrent start.
pub(super) async fn delete_expired_attempts(conn: &mut Connection) -> sqlx::Result<u64> {
    let result = sqlx::query!(
        "delete from brune_start_attempt where user_id in (
           select user_id from brune_start_attempt
           where tried_at[cardinality(tried_at)] <= clock_timestamp() - interval '1 minute'
           limit 10000 for update skip locked)",
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected())
}
