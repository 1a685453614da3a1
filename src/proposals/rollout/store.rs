//! SQL of the steps of a rollout.

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    audit::Actor,
    database::Connection,
    proposals::record::{HeldReason, RevertCause},
};

/// The author of a step of a rollout, and the counts that the rule saw.
#[derive(Debug, Clone, Copy)]
pub struct RolloutStepRecord<'a> {
    /// The number of the proposal.
    pub number: i64,
    /// The author, with the reason.
    pub actor: &'a Actor,
    /// The counts and the evidence; `None` for a step of a person.
    pub evidence: Option<&'a Value>,
}

/// Returns the number of the proposal that rolls out, if any. The database permits only one.
pub async fn rolling_number(conn: &mut Connection) -> sqlx::Result<Option<i64>> {
    // By a partial index with at most one row: every write under the lock asks.
    sqlx::query_scalar!("select number from brune_proposal where state = 'rolling'")
        .fetch_optional(conn)
        .await
}

/// Begins the rollout of an open proposal at the first stage, with `share_bp` basis points of the users.
pub async fn begin_rollout(
    conn: &mut Connection,
    step: RolloutStepRecord<'_>,
    share_bp: i32,
) -> sqlx::Result<()> {
    // A trigger sets the salt and the times, and compares the share with the plan.
    sqlx::query!(
        r#"
        update brune_proposal set state = 'rolling', stage = 1, share_bp = $2, step_by = $3, step_reason = $4,
          step_request_id = $5, evidence = null
        where number = $1
        "#,
        step.number,
        share_bp,
        step.actor.user.as_str(),
        step.actor.reason.as_str(),
        step.actor.request.as_str(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Begins the stage `stage`, with `share_bp` basis points of the users.
pub async fn advance_rollout(
    conn: &mut Connection,
    step: RolloutStepRecord<'_>,
    (stage, share_bp): (i16, i32),
) -> sqlx::Result<()> {
    // The next stage ends a hold: a person has decided.
    sqlx::query!(
        r#"
        update brune_proposal set stage = $2, share_bp = $3, held_reason = null, step_by = $4, step_reason = $5,
          step_request_id = $6, evidence = $7
        where number = $1
        "#,
        step.number,
        stage,
        share_bp,
        step.actor.user.as_str(),
        step.actor.reason.as_str(),
        step.actor.request.as_str(),
        step.evidence,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Holds a rollout: the share stays.
pub async fn hold_rollout(
    conn: &mut Connection,
    step: RolloutStepRecord<'_>,
    reason: HeldReason,
) -> sqlx::Result<()> {
    set_held(conn, step, Some(reason)).await
}

/// Resumes a held rollout.
pub async fn resume_rollout(
    conn: &mut Connection,
    step: RolloutStepRecord<'_>,
) -> sqlx::Result<()> {
    set_held(conn, step, None).await
}

async fn set_held(
    conn: &mut Connection,
    step: RolloutStepRecord<'_>,
    reason: Option<HeldReason>,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        update brune_proposal set held_reason = $2, step_by = $3, step_reason = $4, step_request_id = $5, evidence = $6
        where number = $1
        "#,
        step.number,
        reason.map(HeldReason::as_str),
        step.actor.user.as_str(),
        step.actor.reason.as_str(),
        step.actor.request.as_str(),
        step.evidence,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Ends a rollout without an application.
pub async fn mark_reverted(
    conn: &mut Connection,
    step: RolloutStepRecord<'_>,
    cause: RevertCause,
) -> sqlx::Result<()> {
    // Stage and share stay, so that the end of the rollout can be explained.
    sqlx::query!(
        r#"
        update brune_proposal set state = 'reverted', revert_cause = $2, ended_by = $3, end_reason = $4,
          end_request_id = $5, evidence = $6
        where number = $1
        "#,
        step.number,
        cause.as_str(),
        step.actor.user.as_str(),
        step.actor.reason.as_str(),
        step.actor.request.as_str(),
        step.evidence,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The running sessions with the values of a rollout.
#[derive(Debug, Clone, Copy)]
pub struct CandidateSessions {
    /// The number of sessions.
    pub sessions: i64,
    /// When the last of the sessions expires at the latest.
    pub drained_by: Option<DateTime<Utc>>,
}

/// Counts the running sessions with the proposed values of `proposal`.
pub async fn candidate_sessions(
    conn: &mut Connection,
    proposal: Uuid,
) -> sqlx::Result<CandidateSessions> {
    sqlx::query_as!(
        CandidateSessions,
        r#"
        select count(*) as "sessions!", max(expires_at) as drained_by from brune_session
        where proposal = $1 and candidate and status in ('starting', 'active') and expires_at > clock_timestamp()
        "#,
        proposal,
    )
    .fetch_one(conn)
    .await
}
