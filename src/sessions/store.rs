//! SQL of the sessions.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::types::Json;
use uuid::Uuid;

use crate::{
    database::Connection,
    proposals::ProposedValue,
    sessions::session::{Arm, Filter, Outcome, Session, Status},
};

struct Row {
    id: Uuid,
    user_id: String,
    plan: Option<String>,
    level: Option<String>,
    status: String,
    /// Whether the session is starting for too long.
    abandoned: bool,
    started_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    ended_at: Option<DateTime<Utc>>,
    settings_revision: i64,
    prompt_id: String,
    prompt_version: String,
    model: String,
    session_max_minutes: i32,
    provider_session_id: Option<String>,
    provider_request_id: Option<String>,
    ended_by: Option<String>,
    end_reason: Option<String>,
    proposal: Option<Uuid>,
    proposal_number: Option<i64>,
    candidate: Option<bool>,
    share_bp: Option<i32>,
    outcome: Option<String>,
}

impl Row {
    fn arm(&self) -> Option<Arm> {
        Some(Arm {
            proposal: self.proposal?,
            proposal_number: self.proposal_number?,
            is_candidate: self.candidate?,
            share_bp: self.share_bp?,
        })
    }

    /// Returns the session with the status at `now`: an expired session may not be marked yet.
    fn session(self, now: DateTime<Utc>) -> Session {
        let status = match self.status.as_str() {
            // `abandoned` is decided by the database's clock, the shared clock of all instances.
            "starting" if !self.abandoned => Status::Starting,
            "starting" | "failed" => Status::Failed,
            "active" if now < self.expires_at => Status::Active,
            "ended" => Status::Ended,
            _ => Status::Expired,
        };
        let ended_at = match status {
            Status::Starting | Status::Active => None,
            Status::Ended | Status::Failed => self.ended_at,
            // A session without the mark has no stored end yet.
            Status::Expired => Some(self.ended_at.unwrap_or(self.expires_at)),
        };
        // Before the parts of the row are moved.
        let arm = self.arm();
        Session {
            outcome: self.outcome.as_deref().and_then(Outcome::parse),
            id: self.id,
            user_id: self.user_id,
            plan: self.plan,
            level: self.level,
            status,
            started_at: self.started_at,
            expires_at: self.expires_at,
            ended_at,
            settings_revision: self.settings_revision,
            prompt_id: self.prompt_id,
            prompt_version: self.prompt_version,
            model: self.model,
            session_max_minutes: self.session_max_minutes,
            provider_session_id: self.provider_session_id,
            provider_request_id: self.provider_request_id,
            ended_by: self.ended_by,
            end_reason: self.end_reason,
            arm,
        }
    }
}

/// Returns the session `id` with the status at `now`.
pub(super) async fn find(
    conn: &mut Connection,
    id: Uuid,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<Session>> {
    let row = sqlx::query_as!(
        Row,
        r#"
        select id, user_id, plan, level, status, coalesce(starting_until <= statement_timestamp(), false) as "abandoned!",
          started_at, expires_at, ended_at, settings_revision, prompt_id, prompt_version, model,
          session_max_minutes, provider_session_id, provider_request_id, ended_by, end_reason,
          proposal, (select number from brune_proposal p where p.id = proposal) as proposal_number, candidate, share_bp, outcome
        from brune_session where id = $1
        "#,
        id,
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| row.session(now)))
}

/// Returns up to `limit` sessions that match `filter`, newest first, older than `before`, with the status at `now`.
pub(super) async fn page(
    conn: &mut Connection,
    filter: &Filter,
    before: Option<Uuid>,
    limit: i64,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<Session>> {
    let rows = sqlx::query_as!(
        Row,
        r#"
        select id, user_id, plan, level, status, abandoned as "abandoned!", started_at, expires_at, ended_at,
          settings_revision, prompt_id, prompt_version, model, session_max_minutes, provider_session_id,
          provider_request_id, ended_by, end_reason,
          proposal, (select number from brune_proposal p where p.id = proposal) as proposal_number, candidate, share_bp, outcome
        from brune_session,
          lateral (select coalesce(starting_until <= statement_timestamp(), false) as abandoned) start
        where ($1::uuid is null or id < $1)
          and ($2::text is null or user_id = $2)
          and ($3::bigint is null or settings_revision = $3)
          and ($4::text is null or $4 = case
            when status = 'active' and expires_at <= $5 then 'expired'
            when status = 'starting' and abandoned then 'failed'
            else status end)
        -- Ids are in the order of time.
        order by id desc limit $6
        "#,
        before,
        filter.user_id,
        filter.revision,
        filter.status.map(Status::as_str),
        now,
        limit,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| row.session(now)).collect())
}

/// The rollout of a session's start.
pub(super) struct RolloutRow {
    pub(super) salt: Vec<u8>,
    /// The stage with the share of the session.
    pub(super) stage: Option<i64>,
    pub(super) edits: Json<BTreeMap<String, ProposedValue>>,
    pub(super) written_by: String,
    pub(super) reason: String,
    pub(super) request_id: String,
    pub(super) written_at: DateTime<Utc>,
}

/// Reads the rollout of `arm`. The edition of a rollout never changes, and the shares of its stages differ.
pub(super) async fn find_rollout(
    conn: &mut Connection,
    arm: &Arm,
) -> sqlx::Result<Option<RolloutRow>> {
    sqlx::query_as!(
        RolloutRow,
        r#"
        select p.salt as "salt!", e.edits as "edits: Json<BTreeMap<String, ProposedValue>>", e.written_by, e.reason,
          e.request_id, e.written_at, (
            select number from jsonb_array_elements(e.plan -> 'rollout' -> 'stages') with ordinality stages (stage, number)
            where stage -> 'share' = to_jsonb($2::integer / 100.0)) as stage
        from brune_proposal p join brune_proposal_edition e on e.proposal = p.id and e.edition = p.edition
        where p.id = $1 and p.salt is not null
        "#,
        arm.proposal,
        arm.share_bp,
    )
    .fetch_optional(conn)
    .await
}

/// The end of a session and the message about the end.
pub(super) struct Ending {
    pub(super) id: Uuid,
    pub(super) at: DateTime<Utc>,
    pub(super) by: Option<String>,
    pub(super) reason: Option<String>,
    pub(super) outcome: Option<Outcome>,
    /// The id of the message.
    pub(super) message_id: Uuid,
    pub(super) topic: &'static str,
    pub(super) sinks: Vec<String>,
    pub(super) payload: Value,
}

/// Ends an active session and enqueues the message for each sink, in one statement. Returns whether the session was
/// ended. An expired session is not ended: the expiry task closes the session and enqueues one message.
pub(super) async fn end(conn: &mut Connection, ending: &Ending) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"
        with ended as (
          update brune_session set status = 'ended', ended_at = $2, ended_by = $3, end_reason = $4, outcome = $9
          where id = $1 and status = 'active' and expires_at > $2
          returning 1),
        messages as (
          insert into brune_outbox (id, sink, topic, payload)
          select $5, sink, $6, $7 from ended, unnest($8::text[]) sink)
        select exists (select from ended) as "is_ended!"
        "#,
        ending.id,
        ending.at,
        ending.by,
        ending.reason,
        ending.message_id,
        ending.topic,
        ending.payload,
        &ending.sinks,
        ending.outcome.map(Outcome::as_str),
    )
    .fetch_one(conn)
    .await
}

/// The running sessions of one revision, with the newest revision.
pub(super) struct PinRow {
    pub(super) head: i64,
    pub(super) revision: Option<i64>,
    pub(super) sessions: Option<i64>,
    pub(super) drained_by: Option<DateTime<Utc>>,
}

/// Counts running sessions by revision, by the database's clock, newest revision first. Without an index: an index would
/// slow down every start, and the query is rare.
pub(super) async fn pins(conn: &mut Connection) -> sqlx::Result<Vec<PinRow>> {
    sqlx::query_as!(
        PinRow,
        r#"
        select h.revision as head, p.revision as "revision?", p.sessions as "sessions?",
          p.drained_by as "drained_by?"
        from app_global_setting_head h
        left join (
          select settings_revision as revision, count(*) as sessions, max(expires_at) as drained_by
          from brune_session
          where status = 'active' and expires_at > clock_timestamp()
          group by settings_revision) p on true
        order by p.revision desc
        "#,
    )
    .fetch_all(conn)
    .await
}

/// A value in running sessions that is not the current value.
pub(super) struct OutdatedRow {
    pub(super) key: String,
    pub(super) version: i32,
    pub(super) value: Value,
    /// `None` for the value of a rollout's candidate.
    pub(super) held_version: Option<i32>,
    /// The proposal of a rollout; `None` for an older value.
    pub(super) held_proposal: Option<i64>,
    pub(super) held: Value,
    pub(super) sessions: i64,
}
/// Returns the values in running sessions that are not current, sorted by key: values of rollouts, then older ones, newest
/// version first. Reads the audit trail only since the oldest revision of a running session, because older changes cannot
/// differ.
pub(super) async fn outdated(conn: &mut Connection) -> sqlx::Result<Vec<OutdatedRow>> {
    sqlx::query_as!(
        OutdatedRow,
        r#"
        with pinned as (
          select settings_revision as revision, case when candidate then proposal end as proposal, count(*) as sessions
          from brune_session
          where status = 'active' and expires_at > clock_timestamp()
          group by 1, 2),
        oldest as (select min(revision) as revision from pinned),
        pinnable as (
          select s.key, s.version, s.value_json, s.revision
          from app_global_settings s
          join app_global_setting_schema d on d.key = s.key and d.editable and d.applies = 'new_sessions'),
        changed as (select * from pinnable where revision > (select revision from oldest)),
        -- The values of candidates, which are not those of the revision.
        proposed as (
          select pinned.proposal, pinned.sessions, p.number, edit.key, edit.value -> 'value' as value
          from pinned join brune_proposal p on p.id = pinned.proposal
          join brune_proposal_edition e on e.proposal = p.id and e.edition = p.edition
          cross join jsonb_each(e.edits) edit),
        -- The values at the oldest revision, and every change since. Bounded above as well, or the planner expects a
        -- third of the trail.
        entries as (
          select first.* from changed c, lateral (
            select key, seq, revision, version, new_value_json from app_global_setting_audit a
            where a.key = c.key and a.revision <= (select revision from oldest)
            order by seq desc limit 1) first
          union all
          select key, seq, revision, version, new_value_json from app_global_setting_audit
          where revision > (select revision from oldest)
            and revision <= (select revision from app_global_setting_head)),
        -- Each value with its range of revisions; a deletion also ends a range.
        ranges as (
          select c.key, c.version, c.value_json as value, e.version as held_version, e.new_value_json as held,
            e.revision as since, lead(e.revision) over (partition by c.key order by e.seq) as until
          from changed c join entries e on e.key = c.key)
        select key as "key!", version as "version!", value as "value!", held_version, null::bigint as held_proposal,
          held as "held!", sessions as "sessions!"
        from ranges, lateral (
          select sum(pinned.sessions)::bigint as sessions from pinned
          where pinned.revision >= since and (until is null or pinned.revision < until)
            and not exists (select from proposed p where p.proposal = pinned.proposal and p.key = ranges.key)) pins
        where held <> value and sessions > 0
        union all
        select s.key, s.version, s.value_json, null, p.number, p.value, sum(p.sessions)::bigint
        from proposed p join pinnable s on s.key = p.key
        where p.value <> s.value_json
        group by s.key, s.version, s.value_json, p.number, p.value
        order by 1, 5 desc nulls last, 4 desc
        "#,
    )
    .fetch_all(conn)
    .await
}
