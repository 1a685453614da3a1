//! Simulated rollouts: users arrive one after another, and [`decide`] judges their failures as in service.

use rand::Rng;
use serde::Serialize;
use utoipa::ToSchema;

use crate::rollouts::{
    assignment::{BUCKETS, Share},
    evidence::{ArmCounts, Evidence},
    plan::{Guard, Plan, Stage},
    rule::{Decision, GuardEvidence, Observation, decide},
};

/// The maximum number of guards of a plan.
pub const GUARDS: usize = Guard::ALL.len();

/// How many numbers 32 bits can be.
const NUMBERS: f64 = 4_294_967_296.0;

/// The probability that a user fails, by guard of the plan, in the order of the plan.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FailureRates {
    /// For candidate users.
    pub candidate: [f64; GUARDS],
    /// For users of the control.
    pub control: [f64; GUARDS],
}

/// A user of a simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User {
    /// Whether the user got the candidate.
    pub is_candidate: bool,
    /// Whether the user failed, by guard of the plan.
    pub failures: [bool; GUARDS],
}

impl User {
    /// Draws the arm and the failures of a new user.
    pub fn draw(rng: &mut impl Rng, share: Share, rates: &FailureRates) -> Self {
        let is_candidate = rng.next_u32() % u32::from(BUCKETS) < share.basis_points().into();
        let rates = if is_candidate { rates.candidate } else { rates.control };
        // Whole 32-bit numbers, because a preview draws millions of users while somebody waits.
        let failures = rates.map(|rate| rate > 0.0 && f64::from(rng.next_u32()) < rate * NUMBERS);
        Self { is_candidate, failures }
    }

    fn fails(self) -> bool {
        self.failures.contains(&true)
    }
}

/// The end of a simulated rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Reverted by this guard.
    Reverted(Guard),
    /// Held for a person.
    Held,
    /// Promoted.
    Promoted,
}

/// The counts of a simulated rollout at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunResult {
    /// The end.
    pub ending: Ending,
    /// All users.
    pub users: u32,
    /// Candidate users.
    pub candidate_users: u32,
    /// Candidate users who failed.
    pub failing_candidate_users: u32,
}

/// A simulated rollout. Time does not pass: every stage has its minutes.
#[derive(Debug, Clone)]
pub struct Run<'a> {
    plan: &'a Plan,
    stage: usize,
    /// Failing users of each guard, by stage.
    failing: Vec<Vec<ArmCounts>>,
    guards: Vec<GuardEvidence>,
    /// Whether the counts of a guard changed after its evidence was computed.
    is_stale: [bool; GUARDS],
    stage_users: Vec<u32>,
    stage_candidate_users: u32,
    candidate_users: u32,
    failing_candidate_users: u32,
}

impl<'a> Run<'a> {
    /// Begins the first stage of `plan`.
    #[must_use]
    pub fn new(plan: &'a Plan) -> Self {
        let neutral = |guard: &Guard| GuardEvidence { guard: *guard, evidence: Evidence::NEUTRAL };
        let mut run = Self {
            plan,
            stage: 0,
            failing: plan.guards().iter().map(|_| Vec::new()).collect(),
            guards: plan.guards().iter().map(neutral).collect(),
            is_stale: [false; GUARDS],
            stage_users: Vec::new(),
            stage_candidate_users: 0,
            candidate_users: 0,
            failing_candidate_users: 0,
        };
        run.begin_stage(0);
        run
    }

    fn begin_stage(&mut self, stage: usize) {
        self.stage = stage;
        self.stage_candidate_users = 0;
        self.stage_users.push(0);
        if let Some(Stage { share, .. }) = self.plan.stages().get(stage) {
            let empty = ArmCounts { share: *share, candidate: 0, control: 0 };
            self.failing.iter_mut().for_each(|stages| stages.push(empty));
        }
    }

    /// Returns the current share.
    #[must_use]
    pub fn share(&self) -> Share {
        // A plan has at least one stage, and a run never leaves the last.
        self.plan.stages()[self.stage].share
    }

    /// Returns the index of the current stage.
    #[must_use]
    pub const fn stage(&self) -> usize {
        self.stage
    }

    /// Returns the users of each stage until now; the last is the current stage.
    #[must_use]
    pub fn stage_users(&self) -> &[u32] {
        &self.stage_users
    }

    /// Returns the counts with an end.
    #[must_use]
    pub fn result(&self, ending: Ending) -> RunResult {
        RunResult {
            ending,
            users: self.stage_users.iter().sum(),
            candidate_users: self.candidate_users,
            failing_candidate_users: self.failing_candidate_users,
        }
    }

    /// Counts a user and judges. Returns the end, if the rollout ends with the user.
    pub fn observe(&mut self, user: User) -> Option<Ending> {
        self.count(user);
        let needed = self.plan.stages()[self.stage].users;
        let is_complete = self.stage_candidate_users >= needed;
        // No other user can change the decision: only failing candidate users raise evidence, and lower evidence
        // counts only once the stage is complete.
        if user.is_candidate && user.fails() || is_complete && (user.is_candidate || user.fails()) {
            return self.judge();
        }
        None
    }

    /// Counts users until the rollout ends, all drawn with the same rates.
    pub fn finish(mut self, rng: &mut impl Rng, rates: &FailureRates) -> RunResult {
        // Each stage ends at the latest when three times its candidate users have come.
        loop {
            let user = User::draw(rng, self.share(), rates);
            if let Some(ending) = self.observe(user) {
                return self.result(ending);
            }
        }
    }

    fn count(&mut self, user: User) {
        self.stage_users[self.stage] += 1;
        if user.is_candidate {
            self.candidate_users += 1;
            self.stage_candidate_users += 1;
            self.failing_candidate_users += u32::from(user.fails());
        }
        let is_candidate = u32::from(user.is_candidate);
        for (index, stages) in self.failing.iter_mut().enumerate() {
            if user.failures[index] {
                let counts = &mut stages[self.stage];
                counts.candidate += is_candidate;
                counts.control += 1 - is_candidate;
                self.is_stale[index] = true;
            }
        }
    }

    fn judge(&mut self) -> Option<Ending> {
        for (index, judged) in self.guards.iter_mut().enumerate() {
            if self.is_stale[index] {
                judged.evidence = Evidence::of_harm(&self.failing[index]);
            }
        }
        self.is_stale = [false; GUARDS];
        let observation = Observation {
            stage: self.stage,
            guards: &self.guards,
            assignment: Evidence::NEUTRAL,
            candidate_users: self.stage_candidate_users,
            stage_minutes: u32::MAX,
            rollout_minutes: 0,
        };
        match decide(self.plan, &observation) {
            Decision::Revert { guard, .. } => Some(Ending::Reverted(guard)),
            Decision::Hold(_) => Some(Ending::Held),
            Decision::Promote => Some(Ending::Promoted),
            Decision::Stay(_) => None,
            Decision::Advance { stage } => {
                self.begin_stage(stage);
                None
            }
        }
    }
}

/// The median and the 90th percentile of a count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = RolloutQuantiles)]
pub struct Quantiles {
    /// Half of the runs had at most so many.
    pub median: u32,
    /// Nine of ten runs had at most so many.
    pub p90: u32,
}

/// The ends of many simulated rollouts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// All results, by users.
    results: Vec<RunResult>,
}

impl Summary {
    /// Summarizes `results`.
    #[must_use]
    pub fn of(mut results: Vec<RunResult>) -> Self {
        results.sort_by_key(|result| result.users);
        Self { results }
    }

    /// Simulates `runs` rollouts.
    pub fn simulate(plan: &Plan, rates: &FailureRates, runs: u32, rng: &mut impl Rng) -> Self {
        Self::of((0..runs).map(|_| Run::new(plan).finish(rng, rates)).collect())
    }

    /// Returns the share of runs whose end matches: 0 to 1, and 0 without runs.
    #[must_use]
    pub fn fraction(&self, matches: impl Fn(Ending) -> bool) -> f64 {
        let runs = self.results.len().max(1);
        ratio(self.matching(matches).count(), runs)
    }

    /// Returns the quantiles of a count over the runs whose end matches; `None` without any.
    #[must_use]
    pub fn quantiles(
        &self,
        matches: impl Fn(Ending) -> bool,
        count: impl Fn(&RunResult) -> u32,
    ) -> Option<Quantiles> {
        let mut counts: Vec<_> = self.matching(matches).map(count).collect();
        counts.sort_unstable();
        let at = |percent: usize| counts.get((counts.len() * percent).div_ceil(100).max(1) - 1);
        Some(Quantiles { median: *at(50)?, p90: *at(90)? })
    }

    fn matching(&self, matches: impl Fn(Ending) -> bool) -> impl Iterator<Item = &RunResult> {
        self.results.iter().filter(move |result| matches(result.ending))
    }
}

#[expect(clippy::cast_precision_loss, reason = "a number of runs is far below 2^52")]
fn ratio(part: usize, total: usize) -> f64 {
    part as f64 / total as f64
}

impl Ending {
    /// Whether a guard reverted the rollout.
    #[must_use]
    pub const fn is_revert(self) -> bool {
        matches!(self, Self::Reverted(_))
    }

    /// Whether the rollout was promoted.
    #[must_use]
    pub const fn is_promotion(self) -> bool {
        matches!(self, Self::Promoted)
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng as _, rngs::Xoshiro256PlusPlus};

    use super::*;
    use crate::rollouts::plan::PlanDraft;

    fn plan() -> Plan {
        PlanDraft::default().validate(&Guard::defaults(true), "").unwrap()
    }

    fn rates(candidate: f64, control: f64) -> FailureRates {
        FailureRates { candidate: [candidate, 0.02, 0.0], control: [control, 0.02, 0.0] }
    }

    fn summary(candidate: f64, control: f64) -> Summary {
        // A fixed seed: the test has one outcome.
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(7);
        Summary::simulate(&plan(), &rates(candidate, control), 300, &mut rng)
    }

    const OK: User = User { is_candidate: false, failures: [false; GUARDS] };

    #[test]
    fn a_run_follows_the_rule() {
        let plan = plan();
        let mut run = Run::new(&plan);
        let candidate = User { is_candidate: true, ..OK };
        for _ in 0..49 {
            assert_eq!(run.observe(OK), None);
            assert_eq!(run.observe(candidate), None);
        }
        assert_eq!(run.share().basis_points(), 1_000);
        assert_eq!(run.observe(candidate), None);
        assert_eq!(run.share().basis_points(), 5_000);
        assert_eq!(run.stage_users(), [99, 0]);
        for _ in 0..199 {
            assert_eq!(run.observe(candidate), None);
        }
        assert_eq!(run.observe(candidate), Some(Ending::Promoted));
        assert_eq!(
            run.result(Ending::Promoted),
            RunResult {
                ending: Ending::Promoted,
                users: 299,
                candidate_users: 250,
                failing_candidate_users: 0
            }
        );
    }

    #[test]
    fn four_failures_without_one_in_the_control_revert() {
        let plan = plan();
        let mut run = Run::new(&plan);
        let failing = User { is_candidate: true, failures: [false, true, false] };
        let endings: Vec<_> = (0..4).map(|_| run.observe(failing)).collect();
        assert_eq!(endings, [None, None, None, Some(Ending::Reverted(Guard::CutShort))]);
    }

    #[test]
    fn unclear_evidence_holds_at_three_times_the_users() {
        let plan = plan();
        let mut run = Run::new(&plan);
        let failing = User { is_candidate: true, failures: [true, false, false] };
        assert_eq!(run.observe(failing), None);
        let candidate = User { is_candidate: true, ..OK };
        for _ in 0..148 {
            assert_eq!(run.observe(candidate), None);
        }
        assert_eq!(run.observe(candidate), Some(Ending::Held));
    }

    #[test]
    fn the_same_failure_rate_is_promoted_and_a_much_greater_one_reverted() {
        let same = summary(0.05, 0.05);
        assert!(same.fraction(Ending::is_revert) <= 0.01);
        assert!(same.fraction(Ending::is_promotion) >= 0.9);
        let harmful = summary(0.2, 0.05);
        assert!(harmful.fraction(Ending::is_revert) >= 0.98);
        assert!(harmful.fraction(Ending::is_promotion) <= 0.01);
        let broken = summary(1.0, 0.05);
        let candidates = broken.quantiles(Ending::is_revert, |result| result.candidate_users);
        assert!(candidates.unwrap().p90 <= 10);
    }

    #[test]
    fn a_guard_that_never_fires_holds_nothing() {
        let healthy = FailureRates { candidate: [0.0; GUARDS], control: [0.0; GUARDS] };
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(7);
        let summary = Summary::simulate(&plan(), &healthy, 20, &mut rng);
        assert!(summary.fraction(Ending::is_promotion) >= 1.0);
    }

    #[test]
    fn quantiles_of_few_and_of_no_runs() {
        let result = |users| RunResult {
            ending: Ending::Held,
            users,
            candidate_users: 0,
            failing_candidate_users: 0,
        };
        let users = |summary: &Summary| summary.quantiles(|_| true, |result| result.users);
        let ten = Summary::of((1..=10).map(result).collect());
        assert_eq!(users(&ten), Some(Quantiles { median: 5, p90: 9 }));
        assert_eq!(users(&Summary::of(vec![result(3)])), Some(Quantiles { median: 3, p90: 3 }));
        let empty = Summary::of(Vec::new());
        assert_eq!(users(&empty), None);
        assert!(empty.fraction(|_| true) == 0.0);
    }
}
