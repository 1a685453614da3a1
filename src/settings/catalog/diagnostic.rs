//! Errors of a catalog file, with lines and keys.

use std::fmt::Write as _;

/// One error of a catalog file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Diagnostic {
    /// Line, counted from 1.
    pub line: usize,
    /// The key of the invalid entry, if known.
    pub key: Option<String>,
    /// The problem.
    pub detail: String,
}

/// All errors of an invalid catalog, in the order of the file.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.report("line "))]
pub struct Error(pub(super) Vec<Diagnostic>);

impl Error {
    /// Returns the errors in the order of the file; never empty.
    #[must_use]
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.0
    }

    /// Returns a report in the format of a compiler: `file:line: key: problem`.
    #[must_use]
    pub fn of_file(&self, file: &str) -> String {
        self.report(&format!("{file}:"))
    }

    fn report(&self, location: &str) -> String {
        let mut text = "invalid catalog:".to_owned();
        for Diagnostic { line, key, detail } in &self.0 {
            let key = key.as_ref().map(|key| format!("{key}: ")).unwrap_or_default();
            // Writing to a string cannot fail.
            let _ = write!(text, "\n  {location}{line}: {key}{detail}");
        }
        text
    }
}
