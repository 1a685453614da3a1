//! Log levels and format.

use tracing::Level;
use tracing_subscriber::filter::{EnvFilter, LevelFilter};

use super::{Mode, reader::Reader};

const DISCORD: &str = "LOG_DISCORD_LEVELS";

/// Log levels and format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// A level, or directives `target=level,…` (`LOG_LEVEL`); valid for `EnvFilter`.
    pub level: String,
    /// The levels whose lines are also posted to Discord (`LOG_DISCORD_LEVELS`).
    pub discord: Vec<Level>,
    /// The format of a line (`LOG_FORMAT`).
    pub format: Format,
    /// Whether output to a terminal is colored (unless `NO_COLOR` is set).
    pub color: bool,
}

/// The format of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Plain text.
    Text,
    /// One JSON object per line.
    Json,
}

impl Log {
    pub(super) fn read(reader: &mut Reader<'_>, mode: Mode) -> Self {
        let level = reader.text("LOG_LEVEL").unwrap_or_else(|| "info".to_owned());
        if !is_filter(&level) {
            let fix = "use error, warn, info, debug, trace, off, or comma-separated `target=level`";
            reader.reject("LOG_LEVEL", "must be a level or a list of directives", fix);
        }
        let choices = [("text", Format::Text), ("json", Format::Json)];
        let default = if mode == Mode::Production { Format::Json } else { Format::Text };
        let format = reader.choice("LOG_FORMAT", &choices).unwrap_or(default);
        let discord = discord_levels(reader);
        Self { level, discord, format, color: reader.environment.path("NO_COLOR").is_none() }
    }
}

/// Reads a JSON array or a comma-separated list.
fn discord_levels(reader: &mut Reader<'_>) -> Vec<Level> {
    let Some(text) = reader.text(DISCORD) else { return vec![Level::ERROR] };
    let words = serde_json::from_str::<Vec<String>>(&text)
        .unwrap_or_else(|_| text.split(',').map(|word| word.trim().to_owned()).collect());
    let levels: Vec<Level> = words.iter().filter_map(|word| level(word)).collect();
    if levels.len() < words.len() {
        let fix = "write `[\"error\", \"warn\"]`, or `[]` for none; levels are error, warn, info, debug and trace";
        reader.reject(DISCORD, "must list levels only", fix);
    }
    levels
}

fn level(word: &str) -> Option<Level> {
    // By name, because the library's parser accepts numbers too.
    let levels = [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE];
    levels.into_iter().find(|level| level.as_str().eq_ignore_ascii_case(word))
}

fn is_filter(text: &str) -> bool {
    // A word without `=` must be a level: the library takes `inof` for a target and would log nothing.
    let is_bare = |word: &&str| !word.contains(['=', '[', ']', '{', '}']);
    let mut bare_words = text.split(',').map(str::trim).filter(is_bare);
    bare_words.all(|word| word.parse::<LevelFilter>().is_ok() && !word.is_empty())
        && EnvFilter::builder().with_regex(false).parse(text).is_ok()
}
