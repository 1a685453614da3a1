//! One thing that is wrong with a request, and the list of all of them.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::text::forbidden;

/// One thing that is wrong with a request.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct FieldError {
    /// Where: a JSON Pointer into the body (`/changes/0/value`), or `?name` for a query parameter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// The setting it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What kind of fault, for programs.
    pub code: &'static str,
    /// What is wrong and what would be right, for people; never quotes what was sent.
    pub detail: String,
    /// The rule that was broken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub constraint: Option<Value>,
}

impl FieldError {
    /// A fault of kind `code` at `pointer`.
    pub fn at(pointer: impl Into<String>, code: &'static str, detail: impl Into<String>) -> Self {
        let (pointer, detail) = (Some(pointer.into()), detail.into());
        Self { pointer, key: None, code, detail, constraint: None }
    }

    /// The same, about the setting `key`.
    #[must_use]
    pub fn for_key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// The same, with the rule that was broken.
    #[must_use]
    pub fn with_constraint(mut self, constraint: Value) -> Self {
        self.constraint = Some(constraint);
        self
    }
}

/// Every fault of a request, up to a bound: a megabyte of faults must not become ten of answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FieldErrors {
    kept: Vec<FieldError>,
    left_out: usize,
}

impl FieldErrors {
    /// How many are told; further ones are only counted.
    pub const TOLD: usize = 100;

    /// Adds one.
    pub fn push(&mut self, fault: FieldError) {
        if self.kept.len() < Self::TOLD {
            self.kept.push(fault);
        } else {
            self.left_out += 1;
        }
    }

    /// Adds those of `other`.
    pub fn append(&mut self, other: Self) {
        self.left_out += other.left_out;
        other.kept.into_iter().for_each(|it| self.push(it));
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// How many there are, those that are not told included.
    #[must_use]
    pub fn count(&self) -> usize {
        self.kept.len() + self.left_out
    }

    /// Those that are told.
    #[must_use]
    pub fn reported(&self) -> &[FieldError] {
        &self.kept
    }

    /// Points each fault that is about a key, and points nowhere yet, to where `point` finds it.
    pub(crate) fn point(&mut self, point: impl Fn(&str, &str) -> Option<String>) {
        for fault in self.kept.iter_mut().filter(|it| it.pointer.is_none()) {
            fault.pointer = fault.key.as_deref().and_then(|key| point(key, fault.code));
        }
    }

    pub(crate) fn into_reported(self) -> Vec<FieldError> {
        self.kept
    }
}

impl From<FieldError> for FieldErrors {
    fn from(fault: FieldError) -> Self {
        Self { kept: vec![fault], left_out: 0 }
    }
}

impl FromIterator<FieldError> for FieldErrors {
    fn from_iter<I: IntoIterator<Item = FieldError>>(faults: I) -> Self {
        let mut all = Self::default();
        faults.into_iter().for_each(|it| all.push(it));
        all
    }
}

/// Appends the step `name` to the JSON Pointer `pointer`.
///
/// A name comes from the client: it is cut, and what may not be shown is replaced.
pub(crate) fn step_into(pointer: &mut String, name: &str) {
    const SHOWN: usize = 64;
    pointer.push('/');
    for c in name.chars().take(SHOWN) {
        match c {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            c if forbidden(c).is_some() => pointer.push(char::REPLACEMENT_CHARACTER),
            c => pointer.push(c),
        }
    }
    if name.chars().nth(SHOWN).is_some() {
        pointer.push('…');
    }
}

/// `pointer` with the step `name`.
pub(crate) fn below(pointer: &str, name: &str) -> String {
    let mut pointer = pointer.to_owned();
    step_into(&mut pointer, name);
    pointer
}

/// `pointer` with the step to item `index`.
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
    fn a_pointer_escapes_cuts_and_hides() {
        assert_eq!(below("/a", "b/c~d"), "/a/b~1c~0d");
        assert_eq!(below("", "x\u{202E}y"), "/x\u{FFFD}y");
        assert_eq!(below("", &"k".repeat(65)), format!("/{}…", "k".repeat(64)));
        assert_eq!(item("/a", 3), "/a/3");
    }

    #[test]
    fn a_flood_of_faults_is_counted_but_not_told() {
        let faults: FieldErrors = (0..1000).map(|_| FieldError::at("", "x", "y")).collect();
        assert_eq!((faults.reported().len(), faults.count()), (FieldErrors::TOLD, 1000));
    }
}
