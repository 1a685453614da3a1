//! SQL of the guards.

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    audit::Actor,
    database::Connection,
    proposals::HeldReason,
    rollouts::{ArmCounts, Guard, Plan, PlanDraft, Share, Traffic},
    sessions::guards::{
        counts::{Failures, Users},
        history::{self, Failure},
        rollout::Rollout,
    },
};

/// A proposal whose rollout began.
struct Row {
    id: Uuid,
    number: i64,
    is_rolling: bool,
    stage: i16,
    share_bp: i32,
    plan: Option<Value>,
    stage_since: DateTime<Utc>,
    resumed_at: Option<DateTime<Utc>>,
    ended_at: Option<DateTime<Utc>>,
    held_reason: Option<String>,
    stage_minutes: i64,
    total_minutes: i64,
    is_restored: bool,
}

impl Row {
    fn into_rollout(self) -> sqlx::Result<Rollout> {
        let reason = self.held_reason.map(|name| {
            let reason = HeldReason::parse(&name);
            reason.ok_or_else(|| unreadable(&format!("the reason {name} of a hold")))
        });
        Ok(Rollout {
            id: self.id,
            number: self.number,
            is_rolling: self.is_rolling,
            stage: self.stage,
            share: share(self.share_bp)?,
            plan: plan(self.plan)?,
            stage_since: self.stage_since,
            resumed_at: self.resumed_at,
            ended_at: self.ended_at,
            held: reason.transpose()?,
            stage_minutes: whole(self.stage_minutes),
            total_minutes: whole(self.total_minutes),
            is_restored: self.is_restored,
        })
    }
}

fn unreadable(what: &str) -> sqlx::Error {
    sqlx::Error::Decode(format!("cannot read {what}").into())
}

/// Returns a count or a duration as a number of the rule.
fn whole(number: i64) -> u32 {
    // Negative after the clock of the server was set back.
    u32::try_from(number.max(0)).unwrap_or(u32::MAX)
}

fn share(basis_points: i32) -> sqlx::Result<Share> {
    let share = u16::try_from(basis_points).ok().and_then(Share::from_basis_points);
    share.ok_or_else(|| unreadable(&format!("the share of {basis_points} basis points")))
}

fn guard(name: &str) -> sqlx::Result<Guard> {
    Guard::parse(name).ok_or_else(|| unreadable(&format!("the guard {name}")))
}

/// Reads the plan of an edition, in which every default is written out.
fn plan(plan: Option<Value>) -> sqlx::Result<Plan> {
    // A missing plan is null, which is unreadable as well: a rollout without a plan could never end.
    let draft: PlanDraft = serde_json::from_value(plan.unwrap_or_default())
        .map_err(|err| sqlx::Error::Decode(err.into()))?;
    draft.validate(&[], "").map_err(|_| unreadable("the plan of a rollout"))
}

/// Returns the users of one arm at one share.
fn counts(basis_points: i32, is_candidate: bool, users: i64) -> sqlx::Result<ArmCounts> {
    let share = share(basis_points)?;
    let users = whole(users);
    Ok(if is_candidate {
        ArmCounts { share, candidate: users, control: 0 }
    } else {
        ArmCounts { share, candidate: 0, control: users }
    })
}

/// Returns the rollout of the proposal `number`; `None` if no rollout of the proposal has begun.
pub(super) async fn find(conn: &mut Connection, number: i64) -> sqlx::Result<Option<Rollout>> {
    let row = sqlx::query_as!(
        Row,
        r#"
        select p.id, p.number, p.state = 'rolling' as "is_rolling!", p.stage as "stage!", p.share_bp as "share_bp!",
          e.plan -> 'rollout' as plan, p.stage_since as "stage_since!", p.resumed_at,
          p.ended_at, p.held_reason,
          floor(extract(epoch from clock_timestamp() - greatest(p.stage_since, p.resumed_at)) / 60)::bigint
            as "stage_minutes!",
          floor(extract(epoch from clock_timestamp() - greatest(p.rolling_since, p.resumed_at)) / 60)::bigint
            as "total_minutes!",
          p.origin is distinct from brune_rollout_origin() as "is_restored!"
        from brune_proposal p
        join brune_proposal_edition e on e.proposal = p.id and e.edition = p.edition
        where p.stage is not null and p.number = $1
        "#,
        number,
    )
    .fetch_optional(conn)
    .await?;
    row.map(Row::into_rollout).transpose()
}

/// Marks up to 1,000 abandoned starts of a rollout as failed: a candidate that kills the process never reports a failure.
/// Skips rows that are locked by a start, which marks the rows itself.
pub(super) async fn fail_abandoned_starts(
    conn: &mut Connection,
    proposal: Uuid,
) -> sqlx::Result<u64> {
    let result = sqlx::query!(
        r#"
        with abandoned as (
          select id from brune_session
          where proposal = $1 and status = 'starting' and starting_until <= statement_timestamp()
          limit 1000 for update skip locked)
        update brune_session s set status = 'failed', ended_at = greatest(s.started_at, statement_timestamp())
        from abandoned where s.id = abandoned.id
        "#,
        proposal,
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected())
}

/// Counts the failing users of a rollout, of an ended one until the end.
pub(super) async fn failures(conn: &mut Connection, rollout: &Rollout) -> sqlx::Result<Failures> {
    let rows = sqlx::query!(
        r#"
        select guard, candidate, share_bp, count(*) as "users!" from brune_rollout_failure
        where proposal = $1 and ($2::timestamptz is null or at <= $2) group by guard, candidate, share_bp
        "#,
        rollout.id,
        rollout.ended_at,
    )
    .fetch_all(conn)
    .await?;
    // One unknown guard or share, perhaps of a newer release, makes all counts unreadable: a part would look harmless.
    let mut failures = Failures::default();
    for row in rows {
        failures.add(guard(&row.guard)?, counts(row.share_bp, row.candidate, row.users)?);
    }
    Ok(failures)
}

/// Returns the newest failing users of a rollout, of an ended one until the end, oldest first.
pub(super) async fn newest_failures(
    conn: &mut Connection,
    rollout: &Rollout,
) -> sqlx::Result<Vec<Failure>> {
    let rows = sqlx::query!(
        r#"
        select guard, candidate, share_bp, at from brune_rollout_failure
        where proposal = $1 and ($2::timestamptz is null or at <= $2) order by at desc, guard, user_id limit $3
        "#,
        rollout.id,
        rollout.ended_at,
        history::MAX_ENTRIES,
    )
    .fetch_all(conn)
    .await?;
    // The query returns the newest failures first, because of the limit.
    let failures = rows.into_iter().rev().map(|row| {
        Ok(Failure {
            at: row.at,
            guard: guard(&row.guard)?,
            is_candidate: row.candidate,
            share: share(row.share_bp)?,
        })
    });
    failures.collect()
}

/// Counts the users of a rollout at their first start or refusal, and the candidate users of the stage whose start is at
/// least a minute old; of an ended rollout until the end.
pub(super) async fn users(conn: &mut Connection, rollout: &Rollout) -> sqlx::Result<Users> {
    // Refused users are read from the failures: the table has each user once, and no row is ever deleted.
    let rows = sqlx::query!(
        r#"
        with starts as (
          select user_id, started_at as at, candidate, share_bp from brune_session
          where proposal = $1 and ($2::timestamptz is null or started_at <= $2)
          union all
          select user_id, at, candidate, share_bp from brune_rollout_failure
          where proposal = $1 and guard = 'refused' and ($2::timestamptz is null or at <= $2)),
        users as (select distinct on (user_id) candidate, share_bp from starts order by user_id, at)
        select candidate as "candidate!", share_bp as "share_bp!", count(*) as "users!" from users group by 1, 2
        "#,
        rollout.id,
        rollout.ended_at,
    )
    .fetch_all(&mut *conn)
    .await?;
    let by_share = rows.into_iter().map(|row| counts(row.share_bp, row.candidate, row.users));
    let by_share = by_share.collect::<sqlx::Result<_>>()?;
    // A grouped subquery reads the index in order, where `count(distinct …)` would sort.
    let stage_candidate = sqlx::query_scalar!(
        r#"
        select count(*) as "users!" from (
          select from brune_session
          where proposal = $1 and candidate and started_at >= $2
            and started_at <= least(clock_timestamp(), $3) - interval '60 s'
          group by user_id) users
        "#,
        rollout.id,
        rollout.counts_from(),
        rollout.ended_at,
    )
    .fetch_one(conn)
    .await?;
    Ok(Users { by_share, stage_candidate: whole(stage_candidate) })
}

/// The messages about ended sessions.
#[derive(Debug)]
pub(super) struct EndedMessages {
    pub(super) topic: &'static str,
    pub(super) sinks: Vec<String>,
    /// The id of each message: one for each session of a full batch, or none without a sink.
    pub(super) ids: Vec<Uuid>,
}

/// Ends up to `limit` sessions that run on the candidate, as an administrator, and enqueues the messages, in one
/// statement. Skips sessions that are locked, which are ended by somebody else.
pub(super) async fn end_candidate_sessions(
    conn: &mut Connection,
    proposal: Uuid,
    actor: &Actor,
    limit: i64,
    messages: &EndedMessages,
) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"
        with running as (
          select id from brune_session
          where proposal = $1 and candidate and status = 'active' and expires_at > clock_timestamp()
          order by id limit $4 for update skip locked),
        ended as (
          update brune_session s set status = 'ended', ended_at = greatest(s.started_at, statement_timestamp()),
            ended_by = $2, end_reason = $3
          from running where s.id = running.id
          returning s.id, user_id, settings_revision, model, prompt_id, prompt_version, started_at, expires_at, ended_at),
        messages as (
          insert into brune_outbox (id, sink, topic, payload)
          select ($7::uuid[])[nth], sink, $5, brune_session_over(e.id, user_id, settings_revision, model, prompt_id,
            prompt_version, started_at, expires_at) || jsonb_build_object(
              'ended_at', to_char(ended_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
              'ended_by', $2::text, 'reason', $3::text)
          from (select *, row_number() over (order by ended.id) as nth from ended) e, unnest($6::text[]) sink
          order by nth)
        select count(*) as "ended!" from ended
        "#,
        proposal,
        actor.user.as_str(),
        actor.reason.as_str(),
        limit,
        messages.topic,
        &messages.sinks,
        &messages.ids,
    )
    .fetch_one(conn)
    .await
}

/// Returns the beginning of the period of a preview: the first attempt of the last `hours`, or a later one if more than
/// `max_attempts` attempts would have to be read. Without attempts, `hours` ago.
pub(super) async fn traffic_since(
    conn: &mut Connection,
    hours: i32,
    max_attempts: i64,
) -> sqlx::Result<DateTime<Utc>> {
    let since = sqlx::query_scalar!(
        r#"
        with period as (select statement_timestamp() - make_interval(hours => $1) as since),
        -- Counted first, because the sort is slow.
        attempts as not materialized (
          select started_at as at from brune_session where started_at >= (select since from period)
          union all
          select at from brune_start_refused where at >= (select since from period))
        -- Hours before the first attempt say nothing about the traffic: the service may be younger than the period.
        select coalesce(case when (select count(*) from attempts) > $2 then
          (select at from attempts order by at desc offset $2 limit 1) end,
          (select min(at) from attempts where at <= statement_timestamp()), since) as "since!"
        from period
        "#,
        hours,
        max_attempts,
    );
    since.fetch_one(conn).await
}

/// Returns the traffic since `since`: new users by hour, and failing users by guard.
pub(super) async fn traffic(conn: &mut Connection, since: DateTime<Utc>) -> sqlx::Result<Traffic> {
    // The number of rows depends on the period, so a generic plan would expect too few rows.
    conn.plan_each_time();
    let hours = sqlx::query!(
        r#"
        with first_attempts as (
          select user_id, min(at) as at from (
            select user_id, started_at as at from brune_session
            where started_at >= $1 and started_at <= statement_timestamp()
            union all
            select user_id, at from brune_start_refused where at >= $1 and at <= statement_timestamp()) attempts
          group by user_id)
        select floor(extract(epoch from at - $1) / 3600)::bigint as "hour!", count(*) as "users!",
          floor(extract(epoch from statement_timestamp() - $1) / 3600)::bigint as "hours!"
        from first_attempts group by 1
        "#,
        since,
    )
    .fetch_all(&mut *conn)
    .await?;
    let failing = sqlx::query!(
        r#"
        select count(distinct user_id) filter (where status = 'failed'
            or status = 'starting' and starting_until <= statement_timestamp()) as "start_failed!",
          count(distinct user_id) filter (where status = 'ended' and (outcome = 'failed'
            or ended_by is null and ended_at < started_at + interval '60 s')) as "cut_short!",
          (select count(distinct user_id) from brune_start_refused where at >= $1) as "refused!"
        from brune_session where started_at >= $1
        "#,
        since,
    )
    .fetch_one(conn)
    .await?;
    // An hour without users has no row. The last hour may be incomplete, and would look like less traffic.
    let length = hours.first().map_or(0, |row| usize::try_from(row.hours).unwrap_or_default());
    let mut new_users = vec![0_u32; length.max(1)];
    for row in hours {
        let hour = usize::try_from(row.hour).unwrap_or(usize::MAX);
        if let Some(users) = new_users.get_mut(hour) {
            *users = whole(row.users);
        }
    }
    let failing_users = vec![
        (Guard::StartFailed, whole(failing.start_failed)),
        (Guard::CutShort, whole(failing.cut_short)),
        (Guard::Refused, whole(failing.refused)),
    ];
    Ok(Traffic { new_users, failing_users })
}
