//! Headers of routes, each with a description for the document.

use axum::{
    extract::{FromRef, FromRequestParts},
    http::{HeaderMap, HeaderName, HeaderValue, request::Parts},
};
use utoipa::{
    IntoParams, PartialSchema,
    openapi::{
        ObjectBuilder, RefOr, Required, Schema,
        path::{Parameter, ParameterBuilder, ParameterIn},
        schema::Type,
    },
};

use crate::{http::problem::Problem, idempotency, json::FieldError, secret_scanner::SecretScanner};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const PREFER: HeaderName = HeaderName::from_static("prefer");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Returns the value of a header that occurs exactly once.
pub(in crate::http) fn single_value<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> Option<&'h HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// Returns the problem of a header.
pub(in crate::http) fn invalid(code: &'static str, detail: impl Into<String>) -> Problem {
    Problem::malformed(FieldError { pointer: None, ..FieldError::at("", code, detail) })
}

/// Describes an optional header for the document.
pub(in crate::http) fn parameter<T: PartialSchema>(name: &str, description: &str) -> Parameter {
    parameter_of(T::schema(), name, description)
}

/// Describes an optional header of text with a `pattern` and an `example`.
pub(in crate::http) fn text_parameter(
    name: &str,
    description: &str,
    pattern: &str,
    example: &str,
) -> Parameter {
    parameter_of(text(pattern, example).into(), name, description)
}

/// Returns the schema of text with a `pattern` and an `example`.
pub(in crate::http) fn text(pattern: &str, example: &str) -> ObjectBuilder {
    let schema = ObjectBuilder::new().schema_type(Type::String).min_length(Some(1));
    schema.pattern(Some(pattern)).examples([example])
}

/// Describes an optional header for the document.
pub(in crate::http) fn parameter_of(
    schema: RefOr<Schema>,
    name: &str,
    description: &str,
) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(schema))
        .build()
}

/// The revision of the client's last event (`Last-Event-ID`), if sent.
pub(in crate::http) struct LastEventId(pub(in crate::http) Option<i64>);

impl<S: Send + Sync> FromRequestParts<S> for LastEventId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // A repeated header must be an error, not an absence, hence the check by presence.
        if !parts.headers.contains_key(LAST_EVENT_ID) {
            return Ok(Self(None));
        }
        let value =
            single_value(&parts.headers, &LAST_EVENT_ID).and_then(|value| value.to_str().ok());
        let value = value.map(str::trim);
        // Before the first event, a browser sends an empty value.
        if value == Some("") {
            return Ok(Self(None));
        }
        // `parse` alone would accept a sign.
        let digits = value.filter(|value| value.bytes().all(|byte| byte.is_ascii_digit()));
        let revision = digits.and_then(|digits| digits.parse().ok()).ok_or_else(|| {
            let detail = "Last-Event-ID must be the id of an event: a revision, in digits";
            invalid("invalid_last_event_id", detail)
        })?;
        Ok(Self(Some(revision)))
    }
}

impl IntoParams for LastEventId {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let description = "The id of the last event received";
        // A number of 18 digits always fits an `i64`.
        vec![text_parameter("Last-Event-ID", description, "^[0-9]{1,18}$", "7")]
    }
}

/// The caller's `Idempotency-Key`, quoted or not, if sent.
pub(in crate::http) struct IdempotencyKey(pub(in crate::http) Option<String>);

impl<S> FromRequestParts<S> for IdempotencyKey
where
    S: Sync,
    SecretScanner: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Self::read(&parts.headers, &SecretScanner::from_ref(state))
    }
}

impl IdempotencyKey {
    /// Reads the key. The database stores keys, so a secret or a part of a secret is refused.
    pub(in crate::http) fn read(
        headers: &HeaderMap,
        scanner: &SecretScanner,
    ) -> Result<Self, Problem> {
        // Without the check, a repeated header would count as absent, and a retry write twice.
        if !headers.contains_key(IDEMPOTENCY_KEY) {
            return Ok(Self(None));
        }
        let value = single_value(headers, &IDEMPOTENCY_KEY).and_then(|value| value.to_str().ok());
        let value = value.unwrap_or_default().trim();
        // The draft of the header requires quotes, and many clients omit them.
        let unquoted = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        let key = unquoted.unwrap_or(value);
        // A quote or a backslash is an escape in a structured string (RFC 9651, 3.3.3).
        let is_allowed = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
        if !(1..=idempotency::MAX_BYTES).contains(&key.len()) || !key.bytes().all(is_allowed) {
            let max = idempotency::MAX_BYTES;
            let detail = format!(
                "Idempotency-Key must be sent once, with 1 to {max} visible ASCII characters"
            );
            return Err(invalid("invalid_idempotency_key", detail));
        }
        if scanner.may_be_secret_fragment(key) {
            let detail = "Idempotency-Key looks like a secret; send a new random identifier";
            return Err(invalid("secret_like_value", detail));
        }
        Ok(Self(Some(key.to_owned())))
    }

    /// Describes the header for the document.
    pub(in crate::http) fn parameter() -> Parameter {
        let description = "A repeat within 24 hours gets the first answer again";
        let max = idempotency::MAX_BYTES;
        // The ranges leave out the quote and the backslash, as the reader does.
        let pattern = format!(r"^[!#-\[\]-~]{{1,{max}}}$");
        text_parameter(
            "Idempotency-Key",
            description,
            &pattern,
            "01a22706-8e27-77cb-9334-c3c3dc4e5c88",
        )
    }
}

impl IntoParams for IdempotencyKey {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![Self::parameter()]
    }
}

/// Whether the caller prefers lenient handling to strict. Of a repeated preference the first counts (RFC 7240, 2).
pub(in crate::http) fn prefers_lenient(headers: &HeaderMap) -> bool {
    // An unreadable preference is ignored: preferences are optional (RFC 7240, 2).
    let lines = headers.get_all(PREFER).iter().filter_map(|line| line.to_str().ok());
    let handling = lines.flat_map(elements).find_map(|element| {
        // `handling` defines no parameters, so text after a semicolon means nothing.
        let preference = element.split(';').next().unwrap_or_default();
        let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
        name.trim().eq_ignore_ascii_case("handling").then_some(value)
    });
    handling.is_some_and(|value| value.trim().trim_matches('"').eq_ignore_ascii_case("lenient"))
}

/// Returns the elements of a comma-separated list (RFC 9110, 5.6.1). A comma in a quoted text separates nothing.
pub(in crate::http) fn elements(line: &str) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    let separates = move |c: char| {
        is_quoted ^= c == '"';
        c == ',' && !is_quoted
    };
    line.split(separates).map(str::trim).filter(|element| !element.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &HeaderName, lines: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(name.clone(), HeaderValue::from_static(line));
        }
        headers
    }

    #[test]
    fn handling_is_read_among_other_preferences() {
        let lenient = |lines: &[&'static str]| prefers_lenient(&headers(&PREFER, lines));
        assert!(lenient(&["return=minimal, handling=lenient"]));
        assert!(lenient(&["respond-async", "Handling=\"Lenient\"; foo"]));
        assert!(!lenient(&["handling=strict"]) && !lenient(&["lenient"]) && !lenient(&[]));
    }

    #[test]
    fn an_idempotency_key_is_accepted_quoted_or_not() {
        let key = |lines: &[&'static str]| {
            let headers = headers(&IDEMPOTENCY_KEY, lines);
            IdempotencyKey::read(&headers, &SecretScanner::default()).map(|key| key.0)
        };
        assert_eq!(key(&["\"abc-1\""]).unwrap().as_deref(), Some("abc-1"));
        assert_eq!(key(&["abc-1"]).unwrap().as_deref(), Some("abc-1"));
        assert_eq!(key(&[]).unwrap(), None);
        for invalid in ["", "\"\"", "a b", "\"a"] {
            assert!(key(&[invalid]).is_err(), "{invalid}");
        }
        assert!(key(&["a", "b"]).is_err());
        for secret in ["eyJhbGciOiJIUzI1NiJ9.eyJzdWIi", "sk-proj-a1B2a1B2", "\"ghp_a1B2\""] {
            assert!(key(&[secret]).is_err(), "{secret}");
        }
    }
}
