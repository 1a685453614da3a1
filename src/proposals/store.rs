//! SQL of proposals, editions and verdicts.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    audit::Actor,
    database::Connection,
    proposals::record::{
        Applied, Edition, Failure, HeldReason, NewEdition, Plan, Proposal, ProposedValue,
        RevertCause, Rollout, State,
    },
    rollouts::PlanDraft,
};

/// A row of `brune_proposal`.
struct Row {
    id: Uuid,
    number: i64,
    state: String,
    edition: i32,
    created_by: String,
    created_at: DateTime<Utc>,
    due_at: Option<DateTime<Utc>>,
    bypassed_by: Option<String>,
    applied_revision: Option<i64>,
    ended_by: Option<String>,
    end_reason: Option<String>,
    ended_at: Option<DateTime<Utc>>,
    failure: Option<String>,
    stage: Option<i16>,
    share_bp: Option<i32>,
    rolling_since: Option<DateTime<Utc>>,
    stage_since: Option<DateTime<Utc>>,
    resumed_at: Option<DateTime<Utc>>,
    held_reason: Option<String>,
    held_since: Option<DateTime<Utc>>,
    revert_cause: Option<String>,
    step_by: Option<String>,
    step_reason: Option<String>,
    read_at: Option<DateTime<Utc>>,
}

impl Row {
    /// Returns the rollout of a proposal whose rollout has begun.
    ///
    /// # Errors
    /// The reason of the hold, or the cause of the revert, is unknown: a rollout that is held would look as if it ran.
    fn rollout(&self) -> sqlx::Result<Option<Rollout>> {
        let hold = self.held_reason.as_deref().map(|name| known(name, HeldReason::parse));
        let cause = self.revert_cause.as_deref().map(|name| known(name, RevertCause::parse));
        Ok(self.rollout_with(hold.transpose()?, cause.transpose()?))
    }

    fn rollout_with(
        &self,
        hold: Option<HeldReason>,
        revert_cause: Option<RevertCause>,
    ) -> Option<Rollout> {
        Some(Rollout {
            stage: self.stage?,
            share_bp: self.share_bp?,
            rolling_since: self.rolling_since?,
            stage_since: self.stage_since?,
            resumed_at: self.resumed_at,
            held: hold,
            held_since: self.held_since,
            revert_cause,
            step_by: self.step_by.clone().unwrap_or_default(),
            step_reason: self.step_reason.clone().unwrap_or_default(),
        })
    }

    fn into_proposal(self) -> sqlx::Result<Proposal> {
        let state = known(&self.state, State::parse)?;
        let rollout = self.rollout()?;
        Ok(Proposal {
            id: self.id,
            number: self.number,
            state,
            edition: self.edition,
            created_by: self.created_by,
            created_at: self.created_at,
            due_at: self.due_at,
            bypassed_by: self.bypassed_by,
            applied_revision: self.applied_revision,
            ended_by: self.ended_by,
            end_reason: self.end_reason,
            ended_at: self.ended_at,
            failure: self.failure.as_deref().and_then(Failure::parse),
            rollout,
            read_at: self.read_at.unwrap_or(self.created_at),
        })
    }
}

/// Returns the value of the stored name `name`.
///
/// # Errors
/// The name is unknown, perhaps of a newer release.
fn known<T>(name: &str, parse: impl Fn(&str) -> Option<T>) -> sqlx::Result<T> {
    parse(name).ok_or_else(|| sqlx::Error::Decode(format!("unknown name {name}").into()))
}

/// Returns the proposal `number`.
pub async fn find(conn: &mut Connection, number: i64) -> sqlx::Result<Option<Proposal>> {
    let row = sqlx::query_as!(
        Row,
        r#"
        select id, number, state, edition, created_by, created_at, due_at, bypassed_by, applied_revision, ended_by,
          end_reason, ended_at, failure, stage, share_bp, rolling_since, stage_since, resumed_at, held_reason, held_since,
          revert_cause, step_by, step_reason, clock_timestamp() as read_at
        from brune_proposal where number = $1
        "#,
        number,
    )
    .fetch_optional(conn)
    .await?;
    row.map(Row::into_proposal).transpose()
}

/// Returns the edition `edition` of a proposal, without the values of secrets: a setting may have become a secret since
/// the edition was written.
pub async fn find_edition(
    conn: &mut Connection,
    proposal: Uuid,
    edition: i32,
) -> sqlx::Result<Option<Edition>> {
    let row = sqlx::query_as!(
        EditionRow,
        r#"
        select edition, written_by, reason, plan, digest, written_at,
          brune_edits_redacted(edits, array(
            select d.key from app_global_setting_schema d where d.kind = 'secret' and edits ? d.key)) as "edits!"
        from brune_proposal_edition where proposal = $1 and edition = $2
        "#,
        proposal,
        edition,
    )
    .fetch_optional(conn)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let edits: BTreeMap<String, ProposedValue> = decode(row.edits)?;
    let plan = decode_plan(row.plan)?;
    let EditionRow { edition, written_by, reason, digest, written_at, .. } = row;
    Ok(Some(Edition { edition, written_by, reason, edits, plan, digest, written_at }))
}

/// A row of `brune_proposal_edition`.
struct EditionRow {
    edition: i32,
    written_by: String,
    reason: String,
    edits: Value,
    plan: Value,
    digest: Vec<u8>,
    written_at: DateTime<Utc>,
}

fn decode<T: serde::de::DeserializeOwned>(json: Value) -> sqlx::Result<T> {
    serde_json::from_value(json).map_err(|err| sqlx::Error::Decode(err.into()))
}

/// Reads the plan of an edition. An unreadable rollout is read as a rollout without stages, which every validation refuses:
/// people can still hold and revert the rollout.
fn decode_plan(mut json: Value) -> sqlx::Result<Plan> {
    let rollout = json.as_object_mut().and_then(|members| members.remove("rollout"));
    let no_stages = || PlanDraft { stages: Some(Vec::new()), ..PlanDraft::default() };
    let rollout = rollout.map(|rollout| decode(rollout).unwrap_or_else(|_| no_stages()));
    Ok(Plan { rollout, ..decode(json)? })
}

fn encode(value: &impl serde::Serialize) -> sqlx::Result<Value> {
    serde_json::to_value(value).map_err(|err| sqlx::Error::Encode(err.into()))
}

/// Whether `person` wrote an edition of the proposal, or applied the proposal as an emergency. Compares names as the
/// database does: without case, surrounding spaces and compatibility forms of letters.
pub async fn is_author(conn: &mut Connection, proposal: Uuid, person: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"
        select exists (
          select from brune_proposal p
          left join brune_proposal_edition e on e.proposal = p.id
          where p.id = $1
            and brune_person($2) in (brune_person(p.created_by), brune_person(p.bypassed_by), brune_person(e.written_by))
        ) as "is_author!"
        "#,
        proposal,
        person,
    )
    .fetch_one(conn)
    .await
}

/// Returns the database's clock.
pub async fn now(conn: &mut Connection) -> sqlx::Result<DateTime<Utc>> {
    sqlx::query_scalar!(r#"select clock_timestamp() as "now!""#).fetch_one(conn).await
}

/// Inserts a proposal with its first edition. Returns the number.
pub async fn insert(
    conn: &mut Connection,
    actor: &Actor,
    content: &NewEdition,
) -> sqlx::Result<i64> {
    let id = Uuid::now_v7();
    // Numbers and times are set by triggers.
    let number = sqlx::query_scalar!(
        r#"
        insert into brune_proposal (id, number, created_by, created_at) values ($1, 0, $2, now()) returning number
        "#,
        id,
        actor.user.as_str(),
    )
    .fetch_one(&mut *conn)
    .await?;
    insert_edition(conn, id, 1, actor, content).await?;
    Ok(number)
}

/// Inserts the edition `edition` of a proposal, which becomes the current one.
pub async fn insert_edition(
    conn: &mut Connection,
    proposal: Uuid,
    edition: i32,
    actor: &Actor,
    content: &NewEdition,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        insert into brune_proposal_edition
          (proposal, edition, written_by, reason, edits, plan, digest, written_at, request_id)
        values ($1, $2, $3, $4, $5, $6, '', now(), $7)
        "#,
        proposal,
        edition,
        actor.user.as_str(),
        actor.reason.as_str(),
        encode(&content.edits)?,
        encode(&content.plan)?,
        actor.request.as_str(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Marks a proposal as applied in the transaction of its change.
pub async fn mark_applied(
    conn: &mut Connection,
    number: i64,
    actor: &Actor,
    applied: Applied<'_>,
) -> sqlx::Result<()> {
    let bypassed_by = applied.is_emergency.then(|| actor.user.as_str());
    sqlx::query!(
        r#"
        update brune_proposal set state = 'applied', applied_revision = $2, bypassed_by = $3, ended_by = $4,
          end_reason = $5, end_request_id = $6, evidence = $7
        where number = $1
        "#,
        number,
        applied.revision,
        bypassed_by,
        actor.user.as_str(),
        actor.reason.as_str(),
        actor.request.as_str(),
        applied.evidence,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Marks a proposal as withdrawn.
pub async fn mark_withdrawn(conn: &mut Connection, number: i64, actor: &Actor) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        update brune_proposal set state = 'withdrawn', failure = null, ended_by = $2, end_reason = $3, end_request_id = $4
        where number = $1
        "#,
        number,
        actor.user.as_str(),
        actor.reason.as_str(),
        actor.request.as_str(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Marks a due proposal as failed.
pub async fn mark_failed(
    conn: &mut Connection,
    number: i64,
    actor: &Actor,
    failure: Failure,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        update brune_proposal set state = 'failed', failure = $2, ended_by = $3, end_reason = $4, end_request_id = $5
        where number = $1
        "#,
        number,
        failure.as_str(),
        actor.user.as_str(),
        actor.reason.as_str(),
        actor.request.as_str(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Returns the numbers and times of the newest `limit` other open proposals that change one of `keys`, oldest first, and
/// the number of all such proposals.
pub async fn overlapping(
    conn: &mut Connection,
    number: i64,
    keys: &[String],
    limit: i64,
) -> sqlx::Result<(Vec<(i64, Option<DateTime<Utc>>)>, i64)> {
    // A subquery for each open proposal: a join would read the editions of all proposals, most of which are closed.
    let rows = sqlx::query!(
        r#"
        select p.number, p.due_at, count(*) over () as "count!" from brune_proposal p
        where p.state = 'open' and p.number <> $1 and (
          select e.edits ?| $2 from brune_proposal_edition e where e.proposal = p.id and e.edition = p.edition)
        order by p.number desc limit $3
        "#,
        number,
        keys,
        limit,
    )
    .fetch_all(conn)
    .await?;
    let count = rows.first().map_or(0, |row| row.count);
    Ok((rows.into_iter().rev().map(|row| (row.number, row.due_at)).collect(), count))
}

/// Returns the versions of `keys` that the applied proposal `number` wrote, by key.
pub async fn versions_written_by(
    conn: &mut Connection,
    number: i64,
    keys: &[String],
) -> sqlx::Result<BTreeMap<String, i64>> {
    let rows = sqlx::query!(
        r#"
        select a.key, max(a.version)::bigint as "version!" from brune_proposal p
        join app_global_setting_audit a on a.revision = p.applied_revision
        where p.number = $1 and a.key = any($2) and a.version is not null group by a.key
        "#,
        number,
        keys,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.key, row.version)).collect())
}
