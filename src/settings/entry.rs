//! One setting at one revision.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::settings::{schema::Definition, value::SettingValue};

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
    /// Returns the row that seeding writes for `definition`; `None` without a default.
    pub(super) fn seed(definition: &Definition) -> Option<Self> {
        Some(Self {
            key: definition.key.clone(),
            value: Some(definition.default.as_ref()?.to_json()),
            version: Some(1),
            updated_by: Some("brune:migrate".to_owned()),
            updated_at: Some(DateTime::UNIX_EPOCH),
        })
    }

    /// Returns the key and the entry, without an entry for a deleted setting; `None` if the stored value is of an
    /// unknown type.
    pub(super) fn into_entry(self) -> Option<(String, Option<Entry>)> {
        let (Some(value), Some(version), Some(updated_by), Some(updated_at)) =
            (self.value, self.version, self.updated_by, self.updated_at)
        else {
            return Some((self.key, None));
        };
        let value = SettingValue::from_stored(&value)?;
        Some((self.key, Some(Entry { value, version, updated_by, updated_at })))
    }
}

/// A change that a rollback would undo.
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
