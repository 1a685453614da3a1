//! The parser of catalog files. Entries are parsed one by one, so that all errors have lines and keys.

use std::{collections::BTreeMap, ops::Range};

use serde::de::DeserializeOwned;
use toml::{
    Spanned,
    de::{DeTable, DeValue, ValueDeserializer},
};

use crate::settings::{
    catalog::{
        check,
        diagnostic::Diagnostic,
        entry::{Entry, Environment, Secret, Setting},
    },
    schema::Definition,
};

/// Maximum length of a key in characters, as in the database.
const MAX_KEY_LENGTH: usize = 128;

/// The parsed entries of a file and the errors so far.
#[derive(Default)]
pub(super) struct File {
    pub(super) name: String,
    pub(super) definitions: Vec<Definition>,
    pub(super) diagnostics: Vec<Diagnostic>,
    /// The line and the list of each key's first declaration.
    locations: BTreeMap<String, (usize, &'static str)>,
}

/// Parses every entry of `text`.
///
/// # Errors
/// The text is not TOML. All other errors are collected.
pub(super) fn read(text: &str) -> Result<File, Diagnostic> {
    let lines = Lines::of(text);
    let line_of = |span: Range<usize>| lines.at(span.start);
    // Parsed into spans first, because deserialization of the whole file stops at the first error.
    let root = DeTable::parse(text).map_err(|err| Diagnostic {
        line: err.span().map_or(1, line_of),
        key: None,
        detail: format!("invalid TOML: {}", err.message()),
    })?;
    let mut parser = Parser { lines: &lines, file: File::default() };
    let mut name = None;
    let mut has_description = false;
    for (field, value) in root.into_inner() {
        let line = line_of(field.span());
        match (field.get_ref().as_ref(), value.get_ref()) {
            ("catalog", DeValue::String(text)) => name = Some((line, text.to_string())),
            ("description", DeValue::String(text)) => {
                has_description = true;
                if let Some(problem) = check::description(text) {
                    parser.error(line, None, format!("`description` {problem}"));
                }
            }
            ("setting", DeValue::Array(_)) => parser.entries::<Setting>("setting", value),
            ("secret", DeValue::Array(_)) => parser.entries::<Secret>("secret", value),
            ("environment", DeValue::Array(_)) => {
                parser.entries::<Environment>("environment", value);
            }
            (field, _) => parser.error(line, None, top_level(field)),
        }
    }
    match name {
        Some((_, name)) if is_name(&name) => parser.file.name = name,
        Some((line, _)) => {
            let detail = "`catalog` must be up to 64 lower-case letters, digits and `-`";
            parser.error(line, None, detail.to_owned());
        }
        None => parser.error(1, None, "`catalog = \"name\"` is missing".to_owned()),
    }
    if !has_description {
        parser.error(1, None, "`description = \"…\"` is missing".to_owned());
    }
    Ok(parser.file)
}

fn top_level(field: &str) -> String {
    match field {
        "catalog" | "description" => format!("`{field}` must be a string"),
        "setting" | "secret" | "environment" => {
            format!("`{field}` must be a list of tables: [[{field}]]")
        }
        _ => format!(
            "unknown field `{field}`; a catalog has catalog, description, [[setting]], [[secret]] and \
             [[environment]]"
        ),
    }
}

impl File {
    /// Returns the line of the declaration of `key`.
    pub(super) fn line_of(&self, key: &str) -> usize {
        self.locations.get(key).map_or(1, |(line, _)| *line)
    }
}

struct Parser<'t> {
    lines: &'t Lines,
    file: File,
}

impl Parser<'_> {
    fn error(&mut self, line: usize, key: Option<&str>, detail: String) {
        self.file.diagnostics.push(Diagnostic { line, key: key.map(str::to_owned), detail });
    }

    fn entries<E: Entry + DeserializeOwned>(
        &mut self,
        list: &'static str,
        values: Spanned<DeValue<'_>>,
    ) {
        let DeValue::Array(values) = values.into_inner() else { return };
        for value in values {
            self.entry::<E>(list, value);
        }
    }

    fn entry<E: Entry + DeserializeOwned>(
        &mut self,
        list: &'static str,
        value: Spanned<DeValue<'_>>,
    ) {
        // Read before the entry is deserialized, so that errors of the entry have the key.
        let (line, key) = self.key(&value);
        let entry = match E::deserialize(ValueDeserializer::from(value)) {
            Ok(entry) => entry,
            Err(err) => {
                let at = err.span().map_or(line, |span| self.lines.at(span.start));
                return self.error(at, key.as_deref(), err.message().to_owned());
            }
        };
        let key = key.unwrap_or_default();
        if !is_key(&key) {
            let detail =
                "key must be up to 128 capital letters, digits and `_`, with a letter first";
            return self.error(line, Some(&key), detail.to_owned());
        }
        if let Some((first, list)) = self.file.locations.get(&key) {
            let detail = format!("duplicate key: first declared as [[{list}]] on line {first}");
            return self.error(line, Some(&key), detail);
        }
        // Before the default is checked, so that a second declaration is still a duplicate.
        self.file.locations.insert(key.clone(), (line, list));
        match entry.define() {
            Ok(definition) => self.file.definitions.push(definition),
            Err(detail) => self.error(line, Some(&key), detail),
        }
    }

    /// Returns the line and the key of an entry, or the entry's first line.
    fn key(&self, entry: &Spanned<DeValue<'_>>) -> (usize, Option<String>) {
        let field = |table: &DeTable<'_>| {
            let (_, value) = table.iter().find(|(name, _)| name.get_ref() == "key")?;
            let line = self.lines.at(value.span().start);
            Some((line, value.get_ref().as_str().map(str::to_owned)))
        };
        let key = entry.get_ref().as_table().and_then(field);
        key.unwrap_or_else(|| (self.lines.at(entry.span().start), None))
    }
}

/// The offsets of all line ends. Counting lines from the beginning for every key would be quadratic.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        Self(text.match_indices('\n').map(|(at, _)| at).collect())
    }

    /// Returns the line of the byte at `offset`, counted from 1.
    fn at(&self, offset: usize) -> usize {
        self.0.partition_point(|end| *end < offset) + 1
    }
}

/// Whether `text` is a valid key.
pub(in crate::settings) fn is_key(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_uppercase())
        && text.bytes().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == b'_')
        && text.len() <= MAX_KEY_LENGTH
}

/// A catalog's name stands in file names and headers.
fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-')
        && text.len() <= 64
}
