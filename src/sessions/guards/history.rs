//! The evidence of a rollout after each failure.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    rollouts::{ArmCounts, Guard, Share},
    sessions::guards::counts::Failures,
};

/// The maximum of failures of a document.
pub(super) const MAX_ENTRIES: i64 = 500;

/// A failing user, and the evidence of the guard after the failure.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = RolloutHistoryEntry)]
pub struct HistoryEntry {
    /// The time.
    pub at: DateTime<Utc>,
    /// The guard.
    pub guard: Guard,
    /// Whether the user had the candidate.
    pub candidate: bool,
    /// The evidence of the guard, from the failures until then.
    pub evidence: f64,
}

/// A failing user.
#[derive(Debug, Clone, Copy)]
pub(super) struct Failure {
    pub(super) at: DateTime<Utc>,
    pub(super) guard: Guard,
    pub(super) is_candidate: bool,
    pub(super) share: Share,
}

impl Failure {
    fn counts(&self) -> ArmCounts {
        ArmCounts {
            share: self.share,
            candidate: self.is_candidate.into(),
            control: (!self.is_candidate).into(),
        }
    }
}

/// Returns the evidence after each of the `newest` failures, oldest first. `total` has all failures, `newest` included.
pub(super) fn history(total: &Failures, newest: &[Failure]) -> Vec<HistoryEntry> {
    let mut until = total.clone();
    for failure in newest {
        until.remove(failure.guard, failure.counts());
    }
    // Forward again, failure by failure: the last entry of a guard has the current evidence.
    let entries = newest.iter().map(|failure| {
        until.add(failure.guard, failure.counts());
        HistoryEntry {
            at: failure.at,
            guard: failure.guard,
            candidate: failure.is_candidate,
            evidence: until.evidence(failure.guard).value(),
        }
    });
    entries.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_after_each_failure_ends_at_the_evidence_of_all() {
        let share = Share::from_percent(10).unwrap();
        let failure = |second, guard, is_candidate| Failure {
            at: DateTime::from_timestamp(second, 0).unwrap(),
            guard,
            is_candidate,
            share,
        };
        let mut total = Failures::default();
        // Two failures before the newest.
        total.add(Guard::StartFailed, ArmCounts { share, candidate: 1, control: 1 });
        let newest = [
            failure(1, Guard::StartFailed, true),
            failure(2, Guard::CutShort, true),
            failure(3, Guard::StartFailed, false),
        ];
        for failure in &newest {
            total.add(failure.guard, failure.counts());
        }
        let history = history(&total, &newest);
        let evidence = |candidate, control| {
            let mut failures = Failures::default();
            failures.add(Guard::CutShort, ArmCounts { share, candidate, control });
            failures.evidence(Guard::CutShort).value()
        };
        let actual: Vec<_> = history.iter().map(|entry| entry.evidence.to_string()).collect();
        let expected =
            [evidence(2, 1), evidence(1, 0), evidence(2, 2)].map(|value| value.to_string());
        assert_eq!(actual, expected);
        assert_eq!(total.of(Guard::StartFailed), (2, 2), "the total is unchanged");
    }
}
