//! Limits of a connection and its requests.

use std::time::Duration;

use tokio::time::Instant;

/// The maximum size of a request head in bytes; a token may take half.
pub(in crate::http) const HEAD_BYTES: usize = 16 * 1024;

/// The maximum number of header lines.
pub(in crate::http) const HEAD_LINES: usize = 64;

/// When the response must be ready; an extension of every request.
#[derive(Debug, Clone, Copy)]
pub(in crate::http) struct ResponseDeadline(pub(in crate::http) Instant);

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
