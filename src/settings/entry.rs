//! One setting as it stood at one revision.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::settings::{schema::Definition, value::SettingValue};

/// One setting as it stood at a snapshot's revision.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its value.
    pub value: SettingValue,
    /// Grows by one with every change of the key.
    pub version: i32,
    /// Who changed it last.
    pub updated_by: String,
    /// When.
    pub updated_at: DateTime<Utc>,
}

/// One setting as stored; without a value when it was deleted.
#[derive(Debug, Clone)]
pub struct Stored {
    pub(super) key: String,
    pub(super) value: Option<Value>,
    pub(super) version: Option<i32>,
    pub(super) updated_by: Option<String>,
    pub(super) updated_at: Option<DateTime<Utc>>,
}

impl Stored {
    /// The row that seeding writes for `definition`; `None` when it has no default.
    pub(super) fn seed(definition: &Definition) -> Option<Self> {
        Some(Self {
            key: definition.key.clone(),
            value: Some(definition.default.as_ref()?.to_json()),
            version: Some(1),
            updated_by: Some("brune:migrate".to_owned()),
            updated_at: Some(DateTime::UNIX_EPOCH),
        })
    }

    /// The key with its entry, or without one when it was deleted; `None` when the stored value is of no
    /// type of ours.
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

/// A change that going back would undo.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = LaterChange)]
pub struct Since {
    /// The key.
    pub key: String,
    /// Its version after that change.
    pub version: i32,
    /// Who.
    pub changed_by: String,
    /// When.
    pub changed_at: DateTime<Utc>,
}
