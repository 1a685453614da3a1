//! Entries of an import plan.

use serde::Serialize;
use utoipa::ToSchema;

use crate::settings::value::SettingValue;

/// The effect of a document's entry on the current settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The import changes the setting.
    Change,
    /// The setting already has the value.
    Same,
    /// The import changes the setting, which also changed after the export of the document.
    Conflict,
    /// The key is locked.
    Locked,
    /// The catalog declares no such key.
    Unknown,
    /// The value is invalid.
    Invalid,
}

/// An entry of an import plan.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct PlanEntry {
    /// The key.
    pub key: String,
    /// The effect.
    pub class: Class,
    /// The current value.
    #[schema(value_type = Option<serde_json::Value>)]
    pub current: Option<SettingValue>,
    /// The imported value; never returned for a key that may hold a secret.
    #[schema(value_type = Option<serde_json::Value>)]
    pub imported: Option<SettingValue>,
    /// The problem, or the author of a conflicting change.
    pub detail: Option<String>,
}
