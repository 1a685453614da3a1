//! The types of a body's fields and of a query's parameters, each with a reader and a schema.

use chrono::{DateTime, Utc};
use serde_json::json;
use utoipa::openapi::{KnownFormat, ObjectBuilder, RefOr, Schema, SchemaFormat, schema::Type};
use uuid::Uuid;

use crate::{
    audit::Reason,
    clock,
    http::request::rules::Bounds,
    ids::UserId,
    json::FieldError,
    releases,
    text::{IdentifierError, check_optional_identifier},
};

/// The largest integer without loss in any JSON reader.
pub(in crate::http) const MAX_INTEGER: i64 = (1 << 53) - 1;

/// The code of a missing or invalid reason.
pub(in crate::http) const REASON_REQUIRED: &str = "reason_required";

/// The code of a text that is not a time.
pub(in crate::http) const NOT_A_TIME: &str = "not_a_time";

/// A type of a field in a body or a query.
pub trait FieldType: Sized {
    /// Whether a request without the field is refused.
    const REQUIRED: bool = true;

    /// Whether null in a body is the same as leaving the field out.
    const NULL_IS_ABSENT: bool = false;

    /// Whether the type is a reason or has a reason among its fields.
    const HAS_REASON: bool = false;

    /// Returns the schema of a value within `bounds`.
    fn field_schema(bounds: Bounds) -> RefOr<Schema>;

    /// Adds the referenced schemas by name.
    fn collect_schemas(_: &mut Vec<(String, RefOr<Schema>)>) {}

    /// Returns the value of an absent field.
    ///
    /// # Errors
    /// The field is required.
    fn absent() -> Result<Self, FieldError> {
        Err(FieldError::at("", "required", "is required"))
    }

    /// Returns the error of a value outside of `bounds`.
    fn out_of_bounds(_: Bounds) -> FieldError {
        FieldError::at("", "out_of_range", "is out of range")
    }
}

/// A type with a reader of text: a parameter of a query, or a string of JSON.
pub trait FromText: FieldType {
    /// Reads `text`.
    ///
    /// # Errors
    /// The broken rule; the caller adds the pointer.
    fn from_text(text: &str, bounds: Bounds) -> Result<Self, FieldError>;
}

impl<T: FieldType> FieldType for Option<T> {
    const REQUIRED: bool = false;
    const NULL_IS_ABSENT: bool = true;
    const HAS_REASON: bool = T::HAS_REASON;

    fn field_schema(bounds: Bounds) -> RefOr<Schema> {
        T::field_schema(bounds)
    }

    fn collect_schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        T::collect_schemas(schemas);
    }

    fn absent() -> Result<Self, FieldError> {
        Ok(None)
    }

    fn out_of_bounds(bounds: Bounds) -> FieldError {
        T::out_of_bounds(bounds)
    }
}

/// Returns the lines of a doc comment as a description.
pub(in crate::http) fn description(docs: &[&str]) -> String {
    let lines: Vec<_> = docs.iter().map(|line| line.trim()).collect();
    lines.join("\n")
}

/// Returns a schema of `kind`.
fn of_type(kind: Type) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(kind)
}

/// Returns the error of an integer outside of `bounds`.
pub(in crate::http) fn out_of_range(bounds: Bounds) -> FieldError {
    let min = bounds.min.unwrap_or(i64::MIN);
    let max = bounds.max.unwrap_or(i64::MAX);
    let detail = format!("must be an integer from {min} to {max}");
    // The members are named as in the catalog, so clients display both in the same way.
    let constraint = json!({"integer": true, "min": min, "max": max});
    FieldError::at("", "out_of_range", detail).with_constraint(constraint)
}

/// An integer type.
macro_rules! integer {
    ($($type:ty)*) => {$(
        impl FieldType for $type {
            fn field_schema(bounds: Bounds) -> RefOr<Schema> {
                of_type(Type::Integer)
                    .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
                    .minimum(bounds.min)
                    .maximum(bounds.max)
                    .into()
            }

            fn out_of_bounds(bounds: Bounds) -> FieldError {
                out_of_range(bounds)
            }
        }

        impl FromText for $type {
            fn from_text(text: &str, bounds: Bounds) -> Result<Self, FieldError> {
                let digits = text.strip_prefix('-').unwrap_or(text);
                // `parse` alone would accept `+5`, although other readers of a query decode ` 5`.
                let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit());
                let number = text.parse().ok().filter(|_| is_plain);
                number.ok_or_else(|| out_of_range(bounds))
            }
        }
    )*};
}

integer! { i64 u16 }

impl FieldType for String {
    fn field_schema(bounds: Bounds) -> RefOr<Schema> {
        let (min, max) = (bounds.min_length(), bounds.max_length());
        of_type(Type::String).min_length(min).max_length(max).into()
    }
}

impl FromText for String {
    fn from_text(text: &str, _: Bounds) -> Result<Self, FieldError> {
        // The validator checks the length afterwards.
        Ok(text.to_owned())
    }
}

impl FieldType for bool {
    fn field_schema(_: Bounds) -> RefOr<Schema> {
        of_type(Type::Boolean).into()
    }
}

impl FromText for bool {
    fn from_text(text: &str, _: Bounds) -> Result<Self, FieldError> {
        choose(text, &[("true", true), ("false", false)])
    }
}

impl FieldType for DateTime<Utc> {
    fn field_schema(_: Bounds) -> RefOr<Schema> {
        of_type(Type::String).format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime))).into()
    }
}

impl FromText for DateTime<Utc> {
    fn from_text(text: &str, _: Bounds) -> Result<Self, FieldError> {
        let detail = "must be an RFC 3339 time with an offset, such as 2026-11-22T10:00:00Z";
        clock::parse_time(text).ok_or_else(|| FieldError::at("", NOT_A_TIME, detail))
    }
}

impl FieldType for Uuid {
    fn field_schema(_: Bounds) -> RefOr<Schema> {
        of_type(Type::String).format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid))).into()
    }
}

impl FromText for Uuid {
    fn from_text(text: &str, _: Bounds) -> Result<Self, FieldError> {
        Self::parse_str(text).map_err(|_| FieldError::at("", "not_a_uuid", "must be a UUID"))
    }
}

impl FieldType for UserId {
    fn field_schema(_: Bounds) -> RefOr<Schema> {
        of_type(Type::String).min_length(Some(1)).max_length(Some(Self::MAX_BYTES)).into()
    }
}

impl FromText for UserId {
    fn from_text(text: &str, _: Bounds) -> Result<Self, FieldError> {
        Self::parse(text).map_err(|error| FieldError::at("", "not_a_user_id", error.to_string()))
    }
}

impl FieldType for Reason {
    // Null gets the error of a missing reason instead of a type error.
    const NULL_IS_ABSENT: bool = true;
    const HAS_REASON: bool = true;

    fn field_schema(_: Bounds) -> RefOr<Schema> {
        of_type(Type::String)
            .min_length(Some(3))
            .max_length(Some(500))
            // The pattern approximates the rule of three visible characters; the reader is exact.
            .pattern(Some(r"\S\s*\S\s*\S"))
            .examples([json!("calmer evenings")])
            .into()
    }

    fn absent() -> Result<Self, FieldError> {
        Err(FieldError::at("", REASON_REQUIRED, "is missing"))
    }
}

impl FromText for Reason {
    fn from_text(text: &str, _: Bounds) -> Result<Self, FieldError> {
        Self::parse(text).map_err(|detail| FieldError::at("", REASON_REQUIRED, detail))
    }
}

/// The name of a plan or of a level; white space alone counts as none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::http) struct PlanName(pub(in crate::http) String);

impl PlanName {
    /// Bytes of the longest name.
    const MAX_BYTES: usize = 256;
}

impl FieldType for PlanName {
    fn field_schema(_: Bounds) -> RefOr<Schema> {
        of_type(Type::String).max_length(Some(Self::MAX_BYTES)).into()
    }
}

impl FromText for PlanName {
    fn from_text(text: &str, _: Bounds) -> Result<Self, FieldError> {
        match check_optional_identifier(text, Self::MAX_BYTES) {
            Ok(()) => Ok(Self(text.to_owned())),
            Err(error @ IdentifierError::TooLong { .. }) => {
                Err(FieldError::at("", "too_long", error.to_string()))
            }
            Err(error) => Err(FieldError::at("", "not_a_name", error.to_string())),
        }
    }
}

/// The name of a release.
#[derive(Debug, Clone)]
pub(in crate::http) struct ReleaseName(pub(in crate::http) String);

impl FieldType for ReleaseName {
    fn field_schema(_: Bounds) -> RefOr<Schema> {
        of_type(Type::String)
            .pattern(Some("^[a-z0-9][a-z0-9._-]{0,63}$"))
            .examples([json!("winter")])
            .into()
    }
}

impl FromText for ReleaseName {
    fn from_text(text: &str, _: Bounds) -> Result<Self, FieldError> {
        if releases::is_name(text) {
            return Ok(Self(text.to_owned()));
        }
        Err(FieldError::at("", "not_a_name", releases::NAME_RULE))
    }
}

/// Returns the choice with the name `text`.
///
/// # Errors
/// `text` names none of `choices`.
pub(in crate::http) fn choose<T: Copy>(
    text: &str,
    choices: &[(&'static str, T)],
) -> Result<T, FieldError> {
    if let Some((_, choice)) = choices.iter().find(|(name, _)| *name == text) {
        return Ok(*choice);
    }
    let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
    // The received text is not quoted: a secret may be in the wrong parameter.
    let detail = format!("must be one of {}", names.join(", "));
    Err(FieldError::at("", "not_a_choice", detail).with_constraint(json!({"enum": names})))
}

/// Reads a type from a fixed set of words: `choices! { Status: Status::ALL.map(|status| (status.as_str(), status)) }`.
macro_rules! choices {
    ($($type:ty: $choices:expr;)+) => {$(
        impl $crate::http::request::value::FieldType for $type {
            fn field_schema(
                _: $crate::http::request::rules::Bounds,
            ) -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::String)
                    .enum_values(Some($choices.map(|(name, _)| name)))
                    .into()
            }
        }

        impl $crate::http::request::value::FromText for $type {
            fn from_text(
                text: &str,
                _: $crate::http::request::rules::Bounds,
            ) -> Result<Self, $crate::json::FieldError> {
                $crate::http::request::value::choose(text, &$choices)
            }
        }
    )+};
}
pub(in crate::http) use choices;
