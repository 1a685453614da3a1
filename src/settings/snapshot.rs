//! The settings at one revision: complete, valid, typed and immutable.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use chrono::DateTime;

use crate::settings::{
    entry::{Entry, StoredSetting},
    rules::{self, Violation},
    schema::{KeyClass, Schema},
    value::{Number, SettingValue},
};

/// All editable settings at one revision.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The newest revision at the time of the read.
    pub revision: i64,
    /// The timeline of the database server; changes with a failover.
    pub timeline: Option<String>,
    /// The declarations of the keys.
    pub schema: Arc<Schema>,
    /// Entries by key, shared between snapshots: a change of one of ten thousand settings copies pointers, not values.
    entries: HashMap<Arc<str>, Arc<Entry>>,
}

/// Why a value could not be read from a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSettings {
    /// No value is stored.
    #[error("setting {0} is missing")]
    Missing(String),
    /// The value has another type.
    #[error("setting {key} is not {expected}")]
    Mistyped {
        /// The key.
        key: String,
        /// The requested type.
        expected: &'static str,
    },
}

impl Snapshot {
    /// Creates a snapshot of `rows`, without rows of keys that are not editable.
    ///
    /// # Errors
    /// All violations of the rules of `schema`.
    pub fn new(
        revision: i64,
        timeline: Option<String>,
        schema: Arc<Schema>,
        rows: Vec<StoredSetting>,
    ) -> Result<Self, Vec<Violation>> {
        let entries = HashMap::with_capacity(rows.len());
        let mut snapshot = Self { revision, timeline, schema, entries };
        let mut violations = snapshot.fill(rows);
        let unreadable: HashSet<String> = violations.iter().map(|row| row.key.clone()).collect();
        let broken = rules::check(&snapshot.schema, |key| snapshot.value(key)).into_iter();
        // An unreadable value is stored, so a second violation `missing` would mislead.
        violations.extend(broken.filter(|violation| {
            violation.code != "missing" || !unreadable.contains(&violation.key)
        }));
        if violations.is_empty() { Ok(snapshot) } else { Err(violations) }
    }

    /// Creates a snapshot with the defaults of `schema`, equal to the snapshot of a newly seeded database; for uses
    /// without a database.
    pub fn of_defaults(schema: Arc<Schema>) -> Result<Self, Vec<Violation>> {
        let rows = schema.editable().filter_map(StoredSetting::seed).collect();
        // A newly seeded database is at revision 1, because the seeds are the first change set.
        Self::new(1, None, schema, rows)
    }

    /// Returns the snapshot at the later `revision`, whose `rows` changed since.
    ///
    /// # Errors
    /// All violations of the rules of the schema.
    pub fn advanced(
        &self,
        revision: i64,
        rows: Vec<StoredSetting>,
    ) -> Result<Self, Vec<Violation>> {
        let keys: Vec<String> = rows.iter().map(|row| row.key.clone()).collect();
        // A copy of the map, since readers still borrow the snapshot.
        let mut snapshot = Self { revision, ..self.clone() };
        let mut violations = snapshot.fill(rows);
        // Unchanged keys need no check: `self` is valid.
        violations.extend(rules::check_keys(&snapshot.schema, &keys, |key| snapshot.value(key)));
        if violations.is_empty() { Ok(snapshot) } else { Err(violations) }
    }

    /// Returns a copy with other `values`, which are not checked; for comparisons, never for readers of the settings.
    #[must_use]
    pub fn with_values(&self, values: impl IntoIterator<Item = (String, SettingValue)>) -> Self {
        let mut snapshot = self.clone();
        for (key, value) in values {
            let entry = match self.find(&key) {
                Some(entry) => Entry { value, ..entry.clone() },
                None => Entry {
                    value,
                    version: 0,
                    updated_by: String::new(),
                    updated_at: DateTime::UNIX_EPOCH,
                },
            };
            snapshot.entries.insert(key.into(), Arc::new(entry));
        }
        snapshot
    }

    /// Inserts `rows`; returns a violation for each row with a value not of the declared type.
    fn fill(&mut self, rows: Vec<StoredSetting>) -> Vec<Violation> {
        let mut violations = Vec::new();
        for row in rows {
            let KeyClass::Editable(definition) = self.schema.classify(&row.key) else { continue };
            match row.into_entry(definition.value_type) {
                Ok(Some(entry)) => {
                    self.entries.insert(definition.key.as_str().into(), Arc::new(entry));
                }
                // A deletion reaches a running instance as a row without a value.
                Ok(None) => {
                    self.entries.remove(definition.key.as_str());
                }
                Err(mismatch) => violations.push(Violation::type_mismatch(definition, mismatch)),
            }
        }
        violations
    }

    /// Returns the setting `key`.
    #[must_use]
    pub fn find(&self, key: &str) -> Option<&Entry> {
        self.entries.get(key).map(Arc::as_ref)
    }

    /// Returns the value of `key`, of any type.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&SettingValue> {
        self.find(key).map(|entry| &entry.value)
    }

    /// Returns the number of settings.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether the snapshot has no settings.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn required(&self, key: &str) -> Result<&SettingValue, InvalidSettings> {
        self.value(key).ok_or_else(|| InvalidSettings::Missing(key.to_owned()))
    }

    /// Returns the value of the string `key`.
    pub fn get_string(&self, key: &str) -> Result<&str, InvalidSettings> {
        match self.required(key)? {
            SettingValue::String(text) => Ok(text),
            _ => Err(mistyped(key, "a string")),
        }
    }

    /// Returns the value of the number `key`.
    pub fn get_number(&self, key: &str) -> Result<Number, InvalidSettings> {
        match self.required(key)? {
            SettingValue::Number(number) => Ok(*number),
            _ => Err(mistyped(key, "a number")),
        }
    }

    /// Returns the value of the integer `key`.
    pub fn get_integer(&self, key: &str) -> Result<i64, InvalidSettings> {
        match self.required(key)? {
            SettingValue::Number(Number::Integer(integer)) => Ok(*integer),
            _ => Err(mistyped(key, "an integer")),
        }
    }

    /// Returns the value of the boolean `key`.
    pub fn get_bool(&self, key: &str) -> Result<bool, InvalidSettings> {
        match self.required(key)? {
            SettingValue::Boolean(value) => Ok(*value),
            _ => Err(mistyped(key, "true or false")),
        }
    }

    /// Returns the value of the list `key`.
    pub fn get_array(&self, key: &str) -> Result<&[String], InvalidSettings> {
        match self.required(key)? {
            SettingValue::StringArray(items) => Ok(items),
            _ => Err(mistyped(key, "a list of strings")),
        }
    }
}

fn mistyped(key: &str, expected: &'static str) -> InvalidSettings {
    InvalidSettings::Mistyped { key: key.to_owned(), expected }
}
