//! Metrics for Prometheus: a registry for each service, so that several can run in a process.
//!
//! Names and units follow `OpenMetrics` and, for HTTP, the semantic conventions of OpenTelemetry. Every predictable
//! series exists from the start, at 0, so that alerts also match before the first event.

mod http;
mod outbox;
mod proposals;
mod realtime;
mod register;
mod rollouts;
mod sessions;
mod settings;
mod text;

use std::{fmt, sync::Arc, time::Duration};

use prometheus_client::{
    encoding::{EncodeLabelSet, text as encoding},
    metrics::{counter::Counter, gauge::Gauge, info::Info},
    registry::Registry,
};
use register::{counter, gauge};

pub use http::{Request, RouteMetrics};
pub use outbox::DeliveryOutcome;
pub use proposals::ProposalMetrics;
pub use rollouts::{RolloutGauges, RolloutMetrics};
pub use settings::{Outcome, SettingsMetrics, Source};

/// A text format of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `OpenMetrics` 1.0.
    OpenMetrics,
    /// The Prometheus text format 0.0.4.
    Plain,
}

impl Format {
    /// Returns the media type.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        // Prometheus chooses the parser by the media type.
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Plain => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// All metrics of the service. Cheap to clone.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    /// The metrics of sessions, which some catalogs do not declare.
    session_registry: Registry,
    http: http::Http,
    settings: SettingsMetrics,
    outbox: outbox::Outbox,
    proposals: ProposalMetrics,
    realtime: realtime::Realtime,
    rollouts: RolloutMetrics,
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
        let mut session_registry = Registry::default();
        let http = http::Http::new(&mut registry, &mut session_registry);
        let settings = SettingsMetrics::new(&mut registry);
        let outbox = outbox::Outbox::new(&mut registry);
        let proposals = ProposalMetrics::new(&mut registry);
        let realtime = realtime::Realtime::new(&mut session_registry);
        let rollouts = RolloutMetrics::new(&mut registry);
        let sessions = sessions::Sessions::new(&mut session_registry);
        let secret_residue = gauge(
            &mut registry,
            "brune_secret_residue",
            "Secrets whose values are still in the database",
        );
        let instances = gauge(
            &mut registry,
            "brune_instances",
            "Live instances on the same database, as last seen by this instance",
        );
        let streams = gauge(&mut registry, "brune_streams", "Open event streams of this instance");
        let log_lines_dropped = counter(
            &mut registry,
            "brune_log_lines_dropped",
            "Log lines dropped because the forwarding queue was full",
        );
        // The version is a label, so that dashboards can join other series with the release.
        let build = Info::new(Build { version: env!("CARGO_PKG_VERSION") });
        registry.register("brune_build", "The running release", build);
        Self(Arc::new(Inner {
            registry,
            session_registry,
            http,
            settings,
            outbox,
            proposals,
            realtime,
            rollouts,
            sessions,
            secret_residue,
            instances,
            streams,
            log_lines_dropped,
        }))
    }
}

impl Metrics {
    /// Returns the metrics of the requests for `route`.
    #[must_use]
    pub fn route(&self, route: Arc<str>) -> RouteMetrics {
        self.0.http.route(route)
    }

    /// Returns the metrics of the settings and of their reloads.
    #[must_use]
    pub fn settings(&self) -> SettingsMetrics {
        self.0.settings.clone()
    }

    /// Returns the metrics of proposals.
    #[must_use]
    pub fn proposals(&self) -> ProposalMetrics {
        self.0.proposals.clone()
    }

    /// Returns the metrics of rollouts.
    #[must_use]
    pub fn rollouts(&self) -> RolloutMetrics {
        self.0.rollouts.clone()
    }

    /// Creates the series of `sink` at 0.
    pub fn sink(&self, sink: &str) {
        self.0.outbox.add_sink(sink);
    }

    /// Records a delivery to `sink`.
    pub fn delivery(&self, sink: &str, outcome: DeliveryOutcome) {
        self.0.outbox.record_delivery(sink, outcome);
    }

    /// Sets the number of waiting and dead messages of `sink`, and the age of the oldest waiting message in seconds.
    pub fn backlog(&self, sink: &str, waiting: i64, dead: i64, oldest: f64) {
        self.0.outbox.set_backlog(sink, waiting, dead, oldest);
    }

    /// Records a call of the realtime provider.
    pub fn realtime_call(&self, outcome: &'static str, duration: Duration) {
        self.0.realtime.record_call(outcome, duration);
    }

    /// Records a batch of expired sessions, the first `lag` seconds late, and its duration.
    pub fn expired(&self, sessions: i64, lag: f64, duration: Duration) {
        self.0.sessions.record_expired(sessions, lag, duration);
    }

    /// Records a statement that tries to insert `sessions` sessions.
    pub fn start_group(&self, sessions: usize) {
        self.0.sessions.record_start_group(sessions);
    }

    /// Records a failed search for expired sessions.
    pub fn expiry_failed(&self) {
        self.0.sessions.record_failure();
    }

    /// Sets whether all session starts are stopped.
    pub fn starts_stopped(&self, are_stopped: bool) {
        self.0.sessions.set_starts_stopped(are_stopped);
    }

    /// Sets the number of secrets whose values are still in the database.
    pub fn secret_residue(&self, secrets: usize) {
        self.0.secret_residue.set(i64::try_from(secrets).unwrap_or(i64::MAX));
    }

    /// Sets the number of live instances.
    pub fn instances(&self, live: usize) {
        self.0.instances.set(i64::try_from(live).unwrap_or(i64::MAX));
    }

    /// Sets the number of open event streams.
    pub fn streams(&self, open: usize) {
        self.0.streams.set(i64::try_from(open).unwrap_or(i64::MAX));
    }

    /// Returns the counter of dropped log lines, for the log forwarder.
    #[must_use]
    pub fn log_lines_dropped(&self) -> Counter {
        self.0.log_lines_dropped.clone()
    }

    /// Encodes all metrics, with those of sessions if `has_sessions`.
    ///
    /// # Errors
    /// A metric cannot be encoded.
    pub fn text(&self, format: Format, has_sessions: bool) -> Result<String, fmt::Error> {
        // The age grows by itself, so only a scrape needs the value.
        self.0.settings.update_age();
        let mut text = String::new();
        encoding::encode_registry(&mut text, &self.0.registry)?;
        // A registry of their own, because the catalog can change while the service runs.
        if has_sessions {
            encoding::encode_registry(&mut text, &self.0.session_registry)?;
        }
        // Separate from the registries, because only a single marker may end the text.
        encoding::encode_eof(&mut text)?;
        Ok(match format {
            Format::OpenMetrics => text,
            Format::Plain => text::plain(&text),
        })
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The registry would print every series.
        f.write_str("Metrics")
    }
}
