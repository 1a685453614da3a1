//! Document formats.

/// The format version that this release writes, and the newest that this release reads.
pub const FORMAT_VERSION: i64 = 1;

/// The format of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// JSON.
    Json,
    /// YAML 1.2, parsed strictly: `no` is a string, and duplicate keys are errors.
    Yaml,
    /// `KEY=VALUE` lines with metadata in comments.
    Env,
}

impl Format {
    /// The names of all formats.
    pub const NAMES: [&'static str; 3] = ["json", "yaml", "env"];

    /// Parses the name of a format.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "json" => Some(Self::Json),
            "yaml" => Some(Self::Yaml),
            "env" => Some(Self::Env),
            _ => None,
        }
    }

    /// Returns the media type.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            // RFC 9512 registers the media type.
            Self::Yaml => "application/yaml",
            // Without `charset`, browsers guess the encoding of plain text.
            Self::Env => "text/plain; charset=utf-8",
        }
    }

    /// Returns the file extension.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Yaml => "yaml",
            Self::Env => "env",
        }
    }
}
