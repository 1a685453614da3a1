//! Controls of the environment, and ignored variables of settings.

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    config::{Provision, Source},
    secret_scanner::SecretScanner,
    settings::{self, Definition, Kind, SettingValue, Snapshot},
};

/// Replaces a secret-like control, such as an address with a password.
const MASK: &str = "***";

/// The configuration until a restart, and variables without effect.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EnvironmentReport)]
pub struct Report {
    /// The controls of the environment, by name.
    controls: Vec<Control>,
    /// The settings with an ignored variable, by key.
    drift: Vec<DriftEntry>,
}

/// A control of the infrastructure.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
struct Control {
    /// The variable.
    name: String,
    /// The value in effect, if any; `***` instead of a secret-like value.
    value: Option<String>,
    /// `env` or `default`.
    source: &'static str,
    /// Always true.
    restart_required: bool,
    /// The description.
    description: String,
}

/// A setting with an ignored variable.
#[derive(Debug, Serialize, ToSchema)]
struct DriftEntry {
    /// The key.
    key: String,
    /// Whether the variable differs from the setting.
    differs: bool,
}

/// Reports the controls of the catalog, and ignored variables of settings.
#[must_use]
pub fn environment(snapshot: &Snapshot, provision: &Provision, scanner: &SecretScanner) -> Report {
    let controls = snapshot.schema.all().filter(|definition| definition.kind == Kind::Environment);
    let controls = controls.map(|definition| {
        let provided = provision.text(&definition.key).map(|(text, _)| text);
        Control::new(definition, provided, scanner)
    });
    let provided = |key: &str| provision.text(key).map(|(text, _)| (Ok(text.to_owned()), "env"));
    let drift = settings::drift(snapshot, &provided).into_iter();
    let drift = drift.map(|drift| DriftEntry { key: drift.key, differs: drift.differs });
    Report { controls: controls.collect(), drift: drift.collect() }
}

impl Control {
    fn new(definition: &Definition, provided: Option<&str>, scanner: &SecretScanner) -> Self {
        let masked = provided.map(|text| match scanner.scan(text) {
            Some(_) => MASK.to_owned(),
            None => text.to_owned(),
        });
        let source = if provided.is_some() { Source::Env } else { Source::Default };
        Self {
            name: definition.key.clone(),
            value: masked.or_else(|| definition.default.as_ref().map(as_variable)),
            source: source.as_str(),
            restart_required: true,
            description: definition.description.clone(),
        }
    }
}

/// Returns a default in the form of a variable.
fn as_variable(default: &SettingValue) -> String {
    match default {
        SettingValue::String(text) => text.clone(),
        // Variables with lists are split at commas.
        SettingValue::StringArray(items) => items.join(","),
        value => value.to_json().to_string(),
    }
}
