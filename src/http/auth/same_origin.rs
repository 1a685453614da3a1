//! Cross-site request forgery: browsers attach the cookie to every request, so a change must prove its origin.

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderName, Uri, header, request::Parts},
};

use crate::http::{
    problem::{Code, Problem},
    request::headers::single_value,
};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// A request from a page of this service. Rejects other requests with 403.
#[derive(Debug)]
pub(in crate::http) struct SameOrigin;

impl<S: Send + Sync> FromRequestParts<S> for SameOrigin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        check_origin(&parts.headers)?;
        Ok(Self)
    }
}

/// Checks that a page of this service sent the request.
///
/// # Errors
/// A `cross_origin` problem.
pub(super) fn check_origin(headers: &HeaderMap) -> Result<(), Problem> {
    // Browsers let no script set `Sec-Fetch-Site`, so the header decides if present.
    let is_same_origin = if headers.contains_key(SEC_FETCH_SITE) {
        single_value(headers, &SEC_FETCH_SITE).is_some_and(|site| site == "same-origin")
    } else {
        // Browsers send `Sec-Fetch-Site` only over https and to localhost. The `Origin` of an opaque page is `null`.
        let origin = single_value(headers, &header::ORIGIN);
        let origin = origin.and_then(|value| value.to_str().ok()?.parse().ok());
        let host = single_value(headers, &header::HOST).and_then(|value| value.to_str().ok());
        origin.zip(host).is_some_and(|(origin, host)| has_authority(&origin, host))
    };
    if is_same_origin {
        return Ok(());
    }
    let detail = "a request with the cookie must come from a page of this service: neither \
                  `Sec-Fetch-Site: same-origin` nor an `Origin` that equals `Host` was sent";
    Err(Problem::new(Code::CrossOrigin, detail))
}

fn has_authority(origin: &Uri, host: &str) -> bool {
    // A URI without a scheme would parse as a bare authority.
    let authority = origin.scheme().and(origin.authority());
    authority.is_some_and(|authority| authority.as_str().eq_ignore_ascii_case(host))
}
