//! False reverts: without an effect, under repeated looks, in an outage, for returning users.

use std::collections::VecDeque;

use brune::rollouts::{
    ASSIGNMENT_THRESHOLD, ArmCounts, Ending, Evidence, FailureRates, Run, Share, User,
};
use rand::{RngExt as _, rngs::Xoshiro256PlusPlus};

use crate::{Bar, Bound, default_plan, generator, percent};

/// The users of a rollout without an end, to watch the evidence for long.
const USERS: u32 = 20_000;

/// The threshold of a plan with one guard.
const ONE_GUARD: f64 = 100.0;

/// Prints the tables and returns the bars.
pub(crate) fn print(runs: u32) -> Vec<Bar> {
    println!("\nFalse reverts, {USERS} users, every user looked at, one guard (bound 1 %)\n");
    let mut rows = Vec::new();
    for share in [5, 10, 25, 50] {
        for rate in [0.005, 0.05, 0.2] {
            let mut rng = generator(2);
            let reverted = percent(runs, || false_revert(share, rate, &mut rng));
            println!("share {share:>2} %, failure rate {:>4} %: {reverted:.2} %", rate * 100.0);
            rows.push(reverted);
        }
    }
    println!(
        "\nThe same users judged by a repeated z-test (one-sided, from 10 failing users on)\n"
    );
    for (level, quantile) in [("5 %", 1.645), ("1 %", 2.326)] {
        for share in [10, 50] {
            let mut rng = generator(3);
            let reverted = percent(runs, || false_z_test(share, quantile, &mut rng));
            println!("level {level}, share {share} %, failure rate 5 %: {reverted:.1} %");
        }
    }
    let mut bars = vec![Bar {
        // A single row may exceed the bound by chance: the standard deviation of a row is 0.15 %.
        name: "no effect, 20,000 users: reverted, mean of the rows, in percent",
        measured: mean(&rows),
        bound: Bound::AtMost(1.0),
    }];
    bars.push(print_outage(runs));
    print_returning_users(runs);
    print_assignment(runs);
    bars
}

fn mean(values: &[f64]) -> f64 {
    let count: f64 = values.iter().map(|_| 1.0).sum();
    values.iter().sum::<f64>() / count
}

fn share_of(percent: i64) -> Share {
    Share::from_percent(percent).unwrap()
}

fn counts(share: Share) -> ArmCounts {
    ArmCounts { share, candidate: 0, control: 0 }
}

fn add(counts: &mut ArmCounts, is_candidate: bool) {
    counts.candidate += u32::from(is_candidate);
    counts.control += u32::from(!is_candidate);
}

/// Whether the evidence of one guard ever reaches the threshold without an effect.
fn false_revert(share: i64, rate: f64, rng: &mut Xoshiro256PlusPlus) -> bool {
    let share = share_of(share);
    let mut failing = counts(share);
    let mut users = 0.0;
    loop {
        // Only failing users change the evidence. The number of users until the next failing user is geometric.
        users += (rng.random::<f64>().ln() / (1.0 - rate).ln()).ceil().max(1.0);
        if users > f64::from(USERS) {
            return false;
        }
        let is_candidate = rng.random_bool(share.probability());
        add(&mut failing, is_candidate);
        if is_candidate && Evidence::of_harm(&[failing]).reaches(ONE_GUARD) {
            return true;
        }
    }
}

/// Whether a two-proportion z-test ever exceeds `quantile` without an effect.
fn false_z_test(share: i64, quantile: f64, rng: &mut Xoshiro256PlusPlus) -> bool {
    let share = share_of(share);
    let rates = FailureRates { candidate: [0.05, 0.0, 0.0], control: [0.05, 0.0, 0.0] };
    let mut users = counts(share);
    let mut failing = counts(share);
    (0..USERS).any(|_| {
        let user = User::draw(rng, share, &rates);
        add(&mut users, user.is_candidate);
        if !user.failures[0] {
            return false;
        }
        add(&mut failing, user.is_candidate);
        failing.candidate + failing.control >= 10 && z_score(&users, &failing) > quantile
    })
}

fn z_score(users: &ArmCounts, failing: &ArmCounts) -> f64 {
    let candidates = f64::from(users.candidate.max(1));
    let controls = f64::from(users.control.max(1));
    let pooled = f64::from(failing.candidate + failing.control) / (candidates + controls);
    let difference =
        f64::from(failing.candidate) / candidates - f64::from(failing.control) / controls;
    let variance = pooled * (1.0 - pooled) * (1.0 / candidates + 1.0 / controls);
    if variance > 0.0 { difference / variance.sqrt() } else { 0.0 }
}

/// The provider fails for both arms: 5 % → 60 % of 300 users.
fn print_outage(runs: u32) -> Bar {
    println!(
        "\nProvider outage for both arms (5 % → 60 % for 300 users), default stages, two guards\n"
    );
    let mut rng = generator(4);
    let reverted = percent(runs, || reverts_in_outage(&mut rng).0);
    let mut rng = generator(4);
    let by_ratio = percent(runs, || reverts_in_outage(&mut rng).1);
    println!("reverted by this rule: {reverted:.2} %");
    println!("by \"more than 3 of the last 20 candidate users failed\": {by_ratio:.1} %");
    Bar {
        name: "provider away for both arms: reverted, in percent",
        measured: reverted,
        bound: Bound::AtMost(1.0),
    }
}

/// Returns whether the rule reverts, and whether the ratio of the last 20 candidate users would.
fn reverts_in_outage(rng: &mut Xoshiro256PlusPlus) -> (bool, bool) {
    let plan = default_plan();
    let mut run = Run::new(&plan);
    let begin = rng.random_range(0..400);
    let mut recent = VecDeque::new();
    let mut exceeds_ratio = false;
    for number in 0.. {
        let rate = if (begin..begin + 300).contains(&number) { 0.6 } else { 0.05 };
        let rates = FailureRates { candidate: [rate, 0.02, 0.0], control: [rate, 0.02, 0.0] };
        let user = User::draw(rng, run.share(), &rates);
        if user.is_candidate {
            recent.push_front(user.failures[0]);
            recent.truncate(20);
            exceeds_ratio |= recent.iter().filter(|fails| **fails).count() > 3;
        }
        if let Some(ending) = run.observe(user) {
            return (Ending::is_revert(ending), exceeds_ratio);
        }
    }
    (false, exceeds_ratio)
}

/// Users start again and again, and a few users fail each time.
fn print_returning_users(runs: u32) {
    println!(
        "\nNo effect, 1,000 users with 5,000 starts at 10 %, one guard; 2 % of the users always fail\n"
    );
    let mut rng = generator(5);
    let by_start = percent(runs, || returning_users_revert(false, &mut rng));
    let mut rng = generator(5);
    let by_user = percent(runs, || returning_users_revert(true, &mut rng));
    println!("reverted, each failing start counted: {by_start:.2} %");
    println!("reverted, each failing user counted once: {by_user:.2} %");
    let mut rng = generator(6);
    let widened = percent(runs, || widened_share_reverts(&mut rng));
    println!(
        "reverted, 10 % until 50 candidate users and then 50 %, the same users: {widened:.2} %"
    );
}

fn returning_users_revert(once: bool, rng: &mut Xoshiro256PlusPlus) -> bool {
    let share = share_of(10);
    let arms: Vec<_> = (0..1_000).map(|_| rng.random_bool(share.probability())).collect();
    let mut has_failed = vec![false; arms.len()];
    let mut failing = counts(share);
    (0..5_000).any(|_| {
        let user = rng.random_range(0..arms.len());
        let fails = user < 20 || rng.random_bool(0.01);
        if !fails || once && has_failed[user] {
            return false;
        }
        has_failed[user] = true;
        add(&mut failing, arms[user]);
        Evidence::of_harm(&[failing]).reaches(ONE_GUARD)
    })
}

/// Users return at a greater share: the arms of the users in the first stage also decide when the first stage ended.
fn widened_share_reverts(rng: &mut Xoshiro256PlusPlus) -> bool {
    let shares = [share_of(10), share_of(50)];
    let buckets: Vec<u16> = (0..800).map(|_| rng.random_range(0..10_000)).collect();
    let mut has_started = vec![false; buckets.len()];
    let mut has_failed = vec![false; buckets.len()];
    let mut failing = shares.map(counts);
    let mut candidates = 0;
    (0..USERS).any(|_| {
        let stage = usize::from(candidates >= 50);
        let user = rng.random_range(0..buckets.len());
        let is_candidate = buckets[user] < shares[stage].basis_points();
        candidates += u32::from(stage == 0 && is_candidate && !has_started[user]);
        has_started[user] = true;
        let fails = !has_failed[user] && rng.random_bool(0.02);
        if !fails {
            return false;
        }
        has_failed[user] = true;
        add(&mut failing[stage], is_candidate);
        Evidence::of_harm(&failing).reaches(ONE_GUARD)
    })
}

/// The check of the assignment, looked at after every tenth user.
fn print_assignment(runs: u32) {
    println!("\nAssignment check at 10 %, {USERS} users\n");
    for (name, probability) in [("10 %", 0.1), ("15 %", 0.15), ("5 %", 0.05)] {
        let mut rng = generator(7);
        let mut after = Vec::new();
        let held = percent(runs, || {
            let users = users_until_hold(probability, &mut rng);
            after.extend(users);
            users.is_some()
        });
        after.sort_unstable();
        let median = after.get(after.len() / 2).map_or_else(String::new, u32::to_string);
        println!("assigned {name}: held {held:.2} %, after {median} users (median)");
    }
}

fn users_until_hold(probability: f64, rng: &mut Xoshiro256PlusPlus) -> Option<u32> {
    let mut users = counts(share_of(10));
    (1..=USERS).find(|number| {
        add(&mut users, rng.random_bool(probability));
        number % 10 == 0 && Evidence::of_wrong_assignment(&[users]).reaches(ASSIGNMENT_THRESHOLD)
    })
}
