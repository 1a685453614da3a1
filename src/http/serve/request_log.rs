//! The span, metrics and log line of a request.

use std::time::Duration;

use axum::{
    extract::MatchedPath,
    http::{Method, StatusCode},
};
use tracing::{Span, debug, error_span, info};

use crate::{
    ids::RequestId,
    metrics::{self, Metrics},
    trace_context::TraceContext,
};

/// The logged attributes of a request: no query, headers or body, and the route instead of the path, because each may
/// contain anything.
pub(super) struct RequestLog {
    pub(super) id: RequestId,
    pub(super) trace: TraceContext,
    pub(super) method: Method,
    pub(super) route: Option<MatchedPath>,
}

impl RequestLog {
    fn route(&self) -> &str {
        self.route.as_ref().map_or("none", MatchedPath::as_str)
    }

    /// Creates the span of all log lines of the request.
    pub(super) fn span(&self) -> Span {
        // At the error level, so that an error names the request at any configured log level.
        let (request_id, method) = (self.id.as_str(), self.method.as_str());
        let (trace_id, span_id) = (self.trace.id(), self.trace.span_id());
        error_span!("request", request_id, trace_id, span_id, method, route = self.route())
    }

    /// Counts the request with the status and the code of the problem.
    pub(super) fn count(
        &self,
        metrics: &Metrics,
        status: StatusCode,
        problem: Option<&'static str>,
        elapsed: Duration,
    ) {
        let method = match self.method {
            Method::GET => "GET",
            Method::HEAD => "HEAD",
            Method::POST => "POST",
            Method::PUT => "PUT",
            Method::PATCH => "PATCH",
            Method::DELETE => "DELETE",
            Method::OPTIONS => "OPTIONS",
            // An arbitrary method would become an unbounded metric label.
            _ => "_OTHER",
        };
        let (route, status) = (self.route(), status.as_u16());
        metrics.request(metrics::Request { method, route, status, problem, elapsed });
    }

    /// Logs the completed request.
    pub(super) fn log(&self, status: StatusCode, elapsed: Duration) {
        // Outside of the span: copying the span's fields into the line would double the cost.
        let is_routine = is_routine(self.route(), status);
        // Rounded to microseconds, the precision of the clock.
        let ms = (elapsed.as_secs_f64() * 1e6).round() / 1e3;
        let status = status.as_u16();
        let (request_id, method, route) = (self.id.as_str(), self.method.as_str(), self.route());
        let (trace_id, span_id) = (self.trace.id(), self.trace.span_id());
        if is_routine {
            debug!(status, ms, request_id, trace_id, span_id, method, route, "request completed");
        } else {
            info!(status, ms, request_id, trace_id, span_id, method, route, "request completed");
        }
    }
}

/// Returns whether the request is a probe, a successful flag evaluation or a file of the console: too frequent for the
/// log at the info level.
fn is_routine(route: &str, status: StatusCode) -> bool {
    match route {
        "/livez" | "/readyz" | "/healthz" | "/metrics" => true,
        "/admin/assets/{version}/{file}" => status.as_u16() < 400,
        _ => route.starts_with("/ofrep/v1/evaluate/") && status.as_u16() < 400,
    }
}
