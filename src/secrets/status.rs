//! The secrets of the catalog, and whether each is provided.

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    config::{Provision, Source},
    database::{Pool, TransactionError},
    secrets::residue,
    settings::{Definition, GlobalSettingsService, Kind, Required},
};

/// The status of a secret, without the value, a digest or the length.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SecretStatus)]
#[expect(clippy::struct_excessive_bools, reason = "as the contract spells it")]
pub struct Status {
    /// The name.
    #[schema(example = "OPENAI_API_KEY")]
    pub name: String,
    /// Whether this instance has the secret.
    pub present: bool,
    /// The source: `env`, `file`, `credential`, `legacy_db` or `none`.
    #[schema(example = "env")]
    pub source: &'static str,
    /// The environment variable for the value.
    pub variable: String,
    /// The environment variable for the path of a file with the value.
    pub file_variable: String,
    /// Whether this instance requires the secret to start.
    pub required: bool,
    /// The purpose.
    pub used_for: String,
    /// Whether the database still has a value.
    pub legacy_residue: bool,
    /// Whether a new value requires a restart: always true.
    pub restart_required: bool,
    /// Instructions for providing the secret.
    pub how_to: String,
}

/// Every secret of the catalog, sorted by name.
#[derive(Debug, Serialize, ToSchema)]
pub struct Secrets {
    /// The secrets.
    pub secrets: Vec<Status>,
}

/// Returns the status of every secret on this instance.
pub async fn status(
    pool: &Pool,
    settings: &GlobalSettingsService,
    provision: &Provision,
) -> Result<Secrets, TransactionError> {
    let residue = residue::residue(pool).await?;
    let snapshot = settings.snapshot();
    let secrets = snapshot.schema.all().filter(|definition| definition.kind == Kind::Secret);
    let secrets = secrets
        .map(|definition| Status::of(definition, provision, residue.contains(&definition.key)));
    Ok(Secrets { secrets: secrets.collect() })
}

impl Status {
    fn of(definition: &Definition, provision: &Provision, legacy_residue: bool) -> Self {
        let name = &definition.key;
        let source = provision.source(name);
        let required = match definition.required {
            Required::Always => true,
            Required::Production => provision.is_production(),
            Required::Never => false,
        };
        Self {
            name: name.clone(),
            present: source.is_some(),
            source: match source {
                // The contract of the API has no separate word for the `.env` file.
                Some(Source::EnvFile) => Source::Env.as_str(),
                Some(source) => source.as_str(),
                None => "none",
            },
            variable: name.clone(),
            file_variable: format!("{name}_FILE"),
            required,
            used_for: definition.description.clone(),
            legacy_residue,
            // Secrets are read once, at the start.
            restart_required: true,
            how_to: how_to(name, source, legacy_residue),
        }
    }
}

fn how_to(name: &str, source: Option<Source>, residue: bool) -> String {
    let provide = format!(
        "Set {name}, or {name}_FILE to the path of a file that contains only the value, or put a file named {name} \
         into $CREDENTIALS_DIRECTORY or /run/secrets; then restart."
    );
    let clean = "Remove the stored value with `brune secrets cleanup`.";
    match (source, residue) {
        // A removal before another source exists would lose the only copy.
        (Some(Source::LegacyDb) | None, true) => format!("{provide} {clean}"),
        (_, true) => format!("{clean} To replace the secret: {provide}"),
        (_, false) => provide,
    }
}
