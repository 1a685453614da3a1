//! Liveness, readiness and metrics. Responses come from memory: a probe must neither wait for work nor cause work.

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

use crate::{
    http::{
        openapi::problems,
        problem::Problem,
        request::{
            accept::MetricsFormat,
            query::{Flag, LenientQuery, NoParameters, query},
        },
        response::JsonResponse,
        serve::sse::Streams,
    },
    metrics::Metrics,
    outbox::Outbox,
    sessions,
    settings::GlobalSettingsService,
};

query! {
    /// The parameters of a probe.
    #[derive(Default)]
    struct ProbeParameters {
        /// A line for each check
        verbose: Flag,
    }
}

/// Whether the process runs; depends on nothing else.
#[utoipa::path(
    get,
    path = "/livez",
    operation_id = "isAlive",
    tag = "health",
    responses((status = 200, description = "The process runs", body = String, content_type = "text/plain"))
)]
pub(in crate::http) async fn livez(_: LenientQuery<NoParameters>) -> Response {
    // No dependency is checked: a restart would not repair the database.
    text(StatusCode::OK, "ok\n".to_owned())
}

/// Whether the service can serve: database, settings, notification channel.
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "isReady",
    tag = "health",
    params(ProbeParameters),
    responses(
        (status = 200, description = "The service can serve", body = String, content_type = "text/plain"),
        (status = 503, description = "The service cannot serve; a line for each failed check", body = String, content_type = "text/plain"),
    )
)]
pub(in crate::http) async fn readyz(
    State(settings): State<GlobalSettingsService>,
    State(outbox): State<Outbox>,
    LenientQuery(parameters): LenientQuery<ProbeParameters>,
) -> Response {
    ready(&settings, &outbox, &parameters)
}

problems! {
    MetricsProblems: Internal
}

/// The metrics, for Prometheus.
///
/// The format is negotiated: `OpenMetrics` 1.0 if `Accept` names it, otherwise Prometheus's text format 0.0.4. The
/// metrics and the probes ignore unknown parameters.
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "getMetrics",
    tag = "health",
    params(MetricsFormat),
    responses(
        (status = 200, description = "The metrics, in one of the two formats", headers(
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
    _: LenientQuery<NoParameters>,
    MetricsFormat(format): MetricsFormat,
) -> Result<JsonResponse, Problem> {
    // The gauge is read at each scrape, so opening a stream updates no metric.
    metrics.streams(streams.open());
    // Without declared sessions, the metrics of sessions would be constant zeros.
    let has_sessions = sessions::are_declared(&settings.current().schema);
    let text = metrics.text(format, has_sessions).map_err(|err| Problem::internal(&err))?;
    // A cache must not serve the format of another client.
    Ok(JsonResponse::text(format.media_type(), text).with(header::VARY, "accept"))
}

/// The same as `/readyz`.
#[utoipa::path(
    get,
    path = "/healthz",
    operation_id = "isHealthy",
    tag = "health",
    params(ProbeParameters),
    responses(
        (status = 200, description = "The service can serve", body = String, content_type = "text/plain"),
        (status = 503, description = "The service cannot serve; a line for each failed check", body = String, content_type = "text/plain"),
    )
)]
pub(in crate::http) async fn healthz(
    State(settings): State<GlobalSettingsService>,
    State(outbox): State<Outbox>,
    LenientQuery(parameters): LenientQuery<ProbeParameters>,
) -> Response {
    // Some platforms probe only `/healthz`, hence a second path of the same check.
    ready(&settings, &outbox, &parameters)
}

fn ready(
    settings: &GlobalSettingsService,
    outbox: &Outbox,
    parameters: &ProbeParameters,
) -> Response {
    let Flag(is_verbose) = parameters.verbose;
    // Only the names of checks: details require the right to read settings.
    let checks = [
        ("database", settings.is_reachable()),
        ("settings", settings.is_valid()),
        // Without notifications, changes of other instances wait for the next poll.
        ("listener", settings.is_listening()),
    ];
    let is_ready = checks.iter().all(|(_, is_ok)| *is_ok);
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let line = |(name, is_ok): &(&str, bool)| {
        if *is_ok { format!("[+]{name} ok\n") } else { format!("[-]{name} failed\n") }
    };
    // A failed check is listed even without `verbose`, so a probe's log has the cause.
    let lines = checks.iter().filter(|(_, is_ok)| is_verbose || !is_ok).map(line);
    // The service can serve while a sink is down, so sinks do not count.
    let sinks = outbox.health().into_iter().filter(|_| is_verbose);
    let sinks = sinks.map(|(sink, is_disabled)| {
        if is_disabled {
            format!("[-]sink {sink} is disabled; readiness is not affected\n")
        } else {
            format!("[+]sink {sink} ok\n")
        }
    });
    let verdict = if is_ready { "ok\n" } else { "not ready\n" };
    text(status, lines.chain(sinks).chain([verdict.to_owned()]).collect())
}

fn text(status: StatusCode, body: String) -> Response {
    (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], body).into_response()
}
