//! The outcome of a rollout, by the effect of the change.

use brune::rollouts::{Ending, FailureRates, Plan, Quantiles, RunResult, Summary};

use crate::{Bar, Bound, default_plan, generator, plan};

/// The failure rate of the second guard, on which the change has no effect.
const SECOND_GUARD: f64 = 0.02;

/// Failure rates of the control and of the candidate, in percent.
const EFFECTS: [(f64, f64); 13] = [
    (0.0, 0.0),
    (0.5, 0.5),
    (5.0, 5.0),
    (20.0, 20.0),
    (5.0, 7.5),
    (5.0, 10.0),
    (5.0, 15.0),
    (5.0, 20.0),
    (5.0, 100.0),
    (1.0, 2.0),
    (1.0, 5.0),
    (1.0, 10.0),
    (0.0, 5.0),
];

/// Prints the tables and returns the bars.
pub(crate) fn print(runs: u32) -> Vec<Bar> {
    println!("Default stages (10 % until 50 candidate users, 50 % until 200 more), two guards\n");
    println!("Median [90 %] of users; of candidate users; of candidate users who failed\n");
    let plan = default_plan();
    let mut bars = Vec::new();
    for (control, candidate) in EFFECTS {
        let summary = simulate(&plan, control, candidate, runs);
        print_row(&summary, control, candidate);
        bars.extend(bars_of(&summary, control, candidate));
    }
    print_other_stages(runs);
    bars
}

fn print_other_stages(runs: u32) {
    let sets = [
        ("Small stages (10 % until 30, 50 % until 120)", plan(&[(10, 30), (50, 120)])),
        ("Careful stages (10 % until 50, 50 % until 450)", plan(&[(10, 50), (50, 450)])),
        ("Large stages (10 % until 500, 50 % until 5,000)", plan(&[(10, 500), (50, 5_000)])),
    ];
    for (name, plan) in sets {
        println!("\n{name}\n");
        for (control, candidate) in [(5.0, 5.0), (5.0, 10.0), (5.0, 20.0), (1.0, 2.0)] {
            print_row(&simulate(&plan, control, candidate, runs), control, candidate);
        }
    }
}

fn simulate(plan: &Plan, control: f64, candidate: f64, runs: u32) -> Summary {
    let rates = FailureRates {
        candidate: [candidate / 100.0, SECOND_GUARD, 0.0],
        control: [control / 100.0, SECOND_GUARD, 0.0],
    };
    Summary::simulate(plan, &rates, runs, &mut generator(1))
}

fn print_row(summary: &Summary, control: f64, candidate: f64) {
    let percent = |matches: fn(Ending) -> bool| summary.fraction(matches) * 100.0;
    let held = percent(|ending| ending == Ending::Held);
    print!(
        "{control:>4} % → {candidate:>4} %  reverted {:>5.1} %  held {held:>5.1} %  promoted {:>5.1} %",
        percent(Ending::is_revert),
        percent(Ending::is_promotion),
    );
    let is_harmful = candidate > control;
    let matches = if is_harmful { Ending::is_revert } else { Ending::is_promotion };
    let count = |count: fn(&RunResult) -> u32| text(summary.quantiles(matches, count));
    let users = count(|result| result.users);
    if is_harmful {
        let candidates = count(|result| result.candidate_users);
        let failing = count(|result| result.failing_candidate_users);
        println!("  reverted after {users}; {candidates}; {failing}");
    } else {
        println!("  promoted after {users}");
    }
}

fn text(quantiles: Option<Quantiles>) -> String {
    quantiles.map_or_else(String::new, |Quantiles { median, p90 }| format!("{median} [{p90}]"))
}

fn bars_of(summary: &Summary, control: f64, candidate: f64) -> Vec<Bar> {
    let reverted = summary.fraction(Ending::is_revert) * 100.0;
    let promoted = summary.fraction(Ending::is_promotion) * 100.0;
    let is_row = |row: (f64, f64)| {
        (control.to_bits(), candidate.to_bits()) == (row.0.to_bits(), row.1.to_bits())
    };
    if is_row((5.0, 5.0)) {
        vec![
            Bar {
                name: "5 % → 5 %: reverted, in percent",
                measured: reverted,
                bound: Bound::AtMost(1.0),
            },
            Bar {
                name: "5 % → 5 %: promoted, in percent",
                measured: promoted,
                bound: Bound::AtLeast(90.0),
            },
        ]
    } else if is_row((5.0, 20.0)) {
        vec![
            Bar {
                name: "5 % → 20 %: reverted, in percent",
                measured: reverted,
                bound: Bound::AtLeast(98.0),
            },
            Bar {
                name: "5 % → 20 %: promoted, in percent",
                measured: promoted,
                bound: Bound::AtMost(0.2),
            },
        ]
    } else if is_row((5.0, 100.0)) {
        let users = summary.quantiles(Ending::is_revert, |result| result.candidate_users);
        let measured = users.map_or(f64::INFINITY, |users| users.p90.into());
        let name = "5 % → 100 %: candidate users until the revert, 90 %";
        vec![
            Bar { name, measured, bound: Bound::AtMost(10.0) },
            Bar {
                name: "5 % → 100 %: reverted, in percent",
                measured: reverted,
                bound: Bound::AtLeast(100.0),
            },
        ]
    } else {
        Vec::new()
    }
}
