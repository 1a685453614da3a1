//! The viewer of the OpenAPI document under `/docs`: Swagger UI, built into the binary.

use std::{
    borrow::Cow,
    sync::{Arc, LazyLock},
};

use axum::{
    Router,
    body::Bytes,
    extract::Path,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use quick_cache::sync::Cache;
use tower_http::set_header::SetResponseHeaderLayer;
use utoipa_swagger_ui::Config;

use crate::http::{problem::Problem, serve::compression::StaticBody};

/// The viewer styles itself inline, which nothing else of the service may. It loads nothing from other hosts.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
    connect-src 'self'; frame-ancestors 'none'";

/// The document and how the viewer shows it. The address is relative, because a proxy may serve the service under a path.
// `none`: Swagger UI would otherwise send the address to a validator of another host.
static CONFIG: LazyLock<Arc<Config<'static>>> =
    LazyLock::new(|| Arc::new(Config::from("../openapi.json").validator_url("none")));

/// The files by name, so that each is compressed once. The crate has fewer than 32.
static FILES: LazyLock<Cache<String, StaticBody>> = LazyLock::new(|| Cache::new(32));

/// The routes of the viewer.
pub(super) fn routes() -> Router {
    let policy = HeaderValue::from_static(POLICY);
    Router::new()
        .route("/docs", get(redirect))
        .route("/docs/", get(async |headers: HeaderMap| file("index.html", &headers).await))
        .route(
            "/docs/{*rest}",
            get(async |Path(name): Path<String>, headers: HeaderMap| file(&name, &headers).await),
        )
        .layer(SetResponseHeaderLayer::overriding(header::CONTENT_SECURITY_POLICY, policy))
}

async fn redirect() -> Response {
    // The relative addresses of the page need the trailing slash.
    (StatusCode::SEE_OTHER, [(header::LOCATION, "docs/")]).into_response()
}

async fn file(name: &str, headers: &HeaderMap) -> Result<Response, Problem> {
    if let Some(body) = FILES.get(name) {
        return body.respond(headers).await;
    }
    let file = utoipa_swagger_ui::serve(name, Arc::clone(&CONFIG));
    let file = file.map_err(|err| Problem::internal(&*err))?;
    let file = file.ok_or_else(|| Problem::not_found("there is no such path"))?;
    let media_type = HeaderValue::try_from(file.content_type);
    let media_type = media_type.map_err(|err| Problem::internal(&err))?;
    let content = match file.bytes {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => bytes.into(),
    };
    let body = StaticBody::new(media_type, content);
    // Only names of the crate's files get an entry, so no caller can fill the cache.
    FILES.insert(name.to_owned(), body.clone());
    body.respond(headers).await
}
