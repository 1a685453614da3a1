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
    if origins.0.is_empty() {
        return routes;
    }
    let listed = origins.0.iter().filter_map(|origin| HeaderValue::from_str(origin).ok());
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
        .expose_headers([
            header::ETAG,
            header::RETRY_AFTER,
            HeaderName::from_static("x-request-id"),
        ])
        .max_age(Duration::from_hours(1));
    routes.layer(layer)
}
