//! Validation errors of a request, each with a JSON Pointer.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::text::forbidden;

/// One validation error of a request.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct FieldError {
    /// A JSON Pointer into the body (`/changes/0/value`), or `?name` for a query parameter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// The setting concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The kind of error, for programs.
    pub code: &'static str,
    /// The error and the expected form, for people. Never quotes the request, which may hold a secret.
    pub detail: String,
    /// The violated constraint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub constraint: Option<Value>,
}

impl FieldError {
    /// Creates an error of kind `code` at `pointer`.
    pub fn at(pointer: impl Into<String>, code: &'static str, detail: impl Into<String>) -> Self {
        let (pointer, detail) = (Some(pointer.into()), detail.into());
        Self { pointer, key: None, code, detail, constraint: None }
    }

    /// Sets the setting concerned.
    #[must_use]
    pub fn for_key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Sets the violated constraint.
    #[must_use]
    pub fn with_constraint(mut self, constraint: Value) -> Self {
        self.constraint = Some(constraint);
        self
    }
}

/// All validation errors of a request, up to a limit: a 1 MB request must not cause a 10 MB response.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FieldErrors {
    reported: Vec<FieldError>,
    unreported: usize,
}

impl FieldErrors {
    /// Maximum number of errors in a response; further errors are only counted.
    pub const REPORTED: usize = 100;

    /// Adds an error.
    pub fn push(&mut self, error: FieldError) {
        if self.reported.len() < Self::REPORTED {
            self.reported.push(error);
        } else {
            self.unreported += 1;
        }
    }

    /// Adds all errors of `other`.
    pub fn append(&mut self, other: Self) {
        self.unreported += other.unreported;
        // The limit applies to the sum: errors of `other` beyond the limit are only counted.
        other.reported.into_iter().for_each(|error| self.push(error));
    }

    /// Whether there are no errors.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.reported.is_empty()
    }

    /// Returns the number of errors, unreported errors included.
    #[must_use]
    pub fn count(&self) -> usize {
        self.reported.len() + self.unreported
    }

    /// Returns the errors for the response.
    #[must_use]
    pub fn reported(&self) -> &[FieldError] {
        &self.reported
    }

    /// Sets the missing pointer of each error that concerns a key to the result of `point`.
    pub(crate) fn point(&mut self, point: impl Fn(&str, &str) -> Option<String>) {
        for error in self.reported.iter_mut().filter(|error| error.pointer.is_none()) {
            error.pointer = error.key.as_deref().and_then(|key| point(key, error.code));
        }
    }

    pub(crate) fn into_reported(self) -> Vec<FieldError> {
        self.reported
    }
}

impl From<FieldError> for FieldErrors {
    fn from(error: FieldError) -> Self {
        Self { reported: vec![error], unreported: 0 }
    }
}

impl FromIterator<FieldError> for FieldErrors {
    fn from_iter<I: IntoIterator<Item = FieldError>>(errors: I) -> Self {
        let mut collected = Self::default();
        errors.into_iter().for_each(|error| collected.push(error));
        collected
    }
}

/// Appends the member `name` to the JSON Pointer `pointer`.
///
/// A name comes from the client: long names are truncated, forbidden characters are replaced.
pub(crate) fn step_into(pointer: &mut String, name: &str) {
    const MAX_NAME_CHARS: usize = 64;
    pointer.push('/');
    for c in name.chars().take(MAX_NAME_CHARS) {
        match c {
            // Escapes of RFC 6901.
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            c if forbidden(c).is_some() => pointer.push(char::REPLACEMENT_CHARACTER),
            c => pointer.push(c),
        }
    }
    if name.chars().nth(MAX_NAME_CHARS).is_some() {
        pointer.push('…');
    }
}

/// Returns `pointer` extended by the member `name`.
pub(crate) fn below(pointer: &str, name: &str) -> String {
    let mut pointer = pointer.to_owned();
    step_into(&mut pointer, name);
    pointer
}

/// Returns `pointer` extended by the item `index`.
pub(crate) fn item(pointer: &str, index: usize) -> String {
    let mut pointer = pointer.to_owned();
    // Writing into a String cannot fail.
    let _ = write!(pointer, "/{index}");
    pointer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_is_escaped_truncated_and_sanitized() {
        assert_eq!(below("/a", "b/c~d"), "/a/b~1c~0d");
        assert_eq!(below("", "x\u{202E}y"), "/x\u{FFFD}y");
        assert_eq!(below("", &"k".repeat(65)), format!("/{}…", "k".repeat(64)));
        assert_eq!(item("/a", 3), "/a/3");
    }

    #[test]
    fn errors_beyond_the_limit_are_counted_but_not_reported() {
        let errors: FieldErrors = (0..1000).map(|_| FieldError::at("", "x", "y")).collect();
        assert_eq!((errors.reported().len(), errors.count()), (FieldErrors::REPORTED, 1000));
    }
}
