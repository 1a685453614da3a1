//! Catalogs: TOML files that declare settings, secrets and environment variables.

mod check;
mod diagnostic;
mod entry;
mod file;
#[cfg(test)]
mod tests;

pub use diagnostic::{Diagnostic, Error};
pub(super) use file::is_key;

use crate::settings::schema::Schema;

/// The built-in catalog of Brun-E.
pub const BRUN_E: &str = include_str!("../../../config/brun-e.toml");

/// A valid catalog.
#[derive(Debug, Clone)]
pub struct Catalog {
    /// The name, which exported documents and the database carry too.
    pub name: String,
    /// The declared keys.
    pub schema: Schema,
}

impl Catalog {
    /// Parses and validates the text of a catalog file.
    ///
    /// # Errors
    /// All errors of the file.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut file = file::read(text).map_err(|diagnostic| Error(vec![diagnostic]))?;
        // Taken out, because the file is still needed for the lines of errors.
        let schema = Schema::new(file.name.clone(), 0, std::mem::take(&mut file.definitions));
        for (key, detail) in check::check(&schema) {
            let line = file.line_of(&key);
            file.diagnostics.push(Diagnostic { line, key: Some(key), detail });
        }
        // Errors of the parser and of the checks interleave.
        file.diagnostics.sort();
        if file.diagnostics.is_empty() {
            Ok(Self { name: file.name, schema })
        } else {
            Err(Error(file.diagnostics))
        }
    }
}
