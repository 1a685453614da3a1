//! The next step of a rollout, from the counts and the validity of the settings.

use serde_json::{Value, json};

use crate::{
    proposals::HeldReason,
    rollouts::{self, Decision, Evidence, Guard, GuardEvidence, Observation, WaitsFor},
    sessions::guards::{
        counts::{Failures, Users},
        rollout::Rollout,
    },
};

/// Whether the settings of the two arms are valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Validity {
    /// Both are valid.
    Valid,
    /// The settings in the database are invalid, so no session starts.
    CurrentInvalid,
    /// The settings in the database are valid, but not with the change.
    CandidateInvalid,
}

/// The counts of one look at a rollout. A count that could not be read is `None`, never zero.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    /// The failing users.
    pub(super) failures: Option<Failures>,
    /// Whether abandoned starts are among the failing users.
    pub(super) has_abandoned_starts: bool,
    /// The users; also `None` if this look did not count users.
    pub(super) users: Option<Users>,
    /// The settings of the arms.
    pub(super) validity: Validity,
    /// Whether counts have been unreadable for so long that a person has to decide.
    pub(super) is_unreadable: bool,
}

/// The next step of a rollout.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum NextStep {
    /// Everybody gets the settings without the change: a guard proves harm.
    RevertHarmful {
        /// The guard.
        guard: Guard,
        /// The evidence.
        evidence: Evidence,
    },
    /// Everybody gets the settings without the change, which would be invalid.
    RevertInvalid,
    /// A person decides: the reason, as stored.
    Hold(HeldReason),
    /// The next stage begins.
    Advance,
    /// The change is applied for everybody.
    Promote,
}

impl NextStep {
    /// Whether everybody gets the settings without the change.
    pub(super) fn is_revert(&self) -> bool {
        matches!(self, Self::RevertHarmful { .. } | Self::RevertInvalid)
    }

    /// Returns the name of the step, for metrics and the log.
    pub(super) fn event(&self) -> &'static str {
        match self {
            Self::RevertHarmful { .. } | Self::RevertInvalid => "reverted",
            Self::Hold(_) => "held",
            Self::Advance => "widened",
            Self::Promote => "promoted",
        }
    }
}

impl Reading {
    /// Returns the evidence of every guard; nothing if the failing users could not be read.
    fn guards(&self) -> Vec<GuardEvidence> {
        let Some(failures) = &self.failures else { return Vec::new() };
        failures.all_evidence()
    }

    /// Returns the observation for the rule. Users that could not be counted count as zero, so no stage can end.
    fn observation<'a>(&self, rollout: &Rollout, guards: &'a [GuardEvidence]) -> Observation<'a> {
        let users = self.users.as_ref();
        Observation {
            stage: rollout.stage_index(),
            guards,
            // Neutral: no hold because of users that nobody counted.
            assignment: users.map_or(Evidence::NEUTRAL, Users::evidence),
            candidate_users: users.map_or(0, |users| users.stage_candidate),
            stage_minutes: rollout.stage_minutes,
            rollout_minutes: rollout.total_minutes,
        }
    }

    /// Returns the next step; `None` if the share stays.
    pub(super) fn next_step(&self, rollout: &Rollout) -> Option<NextStep> {
        let mut guards = self.guards();
        let decision = rollouts::decide(&rollout.plan, &self.observation(rollout, &guards));
        // First the safe direction, whatever else is wrong.
        if let Decision::Revert { guard, evidence } = decision {
            return Some(NextStep::RevertHarmful { guard, evidence });
        }
        // Candidate users cannot start sessions, and the change can no longer be promoted.
        if self.validity == Validity::CandidateInvalid {
            return Some(NextStep::RevertInvalid);
        }
        // Only a person ends a hold, and a second reason would hide the first one.
        if rollout.held.is_some() {
            return None;
        }
        // Before every step that widens: some sessions of the users may be missing in this database.
        if rollout.is_restored {
            return Some(NextStep::Hold(HeldReason::Restored));
        }
        // No session starts in either arm, so the counts stand still.
        if self.validity == Validity::CurrentInvalid {
            return Some(NextStep::Hold(HeldReason::Invalid));
        }
        // Waiting longer would leave the share without anybody who watches.
        if self.is_unreadable {
            return Some(NextStep::Hold(HeldReason::Unreadable));
        }
        if !self.has_abandoned_starts {
            // A harmful count reverts even if incomplete; a harmless count has to be complete.
            guards.retain(|entry| entry.guard != Guard::StartFailed);
        }
        match rollouts::decide(&rollout.plan, &self.observation(rollout, &guards)) {
            Decision::Hold(reason) => Some(NextStep::Hold(reason.into())),
            Decision::Advance { .. } => Some(NextStep::Advance),
            Decision::Promote => Some(NextStep::Promote),
            Decision::Revert { .. } | Decision::Stay(_) => None,
        }
    }

    /// Returns the conditions for the next stage that are not met; nothing after the end.
    pub(super) fn waits_for(&self, rollout: &Rollout) -> WaitsFor {
        // The counts may change for a minute more, but nobody waits for them.
        if !rollout.is_rolling {
            return WaitsFor::default();
        }
        let guards = self.guards();
        rollouts::waits_for(&rollout.plan, &self.observation(rollout, &guards))
    }

    /// Returns the counts and the evidence, which are stored with the step.
    pub(super) fn evidence(&self, rollout: &Rollout) -> Value {
        // The guards of the plan only: the others judged nothing.
        let guards = rollout.plan.guards().iter().map(|guard| {
            let counts = self.failures.as_ref().map(|failures| failures.of(*guard));
            let evidence = self.failures.as_ref().map(|failures| failures.evidence(*guard).value());
            json!({
                "guard": guard,
                "candidate": counts.map(|(candidate, _)| candidate),
                "control": counts.map(|(_, control)| control),
                "evidence": evidence,
            })
        });
        json!({
            "guards": guards.collect::<Vec<_>>(),
            "reverts_at": rollout.plan.revert_threshold(),
            "users": self.users.as_ref().map(Users::counts),
            "assignment": self.users.as_ref().map(|users| users.evidence().value()),
            "minutes": rollout.stage_minutes,
        })
    }

    /// Returns the reason of `step`, for people.
    pub(super) fn reason(&self, rollout: &Rollout, step: &NextStep) -> String {
        match step {
            NextStep::RevertHarmful { guard, evidence } => {
                let (candidate, control) =
                    self.failures.as_ref().map_or((0, 0), |failures| failures.of(*guard));
                format!(
                    "{guard}: {candidate} failing candidate users and {control} failing users of the control; evidence \
                     {evidence:.0}, reverts at {threshold:.0}",
                    guard = guard.as_str(),
                    // Above, the text would have hundreds of digits.
                    evidence = evidence.value().min(1e15),
                    threshold = rollout.plan.revert_threshold(),
                )
            }
            NextStep::RevertInvalid => {
                "the current settings would be invalid with the change".to_owned()
            }
            NextStep::Hold(reason) => hold_explanation(*reason).to_owned(),
            NextStep::Advance => {
                format!("stage {} is complete, and no guard speaks for harm", rollout.stage)
            }
            NextStep::Promote => "every stage is complete, and no guard speaks for harm".to_owned(),
        }
    }
}

/// Explains a hold by the rule.
fn hold_explanation(reason: HeldReason) -> &'static str {
    match reason {
        HeldReason::Person => "a person decided to wait",
        HeldReason::Inconclusive => {
            "three times the users of the stage did not make the evidence clear"
        }
        HeldReason::MaxHours => "the hours of the plan have passed",
        HeldReason::AssignmentOff => {
            "the share of candidate users is not the share of the stage, so no count can be trusted"
        }
        HeldReason::Completed => {
            "every stage is complete, and the plan leaves the promotion to a person"
        }
        HeldReason::Unreadable => "the counts could not be read for 5 minutes",
        HeldReason::Invalid => "the settings in the database are invalid",
        HeldReason::NotApproved => "the approvals of the change no longer suffice",
        HeldReason::Restored => "this database is not the one in which the rollout began",
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use uuid::Uuid;

    use super::*;
    use crate::rollouts::{ArmCounts, PlanDraft, Share};

    /// A first stage with its minutes, by the default plan with two guards.
    fn rollout() -> Rollout {
        Rollout {
            id: Uuid::nil(),
            number: 12,
            is_rolling: true,
            stage: 1,
            share: share(),
            plan: PlanDraft::default().validate(&Guard::defaults(true), "").unwrap(),
            stage_since: DateTime::UNIX_EPOCH,
            resumed_at: None,
            ended_at: None,
            held: None,
            stage_minutes: 10,
            total_minutes: 10,
            is_restored: false,
        }
    }

    fn share() -> Share {
        Share::from_percent(10).unwrap()
    }

    /// Complete counts: every user of the stage, and `failing` candidate users.
    fn reading(failing: u32) -> Reading {
        let mut failures = Failures::default();
        failures
            .add(Guard::StartFailed, ArmCounts { share: share(), candidate: failing, control: 0 });
        let by_share = vec![ArmCounts { share: share(), candidate: 50, control: 450 }];
        Reading {
            failures: Some(failures),
            has_abandoned_starts: true,
            users: Some(Users { by_share, stage_candidate: 50 }),
            validity: Validity::Valid,
            is_unreadable: false,
        }
    }

    fn event(reading: &Reading, rollout: &Rollout) -> Option<&'static str> {
        reading.next_step(rollout).map(|step| step.event())
    }

    #[test]
    fn a_missing_count_blocks_the_next_stage() {
        assert_eq!(event(&reading(0), &rollout()), Some("widened"));
        for missing in [
            Reading { failures: None, ..reading(0) },
            Reading { users: None, ..reading(0) },
            Reading { has_abandoned_starts: false, ..reading(0) },
        ] {
            assert_eq!(event(&missing, &rollout()), None, "{missing:?}");
            let unreadable = Reading { is_unreadable: true, ..missing };
            let hold = NextStep::Hold(HeldReason::Unreadable);
            assert_eq!(unreadable.next_step(&rollout()), Some(hold));
        }
        let missing = Reading { failures: None, ..reading(0) };
        let waits_for = missing.waits_for(&rollout());
        assert_eq!(waits_for.unreadable, [Guard::StartFailed, Guard::CutShort]);
        assert!(missing.evidence(&rollout())["guards"][0]["candidate"].is_null());
    }

    #[test]
    fn harm_reverts_whatever_else_is_wrong() {
        let harmful = Reading {
            has_abandoned_starts: false,
            users: None,
            validity: Validity::CurrentInvalid,
            is_unreadable: true,
            ..reading(9)
        };
        let rollout = Rollout {
            held: Some(HeldReason::Person),
            is_restored: true,
            stage_minutes: 0,
            ..rollout()
        };
        let step = harmful.next_step(&rollout).unwrap();
        assert_eq!(step.event(), "reverted");
        let reason = harmful.reason(&rollout, &step);
        assert!(reason.starts_with("start_failed: 9 failing candidate users"), "{reason}");
        assert!(reason.chars().count() <= 500);
    }

    #[test]
    fn each_obstacle_has_its_step() {
        let restored = Rollout { is_restored: true, ..rollout() };
        assert_eq!(reading(0).next_step(&restored), Some(NextStep::Hold(HeldReason::Restored)));
        let invalid = Reading { validity: Validity::CurrentInvalid, ..reading(0) };
        assert_eq!(invalid.next_step(&rollout()), Some(NextStep::Hold(HeldReason::Invalid)));
        let invalid = Reading { validity: Validity::CandidateInvalid, ..reading(0) };
        assert_eq!(invalid.next_step(&rollout()), Some(NextStep::RevertInvalid));
        let paused = Rollout { held: Some(HeldReason::Person), ..rollout() };
        assert_eq!(invalid.next_step(&paused), Some(NextStep::RevertInvalid));
        for reading in [reading(0), Reading { validity: Validity::CurrentInvalid, ..reading(0) }] {
            assert_eq!(reading.next_step(&paused), None, "a hold is ended by a person");
        }
        let ended = Rollout { is_rolling: false, ..rollout() };
        assert_eq!(reading(0).waits_for(&ended), WaitsFor::default());
    }

    #[test]
    fn every_explanation_is_a_reason() {
        for reason in HeldReason::ALL {
            let step = NextStep::Hold(reason);
            let reason = reading(0).reason(&rollout(), &step);
            assert!(crate::audit::Reason::parse(&reason).is_ok(), "{reason}");
        }
    }
}
