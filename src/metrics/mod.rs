//! What is counted, for Prometheus: one registry for each service, so that many can run in one process.
//!
//! Names and units follow `OpenMetrics` and, for HTTP, OpenTelemetry's semantic conventions. Every series that is
//! known beforehand is there from the start, at 0: an alert on what has not happened yet must not be blind.

mod http;
mod outbox;
mod realtime;
mod sessions;
mod settings;
mod text;

use std::{fmt, sync::Arc};

use prometheus_client::{
    encoding::{EncodeLabelSet, text as encoding},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::{Registry, Unit},
};

pub use http::Request;
pub use outbox::Delivered;
pub use settings::{Outcome, SettingsMetrics, Source};

/// How metrics are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `OpenMetrics` 1.0.
    OpenMetrics,
    /// Prometheus's text format 0.0.4.
    Plain,
}

impl Format {
    /// Its media type.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Plain => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// Everything that is counted. Cheap to clone.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    /// What is counted of sessions, which not every catalog has.
    of_sessions: Registry,
    http: http::Http,
    settings: SettingsMetrics,
    outbox: outbox::Outbox,
    realtime: realtime::Realtime,
    sessions: sessions::Sessions,
    secret_residue: Gauge,
    instances: Gauge,
    streams: Gauge,
    log_lines_dropped: Counter,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Build {
    version: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::default();
        let mut of_sessions = Registry::default();
        let http = http::Http::new(&mut registry, &mut of_sessions);
        let settings = SettingsMetrics::new(&mut registry);
        let outbox = outbox::Outbox::new(&mut registry);
        let realtime = realtime::Realtime::new(&mut of_sessions);
        let sessions = sessions::Sessions::new(&mut of_sessions);
        let secret_residue = gauge(
            &mut registry,
            "brune_secret_residue",
            "Secrets of which the database still holds a value",
        );
        let instances = gauge(
            &mut registry,
            "brune_instances",
            "Instances over the same database that are live, as this one last saw them",
        );
        let streams = gauge(&mut registry, "brune_streams", "Streams of events that are open here");
        let log_lines_dropped = counter(
            &mut registry,
            "brune_log_lines_dropped",
            "Lines of the log that were to be forwarded and found no room",
        );
        let build = Info::new(Build { version: env!("CARGO_PKG_VERSION") });
        registry.register("brune_build", "The release that runs", build);
        Self(Arc::new(Inner {
            registry,
            of_sessions,
            http,
            settings,
            outbox,
            realtime,
            sessions,
            secret_residue,
            instances,
            streams,
            log_lines_dropped,
        }))
    }
}

impl Metrics {
    /// Returns the part that counts reloads of the settings.
    #[must_use]
    pub fn settings(&self) -> SettingsMetrics {
        self.0.settings.clone()
    }

    /// So many secrets still have a value in the database.
    pub fn secret_residue(&self, secrets: usize) {
        self.0.secret_residue.set(i64::try_from(secrets).unwrap_or(i64::MAX));
    }

    /// So many instances are live.
    pub fn instances(&self, live: usize) {
        self.0.instances.set(i64::try_from(live).unwrap_or(i64::MAX));
    }

    /// So many streams are open here.
    pub fn streams(&self, open: usize) {
        self.0.streams.set(i64::try_from(open).unwrap_or(i64::MAX));
    }

    /// Counts lines of the log that are not forwarded: whoever keeps them counts by itself.
    #[must_use]
    pub fn log_lines_dropped(&self) -> Counter {
        self.0.log_lines_dropped.clone()
    }

    /// Everything as text, with the series of sessions if there are sessions.
    ///
    /// # Errors
    /// A metric cannot be written down.
    pub fn text(&self, format: Format, has_sessions: bool) -> Result<String, fmt::Error> {
        self.0.settings.age();
        let mut text = String::new();
        encoding::encode_registry(&mut text, &self.0.registry)?;
        if has_sessions {
            encoding::encode_registry(&mut text, &self.0.of_sessions)?;
        }
        encoding::encode_eof(&mut text)?;
        Ok(match format {
            Format::OpenMetrics => text,
            Format::Plain => text::plain(&text),
        })
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

fn gauge(registry: &mut Registry, name: &str, help: &str) -> Gauge {
    let gauge = Gauge::default();
    registry.register(name, help, gauge.clone());
    gauge
}

fn counter(registry: &mut Registry, name: &str, help: &str) -> Counter {
    let counter = Counter::default();
    registry.register(name, help, counter.clone());
    counter
}

/// A counter for each set of labels.
fn counters<L>(registry: &mut Registry, name: &str, help: &str) -> Family<L, Counter>
where
    L: EncodeLabelSet + Clone + std::hash::Hash + Eq + Send + Sync + fmt::Debug + 'static,
{
    let family = Family::<L, Counter>::default();
    registry.register(name, help, family.clone());
    family
}

/// Times in seconds.
fn seconds(registry: &mut Registry, name: &str, help: &str, buckets: &[f64]) -> Histogram {
    let histogram = Histogram::new(buckets.iter().copied());
    registry.register_with_unit(name, help, Unit::Seconds, histogram.clone());
    histogram
}
