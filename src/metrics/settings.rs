//! Metrics of settings and their reloads.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU64},
    time::{Duration, Instant},
};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use crate::{
    metrics::register::{counter, counters, gauge, seconds},
    text::string_enum,
};

string_enum! {
    /// The trigger of a reload.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Source {
        /// A notification of Postgres.
        Notify = "notify",
        /// A message of Redis.
        Redis = "redis",
        /// The poll timer.
        Poll = "poll",
        /// A new connection of the listener.
        Connect = "connect",
        /// A caller that needs the newest settings: a session start or a write.
        Demand = "demand",
    }
}

string_enum! {
    /// The outcome of a reload.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Outcome {
        /// Newer settings were applied.
        Taken = "taken",
        /// There were no newer settings.
        Unchanged = "unchanged",
        /// The stored settings are invalid; the last valid settings stay.
        Invalid = "invalid",
        /// The database failed or did not respond.
        Failed = "failed",
    }
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReloadLabels {
    source: &'static str,
    outcome: &'static str,
}

impl ReloadLabels {
    fn new(source: Source, outcome: Outcome) -> Self {
        Self { source: source.as_str(), outcome: outcome.as_str() }
    }
}

/// The metrics of the settings and of their reloads. Cheap to clone.
#[derive(Clone)]
pub struct SettingsMetrics(Arc<Series>);

struct Series {
    reloads: Family<ReloadLabels, Counter>,
    duration: Histogram,
    delay: Histogram,
    missed: Counter,
    from_notifications: Counter,
    revision: Gauge,
    listening: Gauge,
    age: Gauge<f64, AtomicU64>,
    /// When the newest revision was last read or notified.
    last_check: Mutex<Instant>,
}

impl SettingsMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let name = |name: &str| format!("brune_settings_{name}");
        let reloads =
            counters(registry, &name("reloads"), "Reloads of the settings, by trigger and outcome");
        // Every series exists from the start, so that `increase` sees the first event.
        for source in Source::ALL {
            for outcome in Outcome::ALL {
                drop(reloads.get_or_create(&ReloadLabels::new(source, outcome)));
            }
        }
        let age = Gauge::default();
        registry.register(
            name("age_seconds"),
            "Time since the settings were last compared with the database or applied from a notification",
            age.clone(),
        );
        Self(Arc::new(Series {
            reloads,
            duration: seconds(
                registry,
                &name("reload_duration"),
                "Duration of reloads of the settings",
                &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0],
            ),
            delay: seconds(
                registry,
                &name("apply_delay"),
                "Delay from the commit of a change, by the database's clock, to its use by this instance",
                &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0],
            ),
            missed: counter(
                registry,
                &name("notifications_missed"),
                "Changes found by the poll timer or a new connection instead of a notification",
            ),
            from_notifications: counter(
                registry,
                &name("notifications_applied"),
                "Reloads by the content of notifications alone, without a query",
            ),
            revision: gauge(registry, &name("revision"), "The current revision of this instance"),
            listening: gauge(
                registry,
                &name("listener_connected"),
                "Whether change notifications arrive",
            ),
            age,
            // The start counts as a check, so the age is defined before the first read.
            last_check: Mutex::new(Instant::now()),
        }))
    }

    /// Updates the age to the current time.
    pub(super) fn update_age(&self) {
        // An instant is copied as a whole, so a poisoned lock still holds a valid time.
        let last_check = *self.0.last_check.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.age.set(last_check.elapsed().as_secs_f64());
    }

    /// Records that `source` triggered a reload, with its outcome and duration.
    pub fn reload(&self, source: Source, outcome: Outcome, duration: Duration) {
        let series = &self.0;
        series.reloads.get_or_create(&ReloadLabels::new(source, outcome)).inc();
        series.duration.observe(duration.as_secs_f64());
        // A notification should have triggered the reload before.
        if outcome == Outcome::Taken && matches!(source, Source::Poll | Source::Connect) {
            series.missed.inc();
        }
        // Invalid settings are not applied, so the age must keep growing until an alert.
        if matches!(outcome, Outcome::Taken | Outcome::Unchanged) {
            let mut last_check = series.last_check.lock().unwrap_or_else(PoisonError::into_inner);
            *last_check = Instant::now();
        }
    }

    /// Counts a reload by the content of notifications, without a query.
    pub fn applied_from_notification(&self) {
        self.0.from_notifications.inc();
    }

    /// Sets the current revision, and records the `delay` since its commit, if known.
    pub fn applied(&self, revision: i64, delay: Option<Duration>) {
        self.0.revision.set(revision);
        if let Some(delay) = delay {
            self.0.delay.observe(delay.as_secs_f64());
        }
    }

    /// Sets whether change notifications arrive.
    pub fn listening(&self, is_listening: bool) {
        self.0.listening.set(i64::from(is_listening));
    }
}

impl fmt::Debug for SettingsMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SettingsMetrics")
    }
}
