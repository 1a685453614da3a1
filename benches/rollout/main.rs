//! Simulates guarded rollouts with the rule of the service: `cargo bench --bench rollout [runs]`.
//!
//! Prints the tables of docs/rollouts-evidence.md and the bars, and fails if a bar is missed. Nothing is timed, so
//! `cargo bench --profile dev --bench rollout` prints the same in a few minutes without an optimized build. The seed is
//! fixed: two runs print the same.

#![expect(clippy::print_stdout, reason = "the output is the result")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot continue should fail")]

mod effects;
mod robustness;

use std::{env, process::ExitCode};

use brune::rollouts::{Guard, Plan, PlanDraft, StageDraft};
use rand::{SeedableRng as _, rngs::Xoshiro256PlusPlus};

/// The simulated rollouts of each row.
const RUNS: u32 = 4_000;

/// A result with the bound it has to keep.
struct Bar {
    name: &'static str,
    measured: f64,
    bound: Bound,
}

enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

impl Bar {
    fn is_met(&self) -> bool {
        match self.bound {
            Bound::AtMost(bound) => self.measured <= bound,
            Bound::AtLeast(bound) => self.measured >= bound,
        }
    }
}

fn main() -> ExitCode {
    // Cargo adds `--bench`.
    let runs = env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(RUNS);
    println!("{runs} simulated rollouts for each row\n");
    let mut bars = effects::print(runs);
    bars.extend(robustness::print(runs));
    println!("\nBars\n");
    for bar in &bars {
        let (relation, bound) = match bar.bound {
            Bound::AtMost(bound) => ("at most", bound),
            Bound::AtLeast(bound) => ("at least", bound),
        };
        let verdict = if bar.is_met() { "ok" } else { "MISSED" };
        println!("{:<62} {:>7.2}  {relation:>8} {bound:>6.1}  {verdict}", bar.name, bar.measured);
    }
    ExitCode::from(u8::from(!bars.iter().all(Bar::is_met)))
}

/// Returns a plan with these stages (share in percent, candidate users) and two guards.
fn plan(stages: &[(i64, i64)]) -> Plan {
    let stage =
        |(share, users): &(i64, i64)| StageDraft { share: *share, users: *users, minutes: 0 };
    let stages = stages.iter().map(stage).collect();
    let draft = PlanDraft { stages: Some(stages), ..PlanDraft::default() };
    draft.validate(&[Guard::StartFailed, Guard::CutShort], "").unwrap()
}

/// Returns the default plan with two guards.
fn default_plan() -> Plan {
    PlanDraft::default().validate(&[Guard::StartFailed, Guard::CutShort], "").unwrap()
}

/// Returns a generator for one row. Each row has its own, so a new row leaves the others as they are.
fn generator(row: u64) -> Xoshiro256PlusPlus {
    Xoshiro256PlusPlus::seed_from_u64(row)
}

/// Returns how many of `runs` trials succeed, in percent.
fn percent(runs: u32, mut trial: impl FnMut() -> bool) -> f64 {
    let successes = (0..runs).filter(|_| trial()).count();
    let successes = u32::try_from(successes).unwrap();
    f64::from(successes) * 100.0 / f64::from(runs.max(1))
}
