//! The declared settings, as a catalog file (TOML) spells them.

use serde::Deserialize;

use crate::{
    json::Json,
    settings::{
        constraints::Constraints,
        rules,
        schema::{Applies, Definition, Kind, Required, Schema},
        value::{SettingValue, ValueType},
    },
};

/// The catalog that is built in: Brun-E's.
pub const BRUN_E: &str = include_str!("../../config/brun-e.toml");

/// A catalog file that was read and checked.
#[derive(Debug, Clone)]
pub struct Catalog {
    /// What it is called; exported documents and the database carry it.
    pub name: String,
    /// The declared keys.
    pub schema: Schema,
}

/// Why a catalog cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is no TOML of the catalog's form; the message says where.
    #[error("the catalog cannot be read: {0}")]
    Form(#[from] toml::de::Error),
    /// It contradicts itself; each fault on its own line.
    #[error("the catalog contradicts itself:\n  {}", .0.join("\n  "))]
    Contradiction(Vec<String>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    catalog: String,
    #[serde(rename = "description")]
    _description: String,
    #[serde(default)]
    setting: Vec<Setting>,
    #[serde(default)]
    secret: Vec<Secret>,
    #[serde(default)]
    environment: Vec<Environment>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Setting {
    key: String,
    category: String,
    #[serde(rename = "type")]
    value_type: ValueType,
    default: toml::Value,
    applies: Applies,
    description: String,
    #[serde(default)]
    constraints: Constraints,
    /// Listed, never written: the operator's, not the administrator's.
    #[serde(default)]
    locked: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Secret {
    key: String,
    description: String,
    #[serde(default)]
    required: Required,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Environment {
    key: String,
    #[serde(rename = "type")]
    value_type: ValueType,
    default: Option<toml::Value>,
    description: String,
    #[serde(default)]
    constraints: Constraints,
}

impl Catalog {
    /// Reads and checks a catalog file's text.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let file: File = toml::from_str(text)?;
        let mut faults = Vec::new();
        let mut definitions: Vec<Definition> = Vec::new();
        for setting in file.setting {
            definitions.extend(setting.define(&mut faults));
        }
        definitions.extend(file.secret.into_iter().map(Secret::define));
        for control in file.environment {
            definitions.extend(control.define(&mut faults));
        }
        let schema = Schema::new(file.catalog.clone(), 0, definitions, &mut faults);
        faults.extend(rules::check_defaults(&schema));
        if faults.is_empty() {
            Ok(Self { name: file.catalog, schema })
        } else {
            Err(Error::Contradiction(faults))
        }
    }
}

impl Setting {
    fn define(self, faults: &mut Vec<String>) -> Option<Definition> {
        let default = read(&self.key, self.value_type, &self.default, faults)?;
        Some(Definition {
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

impl Secret {
    fn define(self) -> Definition {
        Definition {
            key: self.key,
            kind: Kind::Secret,
            category: "secret".to_owned(),
            value_type: ValueType::String,
            constraints: Constraints::default(),
            default: None,
            applies: Applies::Restart,
            required: self.required,
            description: self.description,
        }
    }
}

impl Environment {
    fn define(self, faults: &mut Vec<String>) -> Option<Definition> {
        let default = match &self.default {
            Some(default) => Some(read(&self.key, self.value_type, default, faults)?),
            None => None,
        };
        Some(Definition {
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

fn read(
    key: &str,
    value_type: ValueType,
    default: &toml::Value,
    faults: &mut Vec<String>,
) -> Option<SettingValue> {
    let value = SettingValue::parse(value_type, &json(default)).ok();
    if value.is_none() {
        faults.push(format!("{key}: its default is not {}", value_type.describe()));
    }
    value
}

fn json(value: &toml::Value) -> Json {
    match value {
        toml::Value::String(text) => Json::String(text.clone()),
        toml::Value::Integer(whole) => Json::Number(whole.to_string()),
        toml::Value::Float(decimal) => Json::Number(decimal.to_string()),
        toml::Value::Boolean(it) => Json::Bool(*it),
        toml::Value::Datetime(it) => Json::String(it.to_string()),
        toml::Value::Array(items) => Json::Array(items.iter().map(json).collect()),
        toml::Value::Table(table) => {
            Json::Object(table.iter().map(|(key, value)| (key.clone(), json(value))).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The design's section 7, and what bounds a text that it leaves open.
    #[test]
    fn the_built_in_catalog_says_what_the_design_says() {
        let catalog = Catalog::parse(BRUN_E).unwrap();
        let mut declared: Vec<_> = catalog
            .schema
            .editable()
            .map(|it| {
                let constraints = serde_json::to_value(&it.constraints).unwrap();
                format!("{} {} {constraints}", it.key, it.value_type.as_str())
            })
            .collect();
        declared.sort();
        let expected = [
            r#"BRUNE_COOLDOWN_MINUTES number {"integer":true,"max":240,"min":0}"#,
            r#"BRUNE_ELIGIBILITY_ALLOWED_LEVELS string_array {"max_items":20,"unique":true}"#,
            "BRUNE_ELIGIBILITY_REQUIRE_PLAN boolean {}",
            r#"BRUNE_MAX_SESSIONS_PER_DAY number {"integer":true,"max":20,"min":1}"#,
            r#"BRUNE_OPENAI_REALTIME_MODEL string {"member_of":"BRUNE_OPENAI_REALTIME_MODEL_ALLOWLIST"}"#,
            r#"BRUNE_OPENAI_REALTIME_MODEL_ALLOWLIST string_array {"max_items":30,"min_items":1,"unique":true}"#,
            r#"BRUNE_PROMPT_ID string {"max_length":128,"regex":"^pmpt_[A-Za-z0-9_-]+$"}"#,
            r#"BRUNE_PROMPT_VERSION string {"max_length":32}"#,
            r#"BRUNE_SESSION_MAX_MINUTES number {"integer":true,"max":120,"min":1}"#,
        ];
        assert_eq!(declared, expected);
    }

    #[test]
    fn every_key_of_the_design_has_its_place() {
        let catalog = Catalog::parse(BRUN_E).unwrap();
        let count = |kind| catalog.schema.all().filter(|it| it.kind == kind).count();
        assert_eq!([Kind::Setting, Kind::Secret, Kind::Environment].map(count), [9, 5, 19]);
        assert_eq!(count(Kind::Locked), 0);
        assert!(catalog.schema.editable().all(|it| it.applies == Applies::NewSessions));
    }
}
