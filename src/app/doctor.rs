//! The checks of `brune doctor`.

use crate::{
    app::{
        checks::{CheckResult, proposals, role, schema, stored},
        error::Error,
    },
    config::Environment,
    database::Pool,
    settings::Catalog,
};

/// Runs every check. With `allow_owner` the database role may own the tables.
///
/// # Errors
/// The database cannot be read.
pub async fn run_checks(
    pool: &Pool,
    catalog: &Catalog,
    environment: &Environment,
    allow_owner: bool,
) -> Result<Vec<CheckResult>, Error> {
    let migrations = schema::migrations(pool).await?;
    let is_up_to_date = migrations.result.is_ok();
    // The role first, because a missing privilege fails the later checks.
    let role = role::check(pool, allow_owner).await?;
    let mut results = vec![schema::pooler(pool), role, migrations];
    // The later checks need the tables of this release.
    if is_up_to_date {
        results.push(stored::catalog(pool, catalog, environment).await);
        results.push(stored::settings(pool, catalog).await);
        results.push(schema::triggers_and_functions(pool).await?);
        results.push(stored::characters(pool).await?);
        results.push(stored::audit_trail(pool).await?);
        results.push(proposals::check(pool).await?);
        results.push(stored::secret_residue(pool).await?);
    }
    Ok(results)
}
