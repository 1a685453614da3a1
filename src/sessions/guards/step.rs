//! Taking the next step of a rollout.

use crate::{
    proposals::RevertCause,
    sessions::guards::{
        judge::{NextStep, Reading},
        rollout::Rollout,
    },
    settings::{ProposalError, RuleOutcome, RuleStep, SettingsWriter},
};

/// Takes `next` under the lock of the head, if the rollout is still as it was read.
pub(super) async fn take(
    writer: &SettingsWriter,
    rollout: &Rollout,
    reading: &Reading,
    next: &NextStep,
) -> Result<RuleOutcome, ProposalError> {
    let step = match next {
        NextStep::RevertHarmful { .. } => RuleStep::Revert(RevertCause::Guard),
        NextStep::RevertInvalid => RuleStep::Revert(RevertCause::Invalid),
        NextStep::Hold(reason) => RuleStep::Hold(*reason),
        NextStep::Advance => RuleStep::Advance,
        NextStep::Promote => RuleStep::Promote,
    };
    // Stored with the step, because the counts grow while sessions of the rollout run.
    let reason = reading.reason(rollout, next);
    let evidence = reading.evidence(rollout);
    writer.follow_rollout_rule(rollout.position(), step, &reason, Some(&evidence)).await
}
