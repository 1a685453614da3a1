//! SQL of a session start.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
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

/// The rate limit of a user's attempts.
#[derive(Debug, Clone, Copy)]
pub(super) struct RateLimit {
    /// Allowed attempts per minute.
    pub(super) per_minute: i64,
    /// Whether the current request is already counted.
    pub(super) counted: bool,
}

/// A session to insert if the rules allow the start.
#[derive(Debug, Clone)]
pub(super) struct PlannedInsert {
    pub(super) candidate: Arc<Candidate>,
    pub(super) bounds: Bounds,
    pub(super) limit: RateLimit,
}

impl PlannedInsert {
    /// Whether the two inserts can be in one statement.
    pub(super) fn can_share(&self, insert: &Self) -> bool {
        // The settings are read from one snapshot, so the revision stands for all values.
        self.candidate.settings.revision == insert.candidate.settings.revision
            && self.candidate.epoch == insert.candidate.epoch
            && self.candidate.in_two_steps == insert.candidate.in_two_steps
            && self.limit.counted == insert.limit.counted
            // Starts before and after midnight.
            && self.bounds.day_start == insert.bounds.day_start
            // The rows of a statement do not see each other, so a user's second start would pass the checks.
            && self.candidate.user.id != insert.candidate.user.id
    }

    /// Returns the cooldown, which is the same for all rows of a statement, as the settings are.
    fn cooldown(&self) -> TimeDelta {
        self.candidate.started_at - self.bounds.ended_by
    }

    /// Returns the maximum duration of the session, also the same for all rows.
    fn duration(&self) -> TimeDelta {
        self.candidate.expires_at - self.candidate.started_at
    }
}

/// Inserts each of `inserts` if starts are not stopped, settings and epoch are current, and the user's history and the rate
/// limit allow the start; all in one statement, so in one state of the database. Returns the ids of the inserted sessions.
///
/// `inserts` must be able to [share](PlannedInsert::can_share) a statement: all rows see the state before the statement.
/// The statement does not return the obstacles; see [`diagnose`]. A reused idempotency key is an obstacle, as is a
/// concurrent start of the user; neither fails the other rows.
pub(super) async fn insert_if_eligible(
    conn: &mut Connection,
    inserts: &[PlannedInsert],
) -> sqlx::Result<Vec<Uuid>> {
    match inserts {
        [] => Ok(Vec::new()),
        [insert] => insert_one(conn, insert).await,
        [first, ..] => insert_group(conn, first, inserts).await,
    }
}

/// Inserts a single session. The conditions are those of [`insert_group`], which costs Postgres half as much again for
/// one row: arrays as parameters, a function scan, a sort, and a search in every unique index before the insert.
async fn insert_one(conn: &mut Connection, insert: &PlannedInsert) -> sqlx::Result<Vec<Uuid>> {
    let PlannedInsert { candidate, bounds, limit } = insert;
    let settings = &candidate.settings;
    let (idempotency_key, idempotency_digest) = candidate.idempotency();
    let query = sqlx::query!(
        r#"
        -- All columns in the order of the table: otherwise the plan has one more node, to rearrange the columns.
        insert into brune_session (id, user_id, status, plan, level, started_at, expires_at, ended_at, settings_revision,
          prompt_id, prompt_version, model, session_max_minutes, idempotency_key, idempotency_digest, starting_until,
          provider_session_id, provider_request_id, ended_by, end_reason, attempted_at)
        select $1, $2, case when $13 then 'starting' else 'active' end, $3, $4, $5::timestamptz, $6, null::timestamptz, $15,
          $7, $8, $9, $10, $11, $12, case when $13 then clock_timestamp() + interval '30 s' end,
          null::text, null::text, null::text, null::text, case when not $14 then clock_timestamp() end
        -- For the reasons of the conditions see the statement for several rows.
        where (select revision from app_global_setting_head
            where epoch = $20 and coalesce(stopped_until <= clock_timestamp(), true)) = $15
          and (not $13 or set_config('synchronous_commit', 'off', true) = 'off')
          and coalesce((select least(ended_at, expires_at) <= $18 from brune_session
            where user_id = $2 and status <> 'failed' order by started_at desc limit 1), true)
          and (select count(*) filter (where status <> 'failed' and started_at >= $16) < $17
              and ($14 or $19 > count(*) filter (where attempted_at > clock_timestamp() - interval '1 minute')
                + coalesce((select cardinality(brune_within_a_minute(tried_at))
                  from brune_start_attempt where user_id = $2), 0))
            from brune_session where user_id = $2 and started_at >= least($16, $5::timestamptz - interval '1 hour'))
          and ($11::text is null or not exists (select from brune_session
            where user_id = $2 and idempotency_key = $11 and status <> 'failed'))
        -- Only the index of the common race is searched twice. A running session is such a conflict as well.
        on conflict (user_id) where status in ('starting', 'active') do nothing
        "#,
        candidate.id,
        candidate.user.id.as_str(),
        candidate.user.plan.as_deref(),
        candidate.user.level.as_deref(),
        candidate.started_at,
        candidate.expires_at,
        settings.prompt_id,
        settings.prompt_version,
        settings.model,
        settings.session_max_minutes,
        idempotency_key,
        idempotency_digest,
        candidate.in_two_steps,
        limit.counted,
        settings.revision,
        bounds.day_start,
        bounds.max_today,
        bounds.ended_by,
        limit.per_minute,
        candidate.epoch,
    );
    match query.execute(conn).await {
        Ok(result) => {
            let is_inserted = result.rows_affected() > 0;
            Ok(is_inserted.then_some(candidate.id).into_iter().collect())
        }
        // The key, or the id of an earlier attempt of the request, was committed after the statement began.
        Err(error) if is_unique_violation(&error) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn is_unique_violation(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(sqlx::error::DatabaseError::is_unique_violation)
}

/// Inserts several sessions. `first` is one of `inserts`.
async fn insert_group(
    conn: &mut Connection,
    first: &PlannedInsert,
    inserts: &[PlannedInsert],
) -> sqlx::Result<Vec<Uuid>> {
    let settings = &first.candidate.settings;
    let columns = Columns::of(inserts);
    let query = sqlx::query_scalar!(
        r#"
        insert into brune_session (id, user_id, plan, level, started_at, expires_at, settings_revision,
          prompt_id, prompt_version, model, session_max_minutes, idempotency_key, idempotency_digest,
          status, starting_until, attempted_at)
        select i.id, i.user_id, i.plan, i.level, i.started_at, i.started_at + $19::interval,
          head.revision, $9, $10, $11, $12, i.key, i.digest, case when $13 then 'starting' else 'active' end,
          case when $13 then clock_timestamp() + interval '30 s' end, case when not $14 then clock_timestamp() end
        from app_global_setting_head head, (
          select * from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::text[],
              $7::bytea[]) as i(id, user_id, plan, level, started_at, key, digest)
          -- Without a limit, the planner expects ten rows of unknown arrays, and plans each execution anew.
          limit cardinality($1)) i
        -- A crash may lose the first of two steps: only the second step is waited for on disk.
        where head.revision = $8 and head.epoch = $20 and (not $13 or set_config('synchronous_commit', 'off', true) = 'off')
          and coalesce(head.stopped_until <= clock_timestamp(), true)
          -- The cooldown. Sessions of a user do not overlap, so the last is the one that ended last.
          and coalesce((select least(ended_at, expires_at) <= i.started_at - $17::interval from brune_session
            where user_id = i.user_id and status <> 'failed' order by started_at desc limit 1), true)
          -- The daily maximum and the limit per minute: a session is an attempt. The hour exceeds any difference of clocks.
          and (select count(*) filter (where status <> 'failed' and started_at >= $15) < $16
              and ($14 or $18 > count(*) filter (where attempted_at > clock_timestamp() - interval '1 minute')
                + coalesce((select cardinality(brune_within_a_minute(tried_at))
                  from brune_start_attempt where user_id = i.user_id), 0))
            from brune_session where user_id = i.user_id and started_at >= least($15, i.started_at - interval '1 hour'))
        -- A row waits for a concurrent start of its user: with one order, two statements never wait for each other.
        order by i.user_id collate "C"
        -- A running session is a conflict, as are a concurrent start and a reused idempotency key.
        on conflict do nothing returning id
        "#,
        &columns.ids,
        &columns.user_ids as &[&str],
        &columns.plans as &[Option<&str>],
        &columns.levels as &[Option<&str>],
        &columns.started_at,
        &columns.idempotency_keys as &[Option<&str>],
        &columns.idempotency_digests as &[Option<&[u8]>],
        settings.revision,
        settings.prompt_id,
        settings.prompt_version,
        settings.model,
        settings.session_max_minutes,
        first.candidate.in_two_steps,
        first.limit.counted,
        first.bounds.day_start,
        first.bounds.max_today,
        first.cooldown() as TimeDelta,
        first.limit.per_minute,
        first.duration() as TimeDelta,
        first.candidate.epoch,
    );
    query.fetch_all(conn).await
}

/// The values of several inserts, as one array for each column.
#[derive(Default)]
struct Columns<'a> {
    ids: Vec<Uuid>,
    user_ids: Vec<&'a str>,
    plans: Vec<Option<&'a str>>,
    levels: Vec<Option<&'a str>>,
    started_at: Vec<DateTime<Utc>>,
    idempotency_keys: Vec<Option<&'a str>>,
    idempotency_digests: Vec<Option<&'a [u8]>>,
}

impl<'a> Columns<'a> {
    fn of(inserts: &'a [PlannedInsert]) -> Self {
        let mut columns = Self::default();
        for PlannedInsert { candidate, .. } in inserts {
            let (idempotency_key, idempotency_digest) = candidate.idempotency();
            columns.ids.push(candidate.id);
            columns.user_ids.push(candidate.user.id.as_str());
            columns.plans.push(candidate.user.plan.as_deref());
            columns.levels.push(candidate.user.level.as_deref());
            columns.started_at.push(candidate.started_at);
            columns.idempotency_keys.push(idempotency_key);
            columns.idempotency_digests.push(idempotency_digest);
        }
        columns
    }
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
        candidate.id,
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
