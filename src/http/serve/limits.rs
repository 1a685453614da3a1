//! How much one client may ask of the service.

use std::time::Duration;

use tokio::time::Instant;

use crate::text;

/// Bytes of a body, before which reading stops.
pub(in crate::http) const BODY_BYTES: usize = text::DOCUMENT_BYTES;

/// Bytes of a request's head that are answered; a token may take half of them.
pub(in crate::http) const HEAD_BYTES: usize = 16 * 1024;

/// Header lines that are answered.
pub(in crate::http) const HEAD_LINES: usize = 64;

/// When the body must have come; on every request.
#[derive(Debug, Clone, Copy)]
pub(in crate::http) struct BodyDue(pub(in crate::http) Instant);

/// When the request must have been answered; on every request.
#[derive(Debug, Clone, Copy)]
pub(in crate::http) struct AnswerDue(pub(in crate::http) Instant);

/// Bounds in time and number; the defaults are those of production, tests shorten them.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections held at once; one more waits in the listener's backlog.
    pub connections: usize,
    /// How long the head of a request may take to come, and how long a connection may lie idle.
    pub head: Duration,
    /// How long a client may go without reading anything of its answer; while there is more of it, 16 KiB must be read
    /// in each such span. After it the connection is reset, and nothing of it is left in the kernel.
    pub write: Duration,
    /// How long an answer may take from the last byte of the request's head; half of it is the body's.
    pub request: Duration,
    /// How long requests under way may still take once shutdown was asked for.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // More than there may be streams, so that these never keep requests out.
            connections: 4096,
            head: Duration::from_secs(10),
            write: Duration::from_secs(10),
            request: Duration::from_secs(5),
            drain: Duration::from_secs(10),
        }
    }
}
