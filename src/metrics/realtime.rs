//! Metrics of calls of the realtime provider.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};

use crate::metrics::register::{counters, seconds};

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct CallLabels {
    outcome: &'static str,
}

/// The outcomes of a call.
// Must list every label of `RealtimeError::outcome`.
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
    calls: Family<CallLabels, Counter>,
    duration: Histogram,
}

impl Realtime {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let calls = counters(
            registry,
            "brune_realtime_calls",
            "Calls of the realtime provider, including retries, by outcome",
        );
        // Every series exists from the start, so that `increase` sees the first event.
        for outcome in OUTCOMES {
            drop(calls.get_or_create(&CallLabels { outcome }));
        }
        let duration = seconds(
            registry,
            "brune_realtime_call_duration",
            "Duration of calls of the realtime provider",
            // The client gives up after 3.5 s, so no larger bucket is needed.
            &[0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0],
        );
        Self { calls, duration }
    }

    pub(super) fn record_call(&self, outcome: &'static str, duration: Duration) {
        self.calls.get_or_create(&CallLabels { outcome }).inc();
        self.duration.observe(duration.as_secs_f64());
    }
}
