//! What every request passes, whatever route it is for.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    http::{
        HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header,
        uri::{Authority, Uri},
    },
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use http_body_util::Limited;
use hyper::body::Body as _;
use tokio::time::{Instant, timeout};
use tower_http::catch_panic::CatchPanicLayer;
use tracing::{Instrument as _, Span, debug, error_span, info};

use crate::{
    http::{
        path_prefix::PathPrefix,
        problem::{self, Code, Problem},
        request::preconditions,
        serve::{
            limits::{AnswerDue, BODY_BYTES, BodyDue, HEAD_BYTES, HEAD_LINES, Limits},
            refusal_log::RefusalLog,
        },
    },
    ids::RequestId,
    json::{FieldError, FieldErrors},
    metrics::{self, Metrics},
    secret_scanner::SecretScanner,
    trace_context::{TRACEPARENT, TRACESTATE, TraceContext},
};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Set on every answer.
const ALWAYS: [(HeaderName, HeaderValue); 2] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
];

/// Set where the handler has not decided otherwise: a page that shows something needs its own policy,
/// and only a handler knows what may be kept.
const UNLESS_SET: [(HeaderName, HeaderValue); 2] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    ),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
];

/// `router` with all that stands around its routes. From outside in:
///
/// 1. the request id, the tracing span and the line in the log: first, so that whatever follows can
///    name the request, and last on the way out, so that they see the answer as it leaves;
/// 2. the writing-out of problems and the headers of every answer: outside everything that can refuse;
/// 3. the checks on the head: before anything is spent on the request;
/// 4. the deadline: around body, credentials and handler alike;
/// 5. the catching of panics: inside, so that a panic is answered like any other failure.
///
/// What no route takes is a 404 problem, and a method that its path does not answer a 405.
pub fn with_middleware(
    router: Router,
    limits: &Limits,
    scanner: SecretScanner,
    metrics: Metrics,
    path_prefix: PathPrefix,
) -> Router {
    let refusals = RefusalLog::default();
    let around = Around { limit: limits.request, scanner, metrics, refusals, path_prefix };
    router
        .fallback(no_such_route)
        .layer(CatchPanicLayer::custom(|_| Problem::panicked().into_response()))
        .layer(middleware::from_fn_with_state(Arc::new(around), answer))
}

/// What [`answer`] needs for every request.
struct Around {
    limit: Duration,
    scanner: SecretScanner,
    metrics: Metrics,
    refusals: RefusalLog,
    path_prefix: PathPrefix,
}

async fn no_such_route(uri: Uri) -> Problem {
    if uri.path().contains("//") {
        return Problem::not_found(
            "the path has two slashes in a row: write the client's base URL without a slash at its end",
        );
    }
    Problem::not_found("there is no such path")
}

async fn answer(State(around): State<Arc<Around>>, mut request: Request, next: Next) -> Response {
    let Around { limit, scanner, metrics, refusals, path_prefix } = &*around;
    let started = Instant::now();
    let id = request_id(request.headers(), scanner);
    let path = request.uri().path().to_owned();
    let trace = trace(request.headers(), scanner);
    let (method, route) = (request.method().clone(), route(&request));
    let asked = Asked { id: id.clone(), trace: trace.clone(), method, route };
    request.extensions_mut().insert(id.clone());
    let response = trace.around(admit(request, next, *limit).instrument(asked.span())).await;
    let problem = response.extensions().get::<Problem>();
    if let Some(problem) = problem.filter(|problem| problem.code() == Code::Unauthorized) {
        asked.span().in_scope(|| refusals.log(problem));
    }
    let problem = problem.map(|it| it.code().as_str());
    let mut response = problem::render(response, &path, &id, scanner, path_prefix);
    path_prefix.complete(response.headers_mut());
    set_headers(response.headers_mut(), &id);
    let took = started.elapsed();
    asked.count(metrics, response.status(), problem, took);
    asked.log(response.status(), took);
    response
}

/// The caller's own id if it is one and only one, and no secret or part of one, which the log and the trail would
/// keep; else a new one.
fn request_id(headers: &HeaderMap, scanner: &SecretScanner) -> RequestId {
    only(headers, &REQUEST_ID)
        .and_then(|it| RequestId::parse(it.to_str().ok()?))
        .filter(|id| !scanner.may_be_secret_fragment(id.as_str()) && !is_random(id.as_str()))
        .unwrap_or_default()
}

/// Whether `text` looks like the end of a token: long, and of mixed letters and digits as base64 has them. Ids that
/// people make (UUIDs, ULIDs, those of load balancers) are shorter or of one case.
fn is_random(text: &str) -> bool {
    let count = |of: fn(&u8) -> bool| text.bytes().filter(of).count();
    text.len() >= 40
        && count(u8::is_ascii_uppercase) >= 6
        && count(u8::is_ascii_lowercase) >= 6
        && count(u8::is_ascii_digit) >= 2
}

/// Returns the caller's trace, or a new one if `traceparent` is absent, repeated or looks like a secret. Drops any
/// `tracestate` that may contain a secret.
fn trace(headers: &HeaderMap, scanner: &SecretScanner) -> TraceContext {
    // Sent on to other services, which may log it.
    let states = headers.get_all(TRACESTATE).iter().filter_map(|state| state.to_str().ok());
    let states = states.filter(|state| !scanner.may_be_secret_fragment(state));
    only(headers, &HeaderName::from_static(TRACEPARENT))
        .and_then(|it| TraceContext::continued(it.to_str().ok()?, states))
        .filter(|it| scanner.scan(it.id()).is_none())
        .unwrap_or_else(TraceContext::begin)
}

/// What the log says of a request. No query, header or body, and the route instead of the path: those may
/// hold anything.
struct Asked {
    id: RequestId,
    trace: TraceContext,
    method: Method,
    route: Option<MatchedPath>,
}

fn route(request: &Request) -> Option<MatchedPath> {
    request.extensions().get::<MatchedPath>().cloned()
}

impl Asked {
    fn route(&self) -> &str {
        self.route.as_ref().map_or("none", MatchedPath::as_str)
    }

    fn span(&self) -> Span {
        // At the level of errors, so that an error names its request whatever level is asked for.
        let (request_id, method) = (self.id.as_str(), self.method.as_str());
        let (trace_id, span_id) = (self.trace.id(), self.trace.span_id());
        error_span!("request", request_id, trace_id, span_id, method, route = self.route())
    }

    fn count(
        &self,
        metrics: &Metrics,
        status: StatusCode,
        problem: Option<&'static str>,
        took: Duration,
    ) {
        let method = match self.method {
            Method::GET => "GET",
            Method::HEAD => "HEAD",
            Method::POST => "POST",
            Method::PUT => "PUT",
            Method::PATCH => "PATCH",
            Method::DELETE => "DELETE",
            Method::OPTIONS => "OPTIONS",
            // One that is made up would be a label that is.
            _ => "_OTHER",
        };
        let (route, status) = (self.route(), status.as_u16());
        metrics.request(metrics::Request { method, route, status, problem, took });
    }

    /// The line of each request. Outside the span, which would be read back from its own JSON to be written
    /// into the line: that costs as much as the line.
    fn log(&self, status: StatusCode, took: Duration) {
        let quiet = is_routine(self.route(), status);
        // To the microsecond: what is finer is the clock's.
        let (status, ms) = (status.as_u16(), (took.as_secs_f64() * 1e6).round() / 1e3);
        let (request_id, method, route) = (self.id.as_str(), self.method.as_str(), self.route());
        let (trace_id, span_id) = (self.trace.id(), self.trace.span_id());
        if quiet {
            debug!(status, ms, request_id, trace_id, span_id, method, route, "answered");
        } else {
            info!(status, ms, request_id, trace_id, span_id, method, route, "answered");
        }
    }
}

/// Whether a request is one of those that are sent all day: probes, flags that were read, and the console's files. These are
/// counted like all others, and only their lines in the log are left out.
fn is_routine(route: &str, status: StatusCode) -> bool {
    match route {
        "/livez" | "/readyz" | "/healthz" | "/metrics" => true,
        "/admin/assets/{version}/{file}" => status.as_u16() < 400,
        _ => route.starts_with("/ofrep/v1/evaluate/") && status.as_u16() < 400,
    }
}

fn set_headers(headers: &mut HeaderMap, id: &RequestId) {
    // An id is made of characters that a header may hold.
    if let Ok(id) = HeaderValue::from_str(id.as_str()) {
        headers.insert(REQUEST_ID, id);
    }
    for (name, value) in ALWAYS {
        headers.insert(name, value);
    }
    for (name, value) in UNLESS_SET {
        headers.entry(name).or_insert(value);
    }
}

/// The answer of the routes, if the request's head lets it get that far.
async fn admit(mut request: Request, next: Next, limit: Duration) -> Response {
    if let Err(problem) = check(&request) {
        return problem.into_response();
    }
    let may_change = !request.method().is_safe();
    if !request.body().is_end_stream() {
        request = request.map(|body| axum::body::Body::new(Limited::new(body, BODY_BYTES)));
    }
    let now = Instant::now();
    // Sooner than the deadline, so that a client that is slow is not told of an unknown outcome.
    request.extensions_mut().insert(BodyDue(now + limit / 2));
    request.extensions_mut().insert(AnswerDue(now + limit));
    match timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::late(may_change).into_response(),
    }
}

fn check(request: &Request) -> Result<(), Problem> {
    check_size(request)?;
    check_host(request.uri(), request.headers())?;
    let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    preconditions::check(request.method(), route, request.headers())
}

fn check_size(request: &Request) -> Result<(), Problem> {
    let headers = request.headers();
    let lines = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
    let target = request.uri().path_and_query().map_or(0, |it| it.as_str().len());
    if HEAD_LINES < headers.len() || HEAD_BYTES < target + lines.sum::<usize>() {
        let detail =
            format!("the request head must have at most {HEAD_BYTES} bytes and {HEAD_LINES} lines");
        return Err(Problem::new(Code::HeadersTooLarge, detail));
    }
    // Told from the announcement alone, before a byte of it is read.
    let length = headers.get(header::CONTENT_LENGTH).and_then(|it| it.to_str().ok()?.parse().ok());
    if length.is_some_and(|it: u64| (BODY_BYTES as u64) < it) {
        return Err(too_large());
    }
    Ok(())
}

/// A body over the limit, whether announced or found.
pub(in crate::http) fn too_large() -> Problem {
    Problem::new(Code::PayloadTooLarge, format!("a body may have {BODY_BYTES} bytes"))
}

/// One `Host`, and the request's own target, where it names one, of the same authority: a proxy in
/// front and this service must not differ over whom a request is for.
fn check_host(uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    let bad = |detail| {
        let fault = FieldError { pointer: None, ..FieldError::at("", "invalid_host", detail) };
        Err(Problem::malformed(FieldErrors::from(fault)))
    };
    let Some(host) = only(headers, &header::HOST) else {
        return bad("a request has one Host header, neither none nor two");
    };
    let Some(host) = host.to_str().ok().and_then(|it| it.parse::<Authority>().ok()) else {
        return bad("the Host header is not a host");
    };
    if host.as_str().contains('@') {
        return bad("the Host header is not a host");
    }
    match uri.authority() {
        Some(target) if !target.as_str().eq_ignore_ascii_case(host.as_str()) => {
            bad("the Host header and the request's target differ")
        }
        _ => Ok(()),
    }
}

/// The value of a header that stands exactly once.
pub(in crate::http) fn only<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}
