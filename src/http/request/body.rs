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
        request::headers::single_value,
    },
    json::{FieldError, StrictJson},
    text,
};

/// The maximum size of a body in bytes.
pub(in crate::http) const BODY_BYTES: usize = text::DOCUMENT_BYTES;

/// When the whole body must have arrived; an extension of every request.
#[derive(Debug, Clone, Copy)]
pub(in crate::http) struct BodyDeadline(pub(in crate::http) Instant);

const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");

/// A JSON body, as it was sent and as it was read. A request without one is refused.
#[derive(Debug)]
pub struct Body {
    /// What it says.
    pub json: StrictJson,
    /// What was sent, for the fingerprint of an idempotent request.
    pub bytes: Bytes,
}

/// The bytes of a body that is declared as JSON, or none at all; whoever takes them reads them.
#[derive(Debug)]
pub(in crate::http) struct JsonBytes(pub(in crate::http) Option<Bytes>);

/// A JSON body, or none at all.
#[derive(Debug)]
pub struct OptionalBody(
    /// The body, if there was one.
    pub Option<Body>,
);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        read(request).await?.ok_or_else(|| {
            Problem::malformed(FieldError::at(
                "",
                "required",
                "a JSON object is needed as the body",
            ))
        })
    }
}

impl<S: Send + Sync> FromRequest<S> for OptionalBody {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        Ok(Self(read(request).await?))
    }
}

impl<S: Send + Sync> FromRequest<S> for JsonBytes {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        Ok(Self(read_bytes(request).await?))
    }
}

async fn read(request: Request) -> Result<Option<Body>, Problem> {
    let Some(bytes) = read_bytes(request).await? else { return Ok(None) };
    let json = compute::run(bytes.len(), || StrictJson::parse(&bytes)).await;
    let json = json.map_err(Problem::malformed)?;
    Ok(Some(Body { json, bytes }))
}

async fn read_bytes(request: Request) -> Result<Option<Bytes>, Problem> {
    if request.body().is_end_stream() {
        return Ok(None);
    }
    if !is_json(request.headers()) {
        return Err(unsupported(request.method()));
    }
    let bytes = collect(request).await?;
    Ok(Some(bytes).filter(|it| !it.is_empty()))
}

/// The bytes of the body, all of them and in time.
pub(in crate::http) async fn collect(request: Request) -> Result<Bytes, Problem> {
    let deadline = request.extensions().get::<BodyDeadline>().copied();
    let bytes = Bytes::from_request(request, &());
    let read = match deadline {
        Some(BodyDeadline(deadline)) => timeout_at(deadline, bytes).await.map_err(|_| slow())?,
        None => bytes.await,
    };
    read.map_err(|err| match err.status() {
        StatusCode::PAYLOAD_TOO_LARGE => payload_too_large(),
        _ => Problem::malformed(FieldError::at("", "incomplete", "the body broke off")),
    })
}

/// Creates the problem of a body that exceeds [`BODY_BYTES`].
pub(in crate::http) fn payload_too_large() -> Problem {
    let detail = format!("the body must have at most {BODY_BYTES} bytes");
    Problem::new(Code::PayloadTooLarge, detail)
}

fn slow() -> Problem {
    Problem::new(Code::RequestTimeout, "the body did not come in time; nothing was done")
}

/// Whether the body is declared, once, as JSON in UTF-8 that is not compressed.
fn is_json(headers: &HeaderMap) -> bool {
    let declared =
        single_value(headers, &header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let mut parts = declared.unwrap_or_default().split(';').map(str::trim);
    let named = parts.next().is_some_and(|it| it.eq_ignore_ascii_case("application/json"));
    named && is_plain(headers) && parts.all(is_utf8)
}

/// Whether the body is not compressed.
pub(in crate::http) fn is_plain(headers: &HeaderMap) -> bool {
    let mut encodings = headers.get_all(header::CONTENT_ENCODING).iter();
    encodings.all(|it| it.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// Whether a parameter of a media type says UTF-8, and nothing else.
pub(in crate::http) fn is_utf8(parameter: &str) -> bool {
    let Some((name, value)) = parameter.split_once('=') else { return false };
    name.eq_ignore_ascii_case("charset") && value.trim_matches('"').eq_ignore_ascii_case("utf-8")
}

fn unsupported(method: &Method) -> Problem {
    let problem =
        Problem::new(Code::UnsupportedMediaType, "the body is to be application/json in UTF-8");
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
    fn only_plain_json_in_utf8_is_taken() {
        let taken = |types: &[&'static str], encoding: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for it in types {
                headers.append(header::CONTENT_TYPE, HeaderValue::from_static(it));
            }
            for it in encoding {
                headers.append(header::CONTENT_ENCODING, HeaderValue::from_static(it));
            }
            is_json(&headers)
        };
        for fine in [
            "application/json",
            "Application/JSON",
            "application/json; charset=utf-8",
            "application/json;charset=\"UTF-8\"",
        ] {
            assert!(taken(&[fine], &[]), "{fine}");
        }
        for wrong in [
            "",
            "text/plain",
            "application/json5",
            "application/merge-patch+json",
            "application/json; charset=latin1",
            "application/json; v=1",
            "application/json;",
            "application/json, application/json",
        ] {
            assert!(!taken(&[wrong], &[]), "{wrong}");
        }
        assert!(!taken(&[], &[]));
        assert!(!taken(&["application/json", "application/json"], &[]));
        assert!(!taken(&["application/json"], &["gzip"]));
        assert!(taken(&["application/json"], &["identity"]));
    }
}
