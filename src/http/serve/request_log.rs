//! The metrics and the log line of a request.

use std::{sync::Arc, time::Duration};

use axum::http::{Method, StatusCode};
use tracing::{debug, info};

use crate::{
    metrics::{self, Metrics, RouteMetrics},
    request_context::RequestContext,
};

/// The metrics and the log level of the requests for one route.
#[derive(Debug)]
pub(super) struct RouteLog {
    /// The route, or `none`.
    pub(super) route: Arc<str>,
    metrics: RouteMetrics,
    level: LineLevel,
}

/// The level of the line of a completed request.
#[derive(Debug, Clone, Copy)]
enum LineLevel {
    Info,
    Debug,
    /// For successes. Failures have the info level.
    DebugIfSuccessful,
}

impl RouteLog {
    pub(super) fn new(route: &str, metrics: &Metrics) -> Self {
        let route: Arc<str> = route.into();
        let level = LineLevel::of(&route);
        Self { metrics: metrics.route(Arc::clone(&route)), route, level }
    }

    /// Counts the request with the status and the code of the problem, and logs the line of the request.
    pub(super) fn record(
        &self,
        context: &RequestContext,
        status: StatusCode,
        problem: Option<&'static str>,
        elapsed: Duration,
    ) {
        let method = method_label(&context.method);
        let code = status.as_u16();
        self.metrics.record(metrics::Request { method, status: code, problem, elapsed });
        let is_debug = match self.level {
            LineLevel::Info => false,
            LineLevel::Debug => true,
            LineLevel::DebugIfSuccessful => code < 400,
        };
        log(context, code, elapsed, is_debug);
    }
}

/// Logs the completed request: no query, headers or body, because each may contain anything.
fn log(context: &RequestContext, status: u16, elapsed: Duration, is_debug: bool) {
    /// Logs at a level; tracing requires a constant level. Values are computed only if the line is logged.
    macro_rules! line {
        ($level:ident) => {
            // Outside of the span: copying the span's fields into the line would double the cost.
            $level!(
                status,
                ms = milliseconds(elapsed),
                request_id = context.id.as_str(),
                trace_id = context.trace().id(),
                span_id = context.trace().span_id(),
                method = context.method.as_str(),
                route = &*context.route,
                "request completed"
            )
        };
    }
    if is_debug { line!(debug) } else { line!(info) }
}

/// Rounds to microseconds, the precision of the clock.
fn milliseconds(elapsed: Duration) -> f64 {
    (elapsed.as_secs_f64() * 1e6).round() / 1e3
}

fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        // An arbitrary method would become an unbounded metric label.
        _ => "_OTHER",
    }
}

impl LineLevel {
    /// Returns the level for `route`: probes, successful flag evaluations and files of the console are too frequent for the
    /// log at the info level.
    fn of(route: &str) -> Self {
        match route {
            "/livez" | "/readyz" | "/healthz" | "/metrics" => Self::Debug,
            "/admin/assets/{version}/{file}" => Self::DebugIfSuccessful,
            _ if route.starts_with("/ofrep/v1/evaluate/") => Self::DebugIfSuccessful,
            _ => Self::Info,
        }
    }
}
