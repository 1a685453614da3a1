//! The declaration of a key.

use serde::{Deserialize, Serialize};

use crate::{
    json::StrictJson,
    secret_scanner::{SecretKind, SecretScanner},
    settings::{
        constraints::Constraints,
        value::{SettingValue, ValueType},
    },
};

/// The kind of a key: where the value lives and whether the value can be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// In the database; a `SUPER_ADMIN` can change the value at run time.
    Setting,
    /// Declared and listed, but read-only.
    Locked,
    /// Provided from outside; never in the database.
    Secret,
    /// An environment variable; fixed until restart.
    Environment,
}

/// When a change takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Applies {
    /// For sessions that start after the change.
    NewSessions,
    /// Immediately.
    Hot,
    /// At the next start of the process.
    Restart,
}

/// When a value is required.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Required {
    /// Always.
    Always,
    /// In production.
    Production,
    /// Never.
    #[default]
    Never,
}

/// The declaration of one key.
#[derive(Debug, Clone)]
pub struct Definition {
    /// The key.
    pub key: String,
    /// The kind.
    pub kind: Kind,
    /// The group in listings.
    pub category: String,
    /// The type of the value.
    pub value_type: ValueType,
    /// The constraints on the value.
    pub constraints: Constraints,
    /// The value of a new or reset setting; every [`Kind::Setting`] has a default.
    pub default: Option<SettingValue>,
    /// When a change takes effect.
    pub applies: Applies,
    /// When a value is required.
    pub required: Required,
    /// How many other people must approve a change of the value, 0 to 3. Only a [`Kind::Setting`] has approvals.
    pub approvals: i16,
    /// A description for people.
    pub description: String,
}

impl Definition {
    /// Scans the texts of the declaration, which are all published into the database. Returns the name of the
    /// part that looks like a secret.
    pub(in crate::settings) fn find_secret(
        &self,
        scanner: &SecretScanner,
    ) -> Option<(&'static str, SecretKind)> {
        let default =
            self.default.as_ref().and_then(|value| scanner.scan_json(&StrictJson::from(value)));
        if let Some(kind) = default {
            return Some(("default", kind));
        }
        let mut choices = self.constraints.choices.iter().flatten();
        if let Some(kind) = choices.find_map(|choice| scanner.scan(choice)) {
            return Some(("enum", kind));
        }
        // The author of the catalog knows no secret of this process, so known formats suffice.
        let kind = SecretScanner::default().scan(&self.description)?;
        Some(("description", kind))
    }

    /// Returns the declaration of a variable of the process that no catalog declares.
    pub(super) fn external(key: String) -> Self {
        Self {
            key,
            kind: Kind::Environment,
            category: "environment".to_owned(),
            value_type: ValueType::String,
            constraints: Constraints::default(),
            default: None,
            applies: Applies::Restart,
            required: Required::Never,
            approvals: 0,
            description: "Read from the environment when the process starts.".to_owned(),
        }
    }
}
