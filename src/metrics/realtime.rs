//! What is counted of calls of the realtime provider.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};

use crate::metrics::{Metrics, counters, seconds};

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Ended {
    outcome: &'static str,
}

/// Ways a call ends.
const OUTCOMES: [&str; 10] = [
    "done",
    "setting_refused",
    "credentials",
    "quota",
    "busy",
    "refused",
    "unusable",
    "late",
    "unreachable",
    "broken",
];

pub(super) struct Realtime {
    calls: Family<Ended, Counter>,
    duration: Histogram,
}

impl Realtime {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let calls = counters(
            registry,
            "brune_realtime_calls",
            "Calls of the realtime provider, repeats included, by how they ended",
        );
        for outcome in OUTCOMES {
            drop(calls.get_or_create(&Ended { outcome }));
        }
        let duration = seconds(
            registry,
            "brune_realtime_call_duration",
            "Calls of the realtime provider",
            &[0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0],
        );
        Self { calls, duration }
    }
}

impl Metrics {
    /// A call of the realtime provider ended.
    pub fn realtime_call(&self, outcome: &'static str, took: Duration) {
        self.0.realtime.calls.get_or_create(&Ended { outcome }).inc();
        self.0.realtime.duration.observe(took.as_secs_f64());
    }
}
