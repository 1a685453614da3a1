//! Answers that do not end: server-sent events, bounded in number, and none of them a burden to the others.

use std::{
    collections::{HashMap, VecDeque},
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

/// What a stream answers with; proxies must neither keep nor gather its parts.
const HEADERS: [(HeaderName, HeaderValue); 3] = [
    (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform")),
    (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
];

/// Says that the connection lives, to every proxy on the way as well.
const HEARTBEAT: Bytes = Bytes::from_static(b": alive\n\n");

/// How many streams there may be, and how often they show that they live.
#[derive(Debug, Clone, Copy)]
pub struct StreamBounds {
    /// Streams of this instance at once.
    pub instance: usize,
    /// Streams of one caller at once.
    pub caller: usize,
    /// The longest silence.
    pub heartbeat: Duration,
}

impl Default for StreamBounds {
    fn default() -> Self {
        Self { instance: 2_500, caller: 20, heartbeat: Duration::from_secs(15) }
    }
}

/// The streams of this instance. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Streams(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    bounds: StreamBounds,
    ending: CancellationToken,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    all: usize,
    callers: HashMap<UserId, usize>,
}

impl Streams {
    /// Streams within `bounds`, all of which end with `ending`.
    #[must_use]
    pub fn new(bounds: StreamBounds, ending: CancellationToken) -> Self {
        Self(Arc::new(Inner { bounds, ending, open: Mutex::default() }))
    }

    /// How many are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.with_open(|open| open.all)
    }

    fn with_open<T>(&self, look: impl FnOnce(&mut Open) -> T) -> T {
        // Nothing that runs under it can leave it half done.
        look(&mut self.0.open.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A place for one more stream, of `caller` if it is of anyone in particular.
    pub(in crate::http) fn enter(&self, caller: Option<&UserId>) -> Result<Place, Problem> {
        let StreamBounds { instance, caller: each, .. } = self.0.bounds;
        self.with_open(|open| {
            if instance <= open.all {
                let detail =
                    format!("this instance has its {instance} streams; try again, or another");
                return Err(Problem::new(Code::Unavailable, detail).retry_after(5));
            }
            if let Some(caller) = caller {
                let held = open.callers.get(caller).copied().unwrap_or_default();
                if each <= held {
                    let detail =
                        format!("a caller may have {each} streams at once; end one of them");
                    return Err(Problem::new(Code::RateLimited, detail).retry_after(5));
                }
                open.callers.insert(caller.clone(), held + 1);
            }
            open.all += 1;
            Ok(())
        })?;
        Ok(Place { streams: self.clone(), caller: caller.cloned() })
    }
}

/// A place among the streams, given back when dropped.
#[derive(Debug)]
pub(in crate::http) struct Place {
    streams: Streams,
    caller: Option<UserId>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.streams.with_open(|open| {
            open.all -= 1;
            let Some(caller) = &self.caller else { return };
            match open.callers.get_mut(caller) {
                Some(held) if 1 < *held => *held -= 1,
                _ => _ = open.callers.remove(caller),
            }
        });
    }
}

/// Where the events of a stream come from.
pub(in crate::http) trait Events: Send + 'static {
    /// The bytes of the next event, in parts. May be dropped while it waits.
    fn next(&mut self) -> impl Future<Output = Vec<Bytes>> + Send;
}

/// One event, in parts: what is shared by all who hear it is not copied for each.
pub(in crate::http) fn event(id: i64, name: &str, data: Bytes) -> Vec<Bytes> {
    let head = format!("id: {id}\nevent: {name}\ndata: ");
    vec![Bytes::from(head), data, Bytes::from_static(b"\n\n")]
}

/// How long until `instant`.
pub(in crate::http) fn until(instant: DateTime<Utc>, clock: &Clock) -> Duration {
    (instant - clock.now()).to_std().unwrap_or_default()
}

/// An answer of `events` that takes up `place`, for at most `life`. It ends at shutdown, and when the client is
/// gone or reads nothing: then its connection is closed, and everything here is dropped with it.
/// `start`, if there is one, is the id that the client comes back with before any event was sent.
pub(in crate::http) fn answer(
    place: Place,
    life: Duration,
    start: Option<i64>,
    events: impl Events,
) -> Response {
    let Inner { bounds, ending, .. } = &*place.streams.0;
    let (heartbeat, ending) = (bounds.heartbeat, ending.clone());
    let end = Instant::now() + life;
    // Its own pause for each, so that a restart does not bring all of them back at once.
    let pause = rand::rng().random_range(1_000..5_000);
    // A block without data is no event, and its id is remembered all the same.
    let id = start.map(|it| format!("id: {it}\n")).unwrap_or_default();
    let first = format!(": connected\nretry: {pause}\n{id}\n");
    let queue = VecDeque::from([Bytes::from(first)]);
    let streaming = Streaming { queue, end, heartbeat, ending, events, _place: place };
    let parts = stream::unfold(streaming, async |mut it| {
        let part = it.part().await?;
        Some((Ok::<_, std::convert::Infallible>(part), it))
    });
    (HEADERS, Body::from_stream(parts)).into_response()
}

struct Streaming<E> {
    queue: VecDeque<Bytes>,
    end: Instant,
    heartbeat: Duration,
    ending: CancellationToken,
    events: E,
    _place: Place,
}

impl<E: Events> Streaming<E> {
    async fn part(&mut self) -> Option<Bytes> {
        if let Some(part) = self.queue.pop_front() {
            return Some(part);
        }
        let next = tokio::select! {
            biased;
            () = self.ending.cancelled() => return None,
            () = sleep_until(self.end) => return None,
            next = timeout(self.heartbeat, self.events.next()) => next,
        };
        self.queue = next.map_or_else(|_| VecDeque::from([HEARTBEAT]), VecDeque::from);
        self.queue.pop_front()
    }
}
