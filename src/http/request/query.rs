//! Declarations of queries: a struct gives the strict reader, the validation and the parameters of the document.
//!
//! [`query!`] reads every parameter before building the struct, and reports all errors at once. [`Query`] is the only
//! source of parameters, and refuses undeclared parameters.

use axum::{extract::FromRequestParts, http::request::Parts};
use serde_json::Value;
use utoipa::{
    IntoParams,
    openapi::{
        RefOr, Required, Schema,
        path::{Parameter, ParameterBuilder, ParameterIn},
        schema::Type,
    },
};

use crate::http::{
    problem::Problem,
    request::{
        query_string::{QueryString, Taken},
        reason::or_reason_required,
        rules::Bounds,
        value::{self, FieldType, FromText},
    },
};

/// The parameters of a request. An unknown, repeated, empty or invalid parameter is an error.
#[derive(Debug)]
pub struct Query<T>(
    /// The parameters.
    pub T,
);

/// The declared parameters of a request; probes and caches may add others.
#[derive(Debug)]
pub(in crate::http) struct LenientQuery<T>(pub(in crate::http) T);

impl<S: Send + Sync, T: FromQuery> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        read(parts.uri.query().unwrap_or_default()).map(Self)
    }
}

impl<S: Send + Sync, T: FromQuery + Default> FromRequestParts<S> for LenientQuery<T> {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let mut query = QueryString::parse(parts.uri.query().unwrap_or_default());
        // A probe must report the health of the service, so errors of the query are dropped.
        Ok(Self(T::from_query(&mut query, "", Bounds::default()).unwrap_or_default()))
    }
}

/// Reads `text`, the part of a URL after `?`.
fn read<T: FromQuery>(text: &str) -> Result<T, Problem> {
    let mut query = QueryString::parse(text);
    let parameters = T::from_query(&mut query, "", Bounds::default());
    // Closed only now: the reader has declared every known name.
    let (errors, names) = query.close();
    match parameters {
        // An unknown parameter is an error, although the reader has returned a value.
        Some(parameters) if errors.is_empty() => Ok(parameters),
        // Only a route with the parameter `reason` can lack a reason.
        _ => Err(or_reason_required(errors, names.contains(&"reason"))),
    }
}

/// A parameter, or a group of parameters shared by several routes.
pub trait FromQuery: Sized {
    /// Reads the parameter `name`, or the parameters of the group. `None` only with an error.
    fn from_query(query: &mut QueryString, name: &'static str, bounds: Bounds) -> Option<Self>;

    /// Describes the parameter, or the parameters of the group, for the document.
    fn parameters(
        name: &str,
        docs: &[&str],
        bounds: Bounds,
        default: Option<Value>,
    ) -> Vec<Parameter>;
}

impl<T: FromText> FromQuery for T {
    fn from_query(query: &mut QueryString, name: &'static str, bounds: Bounds) -> Option<Self> {
        let parameter = query.take(name);
        query.convert(name, bounds, parameter, Self::absent)
    }

    fn parameters(
        name: &str,
        docs: &[&str],
        bounds: Bounds,
        default: Option<Value>,
    ) -> Vec<Parameter> {
        // A default makes the parameter optional.
        let is_required = T::REQUIRED && default.is_none();
        vec![parameter(name, docs, T::field_schema(bounds), is_required, default)]
    }
}

impl<T: FromText> FromQuery for Option<T> {
    fn from_query(query: &mut QueryString, name: &'static str, bounds: Bounds) -> Option<Self> {
        match query.take(name) {
            // An absent parameter must not reach `convert`, where `T::absent` reports an error.
            Taken::Absent => Some(None),
            parameter => query.convert(name, bounds, parameter, T::absent).map(Some),
        }
    }

    fn parameters(
        name: &str,
        docs: &[&str],
        bounds: Bounds,
        default: Option<Value>,
    ) -> Vec<Parameter> {
        vec![parameter(name, docs, T::field_schema(bounds), false, default)]
    }
}

/// Whether a parameter is present, with a value or without: `?verbose`.
#[derive(Debug, Default, Clone, Copy)]
pub(in crate::http) struct Flag(pub(in crate::http) bool);

impl FromQuery for Flag {
    fn from_query(query: &mut QueryString, name: &'static str, _: Bounds) -> Option<Self> {
        // Any value counts as set: monitors send `?verbose=1` as well as `?verbose`.
        Some(Self(!matches!(query.take(name), Taken::Absent)))
    }

    fn parameters(name: &str, docs: &[&str], bounds: Bounds, _: Option<Value>) -> Vec<Parameter> {
        vec![parameter(name, docs, String::field_schema(bounds), false, None)]
    }
}

/// No parameters at all.
#[derive(Debug, Default)]
pub struct NoParameters;

impl FromQuery for NoParameters {
    fn from_query(_: &mut QueryString, _: &'static str, _: Bounds) -> Option<Self> {
        Some(Self)
    }

    fn parameters(_: &str, _: &[&str], _: Bounds, _: Option<Value>) -> Vec<Parameter> {
        Vec::new()
    }
}

impl IntoParams for NoParameters {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        Vec::new()
    }
}

fn parameter(
    name: &str,
    docs: &[&str],
    schema: RefOr<Schema>,
    is_required: bool,
    default: Option<Value>,
) -> Parameter {
    let schema = match schema {
        RefOr::T(Schema::Object(mut object)) => {
            object.default = default;
            // An empty parameter is an error for every type.
            if object.min_length.is_none() && object.schema_type == Type::String.into() {
                object.min_length = Some(1);
            }
            RefOr::T(Schema::Object(object))
        }
        schema => schema,
    };
    let required = if is_required { Required::True } else { Required::False };
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Query)
        .required(required)
        .description(Some(value::description(docs)))
        .schema(Some(schema))
        .build()
}

/// Describes a group of parameters that may be absent.
pub(in crate::http) fn optional(mut parameters: Vec<Parameter>) -> Vec<Parameter> {
    // OpenAPI cannot say `all or none`, so each parameter is optional.
    for parameter in &mut parameters {
        parameter.required = Required::False;
    }
    parameters
}

/// Declares the parameters of a query: `query! { /// … struct Page { /// … #[validate(range(min = 1, max = 200))]
/// limit: u16 = 50, } }`. A value after `=` is the default; a declared struct is itself a type of field, a group of parameters.
macro_rules! query {
    (
        $(#[doc = $docs:literal])+
        $(#[validate(schema(function = $check:ident))])?
        $(#[derive($($derive:ident),+)])?
        struct $name:ident {
            $(
                $(#[doc = $doc:literal])+
                $(#[validate($($rule:tt)+)])?
                $(#[name($parameter:literal)])?
                $field:ident: $type:ty $(= $default:expr)?,
            )+
        }
    ) => {
        $(#[doc = $docs])+
        #[derive(Debug $(, $($derive),+)?)]
        pub(in crate::http) struct $name {
            $($(#[doc = $doc])+ pub(in crate::http) $field: $type,)+
        }

        const _: () = {
            use $crate::http::request::{
                query::FromQuery,
                query_string::QueryString,
                rules::{Bounds, Rule, Slot, bounds},
 value,
            };
            use utoipa::openapi::path::{Parameter, ParameterIn};

            #[derive(validator::Validate)]
            $(#[validate(schema(function = $check, skip_on_field_errors = false))])?
            pub(in crate::http) struct Draft {
                $($(#[validate($($rule)+)])? pub(in crate::http) $field: Slot<$type>,)+
            }

            $(impl $crate::http::request::query::Drafted for $name {
                type Draft = $crate::http::request::query::query!(@draft Draft $check);
            })?

            const RULES: &[Rule] = &[$(Rule {
                field: stringify!($field),
                name: $crate::http::request::query::query!(@name $field $($parameter)?),
                bounds: bounds!($($($rule)+)?),
                out_of_bounds: value::out_of_range,
            },)+];

            impl FromQuery for $name {
                fn from_query(query: &mut QueryString, _: &'static str, _: Bounds) -> Option<Self> {
                    let draft = Draft {
                        $($field: Slot($crate::http::request::query::query!(
                            @read query,
                            $crate::http::request::query::query!(@name $field $($parameter)?),
                            bounds!($($($rule)+)?),
                            $type
                            $(, $default)?
                        )),)+
                    };
                    query.report_all($crate::http::request::rules::violations(validator::Validate::validate(&draft), RULES));
                    Some(Self { $($field: draft.$field.0?,)+ })
                }

                fn parameters(
                    _: &str,
                    _: &[&str],
                    _: Bounds,
                    _: Option<serde_json::Value>,
                ) -> Vec<Parameter> {
                    [$(<$type as FromQuery>::parameters(
                        $crate::http::request::query::query!(@name $field $($parameter)?),
                        &[$($doc),+],
                        bounds!($($($rule)+)?),
                        $crate::http::request::query::query!(@default $($default)?),
                    ),)+].concat()
                }
            }

            impl utoipa::IntoParams for $name {
                fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
                    <Self as FromQuery>::parameters("", &[], Bounds::default(), None)
                }
            }
        };
    };
    (@draft $draft:ident $check:ident) => { $draft };
    (@name $field:ident) => { stringify!($field) };
    (@name $field:ident $parameter:literal) => { $parameter };
    (@read $query:ident, $name:expr, $bounds:expr, $type:ty) => {
        <$type as FromQuery>::from_query($query, $name, $bounds)
    };
    (@read $query:ident, $name:expr, $bounds:expr, $type:ty, $default:expr) => {
        <Option<$type> as FromQuery>::from_query($query, $name, $bounds)
            .map(|value| value.unwrap_or($default))
    };
    (@default) => { None };
    (@default $default:expr) => { Some(serde_json::json!($default)) };
}
pub(in crate::http) use query;

/// The draft of a query, for a rule of several parameters.
pub(in crate::http) trait Drafted {
    /// A slot for each field.
    type Draft;
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};

    use super::*;
    use crate::{
        audit::Reason,
        http::{
            problem::{Code, tests::errors_of},
            request::{
                rules::{Slot, violation},
                value::choices,
            },
        },
    };

    #[derive(Debug, Clone, Copy, PartialEq)]
    pub(in crate::http) enum Kind {
        Seed,
        Update,
    }

    choices! {
        Kind: [("seed", Self::Seed), ("update", Self::Update)];
    }

    query! {
        /// A group of parameters.
        struct Group {
            /// A limit
            #[validate(range(min = 1, max = 200))]
            limit: u16 = 50,
            /// A time
            at: Option<DateTime<Utc>>,
        }
    }

    query! {
        /// Parameters.
        #[validate(schema(function = no_search_at_a_time))]
        struct Parameters {
            /// A group
            group: Group,
            /// A flag
            dry_run: bool = false,
            /// A choice
            kind: Option<Kind>,
            /// A text
            #[name("searchText")]
            search: Option<String>,
            /// A number
            #[validate(range(min = -9, max = 9))]
            number: Option<i64>,
        }
    }

    fn no_search_at_a_time(
        draft: &<Parameters as Drafted>::Draft,
    ) -> Result<(), validator::ValidationError> {
        let Slot(group) = &draft.group;
        let has_time = group.as_ref().is_some_and(|group| group.at.is_some());
        if has_time && matches!(draft.search, Slot(Some(Some(_)))) {
            return Err(violation("searchText", "ambiguous", "not at a time"));
        }
        Ok(())
    }

    fn errors(text: &str) -> Vec<(String, &'static str)> {
        errors_of(&read::<Parameters>(text).unwrap_err())
    }

    #[test]
    fn valid_parameters_are_read() {
        let text = "limit=20&at=2026-11-22T10:00:00%2B01:00&dry_run=true&kind=seed&number=-3";
        let parameters: Parameters = read(text).unwrap();
        assert_eq!(parameters.group.limit, 20);
        assert_eq!(parameters.group.at.unwrap().to_rfc3339(), "2026-11-22T09:00:00+00:00");
        assert!(parameters.dry_run);
        assert_eq!((parameters.kind, parameters.number), (Some(Kind::Seed), Some(-3)));
        let parameters: Parameters = read("searchText=a%26b+c&kind=update").unwrap();
        assert_eq!(parameters.search.as_deref(), Some("a&b c"));
        assert_eq!((parameters.group.limit, parameters.dry_run), (50, false));
        assert_eq!(parameters.kind, Some(Kind::Update));
    }

    #[test]
    fn every_error_is_reported_with_its_parameter() {
        let text = "limit=201&limit=1&at=yesterday&dry_run=yes&kind=&nope=1&x=%ff&searchText=a%0Ab&number=+5";
        let expected = [
            ("?limit", "repeated"),
            ("?", "not_utf8"),
            ("?searchText", "forbidden_character"),
            ("?at", "not_a_time"),
            ("?limit", "out_of_range"),
            ("?dry_run", "not_a_choice"),
            ("?kind", "empty"),
            ("?number", "out_of_range"),
            ("?nope", "unknown_parameter"),
        ];
        assert_eq!(errors(text), expected.map(|(place, code)| (place.to_owned(), code)));
        let text = "searchText=a&at=2026-11-22T10:00:00Z&number=10";
        let expected = [("?number", "out_of_range"), ("?searchText", "ambiguous")];
        assert_eq!(errors(text), expected.map(|(place, code)| (place.to_owned(), code)));
    }

    #[test]
    fn only_plain_integers_and_whole_times_are_accepted() {
        for text in ["5.0", "0x5", "5e0", "five", "%2B5", "99999999999999999999", "--5", "-"] {
            assert!(read::<Parameters>(&format!("number={text}")).is_err(), "{text}");
        }
        for text in ["2026-02-30T00:00:00Z", "2026-01-01", "1", "2026-01-01T00:00:00", "now"] {
            assert!(read::<Parameters>(&format!("at={text}")).is_err(), "{text}");
        }
        let problem = read::<Parameters>("at=now").unwrap_err();
        let detail = problem.errors().reported()[0].detail.as_str();
        assert!(detail.contains("with an offset") && detail.contains("%2B"), "{detail}");
    }

    #[test]
    fn a_reason_alone_makes_the_request_one_without_a_reason() {
        query! {
            /// Parameters with a reason.
            struct WithReason {
                /// Why
                reason: Reason,
            }
        }
        for text in ["", "reason=x", "reason=a%0Abcd"] {
            assert_eq!(
                read::<WithReason>(text).unwrap_err().code(),
                Code::ReasonRequired,
                "{text}"
            );
        }
        let problem = read::<WithReason>("reason=x&y=1").unwrap_err();
        assert_eq!(problem.code(), Code::MalformedRequest);
        assert_eq!(read::<WithReason>("reason=because").unwrap().reason.as_str(), "because");
    }

    #[test]
    fn the_document_has_the_bounds_of_the_reader() {
        let parameters = Parameters::parameters("", &[], Bounds::default(), None);
        let parameters = serde_json::to_value(parameters).unwrap();
        let names: Vec<_> =
            parameters.as_array().unwrap().iter().map(|parameter| &parameter["name"]).collect();
        assert_eq!(names, ["limit", "at", "dry_run", "kind", "searchText", "number"]);
        assert_eq!(parameters[0]["schema"]["maximum"], 200);
        assert_eq!(parameters[0]["schema"]["default"], 50);
        assert_eq!(parameters[0]["description"], "A limit");
        assert_eq!(parameters[3]["schema"]["enum"], serde_json::json!(["seed", "update"]));
        assert_eq!(parameters[4]["schema"]["minLength"], 1);
    }
}
