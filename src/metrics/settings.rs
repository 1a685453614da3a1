//! Metrics of settings and their reloads.

use std::{
    sync::{Mutex, PoisonError, atomic::AtomicU64},
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

pub(super) struct Settings {
    reloads: Family<ReloadLabels, Counter>,
    duration: Histogram,
    delay: Histogram,
    missed: Counter,
    revision: Gauge,
    listening: Gauge,
    age: Gauge<f64, AtomicU64>,
    /// When the newest revision was last read.
    last_check: Mutex<Instant>,
}

impl Settings {
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
            "Time since the newest revision was last read from the database",
            age.clone(),
        );
        Self {
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
            revision: gauge(registry, &name("revision"), "The current revision of this instance"),
            listening: gauge(
                registry,
                &name("listener_connected"),
                "Whether change notifications arrive",
            ),
            age,
            last_check: Mutex::new(Instant::now()),
        }
    }

    pub(super) fn update_age(&self) {
        let last_check = *self.last_check.lock().unwrap_or_else(PoisonError::into_inner);
        self.age.set(last_check.elapsed().as_secs_f64());
    }

    pub(super) fn record_reload(&self, source: Source, outcome: Outcome, duration: Duration) {
        self.reloads.get_or_create(&ReloadLabels::new(source, outcome)).inc();
        self.duration.observe(duration.as_secs_f64());
        // A notification should have triggered the reload before.
        if outcome == Outcome::Taken && matches!(source, Source::Poll | Source::Connect) {
            self.missed.inc();
        }
        if matches!(outcome, Outcome::Taken | Outcome::Unchanged) {
            let mut last_check = self.last_check.lock().unwrap_or_else(PoisonError::into_inner);
            *last_check = Instant::now();
        }
    }

    pub(super) fn record_applied(&self, revision: i64, delay: Option<Duration>) {
        self.revision.set(revision);
        if let Some(delay) = delay {
            self.delay.observe(delay.as_secs_f64());
        }
    }

    pub(super) fn set_listening(&self, is_listening: bool) {
        self.listening.set(i64::from(is_listening));
    }
}
