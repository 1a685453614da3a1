//! Types with a strict reader of JSON.

use serde_json::json;
use utoipa::openapi::{ArrayBuilder, ObjectBuilder, RefOr, Schema, schema::SchemaType};

use crate::{
    http::request::{
        rules::Bounds,
        value::{self, FieldType, FromText},
    },
    json::{FieldError, FieldErrors, StrictJson, field_error, integral},
};

/// A type with a reader of JSON.
pub trait FromStrictJson: FieldType {
    /// Reads the `json` at `pointer`, and adds all errors to `errors`. Returns `None` only with an error.
    fn from_json(
        json: StrictJson,
        pointer: &Pointer<'_>,
        bounds: Bounds,
        errors: &mut FieldErrors,
    ) -> Option<Self>;
}

/// A position in a body. Only an error formats the pointer: a valid body costs no allocation.
#[derive(Debug, Clone, Copy)]
pub enum Pointer<'p> {
    /// The whole body.
    Root,
    /// A member of an object.
    Member(&'p Pointer<'p>, &'p str),
    /// An item of a list.
    Item(&'p Pointer<'p>, usize),
}

impl Pointer<'_> {
    /// Returns the JSON Pointer.
    pub(in crate::http) fn text(&self) -> String {
        match self {
            Self::Root => String::new(),
            Self::Member(parent, name) => field_error::below(&parent.text(), name),
            Self::Item(parent, index) => field_error::item(&parent.text(), *index),
        }
    }

    /// Adds the pointer to `error`.
    pub(in crate::http) fn place(&self, error: FieldError) -> FieldError {
        FieldError { pointer: Some(self.text()), ..error }
    }

    /// Returns the error of a value of another type.
    pub(in crate::http) fn wrong_type(&self, expected: &str, json: &StrictJson) -> FieldError {
        // Only the kind of the value is named: the value may be a secret.
        let detail = format!("must be {expected}, and is {}", json.kind());
        FieldError::at(self.text(), "wrong_type", detail)
    }
}

impl FieldType for StrictJson {
    fn field_schema(_: Bounds) -> RefOr<Schema> {
        // A schema without a type allows any value. `utoipa`'s empty schema would add a default of null.
        Schema::Object(ObjectBuilder::new().schema_type(SchemaType::AnyValue).build()).into()
    }
}

impl FromStrictJson for StrictJson {
    fn from_json(
        json: StrictJson,
        _: &Pointer<'_>,
        _: Bounds,
        _: &mut FieldErrors,
    ) -> Option<Self> {
        Some(json)
    }
}

impl FromStrictJson for i64 {
    fn from_json(
        json: StrictJson,
        pointer: &Pointer<'_>,
        bounds: Bounds,
        errors: &mut FieldErrors,
    ) -> Option<Self> {
        let StrictJson::Number(digits) = &json else {
            errors.push(pointer.wrong_type("an integer", &json));
            return None;
        };
        // Without a float in between, so that no digit is lost.
        let number = integral(digits);
        // A fraction or an overflow is out of range; `3.0` and `3e0` are integers in JSON.
        if number.is_none() {
            errors.push(pointer.place(value::out_of_range(bounds)));
        }
        number
    }
}

/// Reads types from strings of JSON.
macro_rules! from_string {
    ($($type:ty)*) => {$(
        impl FromStrictJson for $type {
            fn from_json(
                json: StrictJson,
                pointer: &Pointer<'_>,
                bounds: Bounds,
                errors: &mut FieldErrors,
            ) -> Option<Self> {
                let StrictJson::String(text) = &json else {
                    errors.push(pointer.wrong_type("a string", &json));
                    return None;
                };
                let value = Self::from_text(text, bounds);
                value.map_err(|error| errors.push(pointer.place(error))).ok()
            }
        }
    )*};
}

from_string! {
    chrono::DateTime<chrono::Utc> crate::audit::Reason crate::ids::UserId crate::proposals::VerdictKind
    crate::rollouts::Guard crate::rollouts::OnCompletion crate::sessions::Outcome crate::settings::RolloutAction uuid::Uuid
    value::PlanName value::ReleaseName
}

impl FromStrictJson for bool {
    fn from_json(
        json: StrictJson,
        pointer: &Pointer<'_>,
        _: Bounds,
        errors: &mut FieldErrors,
    ) -> Option<Self> {
        match json {
            StrictJson::Bool(value) => Some(value),
            json => {
                errors.push(pointer.wrong_type("a boolean", &json));
                None
            }
        }
    }
}

impl FromStrictJson for String {
    fn from_json(
        json: StrictJson,
        pointer: &Pointer<'_>,
        _: Bounds,
        errors: &mut FieldErrors,
    ) -> Option<Self> {
        match json {
            // Moved, not cloned: a text may be most of the body.
            StrictJson::String(text) => Some(text),
            json => {
                errors.push(pointer.wrong_type("a string", &json));
                None
            }
        }
    }
}

impl<T: FromStrictJson> FromStrictJson for Option<T> {
    fn from_json(
        json: StrictJson,
        pointer: &Pointer<'_>,
        bounds: Bounds,
        errors: &mut FieldErrors,
    ) -> Option<Self> {
        // Null never arrives: `Fields::read` treats null as an absent field.
        T::from_json(json, pointer, bounds, errors).map(Some)
    }
}

impl<T: FieldType> FieldType for Vec<T> {
    fn field_schema(bounds: Bounds) -> RefOr<Schema> {
        ArrayBuilder::new()
            .items(T::field_schema(Bounds::default()))
            .min_items(bounds.min_length())
            .max_items(bounds.max_length())
            .into()
    }

    fn collect_schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        T::collect_schemas(schemas);
    }

    fn out_of_bounds(bounds: Bounds) -> FieldError {
        // Only the minimum can fail in the validator: the reader refuses a longer list at once.
        let min = bounds.min.unwrap_or_default();
        FieldError::at("", "empty", format!("must have at least {min} item(s)"))
    }
}

impl<T: FromStrictJson> FromStrictJson for Vec<T> {
    fn from_json(
        json: StrictJson,
        pointer: &Pointer<'_>,
        bounds: Bounds,
        errors: &mut FieldErrors,
    ) -> Option<Self> {
        let StrictJson::Array(items) = json else {
            errors.push(pointer.wrong_type("an array", &json));
            return None;
        };
        // Items of an overlong list are not read: a megabyte of items must not cost a megabyte of errors.
        if let Some(max) = bounds.max_length().filter(|max| items.len() > *max) {
            let detail = format!("must have at most {max} items, and has {}", items.len());
            let constraint = json!({"max_items": max});
            let error = FieldError::at(pointer.text(), "too_many_items", detail);
            errors.push(error.with_constraint(constraint));
            return None;
        }
        // The items are parsed already, so the capacity cannot exceed the size of the body.
        let mut values = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            let pointer = Pointer::Item(pointer, index);
            // The declared bounds count the items and do not apply to each item.
            values.push(T::from_json(item, &pointer, Bounds::default(), errors));
        }
        // Collected at the end, because the items after an invalid item must be read as well.
        values.into_iter().collect()
    }
}
