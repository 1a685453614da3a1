//! Metrics of the inserts and of the expiry of sessions.

use std::{sync::atomic::AtomicU64, time::Duration};

use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use crate::metrics::register::{counter, gauge, seconds};

pub(super) struct Sessions {
    expired: Counter,
    failures: Counter,
    batch: Histogram,
    lag: Gauge<f64, AtomicU64>,
    start_group: Histogram,
    starts_stopped: Gauge,
}

impl Sessions {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let lag = Gauge::default();
        registry.register(
            "brune_expiry_lag_seconds",
            "How late this instance marked the oldest session of the last batch as expired",
            lag.clone(),
        );
        let start_group = Histogram::new([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0]);
        registry.register(
            "brune_session_start_group_size",
            "Sessions that one statement tried to insert",
            start_group.clone(),
        );
        Self {
            expired: counter(
                registry,
                "brune_sessions_expired",
                "Sessions that this instance marked as expired",
            ),
            failures: counter(
                registry,
                "brune_expiry_failures",
                "Failed searches for expired sessions",
            ),
            batch: seconds(
                registry,
                "brune_expiry_batch_duration",
                "Duration of marking a batch of sessions as expired",
                &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0],
            ),
            lag,
            start_group,
            starts_stopped: gauge(
                registry,
                "brune_starts_stopped",
                "Whether an administrator has stopped all session starts, as last seen by this instance",
            ),
        }
    }

    pub(super) fn record_expired(&self, sessions: i64, lag: f64, duration: Duration) {
        // Never negative: Postgres counts rows in a signed type.
        self.expired.inc_by(u64::try_from(sessions).unwrap_or_default());
        self.lag.set(lag);
        self.batch.observe(duration.as_secs_f64());
    }

    pub(super) fn record_start_group(&self, sessions: usize) {
        // No group has more sessions than 32 bits can count.
        self.start_group.observe(u32::try_from(sessions).unwrap_or(u32::MAX).into());
    }

    pub(super) fn set_starts_stopped(&self, are_stopped: bool) {
        self.starts_stopped.set(are_stopped.into());
    }

    pub(super) fn record_failure(&self) {
        self.failures.inc();
    }
}
