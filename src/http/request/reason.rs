//! The problem of a request with errors.

use crate::{
    http::{
        problem::{Code, Problem},
        request::value::REASON_REQUIRED,
    },
    json::{FieldError, FieldErrors},
};

/// Returns the problem of a request with `errors`: `reason_required` if the request `has_reason` and only the reason
/// is invalid.
pub(in crate::http) fn or_reason_required(errors: FieldErrors, has_reason: bool) -> Problem {
    let is_reason = |error: &FieldError| {
        let pointer = error.pointer.as_deref().unwrap_or_default();
        // Forbidden characters are found before the type of the reason is read.
        let is_broken = matches!(error.code, REASON_REQUIRED | "forbidden_character");
        // The reason is a member of the body or a parameter of the query, never nested.
        is_broken && matches!(pointer, "/reason" | "?reason")
    };
    // Any other error makes the request malformed: its author has more to correct than the reason.
    match errors.reported() {
        [error] if has_reason && is_reason(error) => {
            // The detail of a forbidden character has a subject of its own.
            let predicate = error.detail.strip_prefix("the string ").unwrap_or(&error.detail);
            let detail = format!("the reason {predicate}");
            Problem::new(Code::ReasonRequired, detail).with_errors(errors)
        }
        _ => Problem::malformed(errors),
    }
}
