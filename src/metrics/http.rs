//! Metrics of requests.

use std::{fmt, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::{Registry, Unit},
};

use crate::metrics::register::{counter, counters};

/// The buckets that OpenTelemetry recommends for `http.server.request.duration`.
const BUCKETS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// A request and its response.
#[derive(Debug, Clone, Copy)]
pub struct Request {
    /// The method, `_OTHER` if not standard.
    pub method: &'static str,
    /// The status.
    pub status: u16,
    /// The code of the problem, if any.
    pub problem: Option<&'static str>,
    /// The time until the head of the response.
    pub elapsed: Duration,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    http_request_method: &'static str,
    http_route: String,
    http_response_status_code: u16,
    error_type: &'static str,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

// A function pointer, because the type of a closure cannot be named in a struct.
type Durations = Family<RequestLabels, Histogram, fn() -> Histogram>;

#[derive(Clone)]
pub(super) struct Http {
    requests: Durations,
    writes: Family<OutcomeLabels, Counter>,
    conflicts: Counter,
    starts: Family<OutcomeLabels, Counter>,
}

/// The metrics of one route. Keeps the metrics of every kind of response, so that a request neither builds nor hashes
/// labels.
pub struct RouteMetrics {
    /// The route, never the path: a label must have few values.
    route: Arc<str>,
    http: Http,
    // Read by every request, and replaced once for each kind of response.
    responses: ArcSwap<Vec<ResponseMetrics>>,
}

/// The metrics of one kind of response of a route.
#[derive(Clone)]
struct ResponseMetrics {
    method: &'static str,
    status: u16,
    problem: Option<&'static str>,
    duration: Histogram,
    counters: Vec<Counter>,
}

/// Outcomes of writes with a series from the start.
// Not every code: a series of another outcome begins with the first event.
const WRITES: [&str; 8] = [
    "done",
    "validation_failed",
    "key_locked",
    "version_conflict",
    "revision_mismatch",
    "unavailable",
    "outcome_unknown",
    "internal",
];

/// Outcomes of session starts with a series from the start.
const STARTS: [&str; 9] = [
    "done",
    "not_eligible",
    "session_active",
    "rate_limited",
    "realtime_unavailable",
    "plan_unavailable",
    "config_unavailable",
    "unavailable",
    "internal",
];

impl Http {
    pub(super) fn new(registry: &mut Registry, session_registry: &mut Registry) -> Self {
        let requests = Durations::new_with_constructor(|| Histogram::new(BUCKETS));
        // The name and unit of the semantic conventions of OpenTelemetry.
        registry.register_with_unit(
            "http_server_request_duration",
            "Requests by route and response",
            Unit::Seconds,
            requests.clone(),
        );
        // The first scrape must have a series already.
        drop(requests.get_or_create(&RequestLabels {
            http_request_method: "GET",
            http_route: "/metrics".to_owned(),
            http_response_status_code: 200,
            error_type: "",
        }));
        let writes = counters(
            registry,
            "brune_settings_writes",
            "Writes of settings by outcome: done, or the code of the problem",
        );
        let starts = counters(
            session_registry,
            "brune_session_starts",
            "Session starts by outcome: done, or the code of the problem",
        );
        for (family, outcomes) in [(&writes, &WRITES[..]), (&starts, &STARTS[..])] {
            // Alerts on rates need a series before the first event.
            for outcome in outcomes {
                drop(family.get_or_create(&OutcomeLabels { outcome }));
            }
        }
        let conflicts = counter(
            registry,
            "brune_settings_write_conflicts",
            "Writes rejected because of a concurrent change",
        );
        Self { requests, writes, conflicts, starts }
    }

    /// Returns the metrics of `route`; creates no series.
    pub(super) fn route(&self, route: Arc<str>) -> RouteMetrics {
        RouteMetrics { route, http: self.clone(), responses: ArcSwap::default() }
    }

    /// Returns the metrics of a kind of response, and creates missing series.
    fn response(&self, route: &str, request: Request) -> ResponseMetrics {
        let Request { method, status, problem, .. } = request;
        let labels = RequestLabels {
            http_request_method: method,
            http_route: route.to_owned(),
            http_response_status_code: status,
            // An empty label equals an absent label in Prometheus, so successes have no error type.
            error_type: problem.unwrap_or_default(),
        };
        let duration = self.requests.get_or_create_owned(&labels);
        let outcome = problem.unwrap_or("done");
        let mut counters = Vec::new();
        // Derived from the route, so that no handler can forget to count.
        if route == "/brun-e/start" {
            counters.push(self.starts.get_or_create_owned(&OutcomeLabels { outcome }));
        } else if is_write(method, route) {
            counters.push(self.writes.get_or_create_owned(&OutcomeLabels { outcome }));
            if matches!(outcome, "version_conflict" | "revision_mismatch") {
                counters.push(self.conflicts.clone());
            }
        }
        ResponseMetrics { method, status, problem, duration, counters }
    }
}

impl RouteMetrics {
    /// Records a request and its response.
    pub fn record(&self, request: Request) {
        let responses = self.responses.load();
        if let Some(response) = responses.iter().find(|response| response.is_of(request)) {
            return response.record(request.elapsed);
        }
        let response = self.http.response(&self.route, request);
        response.record(request.elapsed);
        // Two threads may add the same kind; both entries share the series, so the second entry is harmless.
        self.responses.rcu(|responses| {
            let mut responses = Vec::clone(responses);
            responses.push(response.clone());
            responses
        });
    }
}

impl ResponseMetrics {
    fn is_of(&self, request: Request) -> bool {
        self.status == request.status
            && self.method == request.method
            && self.problem == request.problem
    }

    fn record(&self, elapsed: Duration) {
        self.duration.observe(elapsed.as_secs_f64());
        for counter in &self.counters {
            counter.inc();
        }
    }
}

fn is_write(method: &str, route: &str) -> bool {
    let is_settings_route =
        route.starts_with("/admin/global-settings") || route.starts_with("/admin/config");
    is_settings_route && method != "GET"
}

impl fmt::Debug for RouteMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RouteMetrics({})", self.route)
    }
}
