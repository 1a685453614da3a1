//! The subject that a page expects: all tabs of a browser share a cookie, and another tab may have signed in as another
//! person.

use axum::http::{HeaderMap, HeaderName};
use percent_encoding::percent_decode;

use crate::{
    http::{
        problem::{Code, Problem},
        request::headers::single_value,
    },
    ids::UserId,
};

/// The header with the expected subject, percent-encoded, because a header permits ASCII only.
const EXPECTED_SUBJECT: HeaderName = HeaderName::from_static("x-brune-subject");

/// Checks that `user` is the subject in the header, if the header is present.
///
/// # Errors
/// A `subject_mismatch` problem.
pub(super) fn check_subject(headers: &HeaderMap, user: &UserId) -> Result<(), Problem> {
    // A repeated header must be a mismatch, not an absence, hence the check by presence.
    if !headers.contains_key(EXPECTED_SUBJECT) {
        return Ok(());
    }
    let value = single_value(headers, &EXPECTED_SUBJECT);
    if value.is_some_and(|value| percent_decode(value.as_bytes()).eq(user.as_str().bytes())) {
        return Ok(());
    }
    let detail = "`X-Brune-Subject` differs from the subject of the cookie: another tab of the browser may have signed \
                  in as another user";
    Err(Problem::new(Code::SubjectMismatch, detail))
}
