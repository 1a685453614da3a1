//! One setting as it stood at one revision.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::settings::value::SettingValue;

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
