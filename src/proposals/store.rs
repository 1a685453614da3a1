//! SQL of proposals, editions and verdicts.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    audit::Actor,
    database::Connection,
    proposals::record::{
        Applied, ApprovalStatus, Edition, Failure, NewEdition, Plan, Proposal, ProposedValue,
        State, Verdict, VerdictKind,
    },
};

/// A row of `brune_proposal`.
pub(super) struct Row {
    pub(super) id: Uuid,
    pub(super) number: i64,
    pub(super) state: String,
    pub(super) edition: i32,
    pub(super) created_by: String,
    pub(super) created_at: DateTime<Utc>,
    pub(super) due_at: Option<DateTime<Utc>>,
    pub(super) bypassed_by: Option<String>,
    pub(super) applied_revision: Option<i64>,
    pub(super) ended_by: Option<String>,
    pub(super) end_reason: Option<String>,
    pub(super) ended_at: Option<DateTime<Utc>>,
    pub(super) failure: Option<String>,
    pub(super) read_at: Option<DateTime<Utc>>,
}

impl Row {
    pub(super) fn into_proposal(self) -> sqlx::Result<Proposal> {
        let unknown = |text: &str| sqlx::Error::Decode(format!("unknown state {text}").into());
        let state = State::parse(&self.state).ok_or_else(|| unknown(&self.state))?;
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
            read_at: self.read_at.unwrap_or(self.created_at),
        })
    }
}

/// Returns the proposal `number`.
pub async fn find(conn: &mut Connection, number: i64) -> sqlx::Result<Option<Proposal>> {
    let row = sqlx::query_as!(
        Row,
        r#"
        select id, number, state, edition, created_by, created_at, due_at, bypassed_by, applied_revision, ended_by,
          end_reason, ended_at, failure, clock_timestamp() as read_at
        from brune_proposal where number = $1
        "#,
        number,
    )
    .fetch_optional(conn)
    .await?;
    row.map(Row::into_proposal).transpose()
}

/// Returns the edition `edition` of a proposal.
pub async fn find_edition(
    conn: &mut Connection,
    proposal: Uuid,
    edition: i32,
) -> sqlx::Result<Option<Edition>> {
    let row = sqlx::query_as!(
        EditionRow,
        r#"
        select edition, written_by, reason, edits, plan, digest, written_at
        from brune_proposal_edition where proposal = $1 and edition = $2
        "#,
        proposal,
        edition,
    )
    .fetch_optional(conn)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let edits: BTreeMap<String, ProposedValue> = decode(row.edits)?;
    let plan: Plan = decode(row.plan)?;
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

fn encode(value: &impl serde::Serialize) -> sqlx::Result<Value> {
    serde_json::to_value(value).map_err(|err| sqlx::Error::Encode(err.into()))
}

/// Returns the verdicts on all editions of a proposal, oldest first.
pub async fn verdicts(conn: &mut Connection, proposal: Uuid) -> sqlx::Result<Vec<Verdict>> {
    sqlx::query_as!(
        Verdict,
        r#"
        select edition, given_by, verdict, note, given_at
        from brune_proposal_verdict where proposal = $1 order by edition, seq
        "#,
        proposal,
    )
    .fetch_all(conn)
    .await
}

/// Returns the approvals and objections of an edition, which needs `needed` approvals.
pub async fn approval_status(
    conn: &mut Connection,
    proposal: Uuid,
    edition: i32,
    needed: i16,
) -> sqlx::Result<ApprovalStatus> {
    let newest = sqlx::query_as!(
        Verdict,
        r#"
        select edition, given_by, verdict, note, given_at from (
          select distinct on (brune_person(given_by)) * from brune_proposal_verdict
          where proposal = $1 and edition = $2 and verdict <> 'acknowledge'
          order by brune_person(given_by), seq desc) newest
        order by seq
        "#,
        proposal,
        edition,
    )
    .fetch_all(conn)
    .await?;
    let approve = VerdictKind::Approve.as_str();
    let (approvals, objections) =
        newest.into_iter().partition(|verdict: &Verdict| verdict.verdict == approve);
    Ok(ApprovalStatus { needed, approvals, objections })
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

/// Inserts a verdict on the current edition, whose content has `digest`.
pub async fn insert_verdict(
    conn: &mut Connection,
    proposal: &Proposal,
    digest: &[u8],
    (person, request): (&str, &str),
    verdict: VerdictKind,
    note: &str,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        insert into brune_proposal_verdict
          (proposal, edition, seq, given_by, verdict, digest, note, given_at, request_id)
        values ($1, $2, 0, $3, $4, $5, $6, now(), $7)
        "#,
        proposal.id,
        proposal.edition,
        person,
        verdict.as_str(),
        digest,
        note,
        request,
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
    applied: Applied,
) -> sqlx::Result<()> {
    let bypassed_by = applied.is_emergency.then(|| actor.user.as_str());
    sqlx::query!(
        r#"
        update brune_proposal set state = 'applied', applied_revision = $2, bypassed_by = $3, ended_by = $4,
          end_reason = $5, end_request_id = $6
        where number = $1
        "#,
        number,
        applied.revision,
        bypassed_by,
        actor.user.as_str(),
        actor.reason.as_str(),
        actor.request.as_str(),
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

/// Returns the number of the first due proposal after `(due_at, number)`, by the database's clock.
pub async fn next_due(
    conn: &mut Connection,
    after: Option<(DateTime<Utc>, i64)>,
) -> sqlx::Result<Option<(DateTime<Utc>, i64)>> {
    let (due_at, number) = after.unzip();
    let row = sqlx::query!(
        r#"
        select due_at as "due_at!", number from brune_proposal
        where state = 'open' and due_at <= clock_timestamp()
          and ($1::timestamptz is null or (due_at, number) > ($1, $2))
        order by due_at, number limit 1
        "#,
        due_at,
        number,
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| (row.due_at, row.number)))
}

/// Returns the numbers and times of open proposals, except `number`, that change one of `keys`.
pub async fn overlapping(
    conn: &mut Connection,
    number: i64,
    keys: &[String],
) -> sqlx::Result<Vec<(i64, Option<DateTime<Utc>>)>> {
    // A subquery for each open proposal: a join would read the editions of all proposals, most of which are closed.
    let rows = sqlx::query!(
        r#"
        select p.number, p.due_at from brune_proposal p
        where p.state = 'open' and p.number <> $1 and (
          select e.edits ?| $2 from brune_proposal_edition e where e.proposal = p.id and e.edition = p.edition)
        order by p.number
        "#,
        number,
        keys,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.number, row.due_at)).collect())
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
