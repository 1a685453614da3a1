//! The startup guard: whether this release can serve from the database.

use tracing::warn;

use crate::{
    app::{
        checks::{role, schema, stored},
        error::Error,
    },
    config::{Config, Environment, Mode},
    database::Pool,
    settings::{Catalog, Definition, Kind, Required},
};

/// Checks the schema, the database role and the stored settings.
///
/// # Errors
/// [`Error::NotReady`] with every problem of the first check that fails.
pub(super) async fn require_servable(
    pool: &Pool,
    catalog: &Catalog,
    config: &Config,
) -> Result<(), Error> {
    // First, because the other checks read tables of this release.
    require_schema(pool).await?;
    role::require(pool, config.mode, config.allow_owner).await?;
    if let Err(defects) = schema::triggers_and_functions(pool).await?.result {
        // Development databases are changed by hand.
        if config.mode == Mode::Production {
            return Err(Error::NotReady(defects));
        }
        warn!(defects = defects.join("; "), "the database does not enforce the rules of settings");
    }
    stored::settings(pool, catalog).await.result.map_err(Error::NotReady)?;
    if let Err(problems) = stored::characters(pool).await?.result {
        // Older releases served these values, so an upgrade must not refuse to start.
        warn!(
            settings = problems.join("; "),
            "stored values contain forbidden characters; replace them with `brune config set`"
        );
    }
    Ok(())
}

/// Checks that the migrations of this release are applied.
///
/// # Errors
/// [`Error::NotReady`] with every pending or altered migration.
pub(super) async fn require_schema(pool: &Pool) -> Result<(), Error> {
    schema::migrations(pool).await?.result.map(drop).map_err(Error::NotReady)
}

/// Checks the secrets of the catalog.
///
/// # Errors
/// [`Error::NotReady`] with every secret that is unreadable, or required in production and missing.
pub(super) fn require_secrets(
    catalog: &Catalog,
    environment: &Environment,
    mode: Mode,
) -> Result<(), Error> {
    let problem = |definition: &Definition| match environment.secret(&definition.key) {
        // Also for a secret that only another product uses: the scanner must know every secret.
        Err(error) => Some(error.to_string()),
        Ok(None) if mode == Mode::Production && definition.required != Required::Never => {
            let name = &definition.key;
            Some(format!("{name}: is required in production; set {name} or {name}_FILE"))
        }
        Ok(_) => None,
    };
    let secrets = catalog.schema.all().filter(|definition| definition.kind == Kind::Secret);
    let problems: Vec<_> = secrets.filter_map(problem).collect();
    if problems.is_empty() { Ok(()) } else { Err(Error::NotReady(problems)) }
}
