//! The numbers of the answer, from the differences of both simulations. Pure.

use std::{cmp::Reverse, collections::BTreeMap};

use chrono::TimeDelta;

use crate::sessions::what_if::{
    replay::Recorded,
    report::{Cut, Decisions, Difference, Example, Group, Range, WhatIf},
    tally::{Groups, MAX_EXAMPLES, OTHERS, Tally},
};

/// The most groups of a plan or level in the answer.
const MAX_GROUPS: usize = 20;

/// The numbers of a replay.
pub(super) struct Numbers {
    pub(super) recorded: Recorded,
    pub(super) tallies: [Tally; 2],
}

impl WhatIf {
    /// Fills in the numbers.
    pub(super) fn with_numbers(mut self, numbers: Numbers) -> Self {
        let Numbers { recorded, tallies: [short, full] } = numbers;
        let range_of = |number: fn(&Tally) -> i64| range([number(&short), number(&full)]);
        self.attempts = recorded.attempts;
        self.reproduced_attempts = recorded.reproduced;
        self.reproduced = share(recorded.reproduced, recorded.attempts);
        self.newly_refused = decisions(&short.newly_refused, &full.newly_refused);
        self.newly_admitted = decisions(&short.newly_admitted, &full.newly_admitted);
        self.cut_shorter = Cut {
            sessions: range_of(|tally| tally.cut_sessions),
            minutes: range_of(|tally| rounded_minutes(tally.cut_time)),
        };
        self.minutes_before = rounded_minutes(recorded.duration);
        self.minutes_after = range_of(|tally| rounded_minutes(tally.duration));
        self.examples = select(&short.examples);
        self.peak_before = recorded.sessions.peak();
        self.peak_after = range([short.sessions.peak(), full.sessions.peak()]);
        self
    }
}

fn range([first, second]: [i64; 2]) -> Range {
    Range { least: first.min(second), most: first.max(second) }
}

fn share(part: i64, whole: i64) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "at most 200,000")]
    let share = part as f64 / whole as f64;
    (whole > 0).then_some(share)
}

fn rounded_minutes(duration: TimeDelta) -> i64 {
    (duration + TimeDelta::seconds(30)).num_minutes()
}

impl Decisions {
    /// No attempt.
    pub(super) fn none() -> Self {
        decisions(&Groups::default(), &Groups::default())
    }
}

fn decisions(short: &Groups, full: &Groups) -> Decisions {
    Decisions {
        attempts: range([short.attempts, full.attempts]),
        by_reason: groups(&short.by_reason, &full.by_reason),
        by_plan: groups(&short.by_plan, &full.by_plan),
        by_level: groups(&short.by_level, &full.by_level),
    }
}

type Counts = BTreeMap<Option<String>, i64>;

/// Returns the most frequent groups, and one group of the rest.
fn groups(short: &Counts, full: &Counts) -> Vec<Group> {
    let mut names: Vec<_> = short.keys().chain(full.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let count = |counts: &Counts, name| counts.get(name).copied().unwrap_or_default();
    let pair = |name| (name, [count(short, name), count(full, name)]);
    let mut pairs: Vec<(&Option<String>, [i64; 2])> = names.into_iter().map(pair).collect();
    pairs.sort_by_key(|(_, counts)| Reverse(counts.iter().max().copied()));
    let rest = pairs.split_off(pairs.len().min(MAX_GROUPS));
    let group = |(name, counts): (&Option<String>, [i64; 2])| Group {
        name: name.clone(),
        attempts: range(counts),
    };
    let mut groups: Vec<_> = pairs.into_iter().map(group).collect();
    if !rest.is_empty() {
        let sum = |index: usize| rest.iter().map(|(_, counts)| counts[index]).sum();
        let attempts = range([sum(0), sum(1)]);
        groups.push(Group { name: Some(OTHERS.to_owned()), attempts });
    }
    groups
}

/// Selects examples of all kinds, in turns.
fn select(examples: &BTreeMap<Difference, Vec<Example>>) -> Vec<Example> {
    let turns =
        (0..MAX_EXAMPLES).flat_map(|turn| examples.values().filter_map(move |kind| kind.get(turn)));
    turns.take(MAX_EXAMPLES).cloned().collect()
}
