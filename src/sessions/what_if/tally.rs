//! The differences of a simulation. Pure.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use crate::sessions::what_if::{
    peak::Sessions,
    report::{Difference, Example},
    store::Row,
};

/// The most examples of each kind that are collected; the report selects from all kinds.
pub(super) const MAX_EXAMPLES: usize = 20;

/// The most names of plans or of levels. Names come from tokens, and must not fill the memory.
const MAX_NAMES: usize = 1_000;

/// The name of the group of all further names.
pub(super) const OTHERS: &str = "(others)";

/// A difference of an attempt.
#[derive(Debug, Clone, Copy)]
pub(super) enum Change<'a> {
    /// Refused for these reasons after the change.
    NewlyRefused(&'a [&'static str]),
    /// Refused for these reasons as recorded.
    NewlyAdmitted(&'a [String]),
    /// Ends earlier by this time.
    CutShorter(TimeDelta),
}

/// The number of attempts, and of each reason, plan and level.
#[derive(Debug, Default)]
pub(super) struct Groups {
    pub(super) attempts: i64,
    pub(super) by_reason: BTreeMap<Option<String>, i64>,
    pub(super) by_plan: BTreeMap<Option<String>, i64>,
    pub(super) by_level: BTreeMap<Option<String>, i64>,
}

impl Groups {
    fn count<'r>(&mut self, row: &Row, reasons: impl Iterator<Item = &'r str>) {
        self.attempts += 1;
        for reason in reasons {
            increment(&mut self.by_reason, Some(reason));
        }
        increment(&mut self.by_plan, row.plan.as_deref());
        increment(&mut self.by_level, row.level.as_deref());
    }
}

fn increment(groups: &mut BTreeMap<Option<String>, i64>, name: Option<&str>) {
    let mut name = name.map(str::to_owned);
    if groups.len() >= MAX_NAMES && !groups.contains_key(&name) {
        name = Some(OTHERS.to_owned());
    }
    *groups.entry(name).or_default() += 1;
}

/// The differences between the records and a simulation.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) newly_refused: Groups,
    pub(super) newly_admitted: Groups,
    pub(super) cut_sessions: i64,
    pub(super) cut_time: TimeDelta,
    /// The duration of all sessions of the window.
    pub(super) duration: TimeDelta,
    pub(super) sessions: Sessions,
    /// The first examples of each difference.
    pub(super) examples: BTreeMap<Difference, Vec<Example>>,
}

impl Tally {
    /// Adds a session of the window.
    pub(super) fn add_session(&mut self, started_at: DateTime<Utc>, ended_at: DateTime<Utc>) {
        self.duration += ended_at - started_at;
        self.sessions.push(started_at, ended_at);
    }

    /// Counts the `change` of an attempt.
    pub(super) fn count(&mut self, row: &Row, change: Change<'_>) {
        match change {
            Change::NewlyRefused(codes) => self.newly_refused.count(row, codes.iter().copied()),
            Change::NewlyAdmitted(codes) => {
                self.newly_admitted.count(row, codes.iter().map(String::as_str));
            }
            Change::CutShorter(by) => {
                self.cut_sessions += 1;
                self.cut_time += by;
            }
        }
        let (difference, reasons, minutes) = match change {
            Change::NewlyRefused(codes) => {
                let codes = codes.iter().map(|code| (*code).to_owned()).collect();
                (Difference::NewlyRefused, codes, None)
            }
            Change::NewlyAdmitted(codes) => (Difference::NewlyAdmitted, codes.to_vec(), None),
            Change::CutShorter(by) => (Difference::CutShorter, Vec::new(), Some(by.num_minutes())),
        };
        let examples = self.examples.entry(difference).or_default();
        // One of a user: the order of users is random, so the examples are a sample.
        let is_new = examples.last().is_none_or(|last| last.user_id != row.user_id);
        if examples.len() < MAX_EXAMPLES && is_new {
            examples.push(Example {
                difference,
                user_id: row.user_id.clone(),
                plan: row.plan.clone(),
                level: row.level.clone(),
                at: row.at,
                revision: row.revision,
                reasons,
                minutes,
            });
        }
    }
}
