//! All settings at one revision: complete, valid, typed and immutable.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use crate::settings::{
    entry::{Entry, Stored},
    rules::{self, Violation},
    schema::{KeyClass, Schema},
    value::{Number, SettingValue},
};

/// Every editable setting at one revision.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The change set that was the newest when this was read.
    pub revision: i64,
    /// The database server's history this was read from; another one after a failover.
    pub timeline: Option<String>,
    /// What the keys were declared to be.
    pub schema: Arc<Schema>,
    /// Shared with the snapshots before and after: taking on one change of ten thousand settings copies
    /// pointers.
    entries: HashMap<Arc<str>, Arc<Entry>>,
}

/// Why a snapshot has no such value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSettings {
    /// No value is stored.
    #[error("setting {0} is missing")]
    Missing(String),
    /// The value is of another type.
    #[error("setting {key} is not {wanted}")]
    Mistyped {
        /// The key.
        key: String,
        /// The type that was asked for.
        wanted: &'static str,
    },
}

impl Snapshot {
    /// The snapshot that `rows` spell, or everything that keeps them from being one. Rows of keys
    /// that are not editable are passed over.
    pub fn new(
        revision: i64,
        timeline: Option<String>,
        schema: Arc<Schema>,
        rows: Vec<Stored>,
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

    /// The snapshot of a database that was just seeded with `schema`, every key at its default: for whoever
    /// wants settings without a database.
    pub fn of_defaults(schema: Arc<Schema>) -> Result<Self, Vec<Violation>> {
        let rows = schema.editable().filter_map(Stored::seed).collect();
        Self::new(1, None, schema, rows)
    }

    /// This snapshot brought to `revision` by the rows that changed since.
    pub fn advanced(&self, revision: i64, rows: Vec<Stored>) -> Result<Self, Vec<Violation>> {
        let keys: Vec<String> = rows.iter().map(|row| row.key.clone()).collect();
        let mut snapshot = Self { revision, ..self.clone() };
        let mut faults = snapshot.fill(rows);
        // What did not change is valid already: this snapshot is.
        faults.extend(rules::check_keys(&snapshot.schema, &keys, |key| snapshot.value(key)));
        if faults.is_empty() { Ok(snapshot) } else { Err(faults) }
    }

    /// Takes the rows in. Returns a violation for each value that is not of the declared type.
    fn fill(&mut self, rows: Vec<Stored>) -> Vec<Violation> {
        let mut faults = Vec::new();
        for row in rows {
            let KeyClass::Editable(definition) = self.schema.classify(&row.key) else { continue };
            match row.into_entry(definition.value_type) {
                Ok(Some(entry)) => {
                    self.entries.insert(definition.key.as_str().into(), Arc::new(entry));
                }
                Ok(None) => {
                    self.entries.remove(definition.key.as_str());
                }
                Err(mismatch) => faults.push(Violation::type_mismatch(definition, mismatch)),
            }
        }
        faults
    }

    /// The setting `key`.
    #[must_use]
    pub fn find(&self, key: &str) -> Option<&Entry> {
        self.entries.get(key).map(Arc::as_ref)
    }

    /// The value of `key`, whatever its type.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&SettingValue> {
        self.find(key).map(|entry| &entry.value)
    }

    /// How many settings there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn required(&self, key: &str) -> Result<&SettingValue, InvalidSettings> {
        self.value(key).ok_or_else(|| InvalidSettings::Missing(key.to_owned()))
    }

    /// The string `key`.
    pub fn get_string(&self, key: &str) -> Result<&str, InvalidSettings> {
        match self.required(key)? {
            SettingValue::String(text) => Ok(text),
            _ => Err(mistyped(key, "a string")),
        }
    }

    /// The number `key`.
    pub fn get_number(&self, key: &str) -> Result<Number, InvalidSettings> {
        match self.required(key)? {
            SettingValue::Number(number) => Ok(*number),
            _ => Err(mistyped(key, "a number")),
        }
    }

    /// The whole number `key`.
    pub fn get_integer(&self, key: &str) -> Result<i64, InvalidSettings> {
        match self.required(key)? {
            SettingValue::Number(Number::Integer(whole)) => Ok(*whole),
            _ => Err(mistyped(key, "a whole number")),
        }
    }

    /// The boolean `key`.
    pub fn get_bool(&self, key: &str) -> Result<bool, InvalidSettings> {
        match self.required(key)? {
            SettingValue::Boolean(it) => Ok(*it),
            _ => Err(mistyped(key, "true or false")),
        }
    }

    /// The list `key`.
    pub fn get_array(&self, key: &str) -> Result<&[String], InvalidSettings> {
        match self.required(key)? {
            SettingValue::StringArray(items) => Ok(items),
            _ => Err(mistyped(key, "a list of strings")),
        }
    }
}

fn mistyped(key: &str, wanted: &'static str) -> InvalidSettings {
    InvalidSettings::Mistyped { key: key.to_owned(), wanted }
}
