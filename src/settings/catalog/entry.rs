//! Entries of a catalog file.

use serde::Deserialize;

use crate::{
    json::StrictJson,
    settings::{
        constraints::Constraints,
        schema::{Applies, Definition, Kind, Required},
        value::{SettingValue, ValueType},
    },
};

/// The greatest number of approvals of a setting.
const MAX_APPROVALS: i16 = 3;

/// A table that declares a key.
pub(super) trait Entry {
    /// Returns the declaration, or the problem with the table.
    fn define(self) -> Result<Definition, String>;
}

/// A table of `[[setting]]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Setting {
    key: String,
    category: String,
    #[serde(rename = "type")]
    value_type: ValueType,
    default: toml::Value,
    applies: Applies,
    description: String,
    #[serde(default)]
    constraints: Constraints,
    /// How many other people must approve a change, at most [`MAX_APPROVALS`].
    #[serde(default)]
    approvals: i16,
    /// Listed but read-only: the operator decides, not the administrator.
    #[serde(default)]
    locked: bool,
}

/// A table of `[[secret]]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Secret {
    key: String,
    description: String,
    #[serde(default)]
    required: Required,
}

/// A table of `[[environment]]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Environment {
    key: String,
    #[serde(rename = "type")]
    value_type: ValueType,
    default: Option<toml::Value>,
    description: String,
    #[serde(default)]
    constraints: Constraints,
}

impl Entry for Setting {
    fn define(self) -> Result<Definition, String> {
        let default = read(self.value_type, &self.default)?;
        if !(0..=MAX_APPROVALS).contains(&self.approvals) {
            return Err(format!("approvals must be 0 to {MAX_APPROVALS}"));
        }
        if self.locked && self.approvals > 0 {
            return Err("approvals must be 0: nobody can change a locked setting".to_owned());
        }
        Ok(Definition {
            kind: if self.locked { Kind::Locked } else { Kind::Setting },
            key: self.key,
            category: self.category,
            value_type: self.value_type,
            constraints: self.constraints,
            default: Some(default),
            applies: self.applies,
            required: Required::Always,
            approvals: self.approvals,
            description: self.description,
        })
    }
}

impl Entry for Secret {
    fn define(self) -> Result<Definition, String> {
        Ok(Definition {
            key: self.key,
            kind: Kind::Secret,
            category: "secret".to_owned(),
            value_type: ValueType::String,
            constraints: Constraints::default(),
            // A default would be a secret in a public file.
            default: None,
            applies: Applies::Restart,
            required: self.required,
            approvals: 0,
            description: self.description,
        })
    }
}

impl Entry for Environment {
    fn define(self) -> Result<Definition, String> {
        let default =
            self.default.as_ref().map(|default| read(self.value_type, default)).transpose()?;
        Ok(Definition {
            key: self.key,
            kind: Kind::Environment,
            category: "environment".to_owned(),
            value_type: self.value_type,
            constraints: self.constraints,
            default,
            applies: Applies::Restart,
            required: Required::Never,
            approvals: 0,
            description: self.description,
        })
    }
}

fn read(value_type: ValueType, default: &toml::Value) -> Result<SettingValue, String> {
    SettingValue::parse(value_type, &json(default))
        .map_err(|_| format!("default must be {}", value_type.describe()))
}

fn json(value: &toml::Value) -> StrictJson {
    match value {
        toml::Value::String(text) => StrictJson::String(text.clone()),
        toml::Value::Integer(integer) => StrictJson::Number(integer.to_string()),
        // TOML has `inf` and `nan`, JSON has neither: `Number::parse` rejects both texts.
        toml::Value::Float(decimal) => StrictJson::Number(decimal.to_string()),
        toml::Value::Boolean(boolean) => StrictJson::Bool(*boolean),
        // As text, so that the error names the declared type.
        toml::Value::Datetime(datetime) => StrictJson::String(datetime.to_string()),
        toml::Value::Array(items) => StrictJson::Array(items.iter().map(json).collect()),
        toml::Value::Table(table) => StrictJson::Object(
            table.iter().map(|(key, value)| (key.clone(), json(value))).collect(),
        ),
    }
}
