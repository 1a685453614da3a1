//! Writes the problem of a response as its body.

use axum::{
    body::Body,
    http::{HeaderValue, header},
    response::Response,
};
use tracing::error;

use crate::{
    http::{
        path_prefix::PathPrefix,
        problem::{code::Code, details::Problem, document::ProblemDocument},
    },
    ids::RequestId,
    secret_scanner::SecretScanner,
};

const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");

/// Serializes a problem in the JSON format of another protocol, or returns `None` if the path uses problem documents.
pub type ProblemFormat = fn(path: &str, problem: &Problem) -> Option<serde_json::Result<Vec<u8>>>;

/// Writes the problem of `response`, if any, for the request `id` of the path `instance`. Replaces a
/// library's plain-text error, which may quote the request, by a problem.
pub(in crate::http) fn render(
    mut response: Response,
    instance: &str,
    id: &RequestId,
    scanner: &SecretScanner,
    path_prefix: &PathPrefix,
    other_format: Option<ProblemFormat>,
) -> Response {
    let problem = response.extensions_mut().remove::<Problem>();
    let Some(problem) = problem.or_else(|| replacement(&response)) else { return response };
    let status = problem.code().status();
    // Clients of another protocol do not parse problem documents.
    let other_body = other_format.and_then(|format| format(instance, &problem));
    let (media_type, body) = if let Some(body) = other_body {
        (HeaderValue::from_static("application/json"), body)
    } else {
        let mut document = ProblemDocument::new(problem, instance, id, path_prefix);
        document.redact(scanner);
        (MEDIA_TYPE, serde_json::to_vec(&document))
    };
    // The right status without a body is better than no response.
    let body = body.unwrap_or_else(|err| {
        error!(error = %err, "cannot serialize a problem");
        Vec::new()
    });
    // The old body is dropped unread: a library's text may quote the request.
    let (mut parts, _) = response.into_parts();
    // A library may have sent a 422 for what is a 400 here, and the length of the replaced body.
    parts.status = status;
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(header::CONTENT_TYPE, media_type);
    Response::from_parts(parts, Body::from(body))
}

/// Returns the problem for a response with only a status or a plain text.
fn replacement(response: &Response) -> Option<Problem> {
    let status = response.status();
    // A 503 without a problem is the result of a health check.
    if !(status.is_client_error() || status.as_u16() == 500) {
        return None;
    }
    if response.headers().get(header::CONTENT_TYPE) == Some(&MEDIA_TYPE) {
        return None;
    }
    let code = Code::from_status(status);
    Some(Problem::new(code, code.title()))
}
