//! Lines of the log for somebody far away, kept in a bounded queue until they are taken. Whoever logs never waits: what
//! finds no room is dropped and counted.

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

/// Lines that wait at most.
const ROOM: usize = 256;

/// The most that is kept of a line's fields, in bytes. More than anybody is shown, so that a secret cannot be cut in two
/// before it is looked for.
const LONGEST: usize = 4096;

tokio::task_local! {
    static UNHEARD: ();
}

/// What `work` returns, which may log: none of these lines is forwarded. For whoever forwards, who would never end.
pub fn unheard<F: Future>(work: F) -> impl Future<Output = F::Output> {
    UNHEARD.scope((), work)
}

/// A line of the log.
#[derive(Debug, Clone)]
pub struct Line {
    /// When.
    pub at: DateTime<Utc>,
    /// How bad.
    pub level: Level,
    /// Which part of the program says it.
    pub target: &'static str,
    /// What it says.
    pub message: String,
    /// Its fields, as `name=value`.
    pub fields: String,
    /// Those of its request, the same way; empty outside of one.
    pub request: String,
}

/// Of what is logged the lines that are to be forwarded: our own, of some levels. Those of libraries may hold anything.
#[derive(Debug)]
pub struct Forward {
    levels: Vec<Level>,
    queue: mpsc::Sender<Line>,
    dropped: Arc<Dropped>,
    clock: Clock,
}

/// Where they wait. When this is dropped none is kept any more.
#[derive(Debug)]
pub struct Lines {
    queue: mpsc::Receiver<Line>,
    dropped: Arc<Dropped>,
}

/// How many found no room.
#[derive(Debug, Default)]
struct Dropped {
    lines: AtomicU64,
    counter: OnceLock<Counter>,
}

impl Dropped {
    fn add(&self, lines: u64) {
        self.lines.fetch_add(lines, Ordering::Relaxed);
        if let Some(counter) = self.counter.get() {
            counter.inc_by(lines);
        }
    }
}

/// A layer that keeps lines of `levels`, and where they wait.
#[must_use]
pub fn forward(levels: Vec<Level>) -> (Forward, Lines) {
    let (sender, queue) = mpsc::channel(ROOM);
    let dropped = Arc::<Dropped>::default();
    let lines = Lines { queue, dropped: Arc::clone(&dropped) };
    (Forward { levels, queue: sender, dropped, clock: Clock::system() }, lines)
}

impl Lines {
    /// The next, once there is one; `None` when there can be none any more.
    pub async fn next(&mut self) -> Option<Line> {
        self.queue.recv().await
    }

    /// The next, if it waits.
    pub fn waiting(&mut self) -> Option<Line> {
        self.queue.try_recv().map_err(|_: TryRecvError| ()).ok()
    }

    /// Keeps none from now on.
    pub fn close(&mut self) {
        self.queue.close();
    }

    /// How many were dropped.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.lines.load(Ordering::Relaxed)
    }

    /// Counts `lines` that were taken and reached nobody.
    pub fn drop_taken(&self, lines: u64) {
        self.dropped.add(lines);
    }

    /// Has what is dropped counted by `counter` as well, from the beginning on.
    pub fn count_into(&self, counter: Counter) {
        counter.inc_by(self.dropped());
        // A second one is not set: there is one service in a process.
        let _ = self.dropped.counter.set(counter);
    }
}

impl Forward {
    fn wants(&self, event: &Event<'_>) -> bool {
        let metadata = event.metadata();
        let ours = || {
            let rest = metadata.target().strip_prefix("brune");
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        };
        self.levels.contains(metadata.level())
            && ours()
            && !self.queue.is_closed()
            && UNHEARD.try_with(|()| ()).is_err()
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Forward {
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if !self.wants(event) {
            return;
        }
        // Before it is written down: a flood must not cost more than it has to.
        let Ok(place) = self.queue.try_reserve() else {
            return self.dropped.add(1);
        };
        let mut texts = Texts::default();
        event.record(&mut texts);
        let request = context.event_span(event).map(|it| fields(&it)).unwrap_or_default();
        place.send(Line {
            at: self.clock.now(),
            level: *event.metadata().level(),
            target: event.metadata().target(),
            message: bounded(texts.message),
            fields: bounded(texts.fields),
            request: bounded(request),
        });
    }
}

fn bounded(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(LONGEST));
    text
}

/// The fields of a span as the log's own layer has written them down already, in either format.
fn fields<'a, S: LookupSpan<'a>>(span: &SpanRef<'a, S>) -> String {
    let extensions = span.extensions();
    if let Some(text) = extensions.get::<FormattedFields<DefaultFields>>() {
        return without_colour(&text.fields);
    }
    let Some(json) = extensions.get::<FormattedFields<JsonFields>>() else { return String::new() };
    let members: Map<String, Value> = serde_json::from_str(&json.fields).unwrap_or_default();
    let told = members.iter().map(|(name, value)| match value {
        Value::String(text) => format!("{name}={text}"),
        other => format!("{name}={other}"),
    });
    told.collect::<Vec<_>>().join(" ")
}

/// `text` as it is where there is no terminal.
fn without_colour(text: &str) -> String {
    let mut parts = text.split('\u{1b}');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |plain, part| plain + part.split_once('m').map_or(part, |(_, rest)| rest))
}

/// The texts of an event.
#[derive(Default)]
struct Texts {
    message: String,
    fields: String,
}

impl Texts {
    fn add(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        if field.name() == "message" {
            self.message = value.to_string();
            return;
        }
        let gap = if self.fields.is_empty() { "" } else { " " };
        // Writing to a string cannot fail.
        let _ = write!(self.fields, "{gap}{}={value}", field.name());
    }
}

impl Visit for Texts {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, format_args!("{value}"));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut told = value.to_string();
        let mut cause = value.source();
        while let Some(err) = cause {
            let _ = write!(told, ": {err}");
            cause = err.source();
        }
        self.add(field, format_args!("{told}"));
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::{layer::SubscriberExt as _, registry};

    use super::*;

    /// The lines that are kept of what is logged while `act` runs, and how many were dropped.
    fn kept(levels: &[Level], act: impl FnOnce()) -> (Vec<Line>, u64) {
        let (layer, mut lines) = forward(levels.to_vec());
        let log = tracing_subscriber::fmt::layer().json().with_writer(std::io::sink);
        tracing::subscriber::with_default(registry().with(log).with(layer), act);
        let dropped = lines.dropped();
        (std::iter::from_fn(|| lines.waiting()).collect(), dropped)
    }

    #[test]
    fn our_own_lines_of_the_levels_are_kept_with_their_request() {
        let (lines, _) = kept(&[Level::ERROR, Level::DEBUG], || {
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
    fn a_flood_is_dropped_and_counted_and_never_waits() {
        let counter = Counter::default();
        let (layer, mut lines) = forward(vec![Level::ERROR]);
        let flood = || (0..1_000).for_each(|n| tracing::error!(target: "brune", n, "again"));
        let subscriber = registry().with(layer);
        tracing::subscriber::with_default(subscriber, || {
            flood();
            lines.count_into(counter.clone());
            assert_eq!((lines.dropped(), counter.get()), (744, 744));
            tracing::error!(target: "brune", "one more");
            assert_eq!((lines.dropped(), counter.get()), (745, 745));
            assert_eq!(lines.waiting().unwrap().fields, "n=0");
            lines.close();
            flood();
            // What nobody wants any more is not missed.
            assert_eq!(lines.dropped(), 745);
        });
    }

    #[tokio::test]
    async fn who_forwards_is_not_heard() {
        let (layer, mut lines) = forward(vec![Level::ERROR]);
        let _guard = tracing::subscriber::set_default(registry().with(layer));
        unheard(async { tracing::error!(target: "brune", "unheard") }).await;
        tracing::error!(target: "brune", "heard");
        assert_eq!(lines.waiting().unwrap().message, "heard");
        assert!(lines.waiting().is_none());
    }

    #[test]
    fn what_is_long_is_cut_and_colours_are_left_out() {
        let (lines, _) = kept(&[Level::ERROR], || {
            tracing::error!(target: "brune", text = "é".repeat(9_000), "long");
        });
        assert!(lines[0].fields.len() <= LONGEST && lines[0].fields.ends_with('é'));
        assert_eq!(without_colour("\u{1b}[3ma\u{1b}[0m\u{1b}[2m=\u{1b}[0mb"), "a=b");
    }
}
