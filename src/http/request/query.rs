//! Declarations of queries: a struct gives the strict reader, the validation and the parameters of the document.
//!
//! [`query!`] reads every parameter before building the struct, and reports all errors at once. [`Query`] is the only
//! source of parameters, and refuses undeclared parameters.

use std::borrow::Cow;

use axum::{extract::FromRequestParts, http::request::Parts};
use percent_encoding::percent_decode_str;
use serde_json::Value;
use utoipa::{
    IntoParams,
    openapi::{
        RefOr, Required, Schema,
        path::{Parameter, ParameterBuilder, ParameterIn},
        schema::Type,
    },
};

use crate::{
    http::{
        problem::Problem,
        request::{
            fields,
            reason::or_reason_required,
            rules::Bounds,
            value::{FieldType, FromText},
        },
    },
    json::{FieldError, FieldErrors, field_error},
    text,
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
        Ok(Self(T::from_query(&mut query, "", Bounds::default()).unwrap_or_default()))
    }
}

/// Reads `text`, the part of a URL after `?`.
fn read<T: FromQuery>(text: &str) -> Result<T, Problem> {
    let mut query = QueryString::parse(text);
    let parameters = T::from_query(&mut query, "", Bounds::default());
    let (errors, names) = query.close();
    match parameters {
        Some(parameters) if errors.is_empty() => Ok(parameters),
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
        .description(Some(fields::description(docs)))
        .schema(Some(schema))
        .build()
}

/// Describes a group of parameters that may be absent.
pub(in crate::http) fn optional(mut parameters: Vec<Parameter>) -> Vec<Parameter> {
    for parameter in &mut parameters {
        parameter.required = Required::False;
    }
    parameters
}

/// The most parameters that are read; no route has half as many.
const MAX_PARAMETERS: usize = 32;

/// A query string, decoded.
#[derive(Debug, Default)]
pub struct QueryString {
    /// Names and values; the value of a parameter with a forbidden character is `None`, and the error is reported.
    parameters: Vec<(String, Option<String>)>,
    names: Vec<&'static str>,
    errors: FieldErrors,
}

/// The presence of a parameter.
enum Taken {
    Absent,
    /// With a forbidden character; the error is reported.
    Invalid,
    Text(String),
}

impl QueryString {
    /// Decodes `text`, the part of a URL after `?`.
    fn parse(text: &str) -> Self {
        let mut query = Self::default();
        for (index, pair) in text.split('&').filter(|pair| !pair.is_empty()).enumerate() {
            // A flood of parameters must not become a flood of errors.
            if index == MAX_PARAMETERS {
                let detail = format!("must have at most {MAX_PARAMETERS} parameters");
                query = Self::default();
                query.errors.push(FieldError::at("?", "too_many_parameters", detail));
                break;
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match (decode(name), decode(value)) {
                (Some(name), Some(value)) => query.add(name, value),
                _ => {
                    query.errors.push(FieldError::at("?", "not_utf8", "a parameter is not UTF-8"));
                }
            }
        }
        query
    }

    fn add(&mut self, name: String, value: String) {
        // Proxies disagree whether the first or the last of two counts, so neither does.
        if self.parameters.iter().any(|(known, _)| *known == name) {
            self.report(&name, FieldError::at("", "repeated", "must not be repeated"));
        } else if let Err(character) = text::check(&value) {
            let detail = format!("must not contain {character}");
            self.report(&name, FieldError::at("", "forbidden_character", detail));
            self.parameters.push((name, None));
        } else {
            self.parameters.push((name, Some(value)));
        }
    }

    /// Whether none of `names` is present; the names count as declared.
    pub(in crate::http) fn lacks(&mut self, names: &[&'static str]) -> bool {
        self.names.extend(names);
        !self.parameters.iter().any(|(name, _)| names.contains(&name.as_str()))
    }

    fn take(&mut self, name: &'static str) -> Taken {
        if !self.names.contains(&name) {
            self.names.push(name);
        }
        match self.parameters.iter_mut().find(|(known, _)| known == name) {
            None => Taken::Absent,
            Some((_, value)) => value.take().map_or(Taken::Invalid, Taken::Text),
        }
    }

    fn convert<T: FromText>(
        &mut self,
        name: &str,
        bounds: Bounds,
        parameter: Taken,
        absent: impl FnOnce() -> Result<T, FieldError>,
    ) -> Option<T> {
        let value = match parameter {
            Taken::Invalid => return None,
            Taken::Absent => absent(),
            Taken::Text(text) if text.is_empty() => {
                Err(FieldError::at("", "empty", "must not be empty; omit the parameter instead"))
            }
            Taken::Text(text) => T::from_text(&text, bounds),
        };
        value.map_err(|error| self.report(name, error)).ok()
    }

    /// Adds the errors of the rules of several parameters.
    pub(in crate::http) fn report_all(&mut self, violations: Vec<(String, FieldError)>) {
        for (name, error) in violations {
            self.report(&name, error);
        }
    }

    fn report(&mut self, name: &str, error: FieldError) {
        self.errors.push(FieldError { pointer: Some(place(name)), ..error });
    }

    /// Returns all errors, including unknown parameters, and the names of the declared parameters.
    fn close(mut self) -> (FieldErrors, Vec<&'static str>) {
        let names = match self.names.as_slice() {
            [] => "this route has no parameters".to_owned(),
            names => format!("the parameters are {}", names.join(", ")),
        };
        for (name, _) in &self.parameters {
            if !self.names.contains(&name.as_str()) {
                let detail = format!("unknown parameter; {names}");
                self.errors.push(FieldError::at(place(name), "unknown_parameter", detail));
            }
        }
        (self.errors, self.names)
    }
}

/// Whether `text`, the part of a URL after `?`, asks for a dry run. The handler refuses an invalid query later.
pub(in crate::http) fn is_dry_run(text: &str) -> bool {
    matches!(QueryString::parse(text).take("dry_run"), Taken::Text(value) if value == "true")
}

/// Returns the problem of a parameter that contradicts other parameters.
pub(in crate::http) fn invalid(name: &str, code: &'static str, detail: &str) -> Problem {
    Problem::malformed(FieldError::at(place(name), code, detail))
}

/// Decodes percent signs and pluses; `None` if the result is not UTF-8.
fn decode(text: &str) -> Option<String> {
    // Forms encode a space as a plus.
    let text = text.replace('+', " ");
    percent_decode_str(&text).decode_utf8().ok().map(Cow::into_owned)
}

/// Returns the pointer to a parameter.
fn place(name: &str) -> String {
    let mut place = String::new();
    field_error::step_into(&mut place, name);
    place.replacen('/', "?", 1)
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
                query::{FromQuery, QueryString},
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
