//! Errors under `/ofrep/v1`, in the form of the protocol.

use percent_encoding::percent_decode_str;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::{
    problem::{Code, Problem},
    routes::ofrep::request::INVALID_CONTEXT,
};

/// A failed evaluation. Clients need every field, for any status.
#[derive(Serialize, ToSchema)]
#[schema(as = OfrepRefusal)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct Refusal {
    /// The requested flag, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// The reason, for programs.
    #[schema(example = "FLAG_NOT_FOUND")]
    error_code: &'static str,
    /// The reason, for people.
    error_details: String,
}

/// Serializes `problem` in the form of the protocol; `None` outside of the protocol's paths.
pub(in crate::http) fn problem_format(
    path: &str,
    problem: &Problem,
) -> Option<serde_json::Result<Vec<u8>>> {
    refusal(path, problem).map(|refusal| serde_json::to_vec(&refusal))
}

fn refusal(path: &str, problem: &Problem) -> Option<Refusal> {
    // A path with an extra slash comes from a client of the protocol as well.
    let route = path.trim_start_matches('/').strip_prefix("ofrep/v1/")?;
    let route = route.trim_start_matches('/');
    let key = route.strip_prefix("evaluate/flags/");
    // The middleware passes the raw path, so the key is still encoded.
    let key = key.and_then(|key| percent_decode_str(key).decode_utf8().ok());
    let errors = problem.errors().reported();
    let error_code = match problem.code() {
        // First, because the code of the problem is only `malformed_request`.
        _ if errors.iter().any(|error| error.code == INVALID_CONTEXT) => "INVALID_CONTEXT",
        // Clients silently serve the default of an unknown flag, and would hide a wrong base URL.
        Code::NotFound if path.contains("//") => "GENERAL",
        Code::UnknownKey | Code::NotFound if key.is_some() => "FLAG_NOT_FOUND",
        Code::MalformedRequest | Code::UnsupportedMediaType => "PARSE_ERROR",
        _ => "GENERAL",
    };
    let details = errors.iter().map(|error| match error.pointer.as_deref() {
        None | Some("") => error.detail.clone(),
        Some(pointer) => format!("{pointer} {}", error.detail),
    });
    let details: Vec<_> = details.collect();
    // The detail of several errors is only a count, so the errors are joined instead.
    let error_details =
        if details.is_empty() { problem.detail().to_owned() } else { details.join("; ") };
    Some(Refusal { key: key.map(Into::into), error_code, error_details })
}
