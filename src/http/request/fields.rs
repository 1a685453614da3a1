//! Bodies, declared once: a struct gives its strict reader, its validation and its schema.
//!
//! [`body!`] reads every field before it builds anything, so that a caller learns of all errors at once. A field
//! that is not declared is an error. `null` for an optional field is the same as leaving the field out.

use serde_json::{Value, json};
use utoipa::openapi::{
    ArrayBuilder, ObjectBuilder, OneOfBuilder, Ref, RefOr, Schema,
    schema::{AdditionalProperties, RefBuilder, SchemaType, Type},
};
use validator::ValidationErrors;

use crate::{
    http::request::value::{self, Bounds, FieldType, FromText, Rule},
    json::{FieldError, FieldErrors, StrictJson, field_error, integral},
};

/// A type that is read from JSON.
pub trait FromStrictJson: FieldType {
    /// The fields, of an object.
    const FIELDS: &'static [&'static str] = &[];

    /// Reads `json`, which stands at `pointer`, and adds what is wrong to `errors`. `None` only with an error.
    fn from_json(
        json: StrictJson,
        pointer: &Pointer<'_>,
        bounds: Bounds,
        errors: &mut FieldErrors,
    ) -> Option<Self>;
}

/// A place in a body. It is written out for an error alone: a body without errors costs no text.
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
    fn text(&self) -> String {
        match self {
            Self::Root => String::new(),
            Self::Member(parent, name) => field_error::below(&parent.text(), name),
            Self::Item(parent, index) => field_error::item(&parent.text(), *index),
        }
    }

    /// Places `error` here.
    fn place(&self, error: FieldError) -> FieldError {
        FieldError { pointer: Some(self.text()), ..error }
    }

    fn wrong_type(&self, expected: &str, json: &StrictJson) -> FieldError {
        let detail = format!("must be {expected}, and is {}", json.kind());
        FieldError::at(self.text(), "wrong_type", detail)
    }
}

/// The members of an object that is being read.
#[derive(Debug)]
pub(in crate::http) struct Fields<'e> {
    members: Vec<(String, Option<StrictJson>)>,
    pointer: &'e Pointer<'e>,
    errors: &'e mut FieldErrors,
}

impl<'e> Fields<'e> {
    /// Opens `json`, which must be an object.
    pub(in crate::http) fn open(
        json: StrictJson,
        pointer: &'e Pointer<'e>,
        errors: &'e mut FieldErrors,
    ) -> Option<Self> {
        match json {
            StrictJson::Object(members) => {
                let members = members.into_iter().map(|(name, value)| (name, Some(value)));
                Some(Self { members: members.collect(), pointer, errors })
            }
            json => {
                errors.push(pointer.wrong_type("an object", &json));
                None
            }
        }
    }

    /// Reads the field `name`.
    pub(in crate::http) fn read<T: FromStrictJson>(
        &mut self,
        name: &'static str,
        bounds: Bounds,
    ) -> Option<T> {
        let pointer = Pointer::Member(self.pointer, name);
        let member = self.members.iter_mut().find(|(member, _)| member == name);
        let json = member.and_then(|(_, value)| value.take());
        match json.filter(|json| !T::NULL_IS_ABSENT || *json != StrictJson::Null) {
            Some(json) => T::from_json(json, &pointer, bounds, self.errors),
            None => T::absent().map_err(|error| self.errors.push(pointer.place(error))).ok(),
        }
    }

    /// Adds the errors of the rules, and of the members that no field has read.
    pub(in crate::http) fn close(self, validation: Result<(), ValidationErrors>, rules: &[Rule]) {
        for (name, error) in value::violations(validation, rules) {
            self.errors.push(Pointer::Member(self.pointer, &name).place(error));
        }
        let is_known = |name: &str| rules.iter().any(|rule| rule.name == name);
        for (name, _) in self.members.iter().filter(|(name, _)| !is_known(name)) {
            let known: Vec<_> = rules.iter().map(|rule| rule.name).collect();
            let detail = match known.as_slice() {
                [] => "unknown field; the body has no fields".to_owned(),
                known => format!("unknown field; the fields are {}", known.join(", ")),
            };
            let error = FieldError::at("", "unknown_field", detail);
            self.errors.push(Pointer::Member(self.pointer, name).place(error));
        }
    }
}

impl FieldType for StrictJson {
    fn field_schema(_: Bounds) -> RefOr<Schema> {
        // A schema without a type allows any value.
        utoipa::openapi::schema::empty().into()
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
        let number = integral(digits);
        if number.is_none() {
            errors.push(pointer.place(value::out_of_range(bounds)));
        }
        number
    }
}

/// Types that are strings in JSON.
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

from_string! { crate::audit::Reason crate::ids::UserId uuid::Uuid value::PlanName }

impl FromStrictJson for String {
    fn from_json(
        json: StrictJson,
        pointer: &Pointer<'_>,
        _: Bounds,
        errors: &mut FieldErrors,
    ) -> Option<Self> {
        match json {
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
        // No item of a list that is too long is read: a megabyte of items must not cost a megabyte of errors.
        if let Some(max) = bounds.max_length().filter(|max| items.len() > *max) {
            let detail = format!("must have at most {max} items, and has {}", items.len());
            let constraint = json!({"max_items": max});
            let error = FieldError::at(pointer.text(), "too_many_items", detail);
            errors.push(error.with_constraint(constraint));
            return None;
        }
        let mut values = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            let pointer = Pointer::Item(pointer, index);
            values.push(T::from_json(item, &pointer, Bounds::default(), errors));
        }
        // Collected at the end: the items after a faulty one are read as well.
        values.into_iter().collect()
    }
}

/// The body of a caller who has nothing to say: an object without fields.
#[derive(Debug)]
pub(in crate::http) struct NoFields;

impl FieldType for NoFields {
    fn field_schema(_: Bounds) -> RefOr<Schema> {
        let closed = AdditionalProperties::<Schema>::FreeForm(false);
        ObjectBuilder::new().additional_properties(Some(closed)).into()
    }
}

impl FromStrictJson for NoFields {
    fn from_json(
        json: StrictJson,
        pointer: &Pointer<'_>,
        _: Bounds,
        errors: &mut FieldErrors,
    ) -> Option<Self> {
        Fields::open(json, pointer, errors)?.close(Ok(()), &[]);
        Some(Self)
    }
}

/// Returns `schema` with the description, the example and the nullability of its field.
pub(in crate::http) fn property(
    schema: RefOr<Schema>,
    docs: &[&str],
    is_required: bool,
    examples: &[Value],
) -> RefOr<Schema> {
    let example = examples.first().cloned();
    let description = Some(description(docs));
    let schema = match schema {
        RefOr::T(Schema::Object(mut object)) => {
            if !is_required && let SchemaType::Type(kind) = object.schema_type.clone() {
                object.schema_type = SchemaType::Array(vec![kind, Type::Null]);
            }
            object.description = description;
            object.example = example.or(object.example);
            Schema::Object(object)
        }
        RefOr::T(Schema::Array(mut array)) => {
            if !is_required {
                array.schema_type = SchemaType::Array(vec![Type::Array, Type::Null]);
            }
            array.description = description;
            Schema::Array(array)
        }
        schema if is_required => {
            return match schema {
                RefOr::Ref(Ref { ref_location, .. }) => {
                    RefBuilder::new().ref_location(ref_location).description(description).into()
                }
                schema @ RefOr::T(_) => schema,
            };
        }
        schema => {
            let null = ObjectBuilder::new().schema_type(Type::Null);
            OneOfBuilder::new().item(null).item(schema).description(description).build().into()
        }
    };
    RefOr::T(schema)
}

/// Returns the lines of a doc comment as a description.
pub(in crate::http) fn description(docs: &[&str]) -> String {
    let lines: Vec<_> = docs.iter().map(|line| line.trim()).collect();
    lines.join("\n")
}

/// Declares a body: `body! { /// … struct SettingChange as "SettingChange" { /// … key: String, } }`. Rules stand in
/// `#[validate(…)]` beside the field, as `validator` has them; `#[example(…)]` is for the document.
macro_rules! body {
    (
        $(#[doc = $docs:literal])+
        struct $name:ident {
            $(
                $(#[doc = $doc:literal])+
                $(#[validate($($rule:tt)+)])?
                $(#[example($example:expr)])?
                $field:ident: $type:ty,
            )+
        }
    ) => {
        $(#[doc = $docs])+
        #[derive(Debug)]
        pub(in crate::http) struct $name {
            $($(#[doc = $doc])+ pub(in crate::http) $field: $type,)*
        }

        const _: () = {
            use $crate::http::request::{
                fields::{self, Fields, FromStrictJson, Pointer},
                value::{Bounds, FieldType, Rule, Slot, bounds},
            };

            #[derive(validator::Validate)]
            struct Draft {
                $($(#[validate($($rule)+)])? $field: Slot<$type>,)*
            }

            const RULES: &[Rule] = &[$(Rule {
                field: stringify!($field),
                name: stringify!($field),
                bounds: bounds!($($($rule)+)?),
                out_of_bounds: <$type as FieldType>::out_of_bounds,
            },)*];

            impl FieldType for $name {
                fn field_schema(_: Bounds) -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                    utoipa::openapi::Ref::from_schema_name(stringify!($name)).into()
                }

                fn collect_schemas(
                    schemas: &mut Vec<(String, utoipa::openapi::RefOr<utoipa::openapi::Schema>)>,
                ) {
                    schemas.push((
                        stringify!($name).to_owned(),
                        <Self as utoipa::PartialSchema>::schema(),
                    ));
                    $(<$type as FieldType>::collect_schemas(schemas);)*
                }
            }

            impl FromStrictJson for $name {
                const FIELDS: &'static [&'static str] = &[$(stringify!($field),)*];

                fn from_json(
                    json: $crate::json::StrictJson,
                    pointer: &Pointer<'_>,
                    _: Bounds,
                    errors: &mut $crate::json::FieldErrors,
                ) -> Option<Self> {
                    let mut fields = Fields::open(json, pointer, errors)?;
                    let draft = Draft {
                        $($field: Slot(fields.read(stringify!($field), bounds!($($($rule)+)?))),)*
                    };
                    fields.close(validator::Validate::validate(&draft), RULES);
                    Some(Self { $($field: draft.$field.0?,)* })
                }
            }

            impl utoipa::PartialSchema for $name {
                fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                    let object = utoipa::openapi::ObjectBuilder::new()
                        .schema_type(utoipa::openapi::schema::Type::Object)
                        .description(Some(fields::description(&[$($docs),+])))
                        .additional_properties(Some(
                            utoipa::openapi::schema::AdditionalProperties::<utoipa::openapi::Schema>::FreeForm(false),
                        ));
                    $(
                        let bounds = bounds!($($($rule)+)?);
                        let is_required = <$type as FieldType>::REQUIRED;
                        let schema = <$type as FieldType>::field_schema(bounds);
                        let examples = [$(serde_json::json!($example))?];
                        let property =
                            fields::property(schema, &[$($doc),+], is_required, &examples);
                        let object = object.property(stringify!($field), property);
                        let object = if is_required { object.required(stringify!($field)) } else { object };
                    )*
                    object.into()
                }
            }

            impl utoipa::ToSchema for $name {
                fn schemas(
                    schemas: &mut Vec<(String, utoipa::openapi::RefOr<utoipa::openapi::Schema>)>,
                ) {
                    $(<$type as FieldType>::collect_schemas(schemas);)*
                }
            }
        };
    };
}
pub(in crate::http) use body;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::request::value::{MAX_INTEGER, Slot, violation};

    body! {
        /// A batch.
        struct Batch {
            /// Why.
            reason: Option<String>,
            /// The changes.
            #[validate(length(min = 1, max = 4), custom(function = no_repeats))]
            changes: Vec<Change>,
        }
    }

    body! {
        /// A change.
        struct Change {
            /// The key.
            #[example("A")]
            key: String,
            /// The value.
            value: StrictJson,
            /// The version.
            #[validate(range(min = 1, max = MAX_INTEGER))]
            version: Option<i64>,
        }
    }

    fn no_repeats(changes: &Slot<Vec<Change>>) -> Result<(), validator::ValidationError> {
        let keys: Vec<_> = changes.0.iter().flatten().map(|change| change.key.as_str()).collect();
        let is_repeated = keys.windows(2).any(|pair| pair[0] == pair[1]);
        if is_repeated { Err(violation("changes", "repeated_key", "repeats")) } else { Ok(()) }
    }

    fn read(text: &str) -> Result<Batch, FieldErrors> {
        let json = StrictJson::parse(text.as_bytes())?;
        let mut errors = FieldErrors::default();
        let batch = Batch::from_json(json, &Pointer::Root, Bounds::default(), &mut errors);
        batch.filter(|_| errors.is_empty()).ok_or(errors)
    }

    fn errors(text: &str) -> Vec<(String, &'static str)> {
        let errors = read(text).unwrap_err().into_reported().into_iter();
        errors.map(|error| (error.pointer.unwrap(), error.code)).collect()
    }

    #[test]
    fn a_valid_body_is_read() {
        let body = r#"{"reason":null,"changes":[{"key":"A","value":null,"version":3e0},{"value":1,"key":"B"}]}"#;
        let Batch { reason, changes } = read(body).unwrap();
        assert_eq!(reason, None);
        let read: Vec<_> = changes.iter().map(|it| (it.key.as_str(), it.version)).collect();
        assert_eq!(read, [("A", Some(3)), ("B", None)]);
        assert_eq!(changes[0].value, StrictJson::Null);
        assert_eq!(changes[1].value, StrictJson::Number("1".into()));
    }

    #[test]
    fn every_error_is_reported_with_its_pointer() {
        let body = r#"{"reason":7,"changes":[{"key":1,"x/y":2,"version":"3"},["A",1],{"value":1,"version":1.5},{"key":"A","value":1,"version":0}],"more":1}"#;
        let expected = [
            ("/reason", "wrong_type"),
            ("/changes/0/key", "wrong_type"),
            ("/changes/0/value", "required"),
            ("/changes/0/version", "wrong_type"),
            ("/changes/0/x~1y", "unknown_field"),
            ("/changes/1", "wrong_type"),
            ("/changes/2/key", "required"),
            ("/changes/2/version", "out_of_range"),
            ("/changes/3/version", "out_of_range"),
            ("/more", "unknown_field"),
        ];
        assert_eq!(errors(body), expected.map(|(pointer, code)| (pointer.to_owned(), code)));
    }

    #[test]
    fn rules_of_a_list_are_checked_with_those_of_its_items() {
        let change = r#"{"key":"A","value":1}"#;
        let repeated = format!(r#"{{"changes":[{change},{change}],"more":1}}"#);
        let expected = [("/changes", "repeated_key"), ("/more", "unknown_field")];
        assert_eq!(errors(&repeated), expected.map(|(pointer, code)| (pointer.to_owned(), code)));
        assert_eq!(errors(r#"{"changes":[]}"#), [("/changes".to_owned(), "empty")]);
    }

    #[test]
    fn no_item_of_a_list_that_is_too_long_is_read() {
        let list = |length: usize| format!(r#"{{"changes":[{}]}}"#, vec!["7"; length].join(","));
        assert_eq!(errors(&list(4)).len(), 4);
        assert_eq!(errors(&list(5)), [("/changes".to_owned(), "too_many_items")]);
    }

    #[test]
    fn an_array_is_not_an_object() {
        assert_eq!(errors(r#"["r", []]"#), [(String::new(), "wrong_type")]);
        assert_eq!(errors(r#"{"changes":{}}"#), [("/changes".to_owned(), "wrong_type")]);
    }

    #[test]
    fn a_version_is_a_positive_integer_that_every_reader_holds() {
        let with = |version: &str| {
            read(&format!(r#"{{"changes":[{{"key":"A","value":1,"version":{version}}}]}}"#))
        };
        for valid in ["3", "3.0", "3e0", "30e-1"] {
            assert_eq!(with(valid).unwrap().changes[0].version, Some(3), "{valid}");
        }
        assert!(with("9007199254740991").is_ok());
        for invalid in [
            "0",
            "-1",
            "1.5",
            "9007199254740992",
            "1e300",
            "1180591620717411303424",
            "true",
            "\"3\"",
            "[3]",
        ] {
            assert!(with(invalid).is_err(), "{invalid}");
        }
    }

    #[test]
    fn the_schema_has_the_bounds_of_the_reader() {
        let batch = serde_json::to_value(<Batch as utoipa::PartialSchema>::schema()).unwrap();
        assert_eq!(batch["additionalProperties"], false);
        assert_eq!(batch["required"], json!(["changes"]));
        assert_eq!(batch["properties"]["reason"]["type"], json!(["string", "null"]));
        let changes = &batch["properties"]["changes"];
        assert_eq!((&changes["minItems"], &changes["maxItems"]), (&json!(1), &json!(4)));
        assert_eq!(changes["items"]["$ref"], "#/components/schemas/Change");
        let change = serde_json::to_value(<Change as utoipa::PartialSchema>::schema()).unwrap();
        assert_eq!(change["required"], json!(["key", "value"]));
        let version = &change["properties"]["version"];
        assert_eq!((&version["minimum"], &version["maximum"]), (&json!(1), &json!(MAX_INTEGER)));
    }
}
