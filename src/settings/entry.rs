//! One setting at one revision.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::settings::{
    schema::{Definition, Schema},
    value::{SettingValue, TypeMismatch, ValueType},
};

/// One setting at the revision of a snapshot.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The value.
    pub value: SettingValue,
    /// The version: increases by 1 with each change of the key.
    pub version: i32,
    /// The author of the last change.
    pub updated_by: String,
    /// The time of the last change.
    pub updated_at: DateTime<Utc>,
}

/// One setting as a row of the database; all fields but the key are `None` for a deleted setting.
#[derive(Debug, Clone)]
pub struct StoredSetting {
    pub(super) key: String,
    pub(super) value: Option<Value>,
    pub(super) version: Option<i32>,
    pub(super) updated_by: Option<String>,
    pub(super) updated_at: Option<DateTime<Utc>>,
}

impl StoredSetting {
    /// Returns the seed row of `definition`; `None` without a default.
    pub(super) fn seed(definition: &Definition) -> Option<Self> {
        Some(Self {
            key: definition.key.clone(),
            value: Some(definition.default.as_ref()?.to_json()),
            // As in a seeded database: the triggers accept only 1 as the first version.
            version: Some(1),
            updated_by: Some("brune:migrate".to_owned()),
            // A constant, so that equal catalogs give equal snapshots.
            updated_at: Some(DateTime::UNIX_EPOCH),
        })
    }

    /// Reads the row by the `declared` type of the key. Returns no entry for a deleted setting.
    ///
    /// # Errors
    /// The stored value is not of the declared type.
    pub(super) fn into_entry(self, declared: ValueType) -> Result<Option<Entry>, TypeMismatch> {
        let Self { value, version, updated_by, updated_at, .. } = self;
        let (Some(value), Some(version), Some(updated_by), Some(updated_at)) =
            (value, version, updated_by, updated_at)
        else {
            return Ok(None);
        };
        let value = SettingValue::from_stored(declared, &value)?;
        Ok(Some(Entry { value, version, updated_by, updated_at }))
    }
}

/// Returns the entries of `rows` by key, without deleted, undeclared and unreadable settings.
pub(super) fn readable_entries(
    schema: &Schema,
    rows: Vec<StoredSetting>,
) -> BTreeMap<String, Entry> {
    let entries = rows.into_iter().filter_map(|row| {
        let declared = schema.find(&row.key)?.value_type;
        Some((row.key.clone(), row.into_entry(declared).ok()??))
    });
    entries.collect()
}

/// A change after the state restored by a rollback.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct LaterChange {
    /// The key.
    pub key: String,
    /// The version after the change.
    pub version: i32,
    /// The author of the change.
    pub changed_by: String,
    /// The time of the change.
    pub changed_at: DateTime<Utc>,
}
