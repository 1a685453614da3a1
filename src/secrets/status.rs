//! Which secrets there are, and whether they are provided.

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    config::{Provision, Source},
    database::{Pool, TransactionError},
    secrets::residue,
    settings::{Definition, GlobalSettingsService, Kind, Required},
};

/// One secret: no value, no digest, no length.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SecretStatus)]
#[expect(clippy::struct_excessive_bools, reason = "as the contract spells it")]
pub struct Status {
    /// Its name.
    #[schema(example = "OPENAI_API_KEY")]
    pub name: String,
    /// Whether this instance has it.
    pub present: bool,
    /// Where from: `env`, `file`, `credential`, `legacy_db` or `none`.
    #[schema(example = "env")]
    pub source: &'static str,
    /// The variable that provides it.
    pub variable: String,
    /// The variable that names a file that holds it.
    pub file_variable: String,
    /// Whether this instance does not start without it.
    pub required: bool,
    /// What it is for.
    pub used_for: String,
    /// Whether the database still holds a value of it.
    pub legacy_residue: bool,
    /// Whether a new value counts only after a restart: always.
    pub restart_required: bool,
    /// How to provide it.
    pub how_to: String,
}

/// Every secret of the catalog, by name.
#[derive(Debug, Serialize, ToSchema)]
pub struct Secrets {
    /// The secrets.
    pub secrets: Vec<Status>,
}

/// Every secret, as this instance was started with it, and what the database still holds.
pub async fn status(
    pool: &Pool,
    settings: &GlobalSettingsService,
    provision: &Provision,
) -> Result<Secrets, TransactionError> {
    let residue = residue::residue(pool).await?;
    let snapshot = settings.snapshot();
    let secrets = snapshot.schema.all().filter(|it| it.kind == Kind::Secret);
    let secrets = secrets.map(|it| Status::of(it, provision, residue.contains(&it.key)));
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
                Some(Source::EnvFile) => Source::Env.as_str(),
                Some(source) => source.as_str(),
                None => "none",
            },
            variable: name.clone(),
            file_variable: format!("{name}_FILE"),
            required,
            used_for: definition.description.clone(),
            legacy_residue,
            restart_required: true,
            how_to: how_to(name, source, legacy_residue),
        }
    }
}

fn how_to(name: &str, source: Option<Source>, residue: bool) -> String {
    let provide = format!(
        "Set {name}, or {name}_FILE to the path of a file that holds it alone, or put a file called {name} \
         into $CREDENTIALS_DIRECTORY or /run/secrets; then restart."
    );
    let clean = "Remove what the database still holds with `brune secrets cleanup`.";
    match (source, residue) {
        (Some(Source::LegacyDb) | None, true) => format!("{provide} {clean}"),
        (_, true) => format!("{clean} To replace it: {provide}"),
        (_, false) => provide,
    }
}
