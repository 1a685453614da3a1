//! Declarations of bodies: a struct gives the strict reader, the validation and the schema.
//!
//! [`body!`] reads every field before building the struct, and reports all errors at once. An undeclared field is an
//! error. `null` for an optional field is the same as leaving the field out.

use serde_json::Value;
use utoipa::openapi::{
    ObjectBuilder, OneOfBuilder, Ref, RefOr, Schema,
    schema::{AdditionalProperties, RefBuilder, SchemaType, Type},
};
use validator::ValidationErrors;

use crate::{
    http::request::{
        from_json::{FromStrictJson, Pointer},
        rules::{self, Bounds, Rule},
        value::{self, FieldType},
    },
    json::{FieldError, FieldErrors, StrictJson},
};

/// The members of an object during reading.
#[derive(Debug)]
pub(in crate::http) struct Fields<'e> {
    // A list, not a map: bodies have few members, and errors keep the order of the body.
    members: Vec<(String, Option<StrictJson>)>,
    names: Vec<&'static str>,
    pointer: &'e Pointer<'e>,
    errors: &'e mut FieldErrors,
}

impl<'e> Fields<'e> {
    /// Opens an object.
    pub(in crate::http) fn open(
        json: StrictJson,
        pointer: &'e Pointer<'e>,
        errors: &'e mut FieldErrors,
    ) -> Option<Self> {
        match json {
            StrictJson::Object(members) => {
                let members = members.into_iter().map(|(name, value)| (name, Some(value)));
                Some(Self { members: members.collect(), names: Vec::new(), pointer, errors })
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
        self.names.push(name);
        let pointer = Pointer::Member(self.pointer, name);
        // The parser refuses repeated members, so the first match is the only match.
        let member = self.members.iter_mut().find(|(member, _)| member == name);
        // Moved out rather than cloned: a value may be most of the body.
        let json = member.and_then(|(_, value)| value.take());
        // A field of any JSON keeps null: only the schema of a setting can refuse null.
        match json.filter(|json| !T::NULL_IS_ABSENT || *json != StrictJson::Null) {
            Some(json) => T::from_json(json, &pointer, bounds, self.errors),
            None => T::absent().map_err(|error| self.errors.push(pointer.place(error))).ok(),
        }
    }

    /// Adds the errors of the rules and of unknown members.
    pub(in crate::http) fn close(self, validation: Result<(), ValidationErrors>, rules: &[Rule]) {
        for (name, error) in rules::violations(validation, rules) {
            self.errors.push(Pointer::Member(self.pointer, &name).place(error));
        }
        let is_known = |name: &String| self.names.contains(&name.as_str());
        for (name, _) in self.members.iter().filter(|(name, _)| !is_known(name)) {
            // The known names help with a typo; the unknown name is in the pointer only.
            let detail = match self.names.as_slice() {
                [] => "unknown field; the body has no fields".to_owned(),
                names => format!("unknown field; the fields are {}", names.join(", ")),
            };
            let error = FieldError::at("", "unknown_field", detail);
            self.errors.push(Pointer::Member(self.pointer, name).place(error));
        }
    }
}

/// A field of a body, or a group of fields shared by several bodies.
pub(in crate::http) trait BodyField: Sized {
    /// Whether a reason is among the fields.
    const HAS_REASON: bool;

    /// Reads the field `name`, or the fields of the group. Returns `None` only with an error.
    fn from_fields(fields: &mut Fields<'_>, name: &'static str, bounds: Bounds) -> Option<Self>;

    /// Adds the field, or the fields of the group, to the schema of the body.
    fn describe(
        object: ObjectBuilder,
        name: &str,
        docs: &[&str],
        bounds: Bounds,
        examples: &[Value],
    ) -> ObjectBuilder;

    /// Adds the referenced schemas by name.
    fn collect_schemas(_: &mut Vec<(String, RefOr<Schema>)>) {}

    /// Returns the error of a value outside of `bounds`.
    fn out_of_bounds(bounds: Bounds) -> FieldError {
        value::out_of_range(bounds)
    }
}

impl<T: FromStrictJson> BodyField for T {
    const HAS_REASON: bool = T::HAS_REASON;

    fn from_fields(fields: &mut Fields<'_>, name: &'static str, bounds: Bounds) -> Option<Self> {
        fields.read(name, bounds)
    }

    fn describe(
        object: ObjectBuilder,
        name: &str,
        docs: &[&str],
        bounds: Bounds,
        examples: &[Value],
    ) -> ObjectBuilder {
        let property = property(T::field_schema(bounds), docs, T::REQUIRED, examples);
        let object = object.property(name, property);
        if T::REQUIRED { object.required(name) } else { object }
    }

    fn collect_schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        <T as FieldType>::collect_schemas(schemas);
    }

    fn out_of_bounds(bounds: Bounds) -> FieldError {
        <T as FieldType>::out_of_bounds(bounds)
    }
}

/// An object without fields.
#[derive(Debug)]
pub(in crate::http) struct NoFields;

impl FieldType for NoFields {
    fn field_schema(_: Bounds) -> RefOr<Schema> {
        // Closed, because the reader refuses unknown members.
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

/// Returns `schema` with the description, the example and the nullability of a field.
pub(in crate::http) fn property(
    schema: RefOr<Schema>,
    docs: &[&str],
    is_required: bool,
    examples: &[Value],
) -> RefOr<Schema> {
    let example = examples.first().cloned();
    let description = Some(value::description(docs));
    let schema = match schema {
        RefOr::T(Schema::Object(mut object)) => {
            // JSON Schema has no `nullable`: null is a further type.
            if !is_required && let SchemaType::Type(kind) = object.schema_type.clone() {
                object.schema_type = SchemaType::Array(vec![kind, Type::Null]);
            }
            object.description = description;
            // The example of a field is more specific than the example of a type.
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
                // OpenAPI 3.1 permits a description beside `$ref`.
                RefOr::Ref(Ref { ref_location, .. }) => {
                    RefBuilder::new().ref_location(ref_location).description(description).into()
                }
                schema @ RefOr::T(_) => schema,
            };
        }
        schema => {
            // A reference has no type to extend, so null becomes an alternative.
            let null = ObjectBuilder::new().schema_type(Type::Null);
            OneOfBuilder::new().item(null).item(schema).description(description).build().into()
        }
    };
    RefOr::T(schema)
}

/// Declares a body: `body! { /// … struct SettingChange as "SettingChange" { /// … key: String, } }`. Rules stand in
/// `#[validate(…)]` beside the field, in the syntax of `validator`; `#[example(…)]` is for the document.
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
                fields::{BodyField, Fields},
                from_json::{FromStrictJson, Pointer},
                rules::{Bounds, Rule, Slot, bounds},
 value::FieldType,
            };

            #[derive(validator::Validate)]
            struct Draft {
                $($(#[validate($($rule)+)])? $field: Slot<$type>,)*
            }

            const RULES: &[Rule] = &[$(Rule {
                field: stringify!($field),
                name: stringify!($field),
                bounds: bounds!($($($rule)+)?),
                out_of_bounds: <$type as BodyField>::out_of_bounds,
            },)*];

            impl FieldType for $name {
                const HAS_REASON: bool = false $(|| <$type as BodyField>::HAS_REASON)+;

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
                    $(<$type as BodyField>::collect_schemas(schemas);)+
                }
            }

            impl FromStrictJson for $name {
                fn from_json(
                    json: $crate::json::StrictJson,
                    pointer: &Pointer<'_>,
                    _: Bounds,
                    errors: &mut $crate::json::FieldErrors,
                ) -> Option<Self> {
                    let mut fields = Fields::open(json, pointer, errors)?;
                    let draft = Draft {
                        $($field: Slot(<$type as BodyField>::from_fields(
                            &mut fields,
                            stringify!($field),
                            bounds!($($($rule)+)?),
                        )),)+
                    };
                    fields.close(validator::Validate::validate(&draft), RULES);
                    Some(Self { $($field: draft.$field.0?,)* })
                }
            }

            impl utoipa::PartialSchema for $name {
                fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                    let object = utoipa::openapi::ObjectBuilder::new()
                        .schema_type(utoipa::openapi::schema::Type::Object)
                        .description(Some($crate::http::request::value::description(&[$($docs),+])))
                        .additional_properties(Some(
                            utoipa::openapi::schema::AdditionalProperties::<utoipa::openapi::Schema>::FreeForm(false),
                        ));
                    $(let object = <$type as BodyField>::describe(
                        object,
                        stringify!($field),
                        &[$($doc),+],
                        bounds!($($($rule)+)?),
                        &[$(serde_json::json!($example))?],
                    );)+
                    object.into()
                }
            }

            impl utoipa::ToSchema for $name {
                fn schemas(
                    schemas: &mut Vec<(String, utoipa::openapi::RefOr<utoipa::openapi::Schema>)>,
                ) {
                    $(<$type as BodyField>::collect_schemas(schemas);)+
                }
            }
        };
    };
}
pub(in crate::http) use body;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    use crate::http::request::{
        rules::{Slot, violation},
        value::MAX_INTEGER,
    };

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
        let read: Vec<_> =
            changes.iter().map(|change| (change.key.as_str(), change.version)).collect();
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
