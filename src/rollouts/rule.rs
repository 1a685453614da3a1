//! The decision: three zones of evidence.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    rollouts::{
        evidence::Evidence,
        plan::{Guard, OnCompletion, Plan, Stage},
    },
    text::string_enum,
};

/// The evidence at which the assignment is incorrect: 1 of 1,000 correct ones reaches it.
pub const ASSIGNMENT_THRESHOLD: f64 = 1_000.0;

/// A stage that has this many times its users and still no clear evidence is held.
const PATIENCE: u32 = 3;

string_enum! {
    /// The zone of a guard's evidence.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
    #[serde(rename_all = "snake_case")]
    #[schema(as = RolloutZone)]
    pub enum Zone {
        /// The counts do not speak for harm: the guard does not stop the next stage.
        Fine = "fine",
        /// The counts speak for harm, but too weakly for a revert.
        Unclear = "unclear",
        /// The counts prove harm: the rollout is reverted.
        Harmful = "harmful",
    }
}

string_enum! {
    /// Why the rule holds a rollout until a person decides.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
    #[serde(rename_all = "snake_case")]
    #[schema(as = RolloutHoldReason)]
    pub enum HoldReason {
        /// Three times the users of the stage did not make the evidence clear.
        Inconclusive = "inconclusive",
        /// The hours of the plan have passed.
        MaxHours = "max_hours",
        /// The share of candidate users is not the share of the stage, so no count can be trusted.
        AssignmentOff = "assignment_off",
        /// The last stage is complete, and the plan leaves the promotion to a person.
        Completed = "completed",
    }
}

/// The evidence of one guard.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GuardEvidence {
    /// The guard.
    pub guard: Guard,
    /// The evidence over all stages.
    pub evidence: Evidence,
}

/// The state of a rollout, for one decision.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation<'a> {
    /// The index of the current stage.
    pub stage: usize,
    /// The evidence of each guard whose counts could be read. A missing guard blocks every step but a revert: a count
    /// that could not be read is not zero.
    pub guards: &'a [GuardEvidence],
    /// The evidence against a correct assignment.
    pub assignment: Evidence,
    /// Distinct candidate users since the stage began or was resumed. Only users whose start is at least a minute old:
    /// before, a session that is cut short does not show.
    pub candidate_users: u32,
    /// Whole minutes since the stage began or was resumed.
    pub stage_minutes: u32,
    /// Whole minutes since the rollout began or was resumed.
    pub rollout_minutes: u32,
}

/// The next step of a rollout.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// A guard proves harm: everybody gets the settings without the change.
    Revert {
        /// The guard with the most evidence.
        guard: Guard,
        /// The evidence.
        evidence: Evidence,
    },
    /// The share stays until a person decides; guards may still revert.
    Hold(HoldReason),
    /// The next stage begins.
    Advance {
        /// The index of the next stage.
        stage: usize,
    },
    /// The change is applied for everybody.
    Promote,
    /// The share stays.
    Stay(WaitsFor),
}

/// The conditions for the next stage that are not met.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = RolloutWaitsFor)]
pub struct WaitsFor {
    /// Missing candidate users.
    pub users: u32,
    /// Missing minutes.
    pub minutes: u32,
    /// Guards in the zone `unclear`.
    pub guards: Vec<Guard>,
    /// Guards whose counts could not be read.
    pub unreadable: Vec<Guard>,
}

impl WaitsFor {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Returns the zone of one guard's evidence.
///
/// Without any failing user the evidence is exactly 1 and the zone is [`Zone::Fine`]: a guard that never fires must
/// not hold every rollout. The users of the stage are required in any case.
#[must_use]
pub fn zone(plan: &Plan, evidence: Evidence) -> Zone {
    if evidence.reaches(plan.revert_threshold()) {
        Zone::Harmful
    } else if evidence.speaks_for_harm() {
        Zone::Unclear
    } else {
        Zone::Fine
    }
}

/// Returns the next step.
///
/// Counts of a rollout only grow, and a repeated call with the same counts returns the same decision, so the caller
/// may decide as often as wanted.
#[must_use]
pub fn decide(plan: &Plan, observation: &Observation<'_>) -> Decision {
    // First the safe direction: neither a hold nor an unreadable count of another guard delays a revert.
    if let Some(GuardEvidence { guard, evidence }) = harmful_guard(plan, observation) {
        return Decision::Revert { guard, evidence };
    }
    if observation.assignment.reaches(ASSIGNMENT_THRESHOLD) {
        return Decision::Hold(HoldReason::AssignmentOff);
    }
    // Before any advance: after an outage of every instance a person decides whether to widen the share.
    if observation.rollout_minutes >= plan.max_hours().saturating_mul(60) {
        return Decision::Hold(HoldReason::MaxHours);
    }
    let Some(stage) = plan.stages().get(observation.stage) else {
        return Decision::Stay(WaitsFor::default());
    };
    let waits_for = missing_conditions(plan, stage, observation);
    if waits_for.is_empty() {
        return next_step(plan, observation.stage);
    }
    // Minutes still missing bring further users, which may make the evidence clear without a person.
    let is_patient =
        waits_for.minutes > 0 || observation.candidate_users < stage.users.saturating_mul(PATIENCE);
    if waits_for.guards.is_empty() || is_patient {
        Decision::Stay(waits_for)
    } else {
        Decision::Hold(HoldReason::Inconclusive)
    }
}

fn harmful_guard(plan: &Plan, observation: &Observation<'_>) -> Option<GuardEvidence> {
    let judged = observation.guards.iter().copied();
    judged
        .filter(|judged| plan.guards().contains(&judged.guard))
        .filter(|judged| zone(plan, judged.evidence) == Zone::Harmful)
        .max_by(|a, b| a.evidence.ln().total_cmp(&b.evidence.ln()))
}

/// Returns the conditions for the next stage that are not met, also of a rollout that is held.
#[must_use]
pub fn waits_for(plan: &Plan, observation: &Observation<'_>) -> WaitsFor {
    let stage = plan.stages().get(observation.stage);
    stage.map_or_else(WaitsFor::default, |stage| missing_conditions(plan, stage, observation))
}

fn missing_conditions(plan: &Plan, stage: &Stage, observation: &Observation<'_>) -> WaitsFor {
    let mut waits_for = WaitsFor {
        users: stage.users.saturating_sub(observation.candidate_users),
        minutes: stage.minutes.saturating_sub(observation.stage_minutes),
        ..WaitsFor::default()
    };
    for guard in plan.guards() {
        match observation.guards.iter().find(|judged| judged.guard == *guard) {
            Some(judged) if judged.evidence.speaks_for_harm() => waits_for.guards.push(*guard),
            Some(_) => {}
            None => waits_for.unreadable.push(*guard),
        }
    }
    waits_for
}

fn next_step(plan: &Plan, stage: usize) -> Decision {
    if stage + 1 < plan.stages().len() {
        return Decision::Advance { stage: stage + 1 };
    }
    match plan.then() {
        OnCompletion::Promote => Decision::Promote,
        OnCompletion::Hold => Decision::Hold(HoldReason::Completed),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rollouts::{
        assignment::Share,
        evidence::ArmCounts,
        plan::{PlanDraft, StageDraft},
    };

    /// The default stages with two guards: a guard reverts at 200.
    fn plan(then: OnCompletion) -> Plan {
        let draft = PlanDraft { then, ..PlanDraft::default() };
        draft.validate(&Guard::defaults(true), "").unwrap()
    }

    fn failing(candidate: u32, control: u32) -> Evidence {
        let share = Share::from_percent(10).unwrap();
        Evidence::of_harm(&[ArmCounts { share, candidate, control }])
    }

    fn both(start_failed: Evidence, cut_short: Evidence) -> [GuardEvidence; 2] {
        [
            GuardEvidence { guard: Guard::StartFailed, evidence: start_failed },
            GuardEvidence { guard: Guard::CutShort, evidence: cut_short },
        ]
    }

    /// A first stage with all its users and minutes.
    fn complete(guards: &[GuardEvidence]) -> Observation<'_> {
        Observation {
            stage: 0,
            guards,
            assignment: Evidence::NEUTRAL,
            candidate_users: 50,
            stage_minutes: 10,
            rollout_minutes: 10,
        }
    }

    fn decision(observation: &Observation<'_>) -> Decision {
        decide(&plan(OnCompletion::Promote), observation)
    }

    #[test]
    fn a_complete_stage_without_harm_advances_and_the_last_promotes() {
        let fine = both(failing(1, 9), failing(0, 0));
        assert_eq!(decision(&complete(&fine)), Decision::Advance { stage: 1 });
        let last = Observation {
            stage: 1,
            candidate_users: 200,
            stage_minutes: 30,
            rollout_minutes: 40,
            ..complete(&fine)
        };
        assert_eq!(decision(&last), Decision::Promote);
        assert_eq!(decide(&plan(OnCompletion::Hold), &last), Decision::Hold(HoldReason::Completed));
    }

    #[test]
    fn one_harmful_guard_reverts_whatever_else_holds() {
        let guards = both(failing(0, 9), failing(4, 0));
        let revert = Decision::Revert { guard: Guard::CutShort, evidence: failing(4, 0) };
        assert_eq!(decision(&complete(&guards)), revert);
        let late = Observation {
            rollout_minutes: 99_999,
            assignment: failing(9, 0),
            candidate_users: 1,
            stage_minutes: 0,
            ..complete(&guards[1..])
        };
        assert_eq!(decision(&late), revert);
        let unknown_stage = Observation { stage: 9, ..complete(&guards) };
        assert_eq!(decision(&unknown_stage), revert);
    }

    #[test]
    fn the_guard_with_the_most_evidence_is_named() {
        let guards = both(failing(5, 0), failing(9, 0));
        let Decision::Revert { guard, .. } = decision(&complete(&guards)) else { panic!() };
        assert_eq!(guard, Guard::CutShort);
    }

    #[test]
    fn the_threshold_is_shared_by_the_guards() {
        // 102 would revert a plan with one guard.
        let unclear = both(failing(3, 0), failing(0, 0));
        assert!(matches!(decision(&complete(&unclear)), Decision::Stay(_)));
        let one_guard =
            PlanDraft { guards: Some(vec![Guard::StartFailed]), ..PlanDraft::default() };
        let one_guard = one_guard.validate(&[], "").unwrap();
        assert!(matches!(decide(&one_guard, &complete(&unclear)), Decision::Revert { .. }));
    }

    #[test]
    fn evidence_of_a_guard_outside_of_the_plan_judges_nothing() {
        let mut guards = both(failing(0, 0), failing(0, 0)).to_vec();
        guards.push(GuardEvidence { guard: Guard::Refused, evidence: failing(99, 0) });
        assert_eq!(decision(&complete(&guards)), Decision::Advance { stage: 1 });
    }

    #[test]
    fn an_incomplete_stage_names_what_is_missing() {
        let guards = both(failing(1, 0), failing(0, 9));
        let early = Observation { candidate_users: 20, stage_minutes: 4, ..complete(&guards) };
        let waits_for = WaitsFor {
            users: 30,
            minutes: 6,
            guards: vec![Guard::StartFailed],
            unreadable: Vec::new(),
        };
        assert_eq!(decision(&early), Decision::Stay(waits_for));
    }

    #[test]
    fn an_unreadable_count_is_no_zero() {
        let guards = both(failing(0, 9), failing(0, 9));
        for candidate_users in [50, 1_000] {
            let blind = Observation { candidate_users, ..complete(&guards[..1]) };
            let Decision::Stay(waits_for) = decision(&blind) else { panic!("{blind:?}") };
            assert_eq!(waits_for.unreadable, [Guard::CutShort]);
        }
    }

    #[test]
    fn too_little_evidence_after_three_times_the_users_holds() {
        let guards = both(failing(1, 0), failing(0, 9));
        let at = |candidate_users, stage_minutes| {
            decision(&Observation { candidate_users, stage_minutes, ..complete(&guards) })
        };
        assert!(matches!(at(149, 10), Decision::Stay(_)));
        assert_eq!(at(150, 10), Decision::Hold(HoldReason::Inconclusive));
        assert!(matches!(at(150, 9), Decision::Stay(_)), "the minutes are not over");
        let fine = both(failing(0, 0), failing(0, 9));
        let busy = Observation { candidate_users: 9_999, stage_minutes: 1, ..complete(&fine) };
        assert!(matches!(decision(&busy), Decision::Stay(_)), "users do not replace minutes");
    }

    #[test]
    fn after_the_hours_of_the_plan_nothing_is_widened() {
        let fine = both(failing(0, 9), failing(0, 9));
        let late = Observation { rollout_minutes: 72 * 60, ..complete(&fine) };
        assert_eq!(decision(&late), Decision::Hold(HoldReason::MaxHours));
        let no_traffic = Observation { candidate_users: 0, ..late };
        assert_eq!(decision(&no_traffic), Decision::Hold(HoldReason::MaxHours));
    }

    #[test]
    fn a_wrong_assignment_holds() {
        let fine = both(failing(0, 9), failing(0, 9));
        let share = Share::from_percent(10).unwrap();
        let of = |candidate, control| {
            let users = [ArmCounts { share, candidate, control }];
            let assignment = Evidence::of_wrong_assignment(&users);
            decision(&Observation { assignment, ..complete(&fine) })
        };
        // Evidence of 1,289 and of 657.
        assert_eq!(of(26, 74), Decision::Hold(HoldReason::AssignmentOff));
        assert_eq!(of(25, 75), Decision::Advance { stage: 1 });
    }

    fn any_counts() -> impl Strategy<Value = (u32, u32)> {
        (0u32..40, 0u32..200)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

        #[test]
        fn only_clear_evidence_moves_the_share(
            first in any_counts(), second in any_counts(), stage in 0usize..3, readable in 0usize..=2,
            candidate_users in 0u32..1_000, stage_minutes in 0u32..60, rollout_minutes in 0u32..5_000,
        ) {
            let guards = both(failing(first.0, first.1), failing(second.0, second.1));
            let observation = Observation {
                stage, guards: &guards[..readable], assignment: Evidence::NEUTRAL,
                candidate_users, stage_minutes, rollout_minutes,
            };
            let harmful = guards[..readable].iter().any(|judged| judged.evidence.value() >= 200.0);
            let fine = readable == 2 && guards.iter().all(|judged| judged.evidence.value() <= 1.0);
            let decision = decision(&observation);
            prop_assert_eq!(matches!(decision, Decision::Revert { .. }), harmful);
            if matches!(decision, Decision::Advance { .. } | Decision::Promote) {
                prop_assert!(fine && stage < 2 && rollout_minutes < 72 * 60);
                let needed = [(50, 10), (200, 30)][stage];
                prop_assert!(candidate_users >= needed.0 && stage_minutes >= needed.1);
            }
        }

        #[test]
        fn any_observation_of_any_plan_has_a_decision(
            share in 1i64..=100, users in 1i64..=100_000, minutes in 0i64..=1_000, stage: usize,
            candidate: u32, control: u32, candidate_users: u32, stage_minutes: u32, rollout_minutes: u32,
        ) {
            let draft = PlanDraft {
                stages: Some(vec![StageDraft { share, users, minutes }]),
                ..PlanDraft::default()
            };
            let plan = draft.validate(&Guard::defaults(false), "").unwrap();
            let guards = both(failing(candidate, control), failing(control, candidate));
            let assignment = failing(candidate, control);
            let observation = Observation {
                stage: stage % 2, guards: &guards, assignment, candidate_users, stage_minutes, rollout_minutes,
            };
            let decision = decide(&plan, &observation);
            prop_assert!(!matches!(decision, Decision::Advance { .. }), "there is one stage");
        }
    }
}
