//! Whether the process runs, and whether it can serve. Answers come from memory: a probe must neither wait
//! behind work nor add to it.

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};

use crate::{
    http::{
        openapi::problems,
        problem::Problem,
        request::{accept, query::Query},
        response::JsonResponse,
        serve::sse::Streams,
    },
    metrics::Metrics,
    outbox::Outbox,
    sessions,
    settings::GlobalSettingsService,
};

/// Whether the process runs; depends on nothing.
#[utoipa::path(
    get,
    path = "/livez",
    operation_id = "isAlive",
    tag = "health",
    responses((status = 200, description = "It runs", body = String, content_type = "text/plain"))
)]
pub(in crate::http) async fn livez() -> Response {
    text(StatusCode::OK, "ok\n".to_owned())
}

/// Whether the service can serve: database, settings, notification channel.
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "isReady",
    tag = "health",
    params(("verbose" = Option<String>, Query, description = "A line for each check")),
    responses(
        (status = 200, description = "It can", body = String, content_type = "text/plain"),
        (status = 503, description = "It cannot; the lines say why", body = String, content_type = "text/plain"),
    )
)]
pub(in crate::http) async fn readyz(
    State(settings): State<GlobalSettingsService>,
    State(outbox): State<Outbox>,
    query: Query,
) -> Response {
    ready(&settings, &outbox, query)
}

problems! {
    MetricsProblems: Internal
}

/// What is counted, for Prometheus.
///
/// In the form that `Accept` prefers: `OpenMetrics` 1.0 where it is named, else Prometheus's text format 0.0.4. Unknown
/// parameters are ignored, here and by the probes.
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "getMetrics",
    tag = "health",
    params(("Accept" = Option<String>, Header, description = "`text/plain` or `application/openmetrics-text`")),
    responses(
        (status = 200, description = "The metrics, in one of the two forms", headers(
            ("Vary" = String, description = "`accept` and `accept-encoding`"),
        ), content(
            (String = "text/plain"),
            (String = "application/openmetrics-text"),
        )),
        MetricsProblems,
    )
)]
pub(in crate::http) async fn metrics(
    State(metrics): State<Metrics>,
    State(settings): State<GlobalSettingsService>,
    State(streams): State<Streams>,
    headers: HeaderMap,
) -> Result<JsonResponse, Problem> {
    metrics.streams(streams.open());
    let has_sessions = sessions::are_declared(&settings.current().schema);
    let format = accept::metrics_format(&headers);
    let text = metrics.text(format, has_sessions).map_err(|err| Problem::internal(&err))?;
    Ok(JsonResponse::text(format.media_type(), text).with(header::VARY, "accept"))
}

/// The same as readyz.
#[utoipa::path(
    get,
    path = "/healthz",
    operation_id = "isHealthy",
    tag = "health",
    params(("verbose" = Option<String>, Query, description = "A line for each check")),
    responses(
        (status = 200, description = "It can serve", body = String, content_type = "text/plain"),
        (status = 503, description = "It cannot; the lines say why", body = String, content_type = "text/plain"),
    )
)]
pub(in crate::http) async fn healthz(
    State(settings): State<GlobalSettingsService>,
    State(outbox): State<Outbox>,
    query: Query,
) -> Response {
    ready(&settings, &outbox, query)
}

fn ready(settings: &GlobalSettingsService, outbox: &Outbox, mut query: Query) -> Response {
    // What else there is was added by a probe or a cache on the way, and says nothing to us.
    let verbose = query.flag("verbose");
    // Names of checks only: what is wrong with which setting is for those who may read settings.
    let checks = [
        ("database", settings.is_reachable()),
        ("settings", settings.is_valid()),
        ("listener", settings.is_listening()),
    ];
    let sound = checks.iter().all(|(_, sound)| *sound);
    let status = if sound { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let line = |(name, sound): &(&str, bool)| {
        if *sound { format!("[+]{name} ok\n") } else { format!("[-]{name} failed\n") }
    };
    let told = checks.iter().filter(|(_, sound)| verbose || !sound).map(line);
    // Alerts that nobody takes keep nobody from being served.
    let sinks = outbox.health().into_iter().filter(|_| verbose).map(|(sink, dead)| {
        if dead {
            format!("[-]sink {sink} is gone; ready all the same\n")
        } else {
            format!("[+]sink {sink} ok\n")
        }
    });
    let verdict = if sound { "ok\n" } else { "not ready\n" };
    text(status, told.chain(sinks).chain([verdict.to_owned()]).collect())
}

fn text(status: StatusCode, body: String) -> Response {
    (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], body).into_response()
}
