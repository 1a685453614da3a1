//! What goes wrong under `/ofrep/v1`, in the protocol's form.

use percent_encoding::percent_decode_str;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::{
    problem::{Code, Problem},
    routes::ofrep::request::INVALID_CONTEXT,
};

/// An evaluation that failed. Clients need all of it, whatever the status.
#[derive(Serialize, ToSchema)]
#[schema(as = OfrepRefusal)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct Refusal {
    /// The flag that was asked for, if it was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// Why it failed, for programs.
    #[schema(example = "FLAG_NOT_FOUND")]
    error_code: &'static str,
    /// Why it failed, for people.
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
    // With a slash too many as well: whoever asks so is a client of this protocol.
    let place = path.trim_start_matches('/').strip_prefix("ofrep/v1/")?;
    let place = place.trim_start_matches('/');
    let key = place.strip_prefix("evaluate/flags/");
    let key = key.and_then(|it| percent_decode_str(it).decode_utf8().ok());
    let faults = problem.errors().reported();
    let error_code = match problem.code() {
        _ if faults.iter().any(|it| it.code == INVALID_CONTEXT) => "INVALID_CONTEXT",
        // Not as an unknown flag, of which clients say nothing and serve their default.
        Code::NotFound if path.contains("//") => "GENERAL",
        Code::UnknownKey | Code::NotFound if key.is_some() => "FLAG_NOT_FOUND",
        Code::MalformedRequest | Code::UnsupportedMediaType => "PARSE_ERROR",
        _ => "GENERAL",
    };
    let place = |it: &crate::json::FieldError| it.pointer.clone().filter(|it| !it.is_empty());
    let told = faults.iter().map(|it| match place(it) {
        Some(place) => format!("{place} {}", it.detail),
        None => it.detail.clone(),
    });
    let told: Vec<_> = told.collect();
    let error_details = if told.is_empty() { problem.detail().to_owned() } else { told.join("; ") };
    Some(Refusal { key: key.map(Into::into), error_code, error_details })
}
