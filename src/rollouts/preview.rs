//! The expected duration and sensitivity of a plan, from the users and failures of the last week.

use rand::{SeedableRng as _, rngs::Xoshiro256PlusPlus};
use serde::Serialize;
use utoipa::ToSchema;

use crate::rollouts::{
    plan::{Guard, Plan, Stage},
    simulation::{Ending, FailureRates, GUARDS, Quantiles, Run, RunResult, Summary, User},
    traffic::{Arrivals, Traffic},
};

/// The simulated rollouts of each row.
const RUNS: u32 = 400;

/// Fewer rollouts would give percentages of no use.
const MIN_RUNS: u32 = 40;

/// The rows of a preview.
const ROWS: f64 = 4.0;

/// The maximum of simulated users of a preview, about 0.1 s: a plan with large stages gets fewer runs.
const MAX_USERS: f64 = 20_000_000.0;

/// Any number: the same plan and traffic have the same preview.
const SEED: u64 = 17;

/// The expected duration and sensitivity of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = RolloutPreview)]
pub struct Preview {
    /// The stages, in order.
    pub stages: Vec<StagePreview>,
    /// The guard whose failure rate is multiplied in `rows`: the one with the highest rate. Null without traffic.
    pub guard: Option<Guard>,
    /// The outcome if the change multiplies the failure rate by 1, 2 and 4, and if every candidate user fails. Empty
    /// without traffic, and for a plan with too many users to simulate.
    pub rows: Vec<PreviewRow>,
}

impl Preview {
    /// Returns the indexes of the stages that do not end within the hours of the plan.
    pub fn unreachable_stages(&self) -> impl Iterator<Item = usize> {
        let stages = self.stages.iter().enumerate();
        stages.filter(|(_, stage)| !stage.is_in_time).map(|(index, _)| index)
    }
}

/// The expected duration of a stage.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = RolloutStagePreview)]
pub struct StagePreview {
    /// The hours of the stage; null if its users never come.
    pub hours: Option<f64>,
    /// The hours from the begin of the rollout to the end of the stage.
    pub ends_after_hours: Option<f64>,
    /// Whether the stage ends within the hours of the plan. Otherwise the rollout is held.
    pub is_in_time: bool,
}

/// The simulated outcome for one effect of the change.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = RolloutPreviewRow)]
pub struct PreviewRow {
    /// The factor of the failure rate; null if every candidate user fails.
    pub factor: Option<u32>,
    /// The failure rate of the control.
    pub control_rate: f64,
    /// The failure rate of candidate users.
    pub candidate_rate: f64,
    /// The simulated rollouts.
    pub runs: u32,
    /// The share of runs that were reverted.
    pub reverted: f64,
    /// The share of runs that were held for a person.
    pub held: f64,
    /// The share of runs that were promoted.
    pub promoted: f64,
    /// All users until the revert.
    pub users_until_revert: Option<Quantiles>,
    /// Candidate users until the revert.
    pub candidate_users_until_revert: Option<Quantiles>,
    /// All users until the promotion.
    pub users_until_promotion: Option<Quantiles>,
}

/// Returns the preview of `plan` for `traffic`.
///
/// Takes tens of milliseconds of processor time, so an asynchronous caller needs [`compute`](crate::compute).
#[must_use]
pub fn preview(plan: &Plan, traffic: &Traffic) -> Preview {
    let arrivals = Arrivals::of(traffic);
    let stages = stage_previews(plan, &arrivals);
    let rates = base_rates(plan, traffic, arrivals.total());
    // The last maximum is taken: reversed, so that of equal rates the first guard of the plan counts.
    let by_rate = rates.iter().enumerate().rev().max_by(|a, b| a.1.total_cmp(b.1));
    let Some((harmed, _)) = by_rate.filter(|_| arrivals.total() > 0.0) else {
        return Preview { stages, guard: None, rows: Vec::new() };
    };
    let guard = plan.guards().get(harmed).copied();
    let runs = affordable_runs(plan, &arrivals);
    if runs < MIN_RUNS {
        return Preview { stages, guard, rows: Vec::new() };
    }
    let simulator = Simulator { plan, arrivals, rates, harmed, runs };
    let effects = [Some(1), Some(2), Some(4), None];
    Preview { stages, guard, rows: effects.map(|factor| simulator.row(factor)).into() }
}

fn stage_previews(plan: &Plan, arrivals: &Arrivals) -> Vec<StagePreview> {
    let mut ends_after_hours = Some(0.0);
    let stages = plan.stages().iter().map(|stage| {
        let users = f64::from(stage.users) / stage.share.probability();
        let hours = arrivals.hours_until(users).map(|hours| hours.max(minimum_hours(stage)));
        ends_after_hours = ends_after_hours.zip(hours).map(|(before, hours)| before + hours);
        let is_in_time = ends_after_hours.is_some_and(|end| end < f64::from(plan.max_hours()));
        StagePreview { hours, ends_after_hours, is_in_time }
    });
    stages.collect()
}

fn minimum_hours(stage: &Stage) -> f64 {
    f64::from(stage.minutes) / 60.0
}

/// Returns the failure rate of each guard, in the order of the plan.
///
/// Half a failure is added: no failure in a week does not prove a rate of zero, and a multiple of zero would be zero.
fn base_rates(plan: &Plan, traffic: &Traffic, users: f64) -> [f64; GUARDS] {
    let mut rates = [0.0; GUARDS];
    for (rate, guard) in rates.iter_mut().zip(plan.guards()) {
        let failing = traffic.failing_users.iter().find(|(counted, _)| counted == guard);
        let failing = failing.map_or(0.0, |(_, users)| f64::from(*users));
        *rate = (failing.min(users) + 0.5) / (users + 1.0);
    }
    rates
}

/// Returns the runs of a row with which all rows draw at most [`MAX_USERS`].
fn affordable_runs(plan: &Plan, arrivals: &Arrivals) -> u32 {
    let in_time = arrivals.users_within(f64::from(plan.max_hours()));
    // A stage is held at three times its users.
    let users_of =
        |stage: &Stage| (3.0 * f64::from(stage.users) / stage.share.probability()).min(in_time);
    let users: f64 = plan.stages().iter().map(users_of).sum();
    let is_affordable = |runs: &u32| f64::from(*runs) * users * ROWS <= MAX_USERS;
    (1..=RUNS).rev().find(is_affordable).unwrap_or(0)
}

/// Simulates a plan with the traffic and the failure rates of the last week.
struct Simulator<'a> {
    plan: &'a Plan,
    arrivals: Arrivals,
    rates: [f64; GUARDS],
    /// The index of the guard that the change affects.
    harmed: usize,
    runs: u32,
}

impl Simulator<'_> {
    fn row(&self, factor: Option<u32>) -> PreviewRow {
        let control_rate = self.rates[self.harmed];
        let candidate_rate =
            factor.map_or(1.0, |factor| (control_rate * f64::from(factor)).min(1.0));
        let mut rates = FailureRates { candidate: self.rates, control: self.rates };
        rates.candidate[self.harmed] = candidate_rate;
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(SEED);
        let summary = Summary::of((0..self.runs).map(|_| self.run(&rates, &mut rng)).collect());
        PreviewRow {
            factor,
            control_rate,
            candidate_rate,
            runs: self.runs,
            reverted: summary.fraction(Ending::is_revert),
            held: summary.fraction(|ending| ending == Ending::Held),
            promoted: summary.fraction(Ending::is_promotion),
            users_until_revert: summary.quantiles(Ending::is_revert, |result| result.users),
            candidate_users_until_revert: summary
                .quantiles(Ending::is_revert, |result| result.candidate_users),
            users_until_promotion: summary.quantiles(Ending::is_promotion, |result| result.users),
        }
    }

    /// Simulates a rollout that is held when the hours of the plan have passed.
    fn run(&self, rates: &FailureRates, rng: &mut Xoshiro256PlusPlus) -> RunResult {
        let mut run = Run::new(self.plan);
        let mut hours_left = f64::from(self.plan.max_hours());
        let mut stage = 0;
        let mut most_users = self.arrivals.users_within(hours_left);
        loop {
            if run.stage() > stage {
                hours_left -= self.hours_of(stage, run.stage_users()[stage]);
                stage = run.stage();
                most_users = self.arrivals.users_within(hours_left);
            }
            if f64::from(run.stage_users()[stage]) >= most_users {
                return run.result(Ending::Held);
            }
            let user = User::draw(rng, run.share(), rates);
            if let Some(ending) = run.observe(user) {
                return run.result(ending);
            }
        }
    }

    fn hours_of(&self, stage: usize, users: u32) -> f64 {
        let hours = self.arrivals.hours_until(f64::from(users)).unwrap_or(f64::INFINITY);
        hours.max(minimum_hours(&self.plan.stages()[stage]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollouts::plan::{PlanDraft, StageDraft};

    fn plan(stages: &[(i64, i64, i64)]) -> Plan {
        let stage = |(share, users, minutes): &(i64, i64, i64)| StageDraft {
            share: *share,
            users: *users,
            minutes: *minutes,
        };
        let stages = (!stages.is_empty()).then(|| stages.iter().map(stage).collect());
        let draft = PlanDraft { stages, ..PlanDraft::default() };
        draft.validate(&Guard::defaults(true), "").unwrap()
    }

    /// A week with `per_hour` new users, of whom 5 % and 2 % fail.
    fn week(per_hour: u32) -> Traffic {
        let users = per_hour * 168;
        Traffic {
            new_users: vec![per_hour; 168],
            failing_users: vec![(Guard::CutShort, users / 50), (Guard::StartFailed, users / 20)],
        }
    }

    #[test]
    fn hours_follow_from_users_and_minutes() {
        let hours = |per_hour| {
            let preview = preview(&plan(&[]), &week(per_hour));
            let stages = preview.stages.iter();
            stages.map(|stage| (stage.hours, stage.ends_after_hours)).collect::<Vec<_>>()
        };
        assert_eq!(hours(50), [(Some(10.0), Some(10.0)), (Some(8.0), Some(18.0))]);
        // 500 users within three minutes do not shorten the ten minutes.
        let busy = hours(10_000);
        assert_eq!(busy[0].0, Some(10.0 / 60.0));
        assert_eq!(busy[1].0, Some(0.5));
    }

    #[test]
    fn a_stage_that_cannot_end_in_time_is_named() {
        let unreachable = |traffic: &Traffic| {
            preview(&plan(&[]), traffic).unreachable_stages().collect::<Vec<_>>()
        };
        assert_eq!(unreachable(&week(50)), [] as [usize; 0]);
        assert_eq!(unreachable(&week(10)), [1], "50 and 40 of 72 hours");
        assert_eq!(unreachable(&week(1)), [0, 1]);
        let regulars = Traffic { new_users: [vec![300], vec![0; 167]].concat(), ..week(0) };
        let preview = preview(&plan(&[]), &regulars);
        assert_eq!(preview.stages[0].hours, None, "300 users are never 500");
        assert_eq!(preview.unreachable_stages().collect::<Vec<_>>(), [0, 1]);
        assert!(preview.rows[0].held >= 1.0);
    }

    #[test]
    fn the_rows_show_what_the_rule_would_see() {
        let traffic = week(100);
        let preview = preview(&plan(&[]), &traffic);
        assert_eq!(preview.guard, Some(Guard::StartFailed), "the highest rate");
        let [same, double, fourfold, all] = &preview.rows[..] else { panic!("{preview:?}") };
        assert_eq!(
            [same.factor, double.factor, fourfold.factor, all.factor],
            [Some(1), Some(2), Some(4), None]
        );
        assert!((same.control_rate - 0.05).abs() < 1e-4 && same.runs == RUNS);
        assert!(same.reverted <= 0.01 && same.promoted >= 0.9, "{same:?}");
        assert!((0.2..0.6).contains(&double.reverted), "{double:?}");
        assert!(fourfold.reverted >= 0.97 && fourfold.promoted <= 0.01, "{fourfold:?}");
        assert!(all.reverted >= 1.0 && all.candidate_rate >= 1.0, "{all:?}");
        assert!(all.candidate_users_until_revert.unwrap().p90 <= 10);
        for row in &preview.rows {
            assert!((row.reverted + row.held + row.promoted - 1.0).abs() < 1e-9);
        }
        assert_eq!(super::preview(&plan(&[]), &traffic), preview, "the seed is fixed");
    }

    #[test]
    fn without_traffic_there_are_no_rows_and_no_hours() {
        for traffic in [Traffic::default(), week(0)] {
            let preview = preview(&plan(&[]), &traffic);
            assert_eq!((preview.guard, preview.rows.len()), (None, 0));
            assert_eq!(preview.unreachable_stages().count(), 2);
        }
    }

    #[test]
    fn rates_are_never_0_and_never_over_1() {
        let rates = |failing, users| {
            let failing_users = vec![(Guard::StartFailed, failing)];
            base_rates(&plan(&[]), &Traffic { new_users: Vec::new(), failing_users }, users)
        };
        assert_eq!(rates(0, 99.0).map(|rate| rate.to_string()), ["0.005", "0.005", "0"]);
        assert!(rates(u32::MAX, 9.0)[0] < 1.0);
        let healthy = Traffic { failing_users: Vec::new(), ..week(1) };
        let guard = preview(&plan(&[]), &healthy).guard;
        assert_eq!(guard, Some(Guard::StartFailed), "the first guard of equal rates");
    }

    #[test]
    fn a_plan_with_many_users_is_simulated_less_or_not() {
        let runs = |stages: &[(i64, i64, i64)], per_hour| {
            affordable_runs(&plan(stages), &Arrivals::of(&week(per_hour)))
        };
        assert_eq!(runs(&[(10, 50, 10)], 1_000), RUNS);
        assert!((MIN_RUNS..RUNS).contains(&runs(&[(10, 2_000, 10)], 1_000_000)));
        assert_eq!(runs(&[(1, 100_000, 10)], 1_000_000), 0);
        // The hours of the plan limit the users.
        assert_eq!(runs(&[(1, 100_000, 10)], 10), RUNS);
        assert!(preview(&plan(&[(1, 100_000, 10)]), &week(1_000_000)).rows.is_empty());
    }

    #[test]
    fn a_run_out_of_time_is_held() {
        let preview = preview(&plan(&[]), &week(10));
        let [same, .., all] = &preview.rows[..] else { panic!("{preview:?}") };
        assert!(same.held > 0.9, "{same:?}");
        assert!(all.reverted > 0.95, "{all:?}");
    }
}
