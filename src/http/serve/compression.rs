//! Compressed bodies: gzip, for clients with `Accept-Encoding: gzip`.
//!
//! # Compressed responses
//!
//! The length of a compressed response reveals how much of the content repeats. An attacker who can put text into a
//! response with a secret, and observe the length, can guess the secret byte by byte (BREACH). Compression is therefore
//! off unless a route enables compression in one of two ways:
//!
//! - [`StaticBody`]: content without any input of callers (the console's files, the OpenAPI document and the viewer),
//!   compressed once.
//! - [`compressed`]: the lists of `http/router.rs`, which contain no secret, compressed while sending.
//!
//! Never compressed are: routes with a secret (a session start, with the client secret of the provider; sign-in; all
//! flags, with the token of the event stream), event streams, and routes with an `ETag` for conditional writes. Compressed
//! and uncompressed bodies need different strong tags (RFC 9110, 8.8.3.3), but the tags of settings are part of the API:
//! clients send `"r7"` back in `If-Match`, where the tag of a compressor would match nothing.

use std::{
    io::Write as _,
    sync::{Arc, OnceLock},
};

use axum::{
    body::Bytes,
    extract::Request,
    http::{Extensions, HeaderMap, HeaderValue, StatusCode, Version, header},
    response::{IntoResponse as _, Response},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use flate2::{Compression, write::GzEncoder};
use sha2::{Digest as _, Sha256};
use tower::util::MapRequestLayer;
use tower_http::{
    compression::{
        CompressionLayer,
        predicate::{Predicate as _, SizeAbove},
    },
    set_header::SetResponseHeaderLayer,
};
use utoipa_axum::router::OpenApiRouter;

use crate::{
    compute,
    http::{
        problem::Problem,
        request::{accept, preconditions},
    },
};

/// The size below which a body is not compressed: a single packet suffices either way.
const MIN_BYTES: usize = 1024;

const GZIP: HeaderValue = HeaderValue::from_static("gzip");
const VARY: HeaderValue = HeaderValue::from_static("accept-encoding");

/// Compresses the responses of `routes` while sending.
pub(in crate::http) fn compressed<S>(routes: OpenApiRouter<S>) -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
{
    let predicate = SizeAbove::new(MIN_BYTES as u64).and(is_compressible);
    routes
        // Uncompressed responses need the header too: a cache must not mix the two forms.
        .layer(SetResponseHeaderLayer::appending(header::VARY, VARY))
        .layer(CompressionLayer::new().compress_when(predicate))
        // The last layer is the outermost, so the compressor sees the reduced header.
        .layer(MapRequestLayer::new(normalize))
}

/// Reduces `Accept-Encoding` to `gzip` or nothing.
fn normalize(mut request: Request) -> Request {
    // If the header rejects every coding, the compression layer would answer 406 after the handler has run.
    let prefers_gzip = accept::prefers_gzip(request.headers());
    request.headers_mut().remove(header::ACCEPT_ENCODING);
    if prefers_gzip {
        request.headers_mut().insert(header::ACCEPT_ENCODING, GZIP);
    }
    request
}

/// Returns whether a response may be compressed: a success without an entity tag.
fn is_compressible(status: StatusCode, _: Version, headers: &HeaderMap, _: &Extensions) -> bool {
    // Problems repeat parts of the request, which would enable the attack described above.
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    status == StatusCode::OK
        && !headers.contains_key(header::ETAG)
        && !headers.contains_key(header::SET_COOKIE)
        && !text(header::CONTENT_TYPE).starts_with("text/event-stream")
        && !text(header::CACHE_CONTROL).contains("no-transform")
}

/// Constant content, plain and as gzip. Cheap to clone.
#[derive(Clone)]
pub(in crate::http) struct StaticBody(Arc<Inner>);

struct Inner {
    media_type: HeaderValue,
    plain: Bytes,
    forms: OnceLock<Forms>,
}

/// The forms of the content, each with a strong entity tag.
struct Forms {
    plain_tag: String,
    /// `None` if gzip would not be shorter.
    gzip: Option<Gzip>,
}

struct Gzip {
    body: Bytes,
    tag: String,
}

impl StaticBody {
    /// Takes the content; the first request compresses it.
    pub(in crate::http) fn new(media_type: HeaderValue, content: impl Into<Bytes>) -> Self {
        let forms = OnceLock::new();
        Self(Arc::new(Inner { media_type, plain: content.into(), forms }))
    }

    /// Returns the content in the preferred form of the client, or a 304. Caches must revalidate (`no-cache`), unless the
    /// caller sets another `Cache-Control`.
    ///
    /// # Errors
    /// A malformed or false precondition.
    pub(in crate::http) async fn respond(&self, request: &HeaderMap) -> Result<Response, Problem> {
        let forms = self.forms().await;
        let gzip = forms.gzip.as_ref().filter(|_| accept::prefers_gzip(request));
        let tag = gzip.map_or(&forms.plain_tag, |gzip| &gzip.tag);
        let mut response = match preconditions::not_modified(request, tag)? {
            Some(response) => response,
            None => self.full(gzip, tag),
        };
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        if forms.gzip.is_some() {
            headers.append(header::VARY, VARY);
        }
        Ok(response)
    }

    fn full(&self, gzip: Option<&Gzip>, tag: &str) -> Response {
        let body = gzip.map_or(&self.0.plain, |gzip| &gzip.body);
        let headers = [(header::ETAG, tag)];
        let mut response = (headers, body.clone()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, self.0.media_type.clone());
        if gzip.is_some() {
            headers.insert(header::CONTENT_ENCODING, GZIP);
        }
        response
    }

    /// Returns the forms; the first call compresses.
    async fn forms(&self) -> &Forms {
        if let Some(forms) = self.0.forms.get() {
            return forms;
        }
        // Compressing the viewer's script takes 50 ms, too long for a worker of the runtime.
        let make = || self.0.forms.get_or_init(|| Forms::of(&self.0.plain));
        compute::run(self.0.plain.len(), make).await
    }
}

impl Forms {
    fn of(plain: &[u8]) -> Self {
        let digest = short_digest(&Sha256::digest(plain));
        let gzip = gzip(plain).map(|body| Gzip { body, tag: format!("\"{digest}-gzip\"") });
        Self { plain_tag: format!("\"{digest}\""), gzip }
    }
}

/// Returns 72 bits of `digest`, enough to distinguish the contents of all releases, as base64url.
pub(in crate::http) fn short_digest(digest: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(digest.get(..9).unwrap_or(digest))
}

/// Compresses `plain`; returns `None` if the result would not be shorter.
fn gzip(plain: &[u8]) -> Option<Bytes> {
    if plain.len() < MIN_BYTES {
        return None;
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(plain).ok()?;
    let body = encoder.finish().ok()?;
    (body.len() < plain.len()).then(|| body.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_with_tags_cookies_or_events_are_not_compressed() {
        let allows = |status, lines: &[(header::HeaderName, &'static str)]| {
            let lines = lines.iter().cloned();
            let headers = lines.map(|(name, value)| (name, HeaderValue::from_static(value)));
            let headers: HeaderMap = headers.collect();
            is_compressible(status, Version::HTTP_11, &headers, &Extensions::new())
        };
        let json = (header::CONTENT_TYPE, "application/json");
        assert!(allows(StatusCode::OK, &[json.clone(), (header::CACHE_CONTROL, "no-store")]));
        assert!(!allows(StatusCode::BAD_REQUEST, std::slice::from_ref(&json)));
        for header in [
            (header::ETAG, "\"r7\""),
            (header::SET_COOKIE, "brune=token"),
            (header::CONTENT_TYPE, "text/event-stream"),
            (header::CACHE_CONTROL, "no-store, no-transform"),
        ] {
            assert!(!allows(StatusCode::OK, std::slice::from_ref(&header)), "{header:?}");
        }
    }
}
