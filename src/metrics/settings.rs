//! What is counted of settings and of what follows them.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use crate::metrics::{counter, counters, gauge, seconds};

/// What woke a reader of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A notification of Postgres.
    Notify,
    /// A message of Redis.
    Redis,
    /// The timer.
    Poll,
    /// The channel was opened, or opened again.
    Connect,
    /// Somebody who needs the newest: a session start, a write.
    Demand,
}

/// How a reading of the database ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Newer settings were taken on.
    Taken,
    /// There was nothing newer.
    Unchanged,
    /// What is stored breaks its rules; the last good settings stay.
    Invalid,
    /// The database failed, or did not answer.
    Failed,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Reload {
    source: &'static str,
    outcome: &'static str,
}

impl Source {
    const ALL: [Self; 5] = [Self::Notify, Self::Redis, Self::Poll, Self::Connect, Self::Demand];

    fn as_str(self) -> &'static str {
        match self {
            Self::Notify => "notify",
            Self::Redis => "redis",
            Self::Poll => "poll",
            Self::Connect => "connect",
            Self::Demand => "demand",
        }
    }
}

impl Outcome {
    const ALL: [Self; 4] = [Self::Taken, Self::Unchanged, Self::Invalid, Self::Failed];

    fn as_str(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Unchanged => "unchanged",
            Self::Invalid => "invalid",
            Self::Failed => "failed",
        }
    }
}

impl Reload {
    fn of(source: Source, outcome: Outcome) -> Self {
        Self { source: source.as_str(), outcome: outcome.as_str() }
    }
}

/// The metrics of the settings and of their reloads. Cheap to clone.
#[derive(Clone)]
pub struct SettingsMetrics(Arc<Series>);

struct Series {
    reloads: Family<Reload, Counter>,
    duration: Histogram,
    delay: Histogram,
    missed: Counter,
    revision: Gauge,
    listening: Gauge,
    age: Gauge<f64, std::sync::atomic::AtomicU64>,
    /// When the database last said what is newest.
    checked: Mutex<Instant>,
}

impl SettingsMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let name = |name: &str| format!("brune_settings_{name}");
        let reloads = counters(
            registry,
            &name("reloads"),
            "Readings of the database's settings, by what woke them and how they ended",
        );
        for source in Source::ALL {
            for outcome in Outcome::ALL {
                drop(reloads.get_or_create(&Reload::of(source, outcome)));
            }
        }
        let age = Gauge::default();
        registry.register(
            name("age_seconds"),
            "Since the database last said what is newest",
            age.clone(),
        );
        Self(Arc::new(Series {
            reloads,
            duration: seconds(
                registry,
                &name("reload_duration"),
                "Readings of the database's settings",
                &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0],
            ),
            delay: seconds(
                registry,
                &name("apply_delay"),
                "From a change in the database, by its clock, until it is what this instance reads",
                &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0],
            ),
            missed: counter(
                registry,
                &name("notifications_missed"),
                "Changes that the timer or a new connection found first",
            ),
            revision: gauge(registry, &name("revision"), "The revision that is read here"),
            listening: gauge(
                registry,
                &name("listener_connected"),
                "Whether changes arrive as they are made",
            ),
            age,
            checked: Mutex::new(Instant::now()),
        }))
    }

    /// Brings the age up to now.
    pub(super) fn age(&self) {
        let checked = self.0.checked.lock().map_or_else(|it| *it.into_inner(), |it| *it);
        self.0.age.set(checked.elapsed().as_secs_f64());
    }

    /// The database was read because of `source`, in `took`.
    pub fn reload(&self, source: Source, outcome: Outcome, took: Duration) {
        let series = &self.0;
        series.reloads.get_or_create(&Reload::of(source, outcome)).inc();
        series.duration.observe(took.as_secs_f64());
        if outcome == Outcome::Taken && matches!(source, Source::Poll | Source::Connect) {
            series.missed.inc();
        }
        if matches!(outcome, Outcome::Taken | Outcome::Unchanged) {
            let mut checked = series.checked.lock().unwrap_or_else(PoisonError::into_inner);
            *checked = Instant::now();
        }
    }

    /// `revision` is what is read from now on; it was made `delay` ago, if that is known.
    pub fn applied(&self, revision: i64, delay: Option<Duration>) {
        self.0.revision.set(revision);
        if let Some(delay) = delay {
            self.0.delay.observe(delay.as_secs_f64());
        }
    }

    /// Whether changes arrive as they are made.
    pub fn listening(&self, listening: bool) {
        self.0.listening.set(i64::from(listening));
    }
}

impl fmt::Debug for SettingsMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SettingsMetrics")
    }
}
