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

/// A table that declares a key.
pub(super) trait Entry {
    /// Returns the declaration, or the problem with the default.
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
        Ok(Definition {
            kind: if self.locked { Kind::Locked } else { Kind::Setting },
            key: self.key,
            category: self.category,
            value_type: self.value_type,
            constraints: self.constraints,
            default: Some(default),
            applies: self.applies,
            required: Required::Always,
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
