//! Limits of a connection and its requests.

use std::{convert::Infallible, time::Duration};

use axum::{extract::FromRequestParts, http::request::Parts};
use tokio::time::Instant;

use crate::{ids::RequestId, request_context::RequestContext};

/// The maximum size of a request head in bytes; a token may take half.
pub(in crate::http) const HEAD_BYTES: usize = 16 * 1024;

/// The maximum number of header lines.
pub(in crate::http) const HEAD_LINES: usize = 64;

/// When the response of the current request must be ready.
#[derive(Debug, Clone, Copy)]
pub(in crate::http) struct ResponseDeadline(pub(in crate::http) Instant);

impl<S: Sync> FromRequestParts<S> for ResponseDeadline {
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, Infallible> {
        // Only a router without the middleware lacks the context.
        let default_due = || Instant::now() + Limits::default().request;
        Ok(Self(RequestContext::current().map_or_else(default_due, |context| context.due)))
    }
}

impl<S: Sync> FromRequestParts<S> for RequestId {
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(RequestContext::current().map(|context| context.id.clone()).unwrap_or_default())
    }
}

/// Timeouts and the maximum number of connections; the defaults are for production, and tests shorten them.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The maximum number of open connections; further ones wait in the listener's backlog.
    pub connections: usize,
    /// The timeout for a request head, and for an idle connection.
    pub head: Duration,
    /// The timeout for a client reading nothing of a response; in each such period the client must also read 16 KiB
    /// while more is pending. Afterwards the connection is reset, and the kernel drops the buffer.
    pub write: Duration,
    /// The timeout for a response, from the last byte of the head; half is for receiving the body.
    pub request: Duration,
    /// The timeout for open requests at shutdown.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // More than the limit of streams, so that streams never exclude requests.
            connections: 4096,
            head: Duration::from_secs(10),
            write: Duration::from_secs(10),
            // Well below the usual minute of proxies, so clients get a problem, not a bare 504.
            request: Duration::from_secs(5),
            // Below the default grace period of Kubernetes, 30 seconds.
            drain: Duration::from_secs(10),
        }
    }
}
