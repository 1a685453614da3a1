//! Metrics of messages to other services.

use std::sync::atomic::AtomicU64;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use crate::{metrics::register::counters, text::string_enum};

string_enum! {
    /// The outcome of a delivery.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum DeliveryOutcome {
        /// The sink accepted the message.
        Delivered = "delivered",
        /// The delivery will be retried.
        Retried = "retried",
        /// The delivery was abandoned.
        Dead = "dead",
    }
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct DeliveryLabels {
    sink: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct SinkLabels {
    sink: String,
}

/// The sink label without any sink, so that every series exists from the start.
const NONE: &str = "none";

pub(super) struct Outbox {
    deliveries: Family<DeliveryLabels, Counter>,
    waiting: Family<SinkLabels, Gauge>,
    dead: Family<SinkLabels, Gauge>,
    oldest: Family<SinkLabels, Gauge<f64, AtomicU64>>,
}

impl Outbox {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let deliveries = counters(
            registry,
            "brune_outbox_deliveries",
            "Deliveries of messages to other services, by sink and outcome",
        );
        let waiting = Family::<SinkLabels, Gauge>::default();
        let dead = Family::<SinkLabels, Gauge>::default();
        let oldest = Family::<SinkLabels, Gauge<f64, AtomicU64>>::default();
        registry.register("brune_outbox_waiting", "Waiting messages, by sink", waiting.clone());
        registry.register("brune_outbox_dead", "Dead messages, by sink", dead.clone());
        registry.register(
            "brune_outbox_oldest_waiting_seconds",
            "Age of the oldest waiting message, by sink",
            oldest.clone(),
        );
        let outbox = Self { deliveries, waiting, dead, oldest };
        outbox.create_series(NONE);
        outbox
    }

    fn create_series(&self, sink: &str) {
        // Each guard locks the family and is dropped at once, or the next call would deadlock.
        for outcome in DeliveryOutcome::ALL {
            drop(self.deliveries.get_or_create(&DeliveryLabels::new(sink, outcome)));
        }
        let labels = SinkLabels { sink: sink.to_owned() };
        drop(self.waiting.get_or_create(&labels));
        drop(self.dead.get_or_create(&labels));
        drop(self.oldest.get_or_create(&labels));
    }

    fn remove_series(&self, sink: &str) {
        for outcome in DeliveryOutcome::ALL {
            self.deliveries.remove(&DeliveryLabels::new(sink, outcome));
        }
        let labels = SinkLabels { sink: sink.to_owned() };
        self.waiting.remove(&labels);
        self.dead.remove(&labels);
        self.oldest.remove(&labels);
    }

    pub(super) fn add_sink(&self, sink: &str) {
        // The placeholder would otherwise stay as a sink of its own.
        self.remove_series(NONE);
        self.create_series(sink);
    }

    pub(super) fn record_delivery(&self, sink: &str, outcome: DeliveryOutcome) {
        self.deliveries.get_or_create(&DeliveryLabels::new(sink, outcome)).inc();
    }

    pub(super) fn set_backlog(&self, sink: &str, waiting: i64, dead: i64, oldest: f64) {
        let labels = SinkLabels { sink: sink.to_owned() };
        self.waiting.get_or_create(&labels).set(waiting);
        self.dead.get_or_create(&labels).set(dead);
        self.oldest.get_or_create(&labels).set(oldest);
    }
}

impl DeliveryLabels {
    fn new(sink: &str, outcome: DeliveryOutcome) -> Self {
        Self { sink: sink.to_owned(), outcome: outcome.as_str() }
    }
}
