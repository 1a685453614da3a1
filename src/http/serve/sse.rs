//! Server-sent events: streams that end with their token, at shutdown, or when the client stops reading.

use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    http::{HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use futures_util::stream;
use rand::RngExt as _;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    http::problem::{Code, Problem},
    ids::UserId,
};

/// The headers of a stream; proxies must neither cache nor buffer events.
const HEADERS: [(HeaderName, HeaderValue); 3] = [
    (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform")),
    (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
];

/// A comment to keep the connection alive, for clients and proxies.
const HEARTBEAT: Bytes = Bytes::from_static(b": alive\n\n");

/// The maximum number of streams and the interval of heartbeats.
#[derive(Debug, Clone, Copy)]
pub struct StreamBounds {
    /// The maximum number of streams of an instance.
    pub instance: usize,
    /// The maximum number of streams of a caller.
    pub caller: usize,
    /// The time without an event after which a heartbeat is sent.
    pub heartbeat: Duration,
}

impl Default for StreamBounds {
    fn default() -> Self {
        Self { instance: 2_500, caller: 20, heartbeat: Duration::from_secs(15) }
    }
}

/// The open streams of the instance. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Streams(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    bounds: StreamBounds,
    shutdown: CancellationToken,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    total: usize,
    by_caller: HashMap<UserId, usize>,
}

impl Streams {
    /// Limits streams to `bounds`; all streams end with `shutdown`.
    #[must_use]
    pub fn new(bounds: StreamBounds, shutdown: CancellationToken) -> Self {
        Self(Arc::new(Inner { bounds, shutdown, counts: Mutex::default() }))
    }

    /// Returns the number of open streams.
    #[must_use]
    pub fn open(&self) -> usize {
        self.with_counts(|counts| counts.total)
    }

    fn with_counts<T>(&self, action: impl FnOnce(&mut Counts) -> T) -> T {
        // No action panics half-way, so the counts of a poisoned lock are consistent.
        action(&mut self.0.counts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Acquires the permit for one more stream, counted for `caller` if present.
    ///
    /// # Errors
    /// A 503 if the instance, or a 429 if the caller, has too many streams.
    pub(in crate::http) fn acquire(
        &self,
        caller: Option<&UserId>,
    ) -> Result<StreamPermit, Problem> {
        let StreamBounds { instance, caller: per_caller, .. } = self.0.bounds;
        // Checked and counted under one lock, so that concurrent requests cannot exceed the limits.
        self.with_counts(|counts| {
            if counts.total >= instance {
                let detail = format!("this instance has its maximum of {instance} streams; retry");
                return Err(Problem::new(Code::Unavailable, detail).retry_after(5));
            }
            if let Some(caller) = caller {
                let count = counts.by_caller.get(caller).copied().unwrap_or_default();
                if count >= per_caller {
                    let detail = format!("a caller may have {per_caller} streams; close a stream");
                    return Err(Problem::new(Code::RateLimited, detail).retry_after(5));
                }
                counts.by_caller.insert(caller.clone(), count + 1);
            }
            counts.total += 1;
            Ok(())
        })?;
        Ok(StreamPermit { streams: self.clone(), caller: caller.cloned() })
    }
}

/// The permit of an open stream, released on drop.
#[derive(Debug)]
pub(in crate::http) struct StreamPermit {
    streams: Streams,
    caller: Option<UserId>,
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        self.streams.with_counts(|counts| {
            counts.total -= 1;
            let Some(caller) = &self.caller else { return };
            match counts.by_caller.get_mut(caller) {
                Some(count) if *count > 1 => *count -= 1,
                // Removed at zero, so that the map does not grow with every caller ever seen.
                _ => _ = counts.by_caller.remove(caller),
            }
        });
    }
}

/// A source of events.
pub(in crate::http) trait Events: Send + 'static {
    /// Waits for the next event and returns its bytes in parts. Must be cancel safe.
    fn next(&mut self) -> impl Future<Output = Vec<Bytes>> + Send;
}

/// Returns an event in parts: `data` is shared by all streams, not copied.
pub(in crate::http) fn event(id: i64, name: &str, data: Bytes) -> Vec<Bytes> {
    let head = format!("id: {id}\nevent: {name}\ndata: ");
    vec![Bytes::from(head), data, Bytes::from_static(b"\n\n")]
}

/// Returns the time left until `instant`.
pub(in crate::http) fn time_until(instant: DateTime<Utc>, clock: &Clock) -> Duration {
    // A token expired meanwhile gives a negative duration, hence the default of zero.
    (instant - clock.now()).to_std().unwrap_or_default()
}

/// Streams `events` for at most `life`, holding `permit`. A disconnect, or a client that stops reading, closes the
/// connection, which drops the stream. `start_id` is the id for reconnecting before the first event.
pub(in crate::http) fn response(
    permit: StreamPermit,
    life: Duration,
    start_id: Option<i64>,
    events: impl Events,
) -> Response {
    let Inner { bounds, shutdown, .. } = &*permit.streams.0;
    let heartbeat = bounds.heartbeat;
    let shutdown = shutdown.clone();
    let end = Instant::now() + life;
    // Random, so that clients do not all reconnect at once after a restart.
    let retry_ms = rand::rng().random_range(1_000..5_000);
    // A block without data is not dispatched as an event, but browsers remember the id.
    let id = start_id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    let preamble = format!(": connected\nretry: {retry_ms}\n{id}\n");
    let queue = VecDeque::from([Bytes::from(preamble)]);
    let state = StreamState { queue, end, heartbeat, shutdown, events, _permit: permit };
    let parts = stream::unfold(state, async |mut state| {
        let part = state.next_part().await?;
        Some((Ok::<_, Infallible>(part), state))
    });
    (HEADERS, Body::from_stream(parts)).into_response()
}

struct StreamState<E> {
    queue: VecDeque<Bytes>,
    end: Instant,
    heartbeat: Duration,
    shutdown: CancellationToken,
    events: E,
    _permit: StreamPermit,
}

impl<E: Events> StreamState<E> {
    async fn next_part(&mut self) -> Option<Bytes> {
        if let Some(part) = self.queue.pop_front() {
            return Some(part);
        }
        let next = tokio::select! {
            // In order: frequent events must not delay the end of the stream.
            biased;
            () = self.shutdown.cancelled() => return None,
            () = sleep_until(self.end) => return None,
            next = timeout(self.heartbeat, self.events.next()) => next,
        };
        self.queue = next.map_or_else(|_| VecDeque::from([HEARTBEAT]), VecDeque::from);
        self.queue.pop_front()
    }
}
