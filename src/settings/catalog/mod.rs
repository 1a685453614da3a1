//! The declared settings, as a catalog file (TOML) spells them.

mod check;
mod entry;
mod file;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;

pub(super) use file::is_key;

use crate::settings::schema::Schema;

/// The catalog that is built in: Brun-E's.
pub const BRUN_E: &str = include_str!("../../../config/brun-e.toml");

/// A catalog file that was read and checked.
#[derive(Debug, Clone)]
pub struct Catalog {
    /// What it is called; exported documents and the database carry it.
    pub name: String,
    /// The declared keys.
    pub schema: Schema,
}

/// One thing wrong with a catalog file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// Counted from 1.
    pub line: usize,
    /// The key of the entry at fault, if it is one that has a key.
    pub key: Option<String>,
    /// What is wrong.
    pub detail: String,
}

/// Why a catalog cannot be used: everything that is wrong with it, in the file's order.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.told("line "))]
pub struct Error(Vec<Fault>);

impl Error {
    /// What is wrong, in the file's order; never empty.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        &self.0
    }

    /// Every fault on a line of its own, as compilers tell theirs: `file:line: key: what`.
    #[must_use]
    pub fn of_file(&self, file: &str) -> String {
        self.told(&format!("{file}:"))
    }

    fn told(&self, place: &str) -> String {
        let mut text = "the catalog cannot be used:".to_owned();
        for Fault { line, key, detail } in &self.0 {
            let key = key.as_ref().map(|key| format!("{key}: ")).unwrap_or_default();
            // Writing to a string cannot fail.
            let _ = write!(text, "\n  {place}{line}: {key}{detail}");
        }
        text
    }
}

impl Catalog {
    /// Reads and checks a catalog file's text.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut file = file::read(text).map_err(|fault| Error(vec![fault]))?;
        let schema = Schema::new(file.name.clone(), 0, std::mem::take(&mut file.definitions));
        for (key, detail) in check::check(&schema) {
            let line = file.line_of(&key);
            file.faults.push(Fault { line, key: Some(key), detail });
        }
        file.faults.sort();
        if file.faults.is_empty() {
            Ok(Self { name: file.name, schema })
        } else {
            Err(Error(file.faults))
        }
    }
}
