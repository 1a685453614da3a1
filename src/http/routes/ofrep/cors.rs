//! Which pages of other origins may evaluate flags.

use std::{sync::Arc, time::Duration};

use axum::http::{HeaderName, HeaderValue, Method, header};
use tower_http::cors::{AllowOrigin, CorsLayer};
use utoipa_axum::router::OpenApiRouter;

use crate::trace_context::{TRACEPARENT, TRACESTATE};

/// Origins whose pages may; `*` stands for all.
#[derive(Debug, Clone, Default)]
pub struct Origins(pub Arc<[String]>);

/// `routes` as pages of `origins` may use them. Nowhere is a browser's own credential taken, so a page can only
/// use what it was given.
pub(in crate::http) fn with_cors<S: Clone + Send + Sync + 'static>(
    routes: OpenApiRouter<S>,
    origins: &Origins,
) -> OpenApiRouter<S> {
    if origins.0.is_empty() {
        return routes;
    }
    let named = origins.0.iter().filter_map(|it| HeaderValue::from_str(it).ok());
    let allowed = if origins.0.iter().any(|it| it == "*") {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(named)
    };
    let api_key = HeaderName::from_static("x-api-key");
    let layer = CorsLayer::new()
        .allow_origin(allowed)
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
