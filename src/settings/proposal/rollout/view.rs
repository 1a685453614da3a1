//! A rollout as shown to people: plan, stage, hold and end.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    database::{self, Connection},
    proposals::{self, HeldReason, Proposal, RevertCause, Rollout, State},
    rollouts::{OnCompletion, PlanDraft, StageDraft},
    settings::{
        proposal::{error::Error, step::find_content},
        writer::SettingsWriter,
    },
    text::string_enum,
};

/// Why and since when a rollout is held.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RolloutHold)]
pub struct HeldView {
    /// The reason as a code.
    pub reason: HeldReason,
    /// Who held the rollout; `brune:rollout` is the rule.
    pub by: String,
    /// The reason in words.
    pub note: String,
    /// When the rollout was held.
    #[schema(required)]
    pub since: Option<DateTime<Utc>>,
}

string_enum! {
    /// How a rollout ended.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
    #[serde(rename_all = "snake_case")]
    pub enum RolloutOutcome {
        /// The change was applied for everybody.
        Promoted = "promoted",
        /// Nobody gets the proposed values.
        Reverted = "reverted",
    }
}

/// The end of a rollout.
#[derive(Debug, Serialize, ToSchema)]
pub struct RolloutEnd {
    /// How the rollout ended.
    pub outcome: RolloutOutcome,
    /// Why the rollout was reverted, as a code.
    #[schema(required)]
    pub cause: Option<RevertCause>,
    /// Who ended the rollout; `brune:rollout` is the rule.
    #[schema(required)]
    pub by: Option<String>,
    /// Why the rollout ended.
    #[schema(required)]
    pub reason: Option<String>,
    /// When the rollout ended.
    #[schema(required)]
    pub at: Option<DateTime<Utc>>,
    /// The revision of a promoted change.
    #[schema(required)]
    pub revision: Option<i64>,
}

/// A rollout that has begun.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Rollout)]
pub struct RolloutView {
    /// The number of the proposal.
    pub proposal: i64,
    /// The edition of the proposal.
    pub edition: i32,
    /// The state of the proposal.
    pub state: State,
    /// The stage, from 1.
    pub stage: i16,
    /// The stages of the plan.
    pub stages: Vec<StageDraft>,
    /// The share of the users with the proposed values in percent; after the end, the last share.
    pub share: i32,
    /// The step after the last stage.
    pub then: OnCompletion,
    /// The hours after which the rollout is held.
    #[schema(required)]
    pub max_hours: Option<i64>,
    /// When the rollout began.
    pub rolling_since: DateTime<Utc>,
    /// When the stage began.
    pub stage_since: DateTime<Utc>,
    /// When the rollout was last resumed.
    #[schema(required)]
    pub resumed_at: Option<DateTime<Utc>>,
    /// Why the rollout is held, if held.
    #[schema(required)]
    pub held: Option<HeldView>,
    /// The end, if ended.
    #[schema(required)]
    pub ended: Option<RolloutEnd>,
}

impl RolloutView {
    /// Returns the view of the rollout of `proposal`.
    fn new(proposal: Proposal, rollout: &Rollout, plan: PlanDraft) -> Self {
        let is_rolling = proposal.state == State::Rolling;
        // The last step of a held rollout is the hold. The row keeps the hold after the end.
        let hold = rollout.held.filter(|_| is_rolling).map(|reason| HeldView {
            reason,
            by: rollout.step_by.clone(),
            note: rollout.step_reason.clone(),
            since: rollout.held_since,
        });
        Self {
            proposal: proposal.number,
            edition: proposal.edition,
            state: proposal.state,
            stage: rollout.stage,
            stages: plan.stages.unwrap_or_default(),
            share: rollout.percent(),
            then: plan.then,
            max_hours: plan.max_hours,
            rolling_since: rollout.rolling_since,
            stage_since: rollout.stage_since,
            resumed_at: rollout.resumed_at,
            held: hold,
            ended: end(proposal, rollout.revert_cause),
        }
    }
}

fn end(proposal: Proposal, cause: Option<RevertCause>) -> Option<RolloutEnd> {
    let outcome = match proposal.state {
        // An emergency applies a proposal past its rollout, which then never begins.
        State::Applied => RolloutOutcome::Promoted,
        State::Reverted => RolloutOutcome::Reverted,
        State::Open | State::Failed | State::Withdrawn | State::Rolling => return None,
    };
    Some(RolloutEnd {
        outcome,
        cause,
        by: proposal.ended_by,
        reason: proposal.end_reason,
        at: proposal.ended_at,
        revision: proposal.applied_revision,
    })
}

/// Reads the rollout of the proposal `number`.
///
/// # Errors
/// `NotFound`, and `RolloutNotFound` if no rollout of the proposal has begun.
pub async fn find_rollout(writer: &SettingsWriter, number: i64) -> Result<RolloutView, Error> {
    database::read_with_retry(&writer.pool, async |conn| {
        let (mut proposal, content) = find_content(conn, number).await?;
        let rollout = proposal.rollout.take().ok_or(Error::RolloutNotFound(number))?;
        let plan = content.plan.rollout.unwrap_or_default();
        Ok::<_, Error>(RolloutView::new(proposal, &rollout, plan))
    })
    .await
}

/// Whether the application of the edition `edition` of the proposal `number` would begin a rollout.
///
/// # Errors
/// The database failed.
pub async fn begins_rollout(
    writer: &SettingsWriter,
    number: i64,
    edition: i32,
) -> Result<bool, Error> {
    let read = async |conn: &mut Connection| {
        let Some(proposal) = proposals::find(conn, number).await? else { return Ok(false) };
        // A repeat of the request that began the rollout gets its stored response.
        if proposal.state != State::Open {
            return Ok(false);
        }
        let content = proposals::find_edition(conn, proposal.id, edition).await?;
        Ok::<_, Error>(content.is_some_and(|content| content.plan.rollout.is_some()))
    };
    database::read_with_retry(&writer.pool, read).await
}
