//! The steps of a rollout by the rule. Several instances may decide at once: the lock of the head lets one act, and a step
//! that was decided for an earlier position does nothing.

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::{
    audit::{Actor, Reason},
    database::{Connection, OnSuccess},
    ids::{RequestId, UserId},
    proposals::{HeldReason, Proposal, RevertCause, Rollout},
    settings::{
        change::Error as ChangeError,
        proposal::{
            error::Error,
            rollout::take::{Current, RolloutStep, find_rolling, take},
            step::{self, Step, StepContext},
        },
        writer::SettingsWriter,
    },
};

/// The longest reason that the audit trail accepts, in characters.
const MAX_REASON: usize = 500;

/// The state of a rollout for which the rule decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RolloutPosition {
    /// The number of the proposal.
    pub number: i64,
    /// The stage, from 1.
    pub stage: i16,
    /// Why the rollout is held, if held.
    pub held: Option<HeldReason>,
    /// When the rollout was last resumed.
    pub resumed_at: Option<DateTime<Utc>>,
}

impl RolloutPosition {
    /// Returns the position of the rollout of `proposal`; `None` if no rollout has begun.
    #[must_use]
    pub fn of(proposal: &Proposal) -> Option<Self> {
        proposal.rollout.as_ref().map(|rollout| Self::new(proposal.number, rollout))
    }

    fn new(number: i64, rollout: &Rollout) -> Self {
        Self { number, stage: rollout.stage, held: rollout.held, resumed_at: rollout.resumed_at }
    }
}

/// A step that the rule decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleStep {
    /// The share stays until a person decides.
    Hold(HeldReason),
    /// The next stage begins.
    Advance,
    /// The change is applied for everybody.
    Promote,
    /// Nobody gets the proposed values.
    Revert(RevertCause),
}

impl RuleStep {
    /// Returns the name of the step in a sentence.
    fn name(self) -> &'static str {
        match self {
            Self::Hold(_) => "the hold",
            Self::Advance => "the next stage",
            Self::Promote => "the promotion",
            Self::Revert(_) => "the revert",
        }
    }
}

/// Returns `text` as the reason of a step; cut, because the lists of some errors are long.
fn rule_reason(text: &str) -> Reason {
    let text: String = text.chars().take(MAX_REASON).collect();
    Reason::parse(&text).unwrap_or_else(|_| Reason::withheld())
}

/// The outcome of a step of the rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleOutcome {
    /// The step was taken.
    Taken,
    /// The step was not possible, and no later try will be: the rollout is held instead, for the reason.
    Held(HeldReason),
    /// The rollout has moved or ended since the decision; nothing was stored.
    Outdated,
    /// The step waits for the end of a freeze; nothing was stored.
    Frozen,
}

impl SettingsWriter {
    /// Takes `step` as `brune:rollout`, if the rollout is still at `position`. A revert needs no more than a rollout in
    /// progress, because the counts of failing users only grow. `reason` is for people; `evidence` has the counts that the
    /// rule saw.
    ///
    /// # Errors
    /// An error that may pass, such as a database outage: the step is tried again.
    pub async fn follow_rollout_rule(
        &self,
        position: RolloutPosition,
        step: RuleStep,
        reason: &str,
        evidence: Option<&Value>,
    ) -> Result<RuleOutcome, Error> {
        let reason = rule_reason(reason);
        let user = UserId::service("rollout");
        let actor = Actor { user, reason, request: RequestId::new() };
        let step = FollowRule { position, step, actor, evidence };
        let outcome = step::run(self, OnSuccess::Commit, &step).await?;
        if let RuleOutcome::Taken | RuleOutcome::Held(_) = outcome {
            self.settings.notify_local_write();
        }
        Ok(outcome)
    }
}

struct FollowRule<'a> {
    position: RolloutPosition,
    step: RuleStep,
    actor: Actor,
    evidence: Option<&'a Value>,
}

impl FollowRule<'_> {
    /// Whether the step is still what the rule would decide for `current`.
    fn is_current(&self, current: &Current) -> bool {
        let rollout = &current.rollout;
        let position = RolloutPosition::new(current.proposal.number, rollout);
        let is_possible = match self.step {
            // Evidence of harm never becomes outdated, and a hold or a later stage must not protect the change.
            RuleStep::Revert(_) => return true,
            RuleStep::Hold(reason) => rollout.held != Some(reason),
            // A held rollout waits for a person.
            RuleStep::Advance | RuleStep::Promote => rollout.held.is_none(),
        };
        is_possible && position == self.position
    }
}

impl Step for FollowRule<'_> {
    type Output = RuleOutcome;

    async fn run(
        &self,
        conn: &mut Connection,
        context: &StepContext<'_>,
    ) -> Result<RuleOutcome, Error> {
        // Again under the lock: a person or another instance may have been faster.
        let current = match find_rolling(conn, self.position.number).await {
            // Not an error: the rollout has ended since the decision.
            Err(Error::RolloutNotRunning(_)) => return Ok(RuleOutcome::Outdated),
            result => result?,
        };
        if !self.is_current(&current) {
            return Ok(RuleOutcome::Outdated);
        }
        let step = match self.step {
            RuleStep::Hold(reason) => RolloutStep::Hold(reason),
            RuleStep::Advance => RolloutStep::Advance,
            RuleStep::Promote => RolloutStep::Promote,
            RuleStep::Revert(cause) => RolloutStep::Revert(cause),
        };
        // These errors occur before the first write, so the transaction can go on.
        match take(conn, context, &current, &self.actor, step, self.evidence).await {
            Ok(()) => Ok(RuleOutcome::Taken),
            Err(Error::Change(ChangeError::Frozen(_))) => Ok(RuleOutcome::Frozen),
            Err(err) => {
                let detail = format!("{} is not possible: {err}", self.step.name());
                let reason = hold_reason(err)?;
                let hold = RolloutStep::Hold(reason);
                // The reason of the other step would be false.
                let actor = Actor { reason: rule_reason(&detail), ..self.actor.clone() };
                // Without a hold, every instance would try the step again every second.
                take(conn, context, &current, &actor, hold, self.evidence).await?;
                Ok(RuleOutcome::Held(reason))
            }
        }
    }
}

/// Returns the reason of a hold after a step that is not possible.
///
/// # Errors
/// The error if it may pass.
fn hold_reason(err: Error) -> Result<HeldReason, Error> {
    match err {
        Error::NotApproved(_) => Ok(HeldReason::NotApproved),
        Error::StepNotPossible(_)
        | Error::Plan { .. }
        | Error::NothingChanges
        | Error::Predecessor(..)
        | Error::Change(
            ChangeError::Invalid(_)
            | ChangeError::Locked(_)
            | ChangeError::SecretLike(_)
            | ChangeError::Stale(_),
        ) => Ok(HeldReason::Invalid),
        err => Err(err),
    }
}
