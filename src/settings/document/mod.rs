//! Export and import documents: the same content in three formats.

mod content;
mod env;
mod format;
mod read;
#[cfg(test)]
mod tests;
mod yaml;

pub use content::{Document, IncomingDocument};
pub use format::{FORMAT_VERSION, Format};

use crate::{
    json::{FieldError, FieldErrors, StrictJson},
    text::{self, DecodeError},
};

/// Maximum number of settings in a document.
const MAX_SETTINGS: usize = 20_000;

impl Document {
    /// Serializes the document.
    ///
    /// # Errors
    /// The serializer of the format failed, which no document should cause.
    pub fn write(&self, format: Format) -> Result<String, Box<dyn std::error::Error>> {
        match format {
            // Indented, because exports are reviewed in version control.
            Format::Json => Ok(serde_json::to_string_pretty(self)? + "\n"),
            Format::Yaml => yaml::write(self),
            Format::Env => Ok(env::write(self)),
        }
    }
}

impl IncomingDocument {
    /// Parses a document strictly.
    ///
    /// # Errors
    /// All errors, with line and column where the format has lines. No error quotes the document, which may
    /// contain a secret.
    pub fn read(format: Format, bytes: &[u8]) -> Result<Self, FieldErrors> {
        let document = match format {
            Format::Json => read::document(StrictJson::parse(text(bytes)?.as_bytes())?),
            Format::Yaml => read::document(yaml::read(text(bytes)?)?),
            Format::Env => env::read(text(bytes)?),
        }?;
        let count = document.edits.len();
        if count > MAX_SETTINGS {
            let detail = format!("must have at most {MAX_SETTINGS} settings, has {count}");
            return Err(FieldError::at("/settings", "too_many_items", detail).into());
        }
        Ok(Self { size: bytes.len(), ..document })
    }
}

fn text(bytes: &[u8]) -> Result<&str, FieldErrors> {
    let not_utf8 =
        |error: DecodeError| FieldErrors::from(FieldError::at("", "not_utf8", error.to_string()));
    // No limit, because the HTTP layer limits the size of bodies.
    text::decode(bytes, usize::MAX).map_err(not_utf8)
}
