//! The console: pages under `/admin/`, built into the binary.
//!
//! What is served here is the same for everybody and holds no data: one document, its styles and its modules, as they
//! stand in `assets/`, without a build step. Everything a page shows it asks of the public API, with the cookie that
//! `http/sign_in.rs` gives out. `assets/app.js` is where reading begins.

mod lean;

use std::{
    convert::Infallible,
    sync::{Arc, LazyLock},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Path, Request},
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use quick_cache::sync::Cache;
use rust_embed::RustEmbed;
use sha2::{Digest as _, Sha256};
use tower_http::set_header::SetResponseHeaderLayer;

use crate::http::{problem::Problem, ui::lean::lean};

/// The files. A debug build reads them anew for each request, so that a page is edited without a build.
#[derive(RustEmbed)]
#[folder = "src/http/ui/assets"]
struct Assets;

/// Nothing inline, nothing from elsewhere, and no text that becomes markup or a script: what a page shows may have
/// been written by anybody.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";

/// A digest of all the files, which their addresses carry: whoever has a file of this version has it for good.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut digest = Sha256::new();
    for name in Assets::iter() {
        digest.update(name.as_bytes());
        digest.update(Assets::get(&name).map(|it| it.metadata.sha256_hash()).unwrap_or_default());
    }
    let [a, b, c, d, e, f, ..] = <[u8; 32]>::from(digest.finalize());
    format!("{a:02x}{b:02x}{c:02x}{d:02x}{e:02x}{f:02x}")
});

/// The files as they are sent, by the digest of what they are made of: making them costs more than sending them.
static LEAN: LazyLock<Cache<[u8; 32], Arc<str>>> = LazyLock::new(|| Cache::new(256));

/// The console's routes.
pub(super) fn routes() -> Router {
    let policy = SetResponseHeaderLayer::overriding(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(POLICY),
    );
    let isolated = SetResponseHeaderLayer::overriding(
        HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    );
    Router::new()
        .route("/", get(async |request: Request| entrance(&request, StatusCode::SEE_OTHER)))
        .route(
            "/admin",
            get(async |request: Request| entrance(&request, StatusCode::PERMANENT_REDIRECT)),
        )
        .route("/admin/", get(document))
        .route("/admin/assets/{version}/{file}", get(asset))
        .layer(policy)
        .layer(isolated)
}

/// To the document, with whatever the address asked for. From where it was asked for, which may be under a path.
fn entrance(request: &Request, status: StatusCode) -> Response {
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    (status, [(header::LOCATION, format!("admin/{query}"))]).into_response()
}

/// The one document. It is asked for each time, and names the version of everything else.
async fn document() -> Result<Response, Problem> {
    let file = Assets::get("index.html").ok_or_else(nothing)?;
    let text = String::from_utf8_lossy(&file.data).replace("{version}", &VERSION);
    Ok(([(header::CONTENT_TYPE, "text/html; charset=utf-8")], text).into_response())
}

async fn asset(Path((version, name)): Path<(String, String)>) -> Result<Response, Problem> {
    let file = Assets::get(&name).ok_or_else(nothing)?;
    let text = LEAN.get_or_insert_with(&file.metadata.sha256_hash(), || {
        Ok::<_, Infallible>(Arc::from(lean(&name, &String::from_utf8_lossy(&file.data))))
    });
    let Ok(text) = text;
    // An instance of another release may be asked for this one's files. It has only its own, and says so by not
    // letting them be kept.
    let kept = version == *VERSION && !cfg!(debug_assertions);
    let control = if kept { "public, max-age=31536000, immutable" } else { "no-store" };
    let headers = [
        (header::CONTENT_TYPE, media_type(&name)),
        (header::CACHE_CONTROL, HeaderValue::from_static(control)),
    ];
    Ok((headers, Body::from(Bytes::from_owner(Text(text)))).into_response())
}

/// A text that many answers share.
struct Text(Arc<str>);

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

fn media_type(name: &str) -> HeaderValue {
    HeaderValue::from_static(match name.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "css" => "text/css; charset=utf-8",
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "svg" => "image/svg+xml",
        _ => "application/octet-stream",
    })
}

fn nothing() -> Problem {
    Problem::not_found("there is no such path")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What may be sent in all, so that the console opens at once over any line. Counted as written: compressed, which
    /// is what a line carries, it is some 60 % of this.
    const BYTES: usize = 122_000;

    #[test]
    fn all_files_together_are_small() {
        let bytes = |name: &str| {
            let file = Assets::get(name).unwrap();
            lean(name, std::str::from_utf8(&file.data).unwrap()).len()
        };
        let sizes: Vec<_> = Assets::iter().map(|name| (bytes(&name), name)).collect();
        let total: usize = sizes.iter().map(|(size, _)| size).sum();
        assert!(total <= BYTES, "{total} bytes: {sizes:?}");
    }

    #[test]
    fn modules_are_short_and_make_no_markup() {
        for name in Assets::iter() {
            let file = Assets::get(&name).unwrap();
            let text = std::str::from_utf8(&file.data).unwrap();
            assert!(text.lines().count() <= 400, "{name} outgrows a sitting");
            let words = ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("];
            let found = words.iter().find(|it| text.contains(**it));
            assert_eq!(found, None, "{name}: text is only ever text");
            let elsewhere = text.replace("http://www.w3.org/2000/svg", "");
            assert!(!elsewhere.contains("://"), "{name} names another host");
        }
    }

    #[test]
    fn the_document_and_its_modules_name_only_files_that_are_there() {
        let html = Assets::get("index.html").unwrap();
        let html = std::str::from_utf8(&html.data).unwrap();
        let mut named: Vec<String> = html
            .split("\"assets/{version}/")
            .skip(1)
            .map(|it| it.split('"').next().unwrap().to_owned())
            .collect();
        for name in Assets::iter().filter(|it| it.ends_with(".js")) {
            let file = Assets::get(&name).unwrap();
            let text = std::str::from_utf8(&file.data).unwrap();
            named.extend(
                text.split("'./").skip(1).map(|it| it.split('\'').next().unwrap().to_owned()),
            );
        }
        assert!(20 < named.len(), "{named:?}");
        let missing: Vec<_> = named.iter().filter(|it| Assets::get(it).is_none()).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}
