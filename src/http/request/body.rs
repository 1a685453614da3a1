//! The body of a request: strict JSON, or a problem.

use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
};
use hyper::body::Body as _;
use tokio::time::{Instant, timeout_at};

use crate::{
    compute,
    http::{
        problem::{Code, Problem},
        request::{
            from_json::{FromStrictJson, Pointer},
            headers::single_value,
            reason::or_reason_required,
            rules::Bounds,
        },
    },
    json::{FieldError, FieldErrors, StrictJson},
    text,
};

/// The maximum size of a body in bytes.
pub(in crate::http) const BODY_BYTES: usize = text::DOCUMENT_BYTES;

/// When the whole body must have arrived; an extension of every request.
#[derive(Debug, Clone, Copy)]
pub(in crate::http) struct BodyDeadline(pub(in crate::http) Instant);

const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");

/// A JSON body, which every request must have.
#[derive(Debug)]
pub struct Body<T> {
    /// The parsed body.
    pub value: T,
    /// The received bytes, for the fingerprint of an idempotent request.
    pub bytes: Bytes,
}

/// The bytes of a body declared as JSON, for a route with a parser of its own; `None` without a body.
#[derive(Debug)]
pub(in crate::http) struct JsonBytes(pub(in crate::http) Option<Bytes>);

/// An optional JSON body. The caller's credentials decide the expected type, so only the syntax is parsed.
#[derive(Debug)]
pub(in crate::http) struct OptionalBody(pub(in crate::http) Option<StrictJson>);

impl<S: Send + Sync, T: FromStrictJson> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        // Large bodies are parsed off the runtime's workers, hence the two steps.
        let Some(bytes) = read_bytes(request).await? else { return Err(missing()) };
        // The parser too reports errors of the reason, such as a forbidden character.
        let problem = |errors| or_reason_required(errors, T::HAS_REASON);
        let json = parse(&bytes).await.map_err(problem)?;
        let value = convert(json).map_err(problem)?;
        Ok(Self { value, bytes })
    }
}

impl<S: Send + Sync> FromRequest<S> for OptionalBody {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let Some(bytes) = read_bytes(request).await? else { return Ok(Self(None)) };
        let json = parse(&bytes).await.map_err(Problem::malformed)?;
        Ok(Self(Some(json)))
    }
}

impl OptionalBody {
    /// Reads a required body.
    ///
    /// # Errors
    /// The body is missing, or not a `T`.
    pub(in crate::http) fn required<T: FromStrictJson>(self) -> Result<T, Problem> {
        convert(self.0.ok_or_else(missing)?).map_err(Problem::malformed)
    }

    /// Reads an optional body.
    ///
    /// # Errors
    /// The body is not a `T`.
    pub(in crate::http) fn optional<T: FromStrictJson>(self) -> Result<Option<T>, Problem> {
        self.0.map(convert).transpose().map_err(Problem::malformed)
    }
}

impl<S: Send + Sync> FromRequest<S> for JsonBytes {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        Ok(Self(read_bytes(request).await?))
    }
}

async fn parse(bytes: &Bytes) -> Result<StrictJson, FieldErrors> {
    compute::run(bytes.len(), || StrictJson::parse(bytes)).await
}

fn convert<T: FromStrictJson>(json: StrictJson) -> Result<T, FieldErrors> {
    let mut errors = FieldErrors::default();
    match T::from_json(json, &Pointer::Root, Bounds::default(), &mut errors) {
        // A reader may return a value and still report unknown members or broken rules.
        Some(value) if errors.is_empty() => Ok(value),
        _ => Err(errors),
    }
}

fn missing() -> Problem {
    Problem::malformed(FieldError::at("", "required", "a JSON object is required as the body"))
}

async fn read_bytes(request: Request) -> Result<Option<Bytes>, Problem> {
    // A request without a body needs no content type.
    if request.body().is_end_stream() {
        return Ok(None);
    }
    if !is_json(request.headers()) {
        return Err(unsupported(request.method()));
    }
    // Boxed: a handler's future is allocated and moved with every request, and most requests have no body.
    let bytes = Box::pin(collect(request)).await?;
    // The end of an empty chunked body is known only after the first read.
    Ok(Some(bytes).filter(|bytes| !bytes.is_empty()))
}

/// Collects the bytes of the body before the request's deadline.
pub(in crate::http) async fn collect(request: Request) -> Result<Bytes, Problem> {
    let deadline = request.extensions().get::<BodyDeadline>().copied();
    // The middleware limits every body, so the extractor collects at most `BODY_BYTES`.
    let bytes = Bytes::from_request(request, &());
    let collected = match deadline {
        Some(BodyDeadline(deadline)) => {
            timeout_at(deadline, bytes).await.map_err(|_| too_slow())?
        }
        // Only a router without the middleware lacks the deadline.
        None => bytes.await,
    };
    collected.map_err(|err| match err.status() {
        // Without a declared length, a body exceeds the limit only while being read.
        StatusCode::PAYLOAD_TOO_LARGE => payload_too_large(),
        // Any other error is a broken connection or an invalid chunk.
        _ => Problem::malformed(FieldError::at("", "incomplete", "the body is incomplete")),
    })
}

/// Creates the problem of a body that exceeds [`BODY_BYTES`].
pub(in crate::http) fn payload_too_large() -> Problem {
    let detail = format!("the body must have at most {BODY_BYTES} bytes");
    Problem::new(Code::PayloadTooLarge, detail)
}

fn too_slow() -> Problem {
    // No handler runs without the whole body, so nothing can be stored.
    Problem::new(Code::RequestTimeout, "the body did not arrive in time; nothing was done")
}

/// Whether the body is declared, once, as uncompressed JSON in UTF-8.
fn is_json(headers: &HeaderMap) -> bool {
    // A repeated header is ambiguous: a proxy may check another value than the service.
    let content_type = single_value(headers, &header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut parts = content_type.split(';').map(str::trim);
    let is_json = parts.next().is_some_and(|part| part.eq_ignore_ascii_case("application/json"));
    is_json && is_uncompressed(headers) && parts.all(is_utf8)
}

/// Whether the body is not compressed.
pub(in crate::http) fn is_uncompressed(headers: &HeaderMap) -> bool {
    // The service decompresses nothing: a small body could expand to gigabytes.
    let mut encodings = headers.get_all(header::CONTENT_ENCODING).iter();
    encodings.all(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// Whether a parameter of a media type says UTF-8, and nothing else.
pub(in crate::http) fn is_utf8(parameter: &str) -> bool {
    let Some((name, value)) = parameter.split_once('=') else { return false };
    name.eq_ignore_ascii_case("charset") && value.trim_matches('"').eq_ignore_ascii_case("utf-8")
}

fn unsupported(method: &Method) -> Problem {
    let problem =
        Problem::new(Code::UnsupportedMediaType, "the body must be application/json in UTF-8");
    // RFC 5789, 2.2: the 415 for a PATCH should list the supported types in `Accept-Patch`.
    if *method == Method::PATCH {
        let types = HeaderValue::from_static("application/json");
        return problem.with_header(ACCEPT_PATCH, types);
    }
    problem
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_uncompressed_json_in_utf8_is_accepted() {
        let accepts = |types: &[&'static str], encodings: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in types {
                headers.append(header::CONTENT_TYPE, HeaderValue::from_static(value));
            }
            for value in encodings {
                headers.append(header::CONTENT_ENCODING, HeaderValue::from_static(value));
            }
            is_json(&headers)
        };
        for valid in [
            "application/json",
            "Application/JSON",
            "application/json; charset=utf-8",
            "application/json;charset=\"UTF-8\"",
        ] {
            assert!(accepts(&[valid], &[]), "{valid}");
        }
        for invalid in [
            "",
            "text/plain",
            "application/json5",
            "application/merge-patch+json",
            "application/json; charset=latin1",
            "application/json; v=1",
            "application/json;",
            "application/json, application/json",
        ] {
            assert!(!accepts(&[invalid], &[]), "{invalid}");
        }
        assert!(!accepts(&[], &[]));
        assert!(!accepts(&["application/json", "application/json"], &[]));
        assert!(!accepts(&["application/json"], &["gzip"]));
        assert!(accepts(&["application/json"], &["identity"]));
    }
}
