//! Cross-origin access to flags.

use std::{sync::Arc, time::Duration};

use axum::http::{HeaderName, HeaderValue, Method, header};
use tower_http::cors::{AllowOrigin, CorsLayer};
use utoipa_axum::router::OpenApiRouter;

use crate::trace_context::{TRACEPARENT, TRACESTATE};

/// The origins whose pages may evaluate flags; `*` allows all.
#[derive(Debug, Clone, Default)]
pub struct Origins(pub Arc<[String]>);

/// Allows pages of `origins` to call `routes`. The routes accept no cookie, so a page needs explicit credentials.
pub(in crate::http) fn with_cors<S: Clone + Send + Sync + 'static>(
    routes: OpenApiRouter<S>,
    origins: &Origins,
) -> OpenApiRouter<S> {
    // Without CORS headers, browsers keep pages of other origins out.
    if origins.0.is_empty() {
        return routes;
    }
    // The configuration has checked the origins, so each is a valid header value.
    let listed = origins.0.iter().filter_map(|origin| HeaderValue::from_str(origin).ok());
    // `AllowOrigin::list` panics on a wildcard, hence the separate case.
    let allow_origin = if origins.0.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(listed)
    };
    let api_key = HeaderName::from_static("x-api-key");
    let layer = CorsLayer::new()
        .allow_origin(allow_origin)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::IF_NONE_MATCH,
            api_key,
            HeaderName::from_static("x-request-id"),
            HeaderName::from_static(TRACEPARENT),
            HeaderName::from_static(TRACESTATE),
        ])
        // Browsers hide unlisted headers from scripts of other origins.
        .expose_headers([
            header::ETAG,
            header::RETRY_AFTER,
            HeaderName::from_static("x-request-id"),
        ])
        // A cached preflight saves a round trip for each evaluation.
        .max_age(Duration::from_hours(1));
    routes.layer(layer)
}
