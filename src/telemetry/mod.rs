//! The log: text or JSON on standard error, without secrets. Lines can be queued for a forwarder.

mod forward;
mod request_span;

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

pub use forward::{ForwardLayer, LogLine, LogQueue, forward, without_forwarding};

use crate::{
    config::{Format, Log},
    telemetry::request_span::RequestSpans,
};

/// The most verbose levels of libraries, unless a directive names the library. Below, libraries log every packet.
const CAPS: [(&str, LevelFilter); 5] = [
    ("sqlx", LevelFilter::WARN),
    ("hyper", LevelFilter::INFO),
    ("reqwest", LevelFilter::INFO),
    ("rustls", LevelFilter::INFO),
    ("tower", LevelFilter::INFO),
];

/// Disables a target that logs the *values* of unknown parameters in database URLs, which may be a mistyped password.
const SILENCED: &str = "sqlx_postgres::options=off";

/// An error of [`init`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The level is invalid.
    #[error("the log level cannot be parsed")]
    Level(#[from] ParseError),
    /// The process has a log already.
    #[error("the log of this process is already initialized")]
    AlreadyInitialized(#[from] tracing_subscriber::util::TryInitError),
}

/// Initializes the log of the process on standard error, including panics. Returns the queue of lines to forward.
///
/// # Errors
/// The level is invalid, or the log is already initialized.
pub fn init(log: &Log) -> Result<LogQueue, Error> {
    let (forward, queue) = forward(log.discord.clone());
    // The inner layer formats the fields of a span, which the outer layer reads.
    let lines = lines(log, io::stderr, io::stderr().is_terminal())?;
    lines.with(forward).with(RequestSpans).try_init()?;
    panic::set_hook(Box::new(log_panic));
    Ok(queue)
}

/// Creates a subscriber that writes the log to `writer`, for benchmarks and tests. The `writer` is a terminal or not.
///
/// # Errors
/// The level is invalid.
pub fn subscriber<W>(
    log: &Log,
    writer: W,
    is_terminal: bool,
) -> Result<impl Subscriber + Send + Sync + use<W>, ParseError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    Ok(lines(log, writer, is_terminal)?.with(RequestSpans))
}

fn lines<W>(
    log: &Log,
    writer: W,
    is_terminal: bool,
) -> Result<impl Subscriber + for<'a> LookupSpan<'a> + use<W>, ParseError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    // Matching regular expressions against every value would be slow, and our documentation does not offer it.
    let filter = EnvFilter::builder().with_regex(false).parse(directives(&log.level))?;
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let lines = match log.format {
        Format::Text => lines.with_ansi(log.color && is_terminal).boxed(),
        // The enclosing span has the request; the list of all spans would repeat the request.
        Format::Json => lines.json().flatten_event(true).with_span_list(false).boxed(),
    };
    Ok(registry::Registry::default().with(filter).with(lines))
}

/// Adds the [`CAPS`] of libraries that `level` does not name.
fn directives(level: &str) -> String {
    let mut levels = level.split(',').filter_map(|word| word.trim().parse::<LevelFilter>().ok());
    // Of several bare levels `EnvFilter` uses the last.
    let default = levels.next_back().unwrap_or(LevelFilter::INFO);
    let caps = CAPS.iter().filter(|(target, cap)| *cap < default && !level.contains(target));
    let caps = caps.map(|(target, cap)| format!("{target}={cap}"));
    // Without a bare level, `EnvFilter` would log nothing of the modules without a directive.
    let parts = [default.to_string(), level.to_owned()];
    // Last, because a later directive for the same target replaces an earlier directive.
    parts.into_iter().chain(caps).chain([SILENCED.to_owned()]).collect::<Vec<_>>().join(",")
}

/// Logs the location of a panic.
fn log_panic(panic: &PanicHookInfo<'_>) {
    // The message of a panic may hold a secret value.
    let location = panic.location().map(ToString::to_string);
    tracing::error!(
        location = location.as_deref().unwrap_or("unknown"),
        thread = thread::current().name().unwrap_or("unnamed"),
        "panicked; the message is omitted because it may hold a value"
    );
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Returns the log at `level` while `act` runs.
    fn logged(level: &str, format: Format, act: impl FnOnce()) -> String {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let log = Log { level: level.to_owned(), format, color: true, discord: Vec::new() };
        let subscriber = subscriber(&log, move || writer.clone(), false).unwrap();
        tracing::subscriber::with_default(subscriber, act);
        let bytes = buffer.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_json_line_is_an_object_with_its_span() {
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
    fn a_text_line_has_no_color_without_a_terminal() {
        let line = logged("info", Format::Text, || tracing::info!("done"));
        assert!(line.contains("done") && !line.contains('\u{1b}'), "{line:?}");
    }

    #[test]
    fn debug_lines_of_a_library_require_its_name() {
        let act = || {
            tracing::debug!(target: "brune::settings", "ours");
            tracing::debug!(target: "sqlx::query", "theirs");
            tracing::error!(target: "sqlx_postgres::options::parse", "a parameter's value");
        };
        let quiet = logged("debug", Format::Text, act);
        assert!(quiet.contains("ours") && !quiet.contains("theirs"), "{quiet}");
        let verbose = logged("info,sqlx=debug", Format::Text, act);
        assert!(verbose.contains("theirs") && !verbose.contains("ours"), "{verbose}");
        assert!(!format!("{quiet}{verbose}").contains("a parameter's value"));
    }

    #[test]
    fn a_cap_never_raises_the_level_of_a_library() {
        let act = || {
            tracing::warn!(target: "sqlx::query", "slow");
            tracing::error!("ours");
        };
        let lines = logged("error", Format::Text, act);
        assert!(lines.contains("ours") && !lines.contains("slow"), "{lines}");
        assert_eq!(logged("off", Format::Text, act), "");
    }

    #[test]
    fn a_directive_for_a_module_leaves_other_modules_at_info() {
        let lines = logged("brune::http=debug", Format::Text, || {
            tracing::debug!(target: "brune::http", "near");
            tracing::debug!(target: "brune::settings", "far");
            tracing::info!(target: "brune::settings", "usual");
        });
        assert!(lines.contains("near") && lines.contains("usual") && !lines.contains("far"));
    }

    #[test]
    fn a_panic_is_logged_with_location_and_without_message() {
        let line = logged("error", Format::Text, || {
            let default_hook = panic::take_hook();
            panic::set_hook(Box::new(log_panic));
            let result = panic::catch_unwind(|| panic!("the value of a secret"));
            panic::set_hook(default_hook);
            assert!(result.is_err());
        });
        assert!(line.contains("src/telemetry/mod.rs:"), "{line}");
        assert!(!line.contains("secret"), "{line}");
    }
}
