//! What to log, and how.

use tracing::Level;
use tracing_subscriber::filter::{EnvFilter, LevelFilter};

use super::{Mode, reading::Reading};

const DISCORD: &str = "LOG_DISCORD_LEVELS";

/// What to log, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// A level, or directives `target=level,…` (`LOG_LEVEL`). Known to parse.
    pub level: String,
    /// Of which levels lines are posted to Discord as well (`LOG_DISCORD_LEVELS`).
    pub discord: Vec<Level>,
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
        let discord = discord(reading);
        Self { level, discord, format, color: reading.env.path("NO_COLOR").is_none() }
    }
}

/// A list as JSON writes it, or words with commas between.
fn discord(reading: &mut Reading<'_>) -> Vec<Level> {
    let Some(text) = reading.text(DISCORD) else { return vec![Level::ERROR] };
    let words = serde_json::from_str::<Vec<String>>(&text)
        .unwrap_or_else(|_| text.split(',').map(|it| it.trim().to_owned()).collect());
    let levels: Vec<Level> = words.iter().filter_map(|it| level(it)).collect();
    if levels.len() < words.len() {
        let way_out = "write `[\"error\", \"warn\"]`, or `[]` for none; there are error, warn, info, debug and trace";
        reading.fault(DISCORD, "holds what is no level", way_out);
    }
    levels
}

/// By name alone: the parser of the library takes numbers too.
fn level(word: &str) -> Option<Level> {
    let all = [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE];
    all.into_iter().find(|it| it.as_str().eq_ignore_ascii_case(word))
}

/// A bare word must be a level: the parser would take `inof` for a target, and log nothing.
fn is_filter(text: &str) -> bool {
    let bare = |it: &&str| !it.contains(['=', '[', ']', '{', '}']);
    let words = text.split(',').map(str::trim).filter(bare);
    let mut words = words.map(|word| word.parse::<LevelFilter>().is_ok() && !word.is_empty());
    words.all(|fits| fits) && EnvFilter::builder().with_regex(false).parse(text).is_ok()
}
