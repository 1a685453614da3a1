//! Reads single headers.

use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// Returns the value of a header that occurs exactly once.
pub(in crate::http) fn single_value<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}
