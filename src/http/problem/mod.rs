//! Every failure, as an RFC 9457 problem document.

mod code;
mod mapping;

use std::{collections::BTreeMap, error::Error, fmt};

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use tracing::{error, warn};
use utoipa::ToSchema;

pub use code::Code;

use crate::{
    http::{path_prefix::PathPrefix, routes::ofrep},
    ids::RequestId,
    json::{FieldError, FieldErrors},
    secret_scanner::SecretScanner,
};

/// Stands where something looked like a secret.
const WITHHELD: &str = "***";

const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");

/// A failure, as the client sees it. Handlers make it; [`around`](super::around) adds which request it
/// was and writes it out.
#[derive(Debug, Clone)]
pub struct Problem(Box<Inner>);

#[derive(Debug, Clone)]
struct Inner {
    code: Code,
    detail: String,
    faults: FieldErrors,
    members: BTreeMap<&'static str, Box<RawValue>>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// A problem on the wire; other members may follow, as each code says.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemDocument {
    /// Where the code is explained.
    #[serde(rename = "type")]
    #[schema(example = "/problems/version-conflict")]
    kind: String,
    /// What happened, in a few words; always the same for a code.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What happened this time.
    detail: String,
    /// The path that was asked for.
    instance: String,
    /// Why it failed, for programs.
    #[schema(example = "version_conflict")]
    code: &'static str,
    /// The request, as in `X-Request-Id` and in the log.
    request_id: String,
    /// Every fault of the request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
    #[serde(flatten)]
    #[schema(value_type = mapping::Members)]
    members: BTreeMap<&'static str, Box<RawValue>>,
}

impl Problem {
    /// A failure of kind `code`; `detail` says what happened this time and never quotes internals.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            code,
            detail: detail.into(),
            faults: FieldErrors::default(),
            members: BTreeMap::new(),
            headers: Vec::new(),
        }))
    }

    /// A request that cannot be read, with all that is wrong with it.
    pub fn malformed(faults: impl Into<FieldErrors>) -> Self {
        let faults = faults.into();
        let detail = match (faults.count(), faults.reported()) {
            (1, [fault]) => fault.detail.clone(),
            (count, told) if count == told.len() => format!("{count} faults; nothing was done"),
            (count, told) => {
                format!(
                    "{count} faults, of which the first {} are told; nothing was done",
                    told.len()
                )
            }
        };
        Self::new(Code::MalformedRequest, detail).with_faults(faults)
    }

    /// A 404.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(Code::NotFound, detail)
    }

    /// A 401. `detail` names the check that failed, in ASCII without quotes or backslashes, since it is repeated in
    /// the challenge; a request without credentials gets a challenge without an error (RFC 6750, 3.1).
    pub(super) fn unauthorized(detail: &str, credentials_were_sent: bool) -> Self {
        let bare = HeaderValue::from_static(r#"Bearer realm="brune""#);
        let described =
            format!(r#"Bearer realm="brune", error="invalid_token", error_description="{detail}""#);
        let challenge = if credentials_were_sent {
            HeaderValue::try_from(described).unwrap_or(bare)
        } else {
            bare
        };
        Self::new(Code::Unauthorized, detail).with_header(header::WWW_AUTHENTICATE, challenge)
    }

    /// A fault of the service: `err` is logged with all its causes, here and nowhere else, and the
    /// client learns nothing of it.
    #[must_use]
    pub fn internal(err: &dyn Error) -> Self {
        error!(error = %Chain(err), "a request failed");
        Self::new(Code::Internal, "the service failed; its log has the cause under this request id")
    }

    /// Something the service stands on is away: `err` is logged with all its causes, here and nowhere
    /// else, and the client is told when to come back.
    #[must_use]
    pub fn unavailable(err: &dyn Error) -> Self {
        warn!(error = %Chain(err), "a request could not be answered");
        Self::new(Code::Unavailable, "the service cannot answer now; nothing was stored")
            .retry_after(1)
    }

    /// A request that fails until an operator acts: `err` is logged as an error with all its causes, and the client is
    /// told when to come back.
    #[must_use]
    pub fn blocked(err: &dyn Error, what: &str) -> Self {
        error!(error = %Chain(err), "request failed; operator action required");
        Self::new(Code::Unavailable, format!("{what}; nothing was stored")).retry_after(5)
    }

    /// A change whose commit was sent and not confirmed: `err` is logged with all its causes, and the client
    /// is never told that it failed.
    #[must_use]
    pub fn outcome_unknown(err: &dyn Error) -> Self {
        error!(error = %Chain(err), "the outcome of a change is unknown");
        Self::new(Code::OutcomeUnknown, "the database did not confirm the change in time")
    }

    /// A request that took longer than [`Limits::request`](super::Limits::request). Whether it was about
    /// to commit is not known here, so one that may have changed something is never called failed.
    pub(super) fn late(may_have_changed_something: bool) -> Self {
        warn!("a request was given up at its deadline");
        if may_have_changed_something {
            let detail = "the answer took too long; the change may or may not have been stored";
            return Self::new(Code::OutcomeUnknown, detail);
        }
        Self::new(Code::Unavailable, "the answer took too long and was given up").retry_after(1)
    }

    /// A handler that panicked. The panic hook has logged it.
    pub(super) fn panicked() -> Self {
        Self::new(Code::Internal, "the service failed; its log has the cause under this request id")
    }

    /// The same, with `faults` as its `errors`.
    #[must_use]
    pub fn with_faults(mut self, faults: impl Into<FieldErrors>) -> Self {
        self.0.faults = faults.into();
        self
    }

    /// The same, with one more member, `name`.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: &impl Serialize) -> Self {
        match to_raw_value(value) {
            Ok(value) => _ = self.0.members.insert(name, value),
            Err(err) => error!(error = %err, name, "a member of a problem cannot be written"),
        }
        self
    }

    /// The same, with one more header.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.push((name, value));
        self
    }

    /// The same, asking the client to wait for `seconds`.
    #[must_use]
    pub fn retry_after(self, seconds: u32) -> Self {
        self.with_header(header::RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// The same, where each fault that is about a key points to the place that `point` finds for the key
    /// and the fault's code.
    #[must_use]
    pub(super) fn pointing(mut self, point: impl Fn(&str, &str) -> Option<String>) -> Self {
        self.0.faults.point(point);
        self
    }

    /// The same, of another kind.
    #[must_use]
    pub(super) fn with_code(mut self, code: Code) -> Self {
        self.0.code = code;
        self
    }

    /// The same, with `detail` as what happened this time.
    #[must_use]
    pub(super) fn with_detail(mut self, detail: String) -> Self {
        self.0.detail = detail;
        self
    }

    /// Its kind.
    #[must_use]
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// What happened this time.
    pub(in crate::http) fn detail(&self) -> &str {
        &self.0.detail
    }

    /// Every fault of the request.
    pub(super) fn faults(&self) -> &FieldErrors {
        &self.0.faults
    }

    /// The document of request `id` for `instance`, where no response can be made.
    pub(super) fn into_json(self, instance: &str, id: &RequestId) -> Vec<u8> {
        // A proxy that has a path in front refuses such requests itself.
        let path_prefix = PathPrefix::default();
        serde_json::to_vec(&self.document(instance, id, &path_prefix)).unwrap_or_default()
    }

    fn document(self, instance: &str, id: &RequestId, path_prefix: &PathPrefix) -> ProblemDocument {
        let Inner { code, detail, faults, members, .. } = *self.0;
        ProblemDocument {
            kind: path_prefix.join(&code.page()),
            title: code.title(),
            status: code.status().as_u16(),
            detail,
            instance: path_prefix.join(instance),
            code: code.as_str(),
            request_id: id.as_str().to_owned(),
            errors: faults.into_reported(),
            members,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(mut self) -> Response {
        // The body is written by `render`, which knows the request; until then the problem travels along.
        let mut response = self.0.code.status().into_response();
        response.headers_mut().extend(std::mem::take(&mut self.0.headers));
        response.extensions_mut().insert(self);
        response
    }
}

/// Writes out the problem that `response` carries, if it does, as one of request `id` for `instance`.
/// A refusal that is not ours (a library's plain text, which may quote what was sent) becomes one.
pub(super) fn render(
    mut response: Response,
    instance: &str,
    id: &RequestId,
    scanner: &SecretScanner,
    path_prefix: &PathPrefix,
) -> Response {
    let carried = response.extensions_mut().remove::<Problem>();
    let Some(problem) = carried.or_else(|| stand_in(&response)) else { return response };
    let status = problem.code().status();
    let (media_type, body) = if let Some(refusal) = ofrep::refusal(instance, &problem) {
        (HeaderValue::from_static("application/json"), serde_json::to_vec(&refusal))
    } else {
        let mut document = problem.document(instance, id, path_prefix);
        document.withhold(scanner);
        (MEDIA_TYPE, serde_json::to_vec(&document))
    };
    let body = body.unwrap_or_else(|err| {
        error!(error = %err, "a problem cannot be written");
        Vec::new()
    });
    let (mut parts, _) = response.into_parts();
    // A library's 422 is a 400 here, and the length was that of the body this one replaces.
    parts.status = status;
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(header::CONTENT_TYPE, media_type);
    Response::from_parts(parts, Body::from(body))
}

impl ProblemDocument {
    /// Takes out what looks like a secret: a path or the name of a field is the caller's, and answers are
    /// kept by many.
    fn withhold(&mut self, scanner: &SecretScanner) {
        let places = self.errors.iter_mut().flat_map(|it| {
            it.pointer.iter_mut().chain(&mut it.key).chain(std::iter::once(&mut it.detail))
        });
        for text in places.chain([&mut self.instance, &mut self.detail]) {
            if scanner.scan(text).is_some() {
                WITHHELD.clone_into(text);
            }
        }
    }
}

/// What to say in place of a bare or plain-text refusal. A 503 is left alone: health answers are.
fn stand_in(response: &Response) -> Option<Problem> {
    let status = response.status();
    let ours = response.headers().get(header::CONTENT_TYPE) == Some(&MEDIA_TYPE);
    if ours || !(status.is_client_error() || status.as_u16() == 500) {
        return None;
    }
    let code = Code::of_status(status);
    Some(Problem::new(code, code.title()))
}

/// An error and its causes on one line.
struct Chain<'a>(&'a dyn Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut said = self.0.to_string();
        let mut next = self.0.source();
        while let Some(cause) = next {
            // Many errors repeat their cause; once is enough.
            let text = cause.to_string();
            if !said.ends_with(&text) {
                write!(f, ": {text}")?;
            }
            said = text;
            next = cause.source();
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests;
