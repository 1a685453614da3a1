//! The refusal of a request that has errors.

use crate::{
    http::{
        problem::{Code, Problem},
        request::value::REASON_REQUIRED,
    },
    json::{FieldError, FieldErrors},
};

/// Returns the refusal of a request with `errors`: `reason_required` if only the reason is wrong, of a request that
/// has one among its `fields`.
pub(in crate::http) fn or_reason_required(errors: FieldErrors, fields: &[&str]) -> Problem {
    let is_reason = |error: &FieldError| {
        let pointer = error.pointer.as_deref().unwrap_or_default();
        let is_broken = matches!(error.code, REASON_REQUIRED | "forbidden_character");
        is_broken && matches!(pointer, "/reason" | "?reason")
    };
    match errors.reported() {
        [error] if fields.contains(&"reason") && is_reason(error) => {
            let detail = format!("the reason {}", error.detail);
            Problem::new(Code::ReasonRequired, detail).with_errors(errors)
        }
        _ => Problem::malformed(errors),
    }
}
