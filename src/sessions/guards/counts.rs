//! Users and failing users of a rollout by arm, and their evidence.

use serde::Serialize;
use utoipa::ToSchema;

use crate::rollouts::{ArmCounts, Evidence, Guard, GuardEvidence};

/// The distinct users of a rollout.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = RolloutUsers)]
pub struct UserCounts {
    /// Users whose first start or refusal had the candidate.
    pub candidate: u32,
    /// Users whose first start or refusal had the current settings.
    pub control: u32,
    /// Candidate users of the stage whose start is at least a minute old.
    pub stage_candidate: u32,
}

/// The users of a rollout.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Users {
    /// Users by the share of their first start.
    pub(super) by_share: Vec<ArmCounts>,
    /// Candidate users of the stage whose start is at least a minute old.
    pub(super) stage_candidate: u32,
}

impl Users {
    pub(super) fn counts(&self) -> UserCounts {
        // Saturating: a count that does not fit would not change the decision.
        let sum = |users: fn(&ArmCounts) -> u32| {
            self.by_share.iter().fold(0_u32, |sum, counts| sum.saturating_add(users(counts)))
        };
        UserCounts {
            candidate: sum(|counts| counts.candidate),
            control: sum(|counts| counts.control),
            stage_candidate: self.stage_candidate,
        }
    }

    /// Returns the evidence that users are assigned with another probability than the share.
    pub(super) fn evidence(&self) -> Evidence {
        Evidence::of_wrong_assignment(&self.by_share)
    }
}

/// The failing users of a rollout, by guard and share. A user counts once for each guard.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Failures(Vec<(Guard, ArmCounts)>);

impl Failures {
    /// Adds users of one guard and share.
    pub(super) fn add(&mut self, guard: Guard, users: ArmCounts) {
        let counts = self
            .0
            .iter_mut()
            .find(|(counted, counts)| *counted == guard && counts.share == users.share);
        if let Some((_, counts)) = counts {
            counts.candidate = counts.candidate.saturating_add(users.candidate);
            counts.control = counts.control.saturating_add(users.control);
        } else {
            self.0.push((guard, users));
        }
    }

    /// Removes users that were added before.
    pub(super) fn remove(&mut self, guard: Guard, users: ArmCounts) {
        let counts = self
            .0
            .iter_mut()
            .find(|(counted, counts)| *counted == guard && counts.share == users.share);
        // Unknown users are ignored: the newest failures and the total come from one state of the database.
        if let Some((_, counts)) = counts {
            counts.candidate = counts.candidate.saturating_sub(users.candidate);
            counts.control = counts.control.saturating_sub(users.control);
        }
    }

    /// Returns the failing users of `guard`: candidate users and users of the control.
    pub(super) fn of(&self, guard: Guard) -> (u32, u32) {
        let counts = self.0.iter().filter(|(counted, _)| *counted == guard);
        counts.fold((0, 0), |(candidate, control), (_, counts)| {
            (candidate.saturating_add(counts.candidate), control.saturating_add(counts.control))
        })
    }

    /// Returns the evidence of `guard`.
    pub(super) fn evidence(&self, guard: Guard) -> Evidence {
        let counts = self.0.iter().filter(|(counted, _)| *counted == guard);
        Evidence::of_harm(&counts.map(|(_, counts)| *counts).collect::<Vec<_>>())
    }

    /// Returns the evidence of every guard.
    pub(super) fn all_evidence(&self) -> Vec<GuardEvidence> {
        // The rule ignores guards outside of the plan; the page shows all guards.
        let evidence =
            |guard: &Guard| GuardEvidence { guard: *guard, evidence: self.evidence(*guard) };
        Guard::ALL.iter().map(evidence).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollouts::Share;

    fn counts(percent: i64, candidate: u32, control: u32) -> ArmCounts {
        ArmCounts { share: Share::from_percent(percent).unwrap(), candidate, control }
    }

    #[test]
    fn failures_are_added_and_removed_by_guard_and_share() {
        let mut failures = Failures::default();
        failures.add(Guard::StartFailed, counts(10, 2, 1));
        failures.add(Guard::StartFailed, counts(10, 1, 0));
        failures.add(Guard::StartFailed, counts(50, 4, 5));
        failures.add(Guard::CutShort, counts(10, 0, 7));
        assert_eq!(failures.of(Guard::StartFailed), (7, 6));
        assert_eq!(failures.of(Guard::CutShort), (0, 7));
        assert_eq!(failures.of(Guard::Refused), (0, 0));
        let by_share = [counts(10, 3, 1), counts(50, 4, 5)];
        assert_eq!(failures.evidence(Guard::StartFailed), Evidence::of_harm(&by_share));
        failures.remove(Guard::StartFailed, counts(10, 1, 1));
        assert_eq!(failures.of(Guard::StartFailed), (6, 5));
        let evidence = failures.all_evidence();
        assert_eq!(evidence.len(), Guard::ALL.len());
        let refusals = evidence.iter().find(|evidence| evidence.guard == Guard::Refused);
        assert_eq!(refusals.unwrap().evidence, Evidence::NEUTRAL);
    }

    #[test]
    fn users_are_summed_over_shares() {
        let users =
            Users { by_share: vec![counts(10, 5, 45), counts(50, 20, 21)], stage_candidate: 7 };
        let expected = UserCounts { candidate: 25, control: 66, stage_candidate: 7 };
        assert_eq!(users.counts(), expected);
        assert_eq!(users.evidence(), Evidence::of_wrong_assignment(&users.by_share));
    }
}
