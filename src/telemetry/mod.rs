//! The log: text or JSON on standard error, and nothing in it that must stay secret. Some of its lines are kept for
//! whoever forwards them.

mod forward;

use std::{
    io::{self, IsTerminal as _},
    panic::{self, PanicHookInfo},
    thread,
};

use tracing::Subscriber;
use tracing_subscriber::{
    Layer as _,
    filter::{EnvFilter, LevelFilter, ParseError},
    fmt::MakeWriter,
    layer::SubscriberExt as _,
    registry::{self, LookupSpan},
    util::SubscriberInitExt as _,
};

pub use forward::{Forward, Line, Lines, forward, unheard};

use crate::config::{Format, Log};

/// Libraries and the most they may say at a bare level: beyond it they tell of every packet, and a
/// line of ours drowns. A directive that names one of them is obeyed.
const CAPS: [(&str, LevelFilter); 5] = [
    ("sqlx", LevelFilter::WARN),
    ("hyper", LevelFilter::INFO),
    ("reqwest", LevelFilter::INFO),
    ("rustls", LevelFilter::INFO),
    ("tower", LevelFilter::INFO),
];

/// Says the *value* of each parameter of a database URL that it does not know, which may be a mistyped
/// password. Nothing turns it on.
const SILENCED: &str = "sqlx_postgres::options=off";

/// Why the log cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The level was not checked by `config`.
    #[error("the log level cannot be parsed")]
    Level(#[from] ParseError),
    /// Another log stands already.
    #[error("a log is set up already in this process")]
    Taken(#[from] tracing_subscriber::util::TryInitError),
}

/// Sends all that is logged, panics too, to standard error. Once per process. Returns the lines that are to be
/// forwarded, from the first on; dropped, there are none.
///
/// # Errors
/// The level does not parse, or there is a log already.
pub fn init(log: &Log) -> Result<Lines, Error> {
    let (forward, lines) = forward(log.discord.clone());
    // Outside of the log's own layer, which writes down the fields of a span before.
    subscriber(log, io::stderr, io::stderr().is_terminal())?.with(forward).try_init()?;
    panic::set_hook(Box::new(report));
    Ok(lines)
}

/// The log on `writer`.
fn subscriber<W>(
    log: &Log,
    writer: W,
    terminal: bool,
) -> Result<impl Subscriber + for<'a> LookupSpan<'a> + use<W>, ParseError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    // Without regular expressions: matching one against every value is work nobody asked for.
    let filter = EnvFilter::builder().with_regex(false).parse(directives(&log.level))?;
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let lines = match log.format {
        Format::Text => lines.with_ansi(log.color && terminal).boxed(),
        Format::Json => lines.json().flatten_event(true).with_span_list(false).boxed(),
    };
    Ok(registry::Registry::default().with(filter).with(lines))
}

/// `level` with the [`CAPS`] that it does not speak of itself.
fn directives(level: &str) -> String {
    let bare = level.split(',').filter_map(|it| it.trim().parse::<LevelFilter>().ok()).next_back();
    let everywhere = bare.unwrap_or(LevelFilter::INFO);
    let caps = CAPS.iter().filter(|(target, cap)| *cap < everywhere && !level.contains(target));
    let caps = caps.map(|(target, cap)| format!("{target}={cap}"));
    let parts = [everywhere.to_string(), level.to_owned()];
    parts.into_iter().chain(caps).chain([SILENCED.to_owned()]).collect::<Vec<_>>().join(",")
}

/// Logs where a panic happened. Never its message: that may hold the value which caused it.
fn report(panic: &PanicHookInfo<'_>) {
    let location = panic.location().map(ToString::to_string);
    tracing::error!(
        location = location.as_deref().unwrap_or("unknown"),
        thread = thread::current().name().unwrap_or("unnamed"),
        "panicked; its message is left out, since it may hold a value"
    );
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is logged at `level` while `act` runs.
    fn logged(level: &str, format: Format, act: impl FnOnce()) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let log = Log { level: level.to_owned(), format, color: true, discord: Vec::new() };
        let subscriber = subscriber(&log, move || writer.clone(), false).unwrap();
        tracing::subscriber::with_default(subscriber, act);
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_line_of_json_is_one_object_with_its_span() {
        let line = logged("info", Format::Json, || {
            let span = tracing::info_span!("request", request_id = "r-1");
            span.in_scope(|| tracing::info!(status = 200, "done"));
        });
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["message"], "done");
        assert_eq!(line["status"], 200);
        assert_eq!(line["span"]["request_id"], "r-1");
    }

    #[test]
    fn a_line_of_text_has_no_colour_where_there_is_no_terminal() {
        let line = logged("info", Format::Text, || tracing::info!("done"));
        assert!(line.contains("done") && !line.contains('\u{1b}'), "{line:?}");
    }

    #[test]
    fn what_a_library_says_of_each_packet_needs_its_name_to_be_heard() {
        let speak = || {
            tracing::debug!(target: "brune::settings", "ours");
            tracing::debug!(target: "sqlx::query", "theirs");
            tracing::error!(target: "sqlx_postgres::options::parse", "a parameter's value");
        };
        let quiet = logged("debug", Format::Text, speak);
        assert!(quiet.contains("ours") && !quiet.contains("theirs"), "{quiet}");
        let asked = logged("info,sqlx=debug", Format::Text, speak);
        assert!(asked.contains("theirs") && !asked.contains("ours"), "{asked}");
        assert!(!format!("{quiet}{asked}").contains("a parameter's value"));
    }

    #[test]
    fn a_cap_never_makes_a_library_louder() {
        let speak = || {
            tracing::warn!(target: "sqlx::query", "slow");
            tracing::error!("ours");
        };
        let lines = logged("error", Format::Text, speak);
        assert!(lines.contains("ours") && !lines.contains("slow"), "{lines}");
        assert_eq!(logged("off", Format::Text, speak), "");
    }

    #[test]
    fn a_directive_for_one_module_leaves_the_others_at_info() {
        let lines = logged("brune::http=debug", Format::Text, || {
            tracing::debug!(target: "brune::http", "near");
            tracing::debug!(target: "brune::settings", "far");
            tracing::info!(target: "brune::settings", "usual");
        });
        assert!(lines.contains("near") && lines.contains("usual") && !lines.contains("far"));
    }

    #[test]
    fn a_panic_is_logged_by_its_place_and_not_by_its_words() {
        let line = logged("error", Format::Text, || {
            let before = panic::take_hook();
            panic::set_hook(Box::new(report));
            let caught = panic::catch_unwind(|| panic!("the value of a secret"));
            panic::set_hook(before);
            assert!(caught.is_err());
        });
        assert!(line.contains("src/telemetry/mod.rs:"), "{line}");
        assert!(!line.contains("secret"), "{line}");
    }
}
