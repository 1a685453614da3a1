//! The console: pages under `/admin/`, built into the binary.
//!
//! The files in `assets/` are served as they are written, without a build step. They hold no data: a page reads everything
//! it shows from the public API, with the cookie that `http/sign_in.rs` sets. `assets/app.js` is the entry point.

use std::{borrow::Cow, sync::LazyLock};

use axum::{
    Router,
    body::Bytes,
    extract::{Path, Request},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use quick_cache::sync::Cache;
use rust_embed::RustEmbed;
use sha2::{Digest as _, Sha256};

use crate::http::{
    problem::Problem,
    serve::compression::{StaticBody, short_digest},
};

/// The files. A debug build reads them for each request, so that an edit needs no build.
#[derive(RustEmbed)]
#[folder = "src/http/ui/assets"]
struct Assets;

const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

/// The policy of the document: nothing inline, nothing from other hosts, and no text that becomes markup or a script, because
/// a page shows texts of any author.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";

/// Returns the version of the files, a digest of all of them, which is part of their addresses. An address never changes
/// its content, so browsers keep the files, and a new release has new addresses.
fn version() -> Cow<'static, str> {
    static OF_RELEASE: LazyLock<String> = LazyLock::new(digest_of_files);
    // The files of a debug build change while it runs.
    if cfg!(debug_assertions) { digest_of_files().into() } else { OF_RELEASE.as_str().into() }
}

fn digest_of_files() -> String {
    let mut digest = Sha256::new();
    for name in Assets::iter() {
        let file = Assets::get(&name);
        // The name counts too: the document refers to files by name.
        digest.update(name.as_bytes());
        digest.update(file.map(|file| file.metadata.sha256_hash()).unwrap_or_default());
    }
    short_digest(&digest.finalize())
}

/// The bodies by the digest of their content, so that each is compressed once. A debug build adds those of edited files.
static BODIES: LazyLock<Cache<[u8; 32], StaticBody>> = LazyLock::new(|| Cache::new(256));

/// The console's routes.
pub(super) fn routes() -> Router {
    Router::new()
        .route("/", get(async |request: Request| redirect(&request, StatusCode::SEE_OTHER)))
        .route(
            "/admin",
            get(async |request: Request| redirect(&request, StatusCode::PERMANENT_REDIRECT)),
        )
        .route("/admin/", get(document))
        .route("/admin/assets/{version}/{file}", get(asset))
}

/// Redirects to the document and keeps the query. The location is relative, because a proxy may serve the service under a
/// path.
fn redirect(request: &Request, status: StatusCode) -> Response {
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    (status, [(header::LOCATION, format!("admin/{query}"))]).into_response()
}

/// Serves the document, which names the current version of the files. Browsers ask for it each time, and get a 304 until
/// the version changes.
async fn document(headers: HeaderMap) -> Result<Response, Problem> {
    let file = Assets::get("index.html").ok_or_else(not_found)?;
    let text = String::from_utf8_lossy(&file.data).replace("{version}", &version());
    let digest = Sha256::digest(&text).into();
    let body = static_body("index.html", digest, text.into_bytes().into());
    let mut response = body.respond(&headers).await?;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    // No page of another origin may keep a handle on the console's window.
    headers.insert(OPENER_POLICY, HeaderValue::from_static("same-origin"));
    Ok(response)
}

/// Serves one file.
async fn asset(
    Path((requested, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let file = Assets::get(&name).ok_or_else(not_found)?;
    let body = static_body(&name, file.metadata.sha256_hash(), file.data);
    let mut response = body.respond(&headers).await?;
    // While an upgrade rolls out, a page of another release may ask this instance. The browser must not keep the answer:
    // the address belongs to files that this instance does not have.
    let is_current = requested == version();
    let cache = if is_current { "public, max-age=31536000, immutable" } else { "no-store" };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    Ok(response)
}

/// Returns the body for `content`, from the cache if a request had the same content before.
fn static_body(name: &str, digest: [u8; 32], content: Cow<'static, [u8]>) -> StaticBody {
    if let Some(body) = BODIES.get(&digest) {
        return body;
    }
    let content = match content {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => bytes.into(),
    };
    let body = StaticBody::new(media_type(name), content);
    BODIES.insert(digest, body.clone());
    body
}

fn media_type(name: &str) -> HeaderValue {
    HeaderValue::from_static(match name.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "css" => "text/css; charset=utf-8",
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "svg" => "image/svg+xml",
        // With `nosniff`, a browser never runs a file of an unknown type.
        _ => "application/octet-stream",
    })
}

fn not_found() -> Problem {
    Problem::not_found("there is no such path")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_short_and_make_no_markup() {
        for name in Assets::iter() {
            let file = Assets::get(&name).unwrap();
            let text = std::str::from_utf8(&file.data).unwrap();
            assert!(text.lines().count() <= 400, "{name} has more than 400 lines");
            let sinks = ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("];
            let sink = sinks.iter().find(|sink| text.contains(**sink));
            assert_eq!(sink, None, "{name} turns text into markup or a script");
            // The namespace of SVG has the form of an address, but no browser loads it.
            let addresses = text.replace("http://www.w3.org/2000/svg", "");
            assert!(!addresses.contains("://"), "{name} names another host");
        }
    }

    #[test]
    fn the_document_and_its_modules_name_only_files_that_exist() {
        let html = Assets::get("index.html").unwrap();
        let html = std::str::from_utf8(&html.data).unwrap();
        let links = html.split("\"assets/{version}/").skip(1);
        let mut names: Vec<String> =
            links.map(|link| link.split('"').next().unwrap().to_owned()).collect();
        for module in Assets::iter().filter(|name| name.ends_with(".js")) {
            let file = Assets::get(&module).unwrap();
            let text = std::str::from_utf8(&file.data).unwrap();
            let imports = text.split("'./").skip(1);
            names.extend(imports.map(|import| import.split('\'').next().unwrap().to_owned()));
        }
        assert!(names.len() > 20, "{names:?}");
        let missing: Vec<_> = names.iter().filter(|name| Assets::get(name).is_none()).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}
