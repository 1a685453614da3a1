//! The head of a request: its id, its trace and the checks before any work.

use axum::{
    extract::Request,
    http::{
        HeaderMap, HeaderName, header,
        uri::{Authority, Uri},
    },
};

use crate::{
    http::{
        problem::{Code, Problem},
        request::{
            body::{BODY_BYTES, payload_too_large},
            headers::single_value,
            preconditions,
        },
        serve::limits::{HEAD_BYTES, HEAD_LINES},
    },
    ids::RequestId,
    json::{FieldError, FieldErrors},
    secret_scanner::SecretScanner,
    trace_context::{self, TraceContext},
};

/// The header of the request id, in requests and in responses.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const TRACEPARENT: HeaderName = HeaderName::from_static(trace_context::TRACEPARENT);
const TRACESTATE: HeaderName = HeaderName::from_static(trace_context::TRACESTATE);

/// Returns the caller's id, or a new id if the header is absent, repeated, invalid or may contain a secret: log and
/// audit trail store the id.
pub(super) fn request_id(headers: &HeaderMap, scanner: &SecretScanner) -> RequestId {
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

/// Returns the caller's trace, or `None` if `traceparent` is absent, repeated or resembles a secret. Drops any
/// `tracestate` that may contain a secret.
pub(super) fn trace(headers: &HeaderMap, scanner: &SecretScanner) -> Option<TraceContext> {
    let parent = single_value(headers, &TRACEPARENT)?.to_str().ok()?;
    // Other services receive the state and may log it.
    let states = headers.get_all(TRACESTATE).iter().filter_map(|state| state.to_str().ok());
    let states = states.filter(|state| !scanner.may_be_secret_fragment(state));
    let trace = TraceContext::continued(parent, states)?;
    scanner.scan(trace.id()).is_none().then_some(trace)
}

/// Checks the head of a request for `route`.
///
/// # Errors
/// The first violated rule.
pub(super) fn check(request: &Request, route: &str) -> Result<(), Problem> {
    check_size(request)?;
    check_host(request.uri(), request.headers())?;
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
    let Some(host) = host.to_str().ok().filter(|host| is_host(host)) else {
        return invalid("the Host header is not a valid host");
    };
    match uri.authority() {
        Some(target) if !target.as_str().eq_ignore_ascii_case(host) => {
            invalid("the Host header differs from the request target")
        }
        _ => Ok(()),
    }
}

fn is_host(host: &str) -> bool {
    // The usual form, a name or an address with a port, needs no parser and no copy.
    let (name, port) = host.split_once(':').unwrap_or((host, "0"));
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-';
    let is_usual_name = !name.is_empty() && name.bytes().all(is_name);
    if is_usual_name && !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) {
        return true;
    }
    // `user@host` is a valid authority, but not a valid `Host` (RFC 9110, 7.2).
    host.parse::<Authority>().is_ok() && !host.contains('@')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_host_of_the_usual_form_is_an_authority() {
        for host in ["a", "127.0.0.1:8080", "brune.example.org", "-", ".", "a:0", "a:99999999999"] {
            assert!(is_host(host) && host.parse::<Authority>().is_ok(), "{host}");
        }
        assert!(is_host("[::1]:80"));
        for host in ["", "user@host", "a b", "a:1:2", "[::1"] {
            assert!(!is_host(host), "{host}");
        }
    }
}
