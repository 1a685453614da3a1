//! Metrics of proposals.

use std::sync::atomic::AtomicU64;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use crate::metrics::register::{counters, gauge};

/// The outcomes of a due proposal: applied, its rollout begun, the reasons of a failure, or the reasons of a later try.
const DUE_OUTCOMES: [&str; 10] = [
    "applied",
    "begun",
    "stale",
    "invalid",
    "missed",
    "not_approved",
    "predecessor",
    "frozen",
    "waiting",
    "postponed",
];

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct DueLabels {
    outcome: &'static str,
}

/// Metrics of proposals. Cheap to clone.
#[derive(Clone)]
pub struct ProposalMetrics {
    open: Gauge,
    overdue: Gauge,
    unacknowledged: Gauge,
    oldest_unacknowledged: Gauge<f64, AtomicU64>,
    due: Family<DueLabels, Counter>,
}

impl ProposalMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let open = gauge(registry, "brune_proposals_open", "Open proposals");
        let overdue = gauge(
            registry,
            "brune_proposals_overdue",
            "Open proposals whose time has come and that no instance has applied",
        );
        let unacknowledged = gauge(
            registry,
            "brune_emergencies_unacknowledged",
            "Emergency changes that nobody has acknowledged",
        );
        let oldest_unacknowledged = Gauge::<f64, AtomicU64>::default();
        registry.register(
            "brune_emergencies_oldest_unacknowledged_seconds",
            "Age of the oldest emergency change that nobody has acknowledged",
            oldest_unacknowledged.clone(),
        );
        let due = counters::<DueLabels>(
            registry,
            "brune_proposals_due",
            "Due proposals that this instance applied, marked as failed or left for a later try, by outcome",
        );
        for outcome in DUE_OUTCOMES {
            drop(due.get_or_create(&DueLabels { outcome }));
        }
        Self { open, overdue, unacknowledged, oldest_unacknowledged, due }
    }

    /// Sets the number of open and of overdue proposals.
    pub fn set_open(&self, open: i64, overdue: i64) {
        self.open.set(open);
        self.overdue.set(overdue);
    }

    /// Sets the number of unacknowledged emergencies, and the age of the oldest in seconds.
    pub fn set_unacknowledged(&self, emergencies: i64, oldest: f64) {
        self.unacknowledged.set(emergencies);
        self.oldest_unacknowledged.set(oldest);
    }

    /// Records that this instance tried a due proposal with `outcome`.
    pub fn record_due(&self, outcome: &'static str) {
        self.due.get_or_create(&DueLabels { outcome }).inc();
    }
}
