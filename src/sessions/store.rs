//! SQL of the sessions.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    database::Connection,
    sessions::{
        eligibility::{Bounds, History},
        session::{Candidate, Session, Status},
    },
};

struct Row {
    id: Uuid,
    user_id: String,
    status: String,
    started_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    ended_at: Option<DateTime<Utc>>,
    settings_revision: i64,
    prompt_id: String,
    prompt_version: String,
    model: String,
    session_max_minutes: i32,
}

impl Row {
    /// The session as it is at `now`: one past its time has expired, whether or not anybody marked it.
    fn session(self, now: DateTime<Utc>) -> Session {
        let status = match self.status.as_str() {
            "active" if now < self.expires_at => Status::Active,
            "ended" => Status::Ended,
            _ => Status::Expired,
        };
        let ended_at = match status {
            Status::Active => None,
            Status::Ended => self.ended_at,
            Status::Expired => Some(self.ended_at.unwrap_or(self.expires_at)),
        };
        Session {
            id: self.id,
            user_id: self.user_id,
            status,
            started_at: self.started_at,
            expires_at: self.expires_at,
            ended_at,
            settings_revision: self.settings_revision,
            prompt_id: self.prompt_id,
            prompt_version: self.prompt_version,
            model: self.model,
            session_max_minutes: self.session_max_minutes,
        }
    }
}

/// What one attempt to insert a session found.
pub(super) struct Attempt {
    /// The newest revision of the settings.
    pub(super) revision: i64,
    pub(super) last_ended_at: Option<DateTime<Utc>>,
    pub(super) started_today: i64,
    /// The session that runs.
    pub(super) active: Option<Uuid>,
    /// The session that the same idempotency key started.
    pub(super) prior: Option<Uuid>,
    pub(super) prior_digest: Option<Vec<u8>>,
    pub(super) inserted: bool,
}

impl Attempt {
    pub(super) fn history(&self) -> History {
        History { last_ended_at: self.last_ended_at, started_today: self.started_today }
    }
}

/// Inserts `candidate` if nothing at all stands in its way, in one state of the database; says only whether
/// it did. The conditions are those of [`insert_if_allowed`], which is to be asked when it did not; an
/// idempotency key that was used before is left to its unique index.
pub(super) async fn insert_if_clear(
    conn: &mut Connection,
    candidate: &Candidate,
    bounds: &Bounds,
) -> sqlx::Result<bool> {
    let Candidate { user, settings, idempotency, .. } = candidate;
    let (idempotency_key, idempotency_digest) =
        idempotency.as_ref().map(|it| (it.key.as_str(), it.digest.as_slice())).unzip();
    let done = sqlx::query!(
        r#"
        insert into brune_session (id, user_id, plan, level, started_at, expires_at, settings_revision,
          prompt_id, prompt_version, model, session_max_minutes, idempotency_key, idempotency_digest)
        select $1, $2, $3, $4, $5, $6, revision, $8, $9, $10, $11, $12, $13 from app_global_setting_head
        where revision = $7 and (
          -- Sessions of a user follow one another, so what holds of the last holds if it does of any.
          select count(*) filter (where started_at >= $15) < $16
            and coalesce(bool_and(status <> 'active' and least(ended_at, expires_at) <= $14), true)
          from (
            select status, started_at, ended_at, expires_at from brune_session
            where user_id = $2 order by started_at desc limit $16) newest)
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
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Inserts `candidate` if, in the same state of the database, its settings are the newest, its user's
/// history is within `bounds` and `permitted`; tells what it found either way. One statement, so one round
/// trip and one state; the unique indexes keep two of them apart.
pub(super) async fn insert_if_allowed(
    conn: &mut Connection,
    candidate: &Candidate,
    bounds: &Bounds,
    permitted: bool,
) -> sqlx::Result<Attempt> {
    let Candidate { user, settings, idempotency, .. } = candidate;
    let (idempotency_key, idempotency_digest) =
        idempotency.as_ref().map(|it| (it.key.as_str(), it.digest.as_slice())).unzip();
    sqlx::query_as!(
        Attempt,
        r#"
        with head as (select revision from app_global_setting_head),
        last as (
          select id, least(ended_at, expires_at) as ended_at, status = 'active' and expires_at > $4 as running,
            status = 'active' and expires_at <= $4 as overdue
          from brune_session where user_id = $2 order by started_at desc limit 1),
        today as (select count(*) as started from brune_session where user_id = $2 and started_at >= $14),
        prior as (select id, idempotency_digest as digest from brune_session
          where user_id = $2 and idempotency_key = $11),
        -- Frees the index that allows one active session, before the insert below meets it.
        lapsed as (
          update brune_session set status = 'expired', ended_at = expires_at
          where id = (select id from last where overdue) and $16 returning 1),
        inserted as (
          insert into brune_session (id, user_id, plan, level, started_at, expires_at, settings_revision,
            prompt_id, prompt_version, model, session_max_minutes, idempotency_key, idempotency_digest)
          select $1, $2, $3, $17, $4, $5, head.revision, $6, $7, $8, $9, $11, $12 from head, today
          where $16 and head.revision = $10 and today.started < $15 and not exists (select from prior)
            and not exists (select from last where running or ended_at > $13)
            and (select count(*) from lapsed) >= 0 returning 1)
        select head.revision as "revision!", today.started as "started_today!",
          (select case when not running then ended_at end from last) as last_ended_at,
          (select id from last where running) as active, (select id from prior) as prior,
          (select digest from prior) as prior_digest, exists (select from inserted) as "inserted!"
        from head, today
        "#,
        candidate.id,
        user.id.as_str(),
        user.plan,
        candidate.started_at,
        candidate.expires_at,
        settings.prompt_id,
        settings.prompt_version,
        settings.model,
        settings.session_max_minutes,
        settings.revision,
        idempotency_key,
        idempotency_digest,
        bounds.ended_by,
        bounds.day_start,
        bounds.max_today,
        permitted,
        user.level,
    )
    .fetch_one(conn)
    .await
}

/// The session `id`.
pub(super) async fn find(
    conn: &mut Connection,
    id: Uuid,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<Session>> {
    let row = sqlx::query_as!(
        Row,
        r#"
        select id, user_id, status, started_at, expires_at, ended_at, settings_revision, prompt_id,
          prompt_version, model, session_max_minutes
        from brune_session where id = $1
        "#,
        id,
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| row.session(now)))
}

/// Ends the session `id` at `now`, or marks that it expired before; one that ended is left as it is.
pub(super) async fn end(conn: &mut Connection, id: Uuid, now: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        update brune_session
        set status = case when expires_at <= $2 then 'expired' else 'ended' end,
            ended_at = greatest(started_at, least(expires_at, $2))
        where id = $1 and status = 'active'
        "#,
        id,
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A revision that running sessions hold, with the head that it is held against.
pub(super) struct PinRow {
    pub(super) head: i64,
    pub(super) revision: Option<i64>,
    pub(super) sessions: Option<i64>,
    pub(super) drained_by: Option<DateTime<Utc>>,
}

/// How many sessions run on each revision, by the database's clock, newest revision first. No index of its
/// own: every start would pay for it, and this is asked by a person now and then.
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
