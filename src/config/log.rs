//! What to log, and how.

use tracing_subscriber::filter::{EnvFilter, LevelFilter};

use super::{Mode, reading::Reading};

/// What to log, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// A level, or directives `target=level,…` (`LOG_LEVEL`). Known to parse.
    pub level: String,
    /// How a line looks (`LOG_FORMAT`).
    pub format: Format,
    /// Whether a terminal may be coloured (`NO_COLOR`).
    pub color: bool,
}

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// For machines.
    Json,
}

impl Log {
    pub(super) fn read(reading: &mut Reading<'_>, mode: Mode) -> Self {
        let level = reading.text("LOG_LEVEL").unwrap_or_else(|| "info".to_owned());
        if !is_filter(&level) {
            let way_out =
                "use error, warn, info, debug, trace, off, or `target=level` with commas between";
            reading.fault("LOG_LEVEL", "is no level and no list of directives", way_out);
        }
        let known = [("text", Format::Text), ("json", Format::Json)];
        let default = if mode == Mode::Production { Format::Json } else { Format::Text };
        let format = reading.choice("LOG_FORMAT", &known).unwrap_or(default);
        Self { level, format, color: reading.env.path("NO_COLOR").is_none() }
    }
}

/// A bare word must be a level: the parser would take `inof` for a target, and log nothing.
fn is_filter(text: &str) -> bool {
    let bare = |it: &&str| !it.contains(['=', '[', ']', '{', '}']);
    let words = text.split(',').map(str::trim).filter(bare);
    let mut words = words.map(|word| word.parse::<LevelFilter>().is_ok() && !word.is_empty());
    words.all(|fits| fits) && EnvFilter::builder().with_regex(false).parse(text).is_ok()
}
