//! What is counted of sessions beside their starts.

use std::{sync::atomic::AtomicU64, time::Duration};

use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use crate::metrics::{Metrics, counter, seconds};

pub(super) struct Sessions {
    expired: Counter,
    failures: Counter,
    batch: Histogram,
    lag: Gauge<f64, AtomicU64>,
}

impl Sessions {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let lag = Gauge::default();
        registry.register(
            "brune_expiry_lag_seconds",
            "How long the oldest session of the last batch had been over when this instance marked it",
            lag.clone(),
        );
        Self {
            expired: counter(
                registry,
                "brune_sessions_expired",
                "Sessions that this instance marked as over",
            ),
            failures: counter(
                registry,
                "brune_expiry_failures",
                "Looks for sessions to mark as over that failed",
            ),
            batch: seconds(
                registry,
                "brune_expiry_batch_duration",
                "Batches of sessions that were marked as over",
                &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0],
            ),
            lag,
        }
    }
}

impl Metrics {
    /// A batch marked so many sessions as over, the first `lag` seconds late, in `took`.
    pub fn expired(&self, sessions: i64, lag: f64, took: Duration) {
        let metrics = &self.0.sessions;
        metrics.expired.inc_by(u64::try_from(sessions).unwrap_or_default());
        metrics.lag.set(lag);
        metrics.batch.observe(took.as_secs_f64());
    }

    /// A look for sessions that are over failed.
    pub fn expiry_failed(&self) {
        self.0.sessions.failures.inc();
    }
}
