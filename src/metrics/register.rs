//! Creates metrics and registers them.

use std::{fmt, hash::Hash};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

pub(super) fn gauge(registry: &mut Registry, name: &str, help: &str) -> Gauge {
    let gauge = Gauge::default();
    // A clone shares the value with the original.
    registry.register(name, help, gauge.clone());
    gauge
}

pub(super) fn counter(registry: &mut Registry, name: &str, help: &str) -> Counter {
    let counter = Counter::default();
    registry.register(name, help, counter.clone());
    counter
}

/// Registers a counter for each set of labels.
pub(super) fn counters<L>(registry: &mut Registry, name: &str, help: &str) -> Family<L, Counter>
where
    L: EncodeLabelSet + Clone + Hash + Eq + Send + Sync + fmt::Debug + 'static,
{
    let family = Family::<L, Counter>::default();
    registry.register(name, help, family.clone());
    family
}

/// Registers a histogram of durations in seconds.
pub(super) fn seconds(
    registry: &mut Registry,
    name: &str,
    help: &str,
    buckets: &[f64],
) -> Histogram {
    let histogram = Histogram::new(buckets.iter().copied());
    // The registry appends the unit to the name, so `name` must not end in `_seconds`.
    registry.register_with_unit(name, help, Unit::Seconds, histogram.clone());
    histogram
}
