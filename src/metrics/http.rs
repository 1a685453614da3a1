//! What is counted of requests.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::{Registry, Unit},
};

use crate::metrics::{Metrics, counter, counters};

/// As OpenTelemetry advises for `http.server.request.duration`.
const BUCKETS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// What a request was, and how it ended. The route, never the path: a label has few values.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// `GET` and so on; `_OTHER` for what is no method of HTTP's.
    pub method: &'static str,
    /// The route that took it.
    pub route: &'a str,
    /// The status that was answered.
    pub status: u16,
    /// The problem that was answered, if it was one.
    pub problem: Option<&'static str>,
    /// The time until the head of the response.
    pub elapsed: Duration,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Answered {
    http_request_method: &'static str,
    http_route: String,
    http_response_status_code: u16,
    error_type: &'static str,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Ended {
    outcome: &'static str,
}

type Times = Family<Answered, Histogram, fn() -> Histogram>;

pub(super) struct Http {
    requests: Times,
    writes: Family<Ended, Counter>,
    conflicts: Counter,
    starts: Family<Ended, Counter>,
}

/// Ways a write ends that are there from the start.
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

/// Ways a session start ends that are there from the start.
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
    pub(super) fn new(registry: &mut Registry, of_sessions: &mut Registry) -> Self {
        let requests = Times::new_with_constructor(|| Histogram::new(BUCKETS));
        registry.register_with_unit(
            "http_server_request_duration",
            "Requests by route and answer",
            Unit::Seconds,
            requests.clone(),
        );
        // The request that asks for the metrics is the first there is in any case.
        drop(requests.get_or_create(&Answered {
            http_request_method: "GET",
            http_route: "/metrics".to_owned(),
            http_response_status_code: 200,
            error_type: "",
        }));
        let writes = counters(
            registry,
            "brune_settings_writes",
            "Writes of settings by how they ended: done, or the code of the problem",
        );
        let starts = counters(
            of_sessions,
            "brune_session_starts",
            "Starts of sessions by how they ended: done, or the code of the problem",
        );
        for (family, outcomes) in [(&writes, &WRITES[..]), (&starts, &STARTS[..])] {
            for outcome in outcomes {
                drop(family.get_or_create(&Ended { outcome }));
            }
        }
        let conflicts =
            counter(registry, "brune_settings_write_conflicts", "Writes that lost to another one");
        Self { requests, writes, conflicts, starts }
    }
}

impl Metrics {
    /// A request was answered.
    pub fn request(&self, request: Request<'_>) {
        let Request { method, route, status, problem, elapsed } = request;
        let http = &self.0.http;
        let answered = Answered {
            http_request_method: method,
            http_route: route.to_owned(),
            http_response_status_code: status,
            error_type: problem.unwrap_or_default(),
        };
        http.requests.get_or_create(&answered).observe(elapsed.as_secs_f64());
        let ended = Ended { outcome: problem.unwrap_or("done") };
        if route == "/brun-e/start" {
            http.starts.get_or_create(&ended).inc();
        } else if is_write(method, route) {
            http.writes.get_or_create(&ended).inc();
            if matches!(ended.outcome, "version_conflict" | "revision_mismatch") {
                http.conflicts.inc();
            }
        }
    }
}

fn is_write(method: &str, route: &str) -> bool {
    let of_settings =
        route.starts_with("/admin/global-settings") || route.starts_with("/admin/config");
    of_settings && method != "GET"
}
