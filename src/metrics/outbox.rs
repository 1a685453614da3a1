//! What is counted of messages to other services.

use std::sync::atomic::AtomicU64;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use crate::metrics::{Metrics, counters};

/// How a delivery ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivered {
    /// The sink took the message.
    Done,
    /// It will be tried again.
    Retried,
    /// It was given up.
    Dead,
}

impl Delivered {
    const ALL: [Self; 3] = [Self::Done, Self::Retried, Self::Dead];

    fn label(self) -> &'static str {
        match self {
            Self::Done => "delivered",
            Self::Retried => "retried",
            Self::Dead => "dead",
        }
    }
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Delivery {
    sink: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct At {
    sink: String,
}

/// Stands for the sinks where there are none, so that every series is there from the start.
const NONE: &str = "none";

pub(super) struct Outbox {
    deliveries: Family<Delivery, Counter>,
    waiting: Family<At, Gauge>,
    dead: Family<At, Gauge>,
    oldest: Family<At, Gauge<f64, AtomicU64>>,
}

impl Outbox {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let deliveries = counters(
            registry,
            "brune_outbox_deliveries",
            "Deliveries of messages to other services, by sink and by how they ended",
        );
        let (waiting, dead) = (Family::<At, Gauge>::default(), Family::<At, Gauge>::default());
        let oldest = Family::<At, Gauge<f64, AtomicU64>>::default();
        registry.register("brune_outbox_waiting", "Messages that wait, by sink", waiting.clone());
        registry.register(
            "brune_outbox_dead",
            "Messages that were given up, by sink",
            dead.clone(),
        );
        registry.register(
            "brune_outbox_oldest_waiting_seconds",
            "Since the oldest message that waits was stored, by sink",
            oldest.clone(),
        );
        let outbox = Self { deliveries, waiting, dead, oldest };
        outbox.begin(NONE);
        outbox
    }

    /// Begins the series of `sink` at 0.
    fn begin(&self, sink: &str) {
        for outcome in Delivered::ALL {
            let delivery = Delivery { sink: sink.to_owned(), outcome: outcome.label() };
            drop(self.deliveries.get_or_create(&delivery));
        }
        let at = At { sink: sink.to_owned() };
        drop(self.waiting.get_or_create(&at));
        drop(self.dead.get_or_create(&at));
        drop(self.oldest.get_or_create(&at));
    }

    fn end(&self, sink: &str) {
        for outcome in Delivered::ALL {
            let delivery = Delivery { sink: sink.to_owned(), outcome: outcome.label() };
            self.deliveries.remove(&delivery);
        }
        let at = At { sink: sink.to_owned() };
        self.waiting.remove(&at);
        self.dead.remove(&at);
        self.oldest.remove(&at);
    }
}

impl Metrics {
    /// There is a sink; its series begin at 0.
    pub fn sink(&self, sink: &str) {
        self.0.outbox.end(NONE);
        self.0.outbox.begin(sink);
    }

    /// A delivery to `sink` ended.
    pub fn delivery(&self, sink: &str, outcome: Delivered) {
        let delivery = Delivery { sink: sink.to_owned(), outcome: outcome.label() };
        self.0.outbox.deliveries.get_or_create(&delivery).inc();
    }

    /// So many messages wait for `sink`, so many were given up, and the oldest that waits is so many seconds old.
    pub fn backlog(&self, sink: &str, waiting: i64, dead: i64, oldest: f64) {
        let (outbox, at) = (&self.0.outbox, At { sink: sink.to_owned() });
        outbox.waiting.get_or_create(&at).set(waiting);
        outbox.dead.get_or_create(&at).set(dead);
        outbox.oldest.get_or_create(&at).set(oldest);
    }
}
