//! The plan of a rollout: stages, guards and bounds.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use crate::{
    json::{FieldError, FieldErrors},
    rollouts::assignment::Share,
    text::string_enum,
};

/// The maximum number of stages.
pub const MAX_STAGES: usize = 10;

/// The maximum of candidate users of a stage.
pub const MAX_USERS: i64 = 100_000;

/// The maximum of minutes of a stage: a week.
pub const MAX_MINUTES: i64 = 7 * 24 * 60;

/// The maximum of hours of a rollout: 30 days.
pub const MAX_HOURS: i64 = 30 * 24;

/// The hours after which a rollout is held, by default.
const DEFAULT_MAX_HOURS: i64 = 72;

/// The probability of a revert without an effect, over all guards of a plan.
const ALPHA: f64 = 0.01;

string_enum! {
    /// A kind of failure that a rollout watches. A user counts once for each guard.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
    #[serde(rename_all = "snake_case")]
    #[schema(as = RolloutGuard)]
    pub enum Guard {
        /// A session could not be opened, or the start was abandoned.
        StartFailed = "start_failed",
        /// A session was ended by the user within a minute, or reported as failed.
        CutShort = "cut_short",
        /// A start was refused as not eligible.
        Refused = "refused",
    }
}

impl Guard {
    /// Returns the guards of a plan that names none.
    ///
    /// A change of an eligibility setting is meant to refuse other users than before, so refusals judge nothing.
    #[must_use]
    pub fn defaults(changes_eligibility: bool) -> Vec<Self> {
        let guards = [Self::StartFailed, Self::CutShort, Self::Refused];
        guards.into_iter().filter(|guard| *guard != Self::Refused || !changes_eligibility).collect()
    }
}

string_enum! {
    /// The step after the last stage.
    #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
    #[serde(rename_all = "snake_case")]
    #[schema(as = RolloutCompletion)]
    pub enum OnCompletion {
        /// The change is applied for everybody.
        #[default]
        Promote = "promote",
        /// The share stays until a person decides.
        Hold = "hold",
    }
}

/// A stage of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RolloutStage)]
pub struct StageDraft {
    /// The share in percent.
    pub share: i64,
    /// The required candidate users.
    pub users: i64,
    /// The required minutes.
    pub minutes: i64,
}

/// The plan of a rollout. Every part has a default; a stored plan has every default written out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RolloutPlan)]
pub struct PlanDraft {
    /// The stages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stages: Option<Vec<StageDraft>>,
    /// The guards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guards: Option<Vec<Guard>>,
    /// The step after the last stage.
    #[serde(default)]
    pub then: OnCompletion,
    /// The hours after which the rollout is held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_hours: Option<i64>,
}

/// A valid stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stage {
    /// The share of users who get the candidate.
    pub share: Share,
    /// The required distinct candidate users.
    pub users: u32,
    /// The required minutes.
    pub minutes: u32,
}

/// A valid plan: at least one stage and one guard, and shares that grow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    stages: Vec<Stage>,
    guards: Vec<Guard>,
    then: OnCompletion,
    max_hours: u32,
}

impl Plan {
    /// Returns the stages, at least one.
    #[must_use]
    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// Returns the guards, at least one, without repetition.
    #[must_use]
    pub fn guards(&self) -> &[Guard] {
        &self.guards
    }

    /// Returns the step after the last stage.
    #[must_use]
    pub const fn then(&self) -> OnCompletion {
        self.then
    }

    /// Returns the hours after which the rollout is held.
    #[must_use]
    pub const fn max_hours(&self) -> u32 {
        self.max_hours
    }

    /// Returns the evidence at which one guard reverts the rollout: the number of guards divided by `α`.
    #[must_use]
    pub fn revert_threshold(&self) -> f64 {
        self.guards.iter().map(|_| 1.0 / ALPHA).sum()
    }

    /// Returns the plan with every default written out, for the response and for the stored edition.
    #[must_use]
    pub fn to_draft(&self) -> PlanDraft {
        let draft = |stage: &Stage| StageDraft {
            share: i64::from(stage.share.basis_points() / 100),
            users: stage.users.into(),
            minutes: stage.minutes.into(),
        };
        PlanDraft {
            stages: Some(self.stages.iter().map(draft).collect()),
            guards: Some(self.guards.clone()),
            then: self.then,
            max_hours: Some(self.max_hours.into()),
        }
    }
}

impl PlanDraft {
    /// Validates the plan and fills in the defaults. `default_guards` are those of [`Guard::defaults`];
    /// `pointer` is the JSON Pointer of the plan in the request.
    ///
    /// # Errors
    /// Every invalid member.
    pub fn validate(&self, default_guards: &[Guard], pointer: &str) -> Result<Plan, FieldErrors> {
        let mut errors = FieldErrors::default();
        let stages = match &self.stages {
            Some(stages) => valid_stages(stages, pointer, &mut errors),
            None => default_stages(),
        };
        let guards = self.guards.as_deref().unwrap_or(default_guards).to_vec();
        check_guards(&guards, pointer, &mut errors);
        let max_hours = Bound { name: "max_hours", min: 1, max: MAX_HOURS };
        let hours = self.max_hours.unwrap_or(DEFAULT_MAX_HOURS);
        let max_hours = max_hours.check(hours, pointer, &mut errors);
        check_duration(&stages, max_hours, pointer, &mut errors);
        if errors.is_empty() {
            Ok(Plan { stages, guards, then: self.then, max_hours })
        } else {
            Err(errors)
        }
    }
}

fn default_stages() -> Vec<Stage> {
    let stage = |percent, users, minutes| {
        Share::from_percent(percent).map(|share| Stage { share, users, minutes })
    };
    [stage(10, 50, 10), stage(50, 200, 30)].into_iter().flatten().collect()
}

/// The bounds of an integer member.
struct Bound {
    name: &'static str,
    min: i64,
    max: i64,
}

impl Bound {
    /// Returns `value` if within the bounds; reports an error and returns 0 otherwise.
    fn check(&self, value: i64, pointer: &str, errors: &mut FieldErrors) -> u32 {
        let Self { name, min, max } = self;
        if (*min..=*max).contains(&value) {
            return u32::try_from(value).unwrap_or_default();
        }
        let detail = format!("must be an integer between {min} and {max}");
        let constraint = json!({"min": min, "max": max});
        let error = FieldError::at(format!("{pointer}/{name}"), "out_of_range", detail);
        errors.push(error.with_constraint(constraint));
        0
    }
}

fn valid_stages(drafts: &[StageDraft], pointer: &str, errors: &mut FieldErrors) -> Vec<Stage> {
    if !(1..=MAX_STAGES).contains(&drafts.len()) {
        let detail = format!("must have 1 to {MAX_STAGES} stages");
        errors.push(FieldError::at(format!("{pointer}/stages"), "length", detail));
    }
    let mut stages = Vec::new();
    let mut previous = 0;
    // Further stages are not validated: the number of stages is reported already.
    for (index, draft) in drafts.iter().take(MAX_STAGES).enumerate() {
        let pointer = format!("{pointer}/stages/{index}");
        let share = Bound { name: "share", min: 1, max: 100 };
        let users = Bound { name: "users", min: 1, max: MAX_USERS };
        let minutes = Bound { name: "minutes", min: 0, max: MAX_MINUTES };
        share.check(draft.share, &pointer, errors);
        let users = users.check(draft.users, &pointer, errors);
        let minutes = minutes.check(draft.minutes, &pointer, errors);
        // A first share below 1 is out of range, and reported as such only.
        if previous > 0 && draft.share <= previous {
            let detail = "must be greater than the share of the stage before";
            errors.push(FieldError::at(format!("{pointer}/share"), "share_not_growing", detail));
        }
        previous = previous.max(draft.share);
        stages.extend(Share::from_percent(draft.share).map(|share| Stage {
            share,
            users,
            minutes,
        }));
    }
    stages
}

fn check_guards(guards: &[Guard], pointer: &str, errors: &mut FieldErrors) {
    let distinct: BTreeSet<_> = guards.iter().collect();
    let pointer = || format!("{pointer}/guards");
    if guards.is_empty() {
        errors.push(FieldError::at(pointer(), "length", "must have at least one guard"));
    }
    if distinct.len() < guards.len() {
        errors.push(FieldError::at(pointer(), "duplicate", "must name each guard once"));
    }
}

/// A plan whose stages take longer than the rollout may can never end by itself.
fn check_duration(stages: &[Stage], max_hours: u32, pointer: &str, errors: &mut FieldErrors) {
    let minutes: u32 = stages.iter().map(|stage| stage.minutes).sum();
    if errors.is_empty() && minutes >= max_hours * 60 {
        let detail = "must be longer than the minutes of all stages together";
        errors.push(FieldError::at(format!("{pointer}/max_hours"), "too_short", detail));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUARDS: [Guard; 2] = [Guard::StartFailed, Guard::CutShort];

    fn draft(stages: &[(i64, i64, i64)]) -> PlanDraft {
        let stage = |(share, users, minutes): &(i64, i64, i64)| StageDraft {
            share: *share,
            users: *users,
            minutes: *minutes,
        };
        PlanDraft { stages: Some(stages.iter().map(stage).collect()), ..PlanDraft::default() }
    }

    fn faults(draft: &PlanDraft) -> Vec<(String, &'static str)> {
        let errors = draft.validate(&GUARDS, "/rollout").unwrap_err();
        let fault = |error: &FieldError| (error.pointer.clone().unwrap(), error.code);
        errors.reported().iter().map(fault).collect()
    }

    fn assert_faults(draft: &PlanDraft, expected: &[(&str, &'static str)]) {
        let expected: Vec<_> =
            expected.iter().map(|(at, code)| (format!("/rollout{at}"), *code)).collect();
        assert_eq!(faults(draft), expected);
    }

    #[test]
    fn every_part_has_a_default() {
        let plan = PlanDraft::default().validate(&Guard::defaults(false), "").unwrap();
        assert_eq!(
            serde_json::to_value(plan.to_draft()).unwrap(),
            json!({
                "stages": [{"share": 10, "users": 50, "minutes": 10}, {"share": 50, "users": 200, "minutes": 30}],
                "guards": ["start_failed", "cut_short", "refused"],
                "then": "promote",
                "max_hours": 72,
            })
        );
        assert!((plan.revert_threshold() - 300.0).abs() < 1e-9);
        assert_eq!(Guard::defaults(true), GUARDS);
        let again: PlanDraft =
            serde_json::from_value(serde_json::to_value(plan.to_draft()).unwrap()).unwrap();
        assert_eq!(again.validate(&[], ""), Ok(plan));
    }

    #[test]
    fn all_faults_are_reported_at_once() {
        let mut plan = draft(&[(10, 0, -1), (10, 100_001, 0), (5, 1, 10_081), (101, 1, 0)]);
        plan.guards = Some(vec![Guard::Refused, Guard::Refused]);
        plan.max_hours = Some(0);
        assert_faults(
            &plan,
            &[
                ("/stages/0/users", "out_of_range"),
                ("/stages/0/minutes", "out_of_range"),
                ("/stages/1/users", "out_of_range"),
                ("/stages/1/share", "share_not_growing"),
                ("/stages/2/minutes", "out_of_range"),
                ("/stages/2/share", "share_not_growing"),
                ("/stages/3/share", "out_of_range"),
                ("/guards", "duplicate"),
                ("/max_hours", "out_of_range"),
            ],
        );
    }

    #[test]
    fn a_share_grows_over_the_greatest_before() {
        assert_faults(
            &draft(&[(50, 1, 0), (10, 1, 0), (20, 1, 0)]),
            &[("/stages/1/share", "share_not_growing"), ("/stages/2/share", "share_not_growing")],
        );
        assert!(draft(&[(1, 1, 0), (100, 1, 0)]).validate(&GUARDS, "").is_ok());
    }

    #[test]
    fn stages_are_1_to_10_and_guards_at_least_1() {
        assert_faults(&draft(&[]), &[("/stages", "length")]);
        let many: Vec<_> = (1..=11).map(|share| (share, 1, 0)).collect();
        assert_faults(&draft(&many), &[("/stages", "length")]);
        assert!(draft(&many[..10]).validate(&GUARDS, "").is_ok());
        let unguarded = PlanDraft { guards: Some(Vec::new()), ..PlanDraft::default() };
        assert_faults(&unguarded, &[("/guards", "length")]);
    }

    #[test]
    fn extreme_numbers_are_faults_and_nothing_else() {
        let plan =
            PlanDraft { max_hours: Some(i64::MAX), ..draft(&[(i64::MAX, i64::MIN, i64::MAX)]) };
        assert_eq!(faults(&plan).len(), 4);
        assert_eq!(faults(&draft(&[(i64::MIN, 1, 0)])).len(), 1);
    }

    #[test]
    fn a_rollout_may_last_longer_than_its_stages() {
        let plan = |max_hours| PlanDraft { max_hours: Some(max_hours), ..draft(&[(10, 1, 60)]) };
        assert_faults(&plan(1), &[("/max_hours", "too_short")]);
        assert!(plan(2).validate(&GUARDS, "").is_ok());
    }
}
