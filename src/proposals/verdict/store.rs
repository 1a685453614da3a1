//! SQL of verdicts.

use uuid::Uuid;

use crate::{
    database::Connection,
    proposals::record::{ApprovalStatus, Proposal, Verdict, VerdictKind},
};

/// Returns the newest `limit` verdicts on all editions of a proposal, oldest first, and the number of all verdicts.
pub async fn newest_verdicts(
    conn: &mut Connection,
    proposal: Uuid,
    limit: i64,
) -> sqlx::Result<(Vec<Verdict>, i64)> {
    let verdicts = sqlx::query_as!(
        Verdict,
        r#"
        select edition, given_by, verdict, note, given_at from (
          select * from brune_proposal_verdict where proposal = $1 order by edition desc, seq desc limit $2) newest
        order by edition, seq
        "#,
        proposal,
        limit,
    )
    .fetch_all(&mut *conn)
    .await?;
    let count = i64::try_from(verdicts.len()).unwrap_or(limit);
    if count < limit {
        return Ok((verdicts, count));
    }
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from brune_proposal_verdict where proposal = $1"#,
        proposal,
    )
    .fetch_one(conn)
    .await?;
    Ok((verdicts, count))
}

/// Returns who acknowledged an emergency first.
pub async fn first_acknowledgement(
    conn: &mut Connection,
    proposal: Uuid,
) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar!(
        r#"
        select given_by from brune_proposal_verdict
        where proposal = $1 and verdict = 'acknowledge' order by edition, seq limit 1
        "#,
        proposal,
    )
    .fetch_optional(conn)
    .await
}

/// Returns the approvals and objections of an edition, of which `needed` approvals are needed.
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
