//! Declarations of keys, from a catalog file or the database's schema table.

mod definition;
pub(super) mod store;

use std::collections::{BTreeMap, HashMap};

pub use definition::{Applies, Definition, Kind, Required};
pub(super) use store::Unreadable;

use crate::{config::VARIABLES, secret_scanner::lookalike_skeleton};

/// The class of a name in a request.
#[derive(Debug, Clone, Copy)]
pub enum KeyClass<'a> {
    /// A setting that can be changed.
    Editable(&'a Definition),
    /// A known key that cannot be changed through the API.
    Locked(&'a Definition),
    /// An unknown name.
    Unknown,
}

/// All declarations of a catalog at one catalog revision.
#[derive(Debug, Clone, Default)]
pub struct Schema {
    /// The catalog's name.
    pub catalog: String,
    /// The catalog revision, which grows with every change of a declaration in the database; 0 for a file.
    pub revision: i64,
    definitions: BTreeMap<String, Definition>,
    /// The partners of each key in constraints between two keys, in both directions.
    partners: HashMap<String, Vec<String>>,
    /// Locked keys by lookalike skeleton.
    locked_lookalikes: HashMap<String, String>,
    /// Undeclared variables of this process and the `_FILE` variables of secrets; all locked.
    external: HashMap<String, Definition>,
}

impl Schema {
    /// Creates a schema of `definitions` with unique keys.
    #[must_use]
    pub fn new(catalog: String, revision: i64, definitions: Vec<Definition>) -> Self {
        let definitions = definitions
            .into_iter()
            .map(|definition| (definition.key.clone(), definition))
            .collect();
        let mut schema = Self { catalog, revision, definitions, ..Self::default() };
        schema.external = external(&schema.definitions);
        for (key, definition) in &schema.definitions {
            if definition.kind != Kind::Setting {
                schema
                    .locked_lookalikes
                    .extend(lookalike_skeleton(key).map(|skeleton| (skeleton, key.clone())));
            }
            let Some(list) = &definition.constraints.member_of else { continue };
            schema.partners.entry(key.clone()).or_default().push(list.clone());
            schema.partners.entry(list.clone()).or_default().push(key.clone());
        }
        schema
    }

    /// Returns the declaration of `key`, of any kind.
    #[must_use]
    pub fn find(&self, key: &str) -> Option<&Definition> {
        self.definitions.get(key)
    }

    /// Classifies `name` by exact match.
    #[must_use]
    pub fn classify(&self, name: &str) -> KeyClass<'_> {
        match self.find(name) {
            Some(definition) if definition.kind == Kind::Setting => KeyClass::Editable(definition),
            Some(definition) => KeyClass::Locked(definition),
            None => KeyClass::Unknown,
        }
    }

    /// Classifies the target of a write: like [`Self::classify`], but a lookalike of a locked key and an undeclared
    /// variable of this process are locked too.
    #[must_use]
    pub fn classify_lookalike(&self, name: &str) -> KeyClass<'_> {
        match self.classify(name) {
            KeyClass::Unknown => {
                // Only for unknown names, because the skeleton is expensive.
                let skeleton = lookalike_skeleton(name);
                let locked = skeleton.and_then(|skeleton| self.locked_lookalikes.get(&skeleton));
                let locked = locked.and_then(|key| self.find(key));
                locked
                    .or_else(|| self.external.get(name))
                    .map_or(KeyClass::Unknown, KeyClass::Locked)
            }
            class => class,
        }
    }

    /// Returns an estimate of the bytes of all settings, as the cost of reading the settings.
    #[must_use]
    pub fn reading_size(&self) -> usize {
        const BYTES_PER_SETTING: usize = 64;
        self.definitions.len() * BYTES_PER_SETTING
    }

    /// Returns every declaration, sorted by key.
    pub fn all(&self) -> impl Iterator<Item = &Definition> {
        self.definitions.values()
    }

    /// Returns every setting that can be changed, sorted by key.
    pub fn editable(&self) -> impl Iterator<Item = &Definition> {
        self.all().filter(|definition| definition.kind == Kind::Setting)
    }

    /// Returns the keys that share a constraint with `key`.
    #[must_use]
    pub fn partners(&self, key: &str) -> &[String] {
        self.partners.get(key).map_or(&[], Vec::as_slice)
    }
}

/// Returns the undeclared locked names: every variable of the program, and `X_FILE` for every secret `X`.
fn external(declared: &BTreeMap<String, Definition>) -> HashMap<String, Definition> {
    let variables = VARIABLES.iter().map(|variable| (variable.name, variable.is_secret));
    let declared_secrets = declared.values().filter(|definition| definition.kind == Kind::Secret);
    let secrets = declared_secrets.map(|secret| (secret.key.as_str(), true));
    let names = variables.chain(secrets).flat_map(|(name, is_secret)| {
        let file = is_secret.then(|| format!("{name}_FILE"));
        // The file variable of a secret is as sensitive as the secret.
        [Some(name.to_owned()), file].into_iter().flatten()
    });
    let undeclared = names.filter(|name| !declared.contains_key(name));
    undeclared.map(|name| (name.clone(), Definition::external(name))).collect()
}
