//! A failure with its code, detail, field errors, members and headers, before a response is written.

use std::{error::Error, fmt, mem};

use axum::{
    http::{HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};
use tracing::{error, warn};

use crate::{
    fleet::OutdatedInstance,
    http::problem::{code::Code, members::Members},
    json::FieldErrors,
};

const INTERNAL: &str = "the service failed; the cause is in its log under this request id";

/// A failure as the client sees it. Handlers return a problem;
/// [`with_middleware`](crate::http::with_middleware) adds the request id and path, and writes the document.
#[derive(Debug, Clone)]
// Boxed: a large error would widen the `Result` of every handler.
pub struct Problem(pub(super) Box<Inner>);

#[derive(Debug, Clone)]
pub(super) struct Inner {
    pub(super) code: Code,
    pub(super) detail: String,
    pub(super) errors: FieldErrors,
    pub(super) members: Members,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    /// Creates a problem; `detail` describes the occurrence and never quotes internals.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            code,
            detail: detail.into(),
            errors: FieldErrors::default(),
            members: Members::default(),
            headers: Vec::new(),
        }))
    }

    /// Creates a 400 for an unparsable request, with every error.
    pub fn malformed(errors: impl Into<FieldErrors>) -> Self {
        let errors = errors.into();
        // The detail of several errors is only a count, because `errors` lists them.
        let detail = match (errors.count(), errors.reported()) {
            (1, [error]) => error.detail.clone(),
            (count, reported) if count == reported.len() => {
                format!("{count} errors; nothing was changed")
            }
            (count, reported) => {
                format!("{count} errors, the first {} listed; nothing was changed", reported.len())
            }
        };
        Self::new(Code::MalformedRequest, detail).with_errors(errors)
    }

    /// Creates a 409 for `instances` that could not read the data of the request; `limitation` completes the sentence
    /// “instances of an older release …”.
    pub(in crate::http) fn fleet_outdated(
        instances: Vec<OutdatedInstance>,
        limitation: &str,
    ) -> Self {
        let hosts: Vec<&str> = instances.iter().map(|instance| instance.host.as_str()).collect();
        let detail = format!("instances of an older release {limitation}: {}", hosts.join(", "));
        Self::new(Code::FleetOutdated, detail)
            .with_members(Members { instances: Some(instances), ..Members::default() })
    }

    /// Creates a 404.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(Code::NotFound, detail)
    }

    /// Creates a 401. `detail` names the failed check, in ASCII without quotes or backslashes: the challenge repeats
    /// the text.
    pub(in crate::http) fn unauthorized(detail: &str, has_credentials: bool) -> Self {
        let bare = HeaderValue::from_static(r#"Bearer realm="brune""#);
        let described =
            format!(r#"Bearer realm="brune", error="invalid_token", error_description="{detail}""#);
        // RFC 6750, 3.1: without credentials, the challenge has no error code.
        let challenge =
            if has_credentials { HeaderValue::try_from(described).unwrap_or(bare) } else { bare };
        Self::new(Code::Unauthorized, detail).with_header(header::WWW_AUTHENTICATE, challenge)
    }

    /// Creates a 500 and logs `err` with all causes; the response says nothing about the error.
    #[must_use]
    pub fn internal(err: &dyn Error) -> Self {
        error!(error = %ErrorChain(err), "request failed");
        Self::new(Code::Internal, INTERNAL)
    }

    /// Creates a 503 for a missing dependency and logs `err` with all causes; the client may retry in a second.
    #[must_use]
    pub fn unavailable(err: &dyn Error) -> Self {
        // Only a warning: an outage may end without an operator.
        warn!(error = %ErrorChain(err), "request failed: dependency unavailable");
        Self::new(Code::Unavailable, "the service is unavailable; nothing was stored")
            .retry_after(1)
    }

    /// Creates a 503 for a failure that only an operator can resolve, and logs `err` with all causes.
    #[must_use]
    pub fn operator_required(err: &dyn Error, detail: &str) -> Self {
        error!(error = %ErrorChain(err), "request failed; operator action required");
        // Longer than after an outage, because only an operator can fix the cause.
        Self::new(Code::Unavailable, format!("{detail}; nothing was stored")).retry_after(5)
    }

    /// Creates a 504 for a commit without acknowledgement and logs `err` with all causes: the change may be stored.
    #[must_use]
    pub fn outcome_unknown(err: &dyn Error) -> Self {
        error!(error = %ErrorChain(err), "commit outcome unknown");
        Self::new(Code::OutcomeUnknown, "the database did not confirm the change in time")
    }

    /// Creates the problem of a request exceeding [`Limits::request`](crate::http::Limits::request).
    pub(in crate::http) fn timed_out(may_change: bool) -> Self {
        warn!("request timed out");
        // The commit may have been sent already, so a write is never reported as failed.
        if may_change {
            let detail = "the request timed out; the change may or may not have been stored";
            return Self::new(Code::OutcomeUnknown, detail);
        }
        Self::new(Code::Unavailable, "the request timed out").retry_after(1)
    }

    /// Creates the problem of a panic, which the panic hook has logged.
    pub(in crate::http) fn panicked() -> Self {
        Self::new(Code::Internal, INTERNAL)
    }

    /// Sets the field errors.
    #[must_use]
    pub fn with_errors(mut self, errors: impl Into<FieldErrors>) -> Self {
        self.0.errors = errors.into();
        self
    }

    /// Adds the members of the code.
    #[must_use]
    pub(super) fn with_members(mut self, members: Members) -> Self {
        self.0.members = members;
        self
    }

    /// Adds a header to the response.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.push((name, value));
        self
    }

    /// Asks the client to wait for `seconds`.
    #[must_use]
    pub fn retry_after(self, seconds: u32) -> Self {
        self.with_header(header::RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// Sets the JSON pointer of each error with a key; `pointer_of` takes the key and the error's code.
    #[must_use]
    pub(in crate::http) fn with_pointers(
        mut self,
        pointer_of: impl Fn(&str, &str) -> Option<String>,
    ) -> Self {
        self.0.errors.point(pointer_of);
        self
    }

    /// Replaces the code.
    #[must_use]
    pub(in crate::http) fn with_code(mut self, code: Code) -> Self {
        self.0.code = code;
        self
    }

    /// Replaces the detail.
    #[must_use]
    pub(in crate::http) fn with_detail(mut self, detail: String) -> Self {
        self.0.detail = detail;
        self
    }

    /// Returns the code.
    #[must_use]
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// Returns the description of the occurrence.
    pub(in crate::http) fn detail(&self) -> &str {
        &self.0.detail
    }

    /// Returns the field errors.
    pub(in crate::http) fn errors(&self) -> &FieldErrors {
        &self.0.errors
    }
}

impl IntoResponse for Problem {
    fn into_response(mut self) -> Response {
        // The document needs the request's id and path, so `render` writes the body later.
        let mut response = self.0.code.status().into_response();
        response.headers_mut().extend(mem::take(&mut self.0.headers));
        response.extensions_mut().insert(self);
        response
    }
}

/// Displays an error and its causes on one line.
pub(super) struct ErrorChain<'a>(pub(super) &'a dyn Error);

impl fmt::Display for ErrorChain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut previous = self.0.to_string();
        let mut source = self.0.source();
        while let Some(cause) = source {
            // Many errors end with the text of their cause.
            let text = cause.to_string();
            if !previous.ends_with(&text) {
                write!(f, ": {text}")?;
            }
            previous = text;
            source = cause.source();
        }
        Ok(())
    }
}
