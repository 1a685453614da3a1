//! Checks of the stored catalog, settings, secrets and audit trail.

use crate::{
    app::{catalog::initial_value, checks::CheckResult, error::Error},
    audit,
    config::Environment,
    database::Pool,
    secret_scanner::SecretScanner,
    secrets,
    sessions::{KEYS, SessionSettings},
    settings::{self, Catalog, InvalidSettings, PublishError, ReloadError, Snapshot},
};

/// Checks that the published catalog is the configured catalog.
pub(in crate::app) async fn catalog(
    pool: &Pool,
    catalog: &Catalog,
    environment: &Environment,
) -> CheckResult {
    let initial = |key: &str| initial_value(environment, key);
    // A dry run stores nothing, so a scanner without known secrets suffices.
    let scanner = SecretScanner::default();
    let problems = match settings::publish(pool, catalog, &initial, &scanner, true).await {
        Ok(plan) => {
            let seeds: Vec<String> = plan.seed.into_iter().map(|seed| seed.key).collect();
            let differences = [
                ("has another declaration in the database", &plan.declare),
                ("is no longer in the catalog", &plan.forget),
                ("has no initial value", &seeds),
            ];
            let describe = |(problem, keys): (&str, &Vec<String>)| -> Vec<String> {
                keys.iter().map(|key| format!("{key} {problem}; run `brune migrate`")).collect()
            };
            differences.into_iter().flat_map(describe).collect()
        }
        Err(PublishError::Conflict(problems)) => problems,
        Err(err) => vec![err.to_string()],
    };
    CheckResult::new("catalog", problems, format!("{} is published", catalog.name))
}

/// Checks that the stored settings are valid and of `catalog`.
pub(in crate::app) async fn settings(pool: &Pool, catalog: &Catalog) -> CheckResult {
    let result = match settings::load(pool).await {
        Ok(snapshot) => check_catalog_name(catalog, &snapshot)
            .and_then(|()| check_session_settings(&snapshot))
            .map(|()| format!("{} valid at revision {}", snapshot.len(), snapshot.revision)),
        Err(ReloadError::Invalid(violations)) => {
            let describe =
                |violation: &settings::Violation| format!("{} {}", violation.key, violation.detail);
            Err(violations.iter().map(describe).collect())
        }
        Err(err) => Err(vec![err.to_string()]),
    };
    CheckResult { check: "settings", result }
}

fn check_catalog_name(catalog: &Catalog, snapshot: &Snapshot) -> Result<(), Vec<String>> {
    let published = &snapshot.schema.catalog;
    if published.is_empty() {
        return Err(vec!["no catalog is published; run `brune migrate`".to_owned()]);
    }
    if *published == catalog.name {
        return Ok(());
    }
    Err(vec![format!(
        "the database has catalog {published}, not {}; see BRUNE_CATALOG",
        catalog.name
    )])
}

fn check_session_settings(snapshot: &Snapshot) -> Result<(), Vec<String>> {
    // The catalog of another product declares none of the keys of sessions. A catalog with some must declare all.
    if !KEYS.iter().any(|key| snapshot.schema.find(key).is_some()) {
        return Ok(());
    }
    let describe =
        |errors: Vec<InvalidSettings>| errors.iter().map(InvalidSettings::to_string).collect();
    SessionSettings::read(snapshot).map(drop).map_err(describe)
}

/// Checks for forbidden characters, which an older release accepted and `psql` can write.
pub(in crate::app) async fn characters(pool: &Pool) -> Result<CheckResult, Error> {
    let violations = settings::forbidden_characters(pool).await?;
    let describe = |violation: &settings::Violation| {
        format!("{} {}; set it again with `brune config set`", violation.key, violation.detail)
    };
    let problems = violations.iter().map(describe).collect();
    Ok(CheckResult::new("characters", problems, "no forbidden characters"))
}

/// Verifies the hash chain of the audit trail.
pub(in crate::app) async fn audit_trail(pool: &Pool) -> Result<CheckResult, Error> {
    let (entries, breaks) = audit::verify(pool).await?;
    let problems = breaks.iter().map(ToString::to_string).collect();
    Ok(CheckResult::new("audit trail", problems, format!("{entries} entries, unbroken")))
}

/// Checks that no secret remains in the database.
pub(in crate::app) async fn secret_residue(pool: &Pool) -> Result<CheckResult, Error> {
    let names = secrets::residue(pool).await?;
    let describe = |name: &String| {
        format!(
            "the database still holds {name}; provide it in the environment, restart, and run `brune secrets cleanup`"
        )
    };
    let problems = names.iter().map(describe).collect();
    Ok(CheckResult::new("secrets", problems, "none in the database"))
}
