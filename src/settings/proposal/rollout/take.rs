//! One step of a running rollout, by a person or by the rule.

use serde_json::Value;

use crate::{
    audit::Actor,
    database::Connection,
    proposals::{
        self, Edition, HeldReason, Proposal, RevertCause, Rollout, RolloutEvent, RolloutStepRecord,
        State,
    },
    rollouts::PlanDraft,
    settings::{
        change::{self, Error as ChangeError},
        proposal::{
            apply::{Permission, apply_permitted, require_approved},
            error::Error,
            rollout::begin::{share_of_stage, valid_plan},
            step::{Person, StepContext, find_content},
        },
    },
};

/// A step.
#[derive(Debug, Clone, Copy)]
pub(super) enum RolloutStep {
    Hold(HeldReason),
    Resume,
    Advance,
    Promote,
    Revert(RevertCause),
}

/// A running rollout, as read under the lock.
pub(super) struct Current {
    pub(super) proposal: Proposal,
    pub(super) content: Edition,
    pub(super) rollout: Rollout,
}

/// Reads the rollout of the proposal `number`.
///
/// # Errors
/// `NotFound`, and `RolloutNotRunning` if the proposal is in another state.
pub(super) async fn find_rolling(conn: &mut Connection, number: i64) -> Result<Current, Error> {
    let (mut proposal, content) = find_content(conn, number).await?;
    let rollout = proposal.rollout.take().filter(|_| proposal.state == State::Rolling);
    // Under the lock, so no other step comes between this read and the step.
    let rollout = rollout.ok_or(Error::RolloutNotRunning(proposal.state))?;
    Ok(Current { proposal, content, rollout })
}

/// Takes `step` by `actor`, for the reason of `actor`, and enqueues the messages. The rule also gives the counts and the
/// evidence.
///
/// # Errors
/// `StepNotPossible` in the state of the rollout; `NotApproved`, `Frozen` and the errors of an application for the next stage
/// and the promotion.
pub(super) async fn take(
    conn: &mut Connection,
    context: &StepContext<'_>,
    current: &Current,
    actor: &Actor,
    step: RolloutStep,
    evidence: Option<&Value>,
) -> Result<(), Error> {
    let Current { proposal, content, rollout } = current;
    let number = proposal.number;
    let record = RolloutStepRecord { number, actor, evidence };
    let event = match step {
        RolloutStep::Hold(reason) if rollout.held == Some(reason) => {
            return Err(Error::StepNotPossible("the rollout is held already"));
        }
        RolloutStep::Hold(reason) => {
            proposals::hold_rollout(conn, record, reason).await?;
            RolloutEvent::Held
        }
        RolloutStep::Resume if rollout.held.is_none() => {
            return Err(Error::StepNotPossible("the rollout is not held"));
        }
        RolloutStep::Resume => {
            proposals::resume_rollout(conn, record).await?;
            RolloutEvent::Resumed
        }
        RolloutStep::Advance => {
            advance(conn, context, current, record).await?;
            RolloutEvent::Widened
        }
        RolloutStep::Promote => {
            // The database checks the approvals again at the commit, with an error that explains less.
            require_approved(conn, context.schema, proposal, content).await?;
            let person = Person { user: actor.user.clone(), request: actor.request.clone() };
            let promotion = Permission::Promotion(&actor.reason, evidence);
            let current = (proposal, content);
            // Enqueues the messages of an application as well.
            apply_permitted(conn, context, current, &person, promotion).await?;
            return Ok(());
        }
        RolloutStep::Revert(cause) => {
            proposals::mark_reverted(conn, record, cause).await?;
            RolloutEvent::Reverted
        }
    };
    let (outbox, scanner) = (&context.writer.outbox, &context.writer.scanner);
    let step_event = (number, event);
    change::enqueue_rollout_moved(conn, outbox, scanner, step_event, actor, evidence).await?;
    Ok(())
}

/// Begins the next stage.
async fn advance(
    conn: &mut Connection,
    context: &StepContext<'_>,
    current: &Current,
    record: RolloutStepRecord<'_>,
) -> Result<(), Error> {
    let Current { proposal, content, rollout } = current;
    let plan = valid_plan(content.plan.rollout.as_ref().unwrap_or(&PlanDraft::default()))?;
    let stage = rollout.stage + 1;
    if usize::try_from(stage).is_ok_and(|stage| stage > plan.stages().len()) {
        return Err(Error::StepNotPossible(
            "the rollout is at its last stage; promote the change to apply it for everybody",
        ));
    }
    // More users would get the change, which a freeze prevents like a change of the settings.
    if let Some(freeze) = proposals::active_freeze(conn).await? {
        return Err(ChangeError::Frozen(Box::new(freeze)).into());
    }
    // The catalog may require more approvals since the beginning.
    require_approved(conn, context.schema, proposal, content).await?;
    let share = share_of_stage(&plan, stage)?;
    Ok(proposals::advance_rollout(conn, record, (stage, share)).await?)
}
