//! What each key is: as a catalog declares it and as the database's schema table holds it.

pub(super) mod store;

use std::collections::{BTreeMap, HashMap};

pub(super) use store::Unreadable;

use serde::{Deserialize, Serialize};

use crate::{
    config::VARIABLES,
    json::StrictJson,
    secret_scanner::{SecretKind, SecretScanner, lookalike_skeleton},
    settings::{
        constraints::Constraints,
        value::{SettingValue, ValueType},
    },
};

/// Whose a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A `SUPER_ADMIN`'s: lives in the database, changed at run time.
    Setting,
    /// Declared so that it is known, and never written here.
    Locked,
    /// Provisioned outside; never in the database.
    Secret,
    /// The infrastructure's; fixed until restart.
    Environment,
}

/// When a change takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Applies {
    /// For sessions that start after it.
    NewSessions,
    /// At once.
    Hot,
    /// When the process starts next.
    Restart,
}

/// When a value must be there.
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
    /// Whose it is.
    pub kind: Kind,
    /// The group it is shown in.
    pub category: String,
    /// The type of its value.
    pub value_type: ValueType,
    /// The rules of its value.
    pub constraints: Constraints,
    /// What it is seeded with and reset to; every [`Kind::Setting`] has one.
    pub default: Option<SettingValue>,
    /// When a change takes effect.
    pub applies: Applies,
    /// When it must be there.
    pub required: Required,
    /// What it does, for a person.
    pub description: String,
}

impl Definition {
    /// Scans the texts of the declaration, all of which are published into the database. Returns the
    /// part that looks like a secret.
    pub(in crate::settings) fn find_secret(
        &self,
        scanner: &SecretScanner,
    ) -> Option<(&'static str, SecretKind)> {
        let default =
            self.default.as_ref().and_then(|value| scanner.scan_json(&StrictJson::from(value)));
        if let Some(likeness) = default {
            return Some(("its default", likeness));
        }
        let mut choices = self.constraints.choices.iter().flatten();
        if let Some(likeness) = choices.find_map(|choice| scanner.scan(choice)) {
            return Some(("a choice of its enum", likeness));
        }
        // The author of the catalog knows no secret of this process, so known formats suffice.
        let likeness = SecretScanner::default().scan(&self.description)?;
        Some(("its description", likeness))
    }
}

/// What a name on the wire stands for.
#[derive(Debug, Clone, Copy)]
pub enum KeyClass<'a> {
    /// A setting that may be changed.
    Editable(&'a Definition),
    /// A key that is known and never written here.
    Locked(&'a Definition),
    /// Nothing.
    Unknown,
}

/// Every declared key of one catalog, at one state of it.
#[derive(Debug, Clone, Default)]
pub struct Schema {
    /// The catalog's name.
    pub catalog: String,
    /// Grows with every change of a declaration in the database; 0 for a catalog file.
    pub revision: i64,
    definitions: BTreeMap<String, Definition>,
    /// Both ends of every rule that ties two keys together.
    partners: HashMap<String, Vec<String>>,
    /// The keys that are never written here, by what their disguises have in common.
    locked_lookalikes: HashMap<String, String>,
    /// The variables of this process that no key declares, and the files beside secrets. They are locked.
    external: HashMap<String, Definition>,
}

impl Schema {
    /// A schema of `definitions`, each of another key.
    #[must_use]
    pub fn new(catalog: String, revision: i64, definitions: Vec<Definition>) -> Self {
        let definitions = definitions.into_iter().map(|it| (it.key.clone(), it)).collect();
        let mut schema = Self { catalog, revision, definitions, ..Self::default() };
        schema.external = external(&schema.definitions);
        for (key, definition) in &schema.definitions {
            if definition.kind != Kind::Setting {
                schema
                    .locked_lookalikes
                    .extend(lookalike_skeleton(key).map(|bare| (bare, key.clone())));
            }
            let Some(list) = &definition.constraints.member_of else { continue };
            schema.partners.entry(key.clone()).or_default().push(list.clone());
            schema.partners.entry(list.clone()).or_default().push(key.clone());
        }
        schema
    }

    /// The declaration of `key`, whatever its kind.
    #[must_use]
    pub fn find(&self, key: &str) -> Option<&Definition> {
        self.definitions.get(key)
    }

    /// What `name` stands for.
    #[must_use]
    pub fn classify(&self, name: &str) -> KeyClass<'_> {
        match self.find(name) {
            Some(definition) if definition.kind == Kind::Setting => KeyClass::Editable(definition),
            Some(definition) => KeyClass::Locked(definition),
            None => KeyClass::Unknown,
        }
    }

    /// What a write to `name` is aimed at: as [`Self::classify`] has it, but that a name which only looks
    /// different from a key that is never written here is that key, and that a variable of this process is
    /// locked though no catalog declares it.
    #[must_use]
    pub fn classify_lookalike(&self, name: &str) -> KeyClass<'_> {
        match self.classify(name) {
            KeyClass::Unknown => {
                let meant =
                    lookalike_skeleton(name).and_then(|bare| self.locked_lookalikes.get(&bare));
                let meant = meant.and_then(|key| self.find(key));
                meant
                    .or_else(|| self.external.get(name))
                    .map_or(KeyClass::Unknown, KeyClass::Locked)
            }
            named => named,
        }
    }

    /// About as many bytes as reading every setting takes.
    #[must_use]
    pub fn reading_size(&self) -> usize {
        const OF_EACH: usize = 64;
        self.definitions.len() * OF_EACH
    }

    /// Every declaration, by key.
    pub fn all(&self) -> impl Iterator<Item = &Definition> {
        self.definitions.values()
    }

    /// Every setting that may be changed, by key.
    pub fn editable(&self) -> impl Iterator<Item = &Definition> {
        self.all().filter(|definition| definition.kind == Kind::Setting)
    }

    /// The keys that a rule ties to `key`.
    #[must_use]
    pub fn partners(&self, key: &str) -> &[String] {
        self.partners.get(key).map_or(&[], Vec::as_slice)
    }
}

/// The locked names beside `declared`: every variable that the program reads, and `X_FILE` of every secret `X`.
fn external(declared: &BTreeMap<String, Definition>) -> HashMap<String, Definition> {
    let own = VARIABLES.iter().map(|it| (it.name, it.is_secret));
    let declared_secrets = declared.values().filter(|it| it.kind == Kind::Secret);
    let secrets = declared_secrets.map(|it| (it.key.as_str(), true));
    let names = own.chain(secrets).flat_map(|(name, is_secret)| {
        let file = is_secret.then(|| format!("{name}_FILE"));
        [Some(name.to_owned()), file].into_iter().flatten()
    });
    let undeclared = names.filter(|name| !declared.contains_key(name));
    undeclared.map(|name| (name.clone(), Definition::external(name))).collect()
}

impl Definition {
    /// A variable of the process that no catalog declares.
    fn external(key: String) -> Self {
        Self {
            key,
            kind: Kind::Environment,
            category: "environment".to_owned(),
            value_type: ValueType::String,
            constraints: Constraints::default(),
            default: None,
            applies: Applies::Restart,
            required: Required::Never,
            description: "Read from the environment when the process starts.".to_owned(),
        }
    }
}
