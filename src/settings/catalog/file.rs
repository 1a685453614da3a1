//! A catalog file, entry by entry, so that every fault is told with its line and its key.

use std::{collections::BTreeMap, ops::Range};

use serde::de::DeserializeOwned;
use toml::{
    Spanned,
    de::{DeTable, DeValue, ValueDeserializer},
};

use crate::settings::{
    catalog::{
        Fault, check,
        entry::{Entry, Environment, Secret, Setting},
    },
    schema::Definition,
};

/// The most characters of a key; the database takes no longer one.
const LONGEST_KEY: usize = 128;

/// What was read of a file, and what is wrong with it so far.
#[derive(Default)]
pub(super) struct File {
    pub(super) name: String,
    pub(super) definitions: Vec<Definition>,
    pub(super) faults: Vec<Fault>,
    /// Where each key is declared first, and in which list.
    places: BTreeMap<String, (usize, &'static str)>,
}

/// Reads every entry of `text`; the only fault that ends it is a text that is no TOML.
pub(super) fn read(text: &str) -> Result<File, Fault> {
    let lines = Lines::of(text);
    let line_of = |span: Range<usize>| lines.at(span.start);
    let root = DeTable::parse(text).map_err(|err| Fault {
        line: err.span().map_or(1, line_of),
        key: None,
        detail: format!("is no TOML: {}", err.message()),
    })?;
    let mut reading = Reading { lines: &lines, file: File::default() };
    let (mut name, mut described) = (None, false);
    for (field, value) in root.into_inner() {
        let line = line_of(field.span());
        match (field.get_ref().as_ref(), value.get_ref()) {
            ("catalog", DeValue::String(given)) => name = Some((line, given.to_string())),
            ("description", DeValue::String(text)) => {
                described = true;
                if let Some(fault) = check::description(text) {
                    reading.fault(line, None, format!("`description` {fault}"));
                }
            }
            ("setting", DeValue::Array(_)) => reading.entries::<Setting>("setting", value),
            ("secret", DeValue::Array(_)) => reading.entries::<Secret>("secret", value),
            ("environment", DeValue::Array(_)) => {
                reading.entries::<Environment>("environment", value);
            }
            (field, _) => reading.fault(line, None, top_level(field)),
        }
    }
    match name {
        Some((_, name)) if is_name(&name) => reading.file.name = name,
        Some((line, _)) => {
            let detail = "`catalog` is no name; use small letters, digits and `-`, at most 64";
            reading.fault(line, None, detail.to_owned());
        }
        None => reading.fault(1, None, "`catalog = \"name\"` is missing".to_owned()),
    }
    if !described {
        reading.fault(1, None, "`description = \"…\"` is missing".to_owned());
    }
    Ok(reading.file)
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
    /// Where `key` is declared.
    pub(super) fn line_of(&self, key: &str) -> usize {
        self.places.get(key).map_or(1, |(line, _)| *line)
    }
}

struct Reading<'t> {
    lines: &'t Lines,
    file: File,
}

impl Reading<'_> {
    fn fault(&mut self, line: usize, key: Option<&str>, detail: String) {
        self.file.faults.push(Fault { line, key: key.map(str::to_owned), detail });
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
        let (line, key) = self.key(&value);
        let entry = match E::deserialize(ValueDeserializer::from(value)) {
            Ok(entry) => entry,
            Err(err) => {
                let at = err.span().map_or(line, |span| self.lines.at(span.start));
                return self.fault(at, key.as_deref(), err.message().to_owned());
            }
        };
        let key = key.unwrap_or_default();
        if !is_key(&key) {
            let detail = "is no name of a key; use capitals, digits and `_`, a capital first, at \
                          most 128";
            return self.fault(line, Some(&key), detail.to_owned());
        }
        if let Some((first, of)) = self.file.places.get(&key) {
            let detail = format!("is declared already, as [[{of}]] on line {first}");
            return self.fault(line, Some(&key), detail);
        }
        self.file.places.insert(key.clone(), (line, list));
        match entry.define() {
            Ok(definition) => self.file.definitions.push(definition),
            Err(detail) => self.fault(line, Some(&key), detail),
        }
    }

    /// The key of an entry and its line, as far as they are there.
    fn key(&self, entry: &Spanned<DeValue<'_>>) -> (usize, Option<String>) {
        let field = |it: &DeTable<'_>| {
            let (_, value) = it.iter().find(|(name, _)| name.get_ref() == "key")?;
            let line = self.lines.at(value.span().start);
            Some((line, value.get_ref().as_str().map(str::to_owned)))
        };
        let given = entry.get_ref().as_table().and_then(field);
        given.unwrap_or_else(|| (self.lines.at(entry.span().start), None))
    }
}

/// Where each line of a text ends: counting from its beginning for every key would be quadratic.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        Self(text.match_indices('\n').map(|(at, _)| at).collect())
    }

    /// The line, counted from 1, of the byte at `offset`.
    fn at(&self, offset: usize) -> usize {
        self.0.partition_point(|end| *end < offset) + 1
    }
}

/// Whether `text` can be a key.
pub(in crate::settings) fn is_key(text: &str) -> bool {
    text.starts_with(|it: char| it.is_ascii_uppercase())
        && text.bytes().all(|it| it.is_ascii_uppercase() || it.is_ascii_digit() || it == b'_')
        && text.len() <= LONGEST_KEY
}

/// A catalog's name stands in file names and headers.
fn is_name(text: &str) -> bool {
    text.starts_with(|it: char| it.is_ascii_lowercase())
        && text.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-')
        && text.len() <= 64
}
