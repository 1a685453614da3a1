//! Settings as a document: what `export` writes and `import` reads, in three formats of the same content.

mod env;
mod read;
#[cfg(test)]
mod tests;
mod yaml;

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

use crate::{
    json::{FieldError, FieldErrors, StrictJson},
    settings::{change::Edit, value::SettingValue},
    text::{self, DecodeError},
};

/// The form of documents that this release writes, and the newest that it reads.
pub const FORMAT_VERSION: i64 = 1;

/// The most settings that a document may have.
const MOST_SETTINGS: usize = 20_000;

/// How a document is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// JSON.
    Json,
    /// YAML 1.2, read strictly: `no` is a text, and no key stands twice.
    Yaml,
    /// `KEY=VALUE` lines with the metadata as comments.
    Env,
}

impl Format {
    /// The formats by name.
    pub const NAMES: [&'static str; 3] = ["json", "yaml", "env"];

    /// The format called `name`.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "json" => Some(Self::Json),
            "yaml" => Some(Self::Yaml),
            "env" => Some(Self::Env),
            _ => None,
        }
    }

    /// The media type it travels under.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Yaml => "application/yaml",
            Self::Env => "text/plain; charset=utf-8",
        }
    }

    /// What a file of it ends in.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Yaml => "yaml",
            Self::Env => "env",
        }
    }
}

/// Every editable setting at one revision, to be written down.
#[derive(Debug, Clone, Serialize)]
pub struct Document {
    /// [`FORMAT_VERSION`].
    pub format_version: i64,
    /// When it was written.
    pub exported_at: String,
    /// The instance that wrote it.
    pub source: String,
    /// The revision it is of.
    pub revision: i64,
    /// The catalog it is of.
    pub catalog: String,
    /// The settings, by key.
    pub settings: BTreeMap<String, SettingValue>,
}

impl Document {
    /// The settings of `catalog` at `revision`, written at `now` by `source`.
    #[must_use]
    pub fn new(
        catalog: String,
        revision: i64,
        settings: BTreeMap<String, SettingValue>,
        source: String,
        now: DateTime<Utc>,
    ) -> Self {
        let exported_at = now.to_rfc3339_opts(SecondsFormat::Secs, true);
        Self { format_version: FORMAT_VERSION, exported_at, source, revision, catalog, settings }
    }

    /// Writes the document in `format`.
    ///
    /// # Errors
    /// The library for it fails, which no document should make it do.
    pub fn write(&self, format: Format) -> Result<String, Box<dyn std::error::Error>> {
        match format {
            Format::Json => Ok(serde_json::to_string_pretty(self)? + "\n"),
            Format::Yaml => yaml::write(self),
            Format::Env => Ok(env::write(self)),
        }
    }
}

/// A document that was read; nothing of it is known to fit a catalog yet.
#[derive(Debug, Clone)]
pub struct Incoming {
    /// The revision it says it is of.
    pub(super) revision: Option<i64>,
    /// The catalog it says it is of.
    pub(super) catalog: Option<String>,
    /// Its settings in their order.
    pub(super) entries: Vec<(String, Raw)>,
    /// Bytes that it was written in.
    pub(super) size: usize,
}

impl Incoming {
    /// What it wishes for, its texts as they are.
    pub(super) fn wishes(&self) -> Vec<Edit> {
        let value = |raw: &Raw| match raw {
            Raw::Json(json) => json.clone(),
            Raw::Text(text) => StrictJson::String(text.clone()),
        };
        let wish = |(key, raw): &(String, Raw)| Edit {
            key: key.clone(),
            value: value(raw),
            version: None,
        };
        self.entries.iter().map(wish).collect()
    }
}

/// A value as a document gives it.
#[derive(Debug, Clone)]
pub(super) enum Raw {
    /// With a type of its own.
    Json(StrictJson),
    /// As text, whose type only the catalog knows.
    Text(String),
}

impl Incoming {
    /// Reads `bytes` as `format`, strictly; or everything that is wrong with them, with line and column
    /// where the format has them. No fault repeats what was read: it may hold a secret.
    pub fn read(format: Format, bytes: &[u8]) -> Result<Self, FieldErrors> {
        let incoming = match format {
            Format::Json => read::document(StrictJson::parse(text(bytes)?.as_bytes())?),
            Format::Yaml => read::document(yaml::read(text(bytes)?)?),
            Format::Env => env::read(text(bytes)?),
        }?;
        let count = incoming.entries.len();
        if count > MOST_SETTINGS {
            let detail = format!("must have at most {MOST_SETTINGS} settings, and has {count}");
            return Err(FieldError::at("/settings", "too_many_items", detail).into());
        }
        Ok(Self { size: bytes.len(), ..incoming })
    }
}

/// A body has been bounded by whoever read it.
fn text(bytes: &[u8]) -> Result<&str, FieldErrors> {
    let fault =
        |error: DecodeError| FieldErrors::from(FieldError::at("", "not_utf8", error.to_string()));
    text::decode(bytes, usize::MAX).map_err(fault)
}
