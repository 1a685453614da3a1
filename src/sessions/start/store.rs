//! SQL of a session start.

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    database::Connection,
    sessions::{
        eligibility::{Bounds, History},
        session::NewSession,
        start::planned::RateLimit,
    },
};

/// The state of the user and the settings after a failed insert.
pub(super) struct Diagnosis {
    /// The newest revision of the settings, and the epoch of session starts.
    pub(super) revision: i64,
    pub(super) epoch: i64,
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
    /// Seconds until the stop of all starts ends by itself; `None` if starts are not stopped.
    pub(super) stopped_for: Option<i32>,
}

impl Diagnosis {
    pub(super) fn history(&self) -> History {
        History { last_ended_at: self.last_ended_at, started_today: self.started_today }
    }
}

/// The message about an expired session that a start closes.
#[derive(Clone, Default)]
pub(super) struct ExpiredMessage {
    pub(super) message_id: Uuid,
    pub(super) topic: &'static str,
    pub(super) sinks: Vec<String>,
}

/// Returns the obstacles to `new_session`, in one state of the database.
///
/// With a `message`, and within the rate limit, also closes an expired session of the user and enqueues the message:
/// the unique index allows only one open session.
pub(super) async fn diagnose(
    conn: &mut Connection,
    new_session: &NewSession,
    bounds: &Bounds,
    limit: RateLimit,
    message: Option<&ExpiredMessage>,
) -> sqlx::Result<Diagnosis> {
    let ExpiredMessage { message_id, topic, sinks } = message.cloned().unwrap_or_default();
    sqlx::query_as!(
        Diagnosis,
        r#"
        with own as not materialized (select * from brune_session_counted where user_id = $1),
        last as (select id, status = 'starting' or status = 'active' and expires_at > $2 as running,
          least(ended_at, expires_at) as ended_at from own order by started_at desc limit 1),
        prior as (select id, idempotency_digest as digest, status = 'starting' as is_starting from own
          where idempotency_key = $3),
        recent as (select attempted_at from brune_session where user_id = $1
          and started_at > $2 - interval '1 hour' and attempted_at > clock_timestamp() - interval '1 minute'),
        stop as (select ceil(extract(epoch from stopped_until - clock_timestamp()))::integer as seconds
          from app_global_setting_head where stopped_until > clock_timestamp()),
        -- Neither a repeat, a retry nor a start during a stop is an attempt. Every statement locks this row before a session.
        tried as (insert into brune_start_attempt as a (user_id, tried_at)
          select $1, array[clock_timestamp()] where not $5 and not exists (select from prior) and not exists (select from stop)
            and not exists (select from own where id = $11) and (select count(*) from recent) < $6
          on conflict (user_id) do update set tried_at = brune_within_a_minute(a.tried_at) || clock_timestamp()
          where cardinality(brune_within_a_minute(a.tried_at)) + (select count(*) from recent) < $6 returning 1),
        counted as (select $5 or exists (select from tried) as is_so),
        lapsed as (update brune_session set status = case status when 'starting' then 'failed' else 'expired' end,
            ended_at = case status when 'starting' then greatest(started_at, $2) else expires_at end
          where user_id = $1 and $7 and (select is_so from counted) and (status = 'active' and expires_at <= $2
            or status = 'starting' and starting_until <= statement_timestamp()) returning *),
        messages as (
          insert into brune_outbox (id, sink, topic, payload) select $8, sink, $9, brune_session_over(id, user_id,
            settings_revision, model, prompt_id, prompt_version, started_at, expires_at)
          from lapsed, unnest($10::text[]) sink where status = 'expired')
        select revision, epoch, (select count(*) from own where started_at >= $4) as "started_today!",
          (select case when not running then ended_at end from last) as last_ended_at,
          (select id from last where running) as active, (select id from prior) as prior,
          (select digest from prior) as prior_digest, (select is_starting from prior) as prior_is_starting,
          (select is_so from counted) as "counted!", (select seconds from stop) as stopped_for,
          (select ceil(extract(epoch from t + interval '1 minute' - statement_timestamp()))::integer
            from (select unnest(tried_at) as t from brune_start_attempt where user_id = $1
              union all table recent) attempts order by t desc offset $6 - 1 limit 1) as try_again_in
        from app_global_setting_head
        "#,
        new_session.user.id.as_str(),
        new_session.started_at,
        new_session.idempotency().0,
        bounds.day_start,
        limit.counted,
        limit.per_minute,
        message.is_some(),
        message_id,
        topic,
        &sinks,
        new_session.id,
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
    // A single statement, so no session becomes active without the messages.
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
    // Limited, so a deletion holds few locks; the rest follows at the next interval.
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
