//! The middleware of every request.

use std::{
    convert::Infallible,
    future::Future,
    panic::{self, AssertUnwindSafe},
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{MatchedPath, Request},
    http::{HeaderMap, HeaderName, HeaderValue, header, uri::Uri},
    response::{IntoResponse, Response},
    routing::{Route, future::RouteFuture},
};
use http_body_util::Limited;
use hyper::body::Body as _;
use tokio::{
    task::coop::{Unconstrained, unconstrained},
    time::{Instant, Sleep, sleep_until},
};
use tower::{Layer, Service};

use crate::{
    http::{
        path_prefix::PathPrefix,
        problem::{self, Code, Problem, ProblemFormat},
        request::body::{BODY_BYTES, BodyDeadline},
        serve::{
            head::{self, REQUEST_ID},
            limits::Limits,
            log_rate_limit::AuthFailureLog,
            request_log::RouteLog,
        },
    },
    ids::RequestId,
    metrics::Metrics,
    request_context::RequestContext,
    secret_scanner::SecretScanner,
};

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

/// Wraps every route of `router` in one layer, which does the following from outside in:
///
/// 1. the request id, the context and the log line: first, because everything else names the request, and last
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
    router.fallback(unknown_route).layer(MiddlewareLayer(Arc::new(middleware)))
}

/// The state of the middleware.
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

#[derive(Clone)]
struct MiddlewareLayer(Arc<Middleware>);

impl Layer<Route> for MiddlewareLayer {
    type Service = MiddlewareService;

    fn layer(&self, inner: Route) -> MiddlewareService {
        let endpoint = Endpoint { middleware: Arc::clone(&self.0), route: OnceLock::new() };
        MiddlewareService { inner, endpoint: Arc::new(endpoint) }
    }
}

/// The middleware of one endpoint, which is a route and its handler for a method.
#[derive(Clone)]
struct MiddlewareService {
    inner: Route,
    endpoint: Arc<Endpoint>,
}

struct Endpoint {
    middleware: Arc<Middleware>,
    /// Set by the first request: axum does not pass the route to a layer.
    route: OnceLock<RouteLog>,
}

impl Endpoint {
    fn route(&self, request: &Request) -> &RouteLog {
        self.route.get_or_init(|| {
            let route = request.extensions().get::<MatchedPath>();
            RouteLog::new(route.map_or("none", MatchedPath::as_str), &self.middleware.metrics)
        })
    }
}

impl Service<Request> for MiddlewareService {
    type Response = Response;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request) -> ResponseFuture {
        let start = Instant::now();
        let middleware = &self.endpoint.middleware;
        let route = self.endpoint.route(&request);
        let head = head::check(&request, &route.route);
        let headers = request.headers();
        let context = RequestContext::new(
            head::request_id(headers, &middleware.scanner),
            request.method().clone(),
            Arc::clone(&route.route),
            start + middleware.request_limit,
            head::trace(headers, &middleware.scanner),
        );
        let uri = request.uri().clone();
        let work = match head {
            Ok(()) => {
                // Most requests have no body.
                if !request.body().is_end_stream() {
                    // The body gets half of the time, so that a slow client gets a timeout, not an unknown outcome.
                    let due = start + middleware.request_limit / 2;
                    request.extensions_mut().insert(BodyDeadline(due));
                    request = request.map(|body| Body::new(Limited::new(body, BODY_BYTES)));
                }
                Work::Handler { handler: self.inner.call(request), deadline: None }
            }
            Err(problem) => Work::Rejected(problem),
        };
        let endpoint = Arc::clone(&self.endpoint);
        ResponseFuture { work, context: Arc::new(context), endpoint, uri, start }
    }
}

/// The response of a request.
struct ResponseFuture {
    work: Work,
    context: Arc<RequestContext>,
    endpoint: Arc<Endpoint>,
    uri: Uri,
    start: Instant,
}

/// The source of the response.
#[expect(clippy::large_enum_variant, reason = "a box would be allocated for each request")]
enum Work {
    Handler {
        handler: RouteFuture<Infallible>,
        /// Set when the handler waits for the first time: most handlers never wait.
        deadline: Option<Pin<Box<Unconstrained<Sleep>>>>,
    },
    Rejected(Problem),
    Finished,
}

impl Future for ResponseFuture {
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let future = self.get_mut();
        let response = ready!(future.context.scope(|| future.work.poll(&future.context, cx)));
        Poll::Ready(Ok(future.finish(response)))
    }
}

impl Work {
    fn poll(&mut self, context: &RequestContext, cx: &mut Context<'_>) -> Poll<Response> {
        let response = match self {
            Self::Handler { handler, deadline } => {
                // A handler that has panicked is never polled again.
                match panic::catch_unwind(AssertUnwindSafe(|| Pin::new(handler).poll(cx))) {
                    Ok(Poll::Ready(Ok(response))) => response,
                    Ok(Poll::Pending) => {
                        // Unconstrained: a handler that uses up the task's budget must not delay the timeout.
                        let timer = || Box::pin(unconstrained(sleep_until(context.due)));
                        ready!(deadline.get_or_insert_with(timer).as_mut().poll(cx));
                        Problem::timed_out(!context.method.is_safe()).into_response()
                    }
                    Err(_) => Problem::panicked().into_response(),
                }
            }
            Self::Rejected(problem) => problem.clone().into_response(),
            // Reached only if a future is polled after its end.
            Self::Finished => return Poll::Pending,
        };
        // Dropped here, because a handler may log while its values are dropped.
        *self = Self::Finished;
        Poll::Ready(response)
    }
}

impl ResponseFuture {
    /// Renders the problem, sets the headers, and records the request.
    fn finish(&self, response: Response) -> Response {
        let Middleware { scanner, path_prefix, problem_format, auth_failures, .. } =
            &*self.endpoint.middleware;
        let problem = response.extensions().get::<Problem>();
        if let Some(problem) = problem.filter(|problem| problem.code() == Code::Unauthorized) {
            self.context.scope(|| auth_failures.log(problem));
        }
        // Rendering removes the problem from the response, so the code is read before.
        let code = problem.map(|problem| problem.code().as_str());
        let (path, id) = (self.uri.path(), &self.context.id);
        let mut response =
            problem::render(response, path, id, scanner, path_prefix, *problem_format);
        path_prefix.prefix_location(response.headers_mut());
        set_headers(response.headers_mut(), id);
        if let Some(route) = self.endpoint.route.get() {
            route.record(&self.context, response.status(), code, self.start.elapsed());
        }
        response
    }
}

impl Drop for ResponseFuture {
    fn drop(&mut self) {
        // The client has disconnected; the handler may log while its values are dropped.
        if let Work::Handler { .. } = self.work {
            self.context.scope(|| self.work = Work::Finished);
        }
    }
}

fn set_headers(headers: &mut HeaderMap, id: &RequestId) {
    // Reserved at once, also for the id and the length: every growth of the map moves all headers.
    headers.reserve(FIXED_HEADERS.len() + DEFAULT_HEADERS.len() + 2);
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
