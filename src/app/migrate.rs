//! Migrations, roles and the publication of the catalog.

use sqlx::{Connection as _, migrate::MigrateError};
use tracing::info;

use crate::{
    app::{catalog::initial_value, error::Error, guard},
    config::Environment,
    database::{
        self, MIGRATOR, Pool,
        roles::{self, OWNER, Scope},
    },
    secret_scanner::SecretScanner,
    settings::{self, Catalog, PublishPlan},
};

/// Brings the database up to date: migrations, privileges, declarations, initial values. Idempotent.
///
/// Returns what was published, and the changed privileges.
///
/// # Errors
/// A migration fails, the role lacks a right, or the catalog does not fit the stored settings.
pub async fn migrate(
    pool: &Pool,
    catalog: &Catalog,
    environment: &Environment,
    scanner: &SecretScanner,
) -> Result<(PublishPlan, roles::Outcome), Error> {
    let mut privileges = roles::Outcome::default();
    match database::unlimited_owner(pool).await? {
        Some(mut session) => {
            MIGRATOR.run(&mut session).await.map_err(explain_missing_right)?;
            // New tables have no grants yet.
            privileges = roles::apply(&mut session, Scope::Grants).await?;
            session.close().await?;
        }
        // The migrator's lock belongs to a session, which a pooler in transaction mode does not keep.
        None => guard::require_schema(pool).await?,
    }
    let initial = |key: &str| initial_value(environment, key);
    let plan = settings::publish(pool, catalog, &initial, scanner, false).await?;
    if !plan.is_empty() {
        let declared = plan.declare.len();
        let seeded = plan.seed.len();
        info!(catalog = catalog.name, declared, seeded, "published the catalog");
    }
    Ok((plan, privileges))
}

/// Replaces the error of a role that must not create tables by advice on which role to use.
fn explain_missing_right(err: MigrateError) -> Error {
    const INSUFFICIENT_PRIVILEGE: &str = "42501";
    let (MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _)) = &err else {
        return err.into();
    };
    let code = source.as_database_error().and_then(sqlx::error::DatabaseError::code);
    // Other errors keep the message of the server.
    if code.as_deref() != Some(INSUFFICIENT_PRIVILEGE) {
        return err.into();
    }
    Error::Role(format!(
        "the connected role must not create tables: set DATABASE_MIGRATE_URL to a login of {OWNER}; for a new \
         database run `brune migrate --roles` as an administrator first"
    ))
}

/// Creates roles and sets owners and privileges, as far as the connected role may. A dry run changes nothing and returns
/// the statements as rejected.
///
/// # Errors
/// The connection is no session of the server, or its role is a login of the service.
pub async fn apply_roles(pool: &Pool, dry_run: bool) -> Result<roles::Outcome, Error> {
    let Some(mut session) = database::unlimited(pool).await? else {
        return Err(Error::Role(
            "roles require a session of the server: set DATABASE_DIRECT_URL or DATABASE_MIGRATE_URL to the server \
             itself"
                .to_owned(),
        ));
    };
    // A login of the service must not grant rights to itself.
    if let Some(name) = roles::service_login(&mut session).await? {
        return Err(Error::Role(format!(
            "{name} is a login of the service, which must not get more rights; set DATABASE_MIGRATE_URL to a login of \
             {OWNER}, or of an administrator"
        )));
    }
    let outcome = if dry_run {
        roles::Outcome {
            rejected: roles::plan(&mut session, Scope::Whole).await?,
            applied: Vec::new(),
        }
    } else {
        roles::apply(&mut session, Scope::Whole).await?
    };
    session.close().await?;
    Ok(outcome)
}

/// Returns the pending migrations and what [`migrate`] would publish.
///
/// # Errors
/// The database cannot be read, or the catalog does not fit the stored settings.
pub async fn plan_migration(
    pool: &Pool,
    catalog: &Catalog,
    environment: &Environment,
    scanner: &SecretScanner,
) -> Result<(Vec<String>, PublishPlan), Error> {
    let migrations = database::migrations(pool).await?;
    let initial = |key: &str| initial_value(environment, key);
    // An empty database has no tables to compare with.
    let plan = if migrations.applied == 0 {
        settings::plan_of_empty(catalog, &initial, scanner)?
    } else {
        settings::publish(pool, catalog, &initial, scanner, true).await?
    };
    Ok((migrations.pending, plan))
}
