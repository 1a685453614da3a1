//! The rules of fields, checked by `validator`.

use std::borrow::Cow;

use serde::{Serialize, Serializer};
use serde_json::Value;
use validator::{
    ValidateLength, ValidateRange, ValidationError, ValidationErrors, ValidationErrorsKind,
};

use crate::json::FieldError;

/// The bounds of a number, of a text's characters or of a list's items, from the field's attribute.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bounds {
    /// The minimum, if any.
    pub min: Option<i64>,
    /// The maximum, if any.
    pub max: Option<i64>,
}

impl Bounds {
    /// Returns the maximum as a length.
    pub(in crate::http) fn max_length(self) -> Option<usize> {
        self.max.and_then(|max| usize::try_from(max).ok())
    }

    /// Returns the minimum as a length.
    pub(in crate::http) fn min_length(self) -> Option<usize> {
        self.min.and_then(|min| usize::try_from(min).ok())
    }
}

/// Returns the bounds in the rules of a field, in the syntax of `validator`.
macro_rules! bounds {
    () => {
        $crate::http::request::rules::Bounds { min: None, max: None }
    };
    (range(min = $min:expr, max = $max:expr) $($rest:tt)*) => {
        $crate::http::request::rules::Bounds { min: Some($min), max: Some($max) }
    };
    (length(min = $min:expr, max = $max:expr) $($rest:tt)*) => {
        $crate::http::request::rules::Bounds { min: Some($min), max: Some($max) }
    };
    (length(max = $max:expr) $($rest:tt)*) => {
        $crate::http::request::rules::Bounds { min: None, max: Some($max) }
    };
    (custom($($rule:tt)*)) => {
        $crate::http::request::rules::Bounds { min: None, max: None }
    };
}
pub(in crate::http) use bounds;

/// A field of a declared body or query, for the errors of the validator.
#[derive(Debug)]
pub(in crate::http) struct Rule {
    /// The name in Rust, also the name in the validator's errors.
    pub field: &'static str,
    /// The name in requests.
    pub name: &'static str,
    /// The bounds.
    pub bounds: Bounds,
    /// The error of a value outside of the bounds.
    pub out_of_bounds: fn(Bounds) -> FieldError,
}

/// Returns the errors of the validator with the names of the fields, in the order of `rules`. The error of a rule of
/// several fields has the name of the invalid field in the parameter [`FIELD`].
pub(in crate::http) fn violations(
    validation: Result<(), ValidationErrors>,
    rules: &[Rule],
) -> Vec<(String, FieldError)> {
    // The validator keeps errors in a hash map, so the order comes from the rules.
    let Err(errors) = validation else { return Vec::new() };
    let mut errors = errors.into_errors();
    let mut violations = Vec::new();
    for rule in rules {
        for error in field_errors(errors.remove(rule.field)) {
            // The validator's own text lacks the bounds, so the type's error replaces the text.
            if matches!(error.code.as_ref(), "range" | "length") {
                violations.push((rule.name.to_owned(), (rule.out_of_bounds)(rule.bounds)));
                continue;
            }
            violations.extend(custom(&error).map(|error| (rule.name.to_owned(), error)));
        }
    }
    // The remaining errors are of rules of several fields, kept under `__all__`.
    for error in errors.into_values().flat_map(|kind| field_errors(Some(kind))) {
        let field = error.params.get(FIELD).and_then(Value::as_str);
        let field = field.unwrap_or_default();
        violations.extend(custom(&error).map(|error| (field.to_owned(), error)));
    }
    violations
}

/// The parameter of a rule's error with the name of the invalid field.
const FIELD: &str = "field";

/// Returns the error of a rule beyond the bounds of a field.
pub(in crate::http) fn violation(
    field: &'static str,
    code: &'static str,
    detail: impl Into<Cow<'static, str>>,
) -> ValidationError {
    let mut error = ValidationError::new(code).with_message(detail.into());
    // The validator names no field in the error of a rule of several fields.
    error.add_param(FIELD.into(), &field);
    error
}

fn field_errors(kind: Option<ValidationErrorsKind>) -> Vec<ValidationError> {
    match kind {
        Some(ValidationErrorsKind::Field(errors)) => errors,
        // Nested structs and lists report errors while being read, not by the validator.
        _ => Vec::new(),
    }
}

/// Returns one error for each line of the message: a rule of a list may be broken several times.
fn custom(error: &ValidationError) -> impl Iterator<Item = FieldError> {
    let code = match &error.code {
        Cow::Borrowed(code) => code,
        // Every rule has a static code, so an owned code never occurs.
        Cow::Owned(_) => "invalid",
    };
    let message = error.message.as_deref().unwrap_or("is invalid");
    message.lines().map(move |detail| FieldError::at("", code, detail))
}

/// A field of a draft, for the validator: an unreadable value breaks no further rule.
#[derive(Debug)]
pub(in crate::http) struct Slot<T>(pub Option<T>);

/// The validator stores the value in each error. No response may quote a value of the request, so null is stored.
impl<T> Serialize for Slot<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_unit()
    }
}

impl<T, N> ValidateRange<N> for Slot<T>
where
    Option<T>: ValidateRange<N>,
{
    fn greater_than(&self, max: N) -> Option<bool> {
        self.0.greater_than(max)
    }

    fn less_than(&self, min: N) -> Option<bool> {
        self.0.less_than(min)
    }
}

impl<T: ValidateLength<u64>> ValidateLength<u64> for Slot<T> {
    fn length(&self) -> Option<u64> {
        // For `None` the validator skips the rule: the unreadable value has an error already.
        self.0.as_ref().and_then(ValidateLength::length)
    }
}
