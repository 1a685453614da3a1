//! Metrics of guarded rollouts. One rollout runs at a time, so no label names a proposal.

use std::{sync::atomic::AtomicU64, time::Duration};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use crate::metrics::register::{counters, gauge};

/// The guards.
const GUARDS: [&str; 3] = ["start_failed", "cut_short", "refused"];

/// The outcomes of a step by the rule.
const STEP_OUTCOMES: [&str; 7] =
    ["widened", "promoted", "reverted", "held", "superseded", "frozen", "failed"];

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct GuardLabels {
    guard: &'static str,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct StepLabels {
    outcome: &'static str,
}

/// The state of the rollout that runs.
#[derive(Debug, Clone, Copy, Default)]
pub struct RolloutGauges {
    /// The share of candidate users, 0 to 1; 0 without a rollout.
    pub share: f64,
    /// The stage, from 1; 0 without a rollout.
    pub stage: i16,
    /// Whether the rollout waits for a person.
    pub is_held: bool,
    /// How long counts have been unreadable.
    pub unreadable: Duration,
    /// How long a revert has been failing.
    pub revert_delay: Duration,
}

/// Metrics of rollouts, as last seen by this instance. Cheap to clone.
#[derive(Clone)]
pub struct RolloutMetrics {
    share: Gauge<f64, AtomicU64>,
    stage: Gauge,
    held: Gauge,
    unreadable: Gauge<f64, AtomicU64>,
    revert_delay: Gauge<f64, AtomicU64>,
    evidence: Family<GuardLabels, Gauge<f64, AtomicU64>>,
    steps: Family<StepLabels, Counter>,
}

impl RolloutMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let evidence = Family::<GuardLabels, Gauge<f64, AtomicU64>>::default();
        registry.register(
            "brune_rollout_evidence",
            "Evidence of harm of the running rollout by guard: 1 says nothing; 0 without a rollout",
            evidence.clone(),
        );
        let steps = counters::<StepLabels>(
            registry,
            "brune_rollout_steps",
            "Steps of rollouts that the rule decided on this instance, by outcome",
        );
        let metrics = Self {
            share: float(
                registry,
                "brune_rollout_share_ratio",
                "Share of users who get the candidate of the running rollout; 0 without a rollout",
            ),
            stage: gauge(
                registry,
                "brune_rollout_stage",
                "Stage of the running rollout, from 1; 0 without a rollout",
            ),
            held: gauge(
                registry,
                "brune_rollout_held",
                "Whether the running rollout waits for a person",
            ),
            unreadable: float(
                registry,
                "brune_rollout_unreadable_seconds",
                "How long this instance has been unable to read the counts of the running rollout",
            ),
            revert_delay: float(
                registry,
                "brune_rollout_revert_delay_seconds",
                "How long this instance has been unable to revert a harmful rollout",
            ),
            evidence,
            steps,
        };
        // From the start at 0, so that the first step is an increase.
        for outcome in STEP_OUTCOMES {
            drop(metrics.steps.get_or_create(&StepLabels { outcome }));
        }
        metrics.clear();
        metrics
    }

    /// Sets the state of the running rollout.
    pub fn set(&self, gauges: &RolloutGauges) {
        self.share.set(gauges.share);
        self.stage.set(gauges.stage.into());
        self.held.set(gauges.is_held.into());
        self.unreadable.set(gauges.unreadable.as_secs_f64());
        self.revert_delay.set(gauges.revert_delay.as_secs_f64());
    }

    /// Sets how long the running rollout has been unreadable.
    pub fn set_unreadable(&self, unreadable: Duration) {
        self.unreadable.set(unreadable.as_secs_f64());
    }

    /// Sets the evidence of `guard`.
    pub fn set_evidence(&self, guard: &'static str, evidence: f64) {
        self.evidence.get_or_create(&GuardLabels { guard }).set(evidence);
    }

    /// Sets every gauge to 0: no rollout runs.
    pub fn clear(&self) {
        // A series that vanished would keep its last value in a dashboard for minutes.
        self.set(&RolloutGauges::default());
        for guard in GUARDS {
            self.set_evidence(guard, 0.0);
        }
    }

    /// Records a step by the rule with `outcome`.
    pub fn record_step(&self, outcome: &'static str) {
        self.steps.get_or_create(&StepLabels { outcome }).inc();
    }
}

fn float(registry: &mut Registry, name: &str, help: &str) -> Gauge<f64, AtomicU64> {
    let gauge = Gauge::<f64, AtomicU64>::default();
    registry.register(name, help, gauge.clone());
    gauge
}
