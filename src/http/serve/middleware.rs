//! The middleware of every request.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{MatchedPath, Request, State},
    http::{
        HeaderMap, HeaderName, HeaderValue, header,
        uri::{Authority, Uri},
    },
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use http_body_util::Limited;
use hyper::body::Body as _;
use tokio::time::{Instant, timeout};
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument as _;

use crate::{
    http::{
        path_prefix::PathPrefix,
        problem::{self, Code, Problem, ProblemFormat},
        request::{
            body::{BODY_BYTES, BodyDeadline, payload_too_large},
            headers::single_value,
            preconditions,
        },
        serve::{
            limits::{HEAD_BYTES, HEAD_LINES, Limits, ResponseDeadline},
            log_rate_limit::AuthFailureLog,
            request_log::RequestLog,
        },
    },
    ids::RequestId,
    json::{FieldError, FieldErrors},
    metrics::Metrics,
    secret_scanner::SecretScanner,
    trace_context::{TRACEPARENT, TRACESTATE, TraceContext},
};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Headers of every response.
const FIXED_HEADERS: [(HeaderName, HeaderValue); 2] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
];

/// Headers that a handler may override: a page needs another policy, and only a handler knows whether to permit caching.
const DEFAULT_HEADERS: [(HeaderName, HeaderValue); 2] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    ),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
];

/// Wraps `router` in the middleware stack. From outside in:
///
/// 1. the request id, the tracing span and the log line: first, because everything else names the request, and last
///    on the way out, to see the final response;
/// 2. rendering of problems, in `problem_format` where it applies, and response headers: outside of everything fallible;
/// 3. checks of the head: before any work is spent on the request;
/// 4. the deadline: around body, authentication and handler;
/// 5. catching of panics: innermost, so that a panic becomes a problem like any other failure.
///
/// An unknown route is a 404 problem, an unsupported method a 405.
pub fn with_middleware(
    router: Router,
    limits: &Limits,
    scanner: SecretScanner,
    metrics: Metrics,
    path_prefix: PathPrefix,
    problem_format: Option<ProblemFormat>,
) -> Router {
    let middleware = Middleware {
        request_limit: limits.request,
        scanner,
        metrics,
        auth_failures: AuthFailureLog::default(),
        path_prefix,
        problem_format,
    };
    router
        .fallback(unknown_route)
        .layer(CatchPanicLayer::custom(|_| Problem::panicked().into_response()))
        .layer(middleware::from_fn_with_state(Arc::new(middleware), handle))
}

/// The state of the outermost middleware.
struct Middleware {
    request_limit: Duration,
    scanner: SecretScanner,
    metrics: Metrics,
    auth_failures: AuthFailureLog,
    path_prefix: PathPrefix,
    problem_format: Option<ProblemFormat>,
}

async fn unknown_route(uri: Uri) -> Problem {
    // A base URL with a trailing slash produces such paths, and the cause is hard to see.
    if uri.path().contains("//") {
        return Problem::not_found(
            "the path has two slashes in a row: configure the client's base URL without a trailing slash",
        );
    }
    Problem::not_found("unknown path")
}

async fn handle(
    State(middleware): State<Arc<Middleware>>,
    mut request: Request,
    next: Next,
) -> Response {
    let Middleware { scanner, path_prefix, .. } = &*middleware;
    let start = Instant::now();
    let id = request_id(request.headers(), scanner);
    // Copied now: `next` consumes the request, and rendering needs the path.
    let path = request.uri().path().to_owned();
    let trace = trace(request.headers(), scanner);
    let log = RequestLog {
        id: id.clone(),
        trace: trace.clone(),
        method: request.method().clone(),
        route: request.extensions().get::<MatchedPath>().cloned(),
    };
    request.extensions_mut().insert(id.clone());
    let response = admit(request, next, middleware.request_limit).instrument(log.span());
    let response = trace.around(response).await;
    let problem = response.extensions().get::<Problem>();
    if let Some(problem) = problem.filter(|problem| problem.code() == Code::Unauthorized) {
        log.span().in_scope(|| middleware.auth_failures.log(problem));
    }
    // Rendering removes the problem from the response, so the code is read before.
    let code = problem.map(|problem| problem.code().as_str());
    let format = middleware.problem_format;
    let mut response = problem::render(response, &path, &id, scanner, path_prefix, format);
    path_prefix.prefix_location(response.headers_mut());
    set_headers(response.headers_mut(), &id);
    let elapsed = start.elapsed();
    log.count(&middleware.metrics, response.status(), code, elapsed);
    log.log(response.status(), elapsed);
    response
}

/// Returns the caller's id, or a new id if the header is absent, repeated, invalid or may contain a secret: log and
/// audit trail store the id.
fn request_id(headers: &HeaderMap, scanner: &SecretScanner) -> RequestId {
    single_value(headers, &REQUEST_ID)
        .and_then(|value| RequestId::parse(value.to_str().ok()?))
        .filter(|id| !scanner.may_be_secret_fragment(id.as_str()) && !is_random(id.as_str()))
        .unwrap_or_default()
}

/// Returns whether `text` resembles a part of a token: long, and of mixed letters and digits as in base64. Usual ids
/// (UUIDs, ULIDs, ids of load balancers) are shorter or of one case.
fn is_random(text: &str) -> bool {
    let count = |class: fn(&u8) -> bool| text.bytes().filter(class).count();
    text.len() >= 40
        && count(u8::is_ascii_uppercase) >= 6
        && count(u8::is_ascii_lowercase) >= 6
        && count(u8::is_ascii_digit) >= 2
}

/// Returns the caller's trace, or a new trace if `traceparent` is absent, repeated or resembles a secret. Drops any
/// `tracestate` that may contain a secret.
fn trace(headers: &HeaderMap, scanner: &SecretScanner) -> TraceContext {
    // Other services receive the state and may log it.
    let states = headers.get_all(TRACESTATE).iter().filter_map(|state| state.to_str().ok());
    let states = states.filter(|state| !scanner.may_be_secret_fragment(state));
    single_value(headers, &HeaderName::from_static(TRACEPARENT))
        .and_then(|value| TraceContext::continued(value.to_str().ok()?, states))
        .filter(|trace| scanner.scan(trace.id()).is_none())
        .unwrap_or_else(TraceContext::begin)
}

fn set_headers(headers: &mut HeaderMap, id: &RequestId) {
    // A request id consists of header characters only.
    if let Ok(id) = HeaderValue::from_str(id.as_str()) {
        headers.insert(REQUEST_ID, id);
    }
    for (name, value) in FIXED_HEADERS {
        headers.insert(name, value);
    }
    for (name, value) in DEFAULT_HEADERS {
        headers.entry(name).or_insert(value);
    }
}

/// Checks the head, sets the deadlines and runs the routes.
async fn admit(mut request: Request, next: Next, limit: Duration) -> Response {
    if let Err(problem) = check_head(&request) {
        return problem.into_response();
    }
    let may_change = !request.method().is_safe();
    // An empty body needs no limit, and most requests have none.
    if !request.body().is_end_stream() {
        request = request.map(|body| Body::new(Limited::new(body, BODY_BYTES)));
    }
    let now = Instant::now();
    // The body gets half of the time, so that a slow client gets a timeout, not an unknown outcome.
    request.extensions_mut().insert(BodyDeadline(now + limit / 2));
    request.extensions_mut().insert(ResponseDeadline(now + limit));
    match timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::timed_out(may_change).into_response(),
    }
}

fn check_head(request: &Request) -> Result<(), Problem> {
    check_size(request)?;
    check_host(request.uri(), request.headers())?;
    let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    preconditions::check(request.method(), route, request.headers())
}

fn check_size(request: &Request) -> Result<(), Problem> {
    let headers = request.headers();
    // Each line has 4 more bytes: a colon, a space, CR and LF.
    let lines = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    if headers.len() > HEAD_LINES || target + lines.sum::<usize>() > HEAD_BYTES {
        let detail =
            format!("the request head must have at most {HEAD_BYTES} bytes and {HEAD_LINES} lines");
        return Err(Problem::new(Code::HeadersTooLarge, detail));
    }
    // The declared length suffices, so nothing of a large body is read.
    let length = headers.get(header::CONTENT_LENGTH);
    let length = length.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > BODY_BYTES as u64) {
        return Err(payload_too_large());
    }
    Ok(())
}

/// Requires one `Host` that equals the authority of the request target, if present.
fn check_host(uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    // A proxy and this service must agree on the host of a request.
    let invalid = |detail| {
        let error = FieldError { pointer: None, ..FieldError::at("", "invalid_host", detail) };
        Err(Problem::malformed(FieldErrors::from(error)))
    };
    let Some(host) = single_value(headers, &header::HOST) else {
        return invalid("a request must have exactly one Host header");
    };
    let Some(host) = host.to_str().ok().and_then(|value| value.parse::<Authority>().ok()) else {
        return invalid("the Host header is not a valid host");
    };
    // `user@host` is a valid authority, but not a valid `Host` (RFC 9110, 7.2).
    if host.as_str().contains('@') {
        return invalid("the Host header is not a valid host");
    }
    match uri.authority() {
        Some(target) if !target.as_str().eq_ignore_ascii_case(host.as_str()) => {
            invalid("the Host header differs from the request target")
        }
        _ => Ok(()),
    }
}
