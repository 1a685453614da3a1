//! A bounded queue of log lines to forward. Logging never waits: lines that do not fit are dropped and counted.

use std::{
    fmt::{self, Write as _},
    future::Future,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use chrono::{DateTime, Utc};
use prometheus_client::metrics::counter::Counter;
use serde_json::{Map, Value};
use tokio::sync::mpsc::{self, error::TryRecvError};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    Layer,
    fmt::{
        FormattedFields,
        format::{DefaultFields, JsonFields},
    },
    layer::Context,
    registry::{LookupSpan, SpanRef},
};

use crate::clock::Clock;

/// The most queued lines.
const CAPACITY: usize = 256;

/// The most bytes of a line's message or fields. More than a forwarder shows, so that no secret is cut before the scan.
const MAX_BYTES: usize = 4096;

tokio::task_local! {
    static FORWARDING_DISABLED: ();
}

/// Runs `work` without forwarding its log lines. A forwarder would otherwise forward its own lines without end.
pub fn without_forwarding<F: Future>(work: F) -> impl Future<Output = F::Output> {
    FORWARDING_DISABLED.scope((), work)
}

/// A line of the log.
#[derive(Debug, Clone)]
pub struct LogLine {
    /// The time.
    pub at: DateTime<Utc>,
    /// The level.
    pub level: Level,
    /// The module.
    pub target: &'static str,
    /// The message.
    pub message: String,
    /// The fields, as `name=value`.
    pub fields: String,
    /// The fields of the request, as `name=value`; empty outside a request.
    pub request: String,
}

/// A layer that queues lines of this program at some levels. Lines of libraries may hold any value, so they are not
/// forwarded.
#[derive(Debug)]
pub struct ForwardLayer {
    levels: Vec<Level>,
    queue: mpsc::Sender<LogLine>,
    drops: Arc<Drops>,
    clock: Clock,
}

/// The receiving end of the queue. Dropping it stops forwarding.
#[derive(Debug)]
pub struct LogQueue {
    queue: mpsc::Receiver<LogLine>,
    drops: Arc<Drops>,
}

/// The number of dropped lines.
#[derive(Debug, Default)]
struct Drops {
    lines: AtomicU64,
    counter: OnceLock<Counter>,
}

impl Drops {
    fn add(&self, lines: u64) {
        self.lines.fetch_add(lines, Ordering::Relaxed);
        if let Some(counter) = self.counter.get() {
            counter.inc_by(lines);
        }
    }
}

/// Creates a layer that queues lines at `levels`, and the queue.
#[must_use]
pub fn forward(levels: Vec<Level>) -> (ForwardLayer, LogQueue) {
    let (sender, receiver) = mpsc::channel(CAPACITY);
    let drops = Arc::<Drops>::default();
    let queue = LogQueue { queue: receiver, drops: Arc::clone(&drops) };
    (ForwardLayer { levels, queue: sender, drops, clock: Clock::system() }, queue)
}

impl LogQueue {
    /// Waits for the next line. Returns `None` once the queue has ended.
    pub async fn next(&mut self) -> Option<LogLine> {
        self.queue.recv().await
    }

    /// Returns the next line, if a line is queued.
    pub fn try_next(&mut self) -> Option<LogLine> {
        self.queue.try_recv().map_err(|_: TryRecvError| ()).ok()
    }

    /// Accepts no more lines.
    pub fn close(&mut self) {
        self.queue.close();
    }

    /// Returns the number of dropped lines.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.drops.lines.load(Ordering::Relaxed)
    }

    /// Counts `lines` as dropped that left the queue and were not forwarded.
    pub fn count_dropped(&self, lines: u64) {
        self.drops.add(lines);
    }

    /// Counts every dropped line in `counter`, including earlier ones.
    pub fn count_drops_in(&self, counter: Counter) {
        counter.inc_by(self.dropped());
        // A process has a single service, so a second counter is ignored.
        let _ = self.drops.counter.set(counter);
    }
}

impl ForwardLayer {
    fn accepts(&self, event: &Event<'_>) -> bool {
        let metadata = event.metadata();
        let is_own_target = || {
            let module = metadata.target().strip_prefix("brune");
            module.is_some_and(|module| module.is_empty() || module.starts_with("::"))
        };
        self.levels.contains(metadata.level())
            && is_own_target()
            && !self.queue.is_closed()
            && FORWARDING_DISABLED.try_with(|()| ()).is_err()
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for ForwardLayer {
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if !self.accepts(event) {
            return;
        }
        // Reserving first keeps the cost of a dropped line low during a flood.
        let Ok(permit) = self.queue.try_reserve() else {
            return self.drops.add(1);
        };
        let mut texts = EventTexts::default();
        event.record(&mut texts);
        let request = context.event_span(event).map(|span| span_fields(&span)).unwrap_or_default();
        permit.send(LogLine {
            at: self.clock.now(),
            level: *event.metadata().level(),
            target: event.metadata().target(),
            message: truncated(texts.message),
            fields: truncated(texts.fields),
            request: truncated(request),
        });
    }
}

fn truncated(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MAX_BYTES));
    text
}

/// Returns the fields of a span as the log's layer has formatted them, in either format.
fn span_fields<'a, S: LookupSpan<'a>>(span: &SpanRef<'a, S>) -> String {
    let extensions = span.extensions();
    if let Some(text) = extensions.get::<FormattedFields<DefaultFields>>() {
        return without_color(&text.fields);
    }
    let Some(json) = extensions.get::<FormattedFields<JsonFields>>() else { return String::new() };
    let members: Map<String, Value> = serde_json::from_str(&json.fields).unwrap_or_default();
    let pairs = members.iter().map(|(name, value)| match value {
        Value::String(text) => format!("{name}={text}"),
        value => format!("{name}={value}"),
    });
    pairs.collect::<Vec<_>>().join(" ")
}

/// Removes ANSI escape sequences for colors.
fn without_color(text: &str) -> String {
    let mut parts = text.split('\u{1b}');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |plain, part| plain + part.split_once('m').map_or(part, |(_, rest)| rest))
}

/// The message and the fields of an event.
#[derive(Default)]
struct EventTexts {
    message: String,
    fields: String,
}

impl EventTexts {
    fn add(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        // `tracing` records the message as a field of this name.
        if field.name() == "message" {
            self.message = value.to_string();
            return;
        }
        let separator = if self.fields.is_empty() { "" } else { " " };
        // Writing to a string cannot fail.
        let _ = write!(self.fields, "{separator}{}={value}", field.name());
    }
}

impl Visit for EventTexts {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, format_args!("{value}"));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        let mut cause = value.source();
        while let Some(err) = cause {
            let _ = write!(text, ": {err}");
            cause = err.source();
        }
        self.add(field, format_args!("{text}"));
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::{layer::SubscriberExt as _, registry};

    use super::*;

    /// Returns the lines queued while `act` runs, and the number of dropped lines.
    fn queued(levels: &[Level], act: impl FnOnce()) -> (Vec<LogLine>, u64) {
        let (layer, mut lines) = forward(levels.to_vec());
        let log = tracing_subscriber::fmt::layer().json().with_writer(std::io::sink);
        tracing::subscriber::with_default(registry().with(log).with(layer), act);
        let dropped = lines.dropped();
        (std::iter::from_fn(|| lines.try_next()).collect(), dropped)
    }

    #[test]
    fn own_lines_of_the_levels_are_queued_with_their_request() {
        let (lines, _) = queued(&[Level::ERROR, Level::DEBUG], || {
            let span = tracing::error_span!("request", request_id = "r-1", n = 2);
            span.in_scope(|| {
                let error = crate::telemetry::Error::from(unparsed());
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, status = 500, "went wrong");
            });
            tracing::debug!(target: "brune", "fine");
            tracing::warn!(target: "brune::http", "another level");
            tracing::error!(target: "hyper::client", "a library's");
            tracing::error!(target: "brunette", "somebody else's");
        });
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert_eq!(lines[0].message, "went wrong");
        assert!(lines[0].fields.starts_with("error=the log level cannot be parsed: "), "{lines:?}");
        assert!(lines[0].fields.ends_with(" status=500"), "{lines:?}");
        assert_eq!(lines[0].request, "n=2 request_id=r-1");
        assert_eq!((lines[1].message.as_str(), lines[1].request.as_str()), ("fine", ""));
    }

    /// An error with a cause.
    fn unparsed() -> tracing_subscriber::filter::ParseError {
        "a=b=c".parse::<tracing_subscriber::filter::Directive>().unwrap_err()
    }

    #[test]
    fn a_flood_is_dropped_and_counted() {
        let counter = Counter::default();
        let (layer, mut lines) = forward(vec![Level::ERROR]);
        let flood = || (0..1_000).for_each(|n| tracing::error!(target: "brune", n, "again"));
        let subscriber = registry().with(layer);
        tracing::subscriber::with_default(subscriber, || {
            flood();
            lines.count_drops_in(counter.clone());
            assert_eq!((lines.dropped(), counter.get()), (744, 744));
            tracing::error!(target: "brune", "one more");
            assert_eq!((lines.dropped(), counter.get()), (745, 745));
            assert_eq!(lines.try_next().unwrap().fields, "n=0");
            lines.close();
            flood();
            // A closed queue counts nothing.
            assert_eq!(lines.dropped(), 745);
        });
    }

    #[tokio::test]
    async fn lines_of_the_forwarder_are_not_queued() {
        let (layer, mut lines) = forward(vec![Level::ERROR]);
        let _guard = tracing::subscriber::set_default(registry().with(layer));
        without_forwarding(async { tracing::error!(target: "brune", "of the forwarder") }).await;
        tracing::error!(target: "brune", "of another task");
        assert_eq!(lines.try_next().unwrap().message, "of another task");
        assert!(lines.try_next().is_none());
    }

    #[test]
    fn long_texts_are_cut_and_colors_removed() {
        let (lines, _) = queued(&[Level::ERROR], || {
            tracing::error!(target: "brune", text = "é".repeat(9_000), "long");
        });
        assert!(lines[0].fields.len() <= MAX_BYTES && lines[0].fields.ends_with('é'));
        assert_eq!(without_color("\u{1b}[3ma\u{1b}[0m\u{1b}[2m=\u{1b}[0mb"), "a=b");
    }
}
