//! Whether the database is what this release can serve from.

use tracing::warn;

use crate::{
    app::{Error, open::provided, role},
    audit,
    config::{Config, Environment, Mode},
    database::{self, Inspection, Pool},
    secret_scanner::SecretScanner,
    secrets,
    sessions::{KEYS, SessionSettings},
    settings::{self, Catalog, Definition, InvalidSettings, Kind, Required, Snapshot},
};

/// What one check found.
#[derive(Debug)]
pub struct CheckResult {
    /// What was checked.
    pub check: &'static str,
    /// What is as it should be; or every fault.
    pub result: Result<String, Vec<String>>,
}

/// Refuses, naming every fault, unless the schema is this release's, the settings can be served and the database role
/// is fit for it.
pub(super) async fn require(pool: &Pool, catalog: &Catalog, config: &Config) -> Result<(), Error> {
    require_schema(pool).await?;
    role::require(pool, config.mode, config.allow_owner).await?;
    if let Err(defects) = triggers_and_functions(pool).await?.result {
        if config.mode == Mode::Production {
            return Err(Error::NotReady(defects));
        }
        warn!(defects = defects.join("; "), "the database does not hold the rules of the settings");
    }
    stored_settings(pool, catalog).await.result.map_err(Error::NotReady)?;
    if let Err(faults) = characters(pool).await?.result {
        // The service ran with them before: that it says so must not be what stops it.
        warn!(
            settings = faults.join("; "),
            "stored values contain forbidden characters; replace them with `brune config set`"
        );
    }
    Ok(())
}

/// Refuses, naming every migration that is missing or another, unless the schema is this release's.
pub(super) async fn require_schema(pool: &Pool) -> Result<(), Error> {
    migrations(pool).await?.result.map(drop).map_err(Error::NotReady)
}

/// Refuses, naming every one, if a secret of the catalog cannot be read, or in production if one is missing that the
/// catalog says is needed.
pub(super) fn require_secrets(
    catalog: &Catalog,
    environment: &Environment,
    mode: Mode,
) -> Result<(), Error> {
    let secrets = catalog.schema.all().filter(|it| it.kind == Kind::Secret);
    let fault = |it: &Definition| match environment.secret(&it.key) {
        // One of another product: this process does not use it, and must not let it through all the same.
        Err(fault) => Some(fault.to_string()),
        Ok(None) if mode == Mode::Production && it.required != Required::Never => {
            let name = &it.key;
            Some(format!(
                "{name} is not set, and in production nothing is made up; set {name} or {name}_FILE"
            ))
        }
        Ok(_) => None,
    };
    let faults: Vec<_> = secrets.filter_map(fault).collect();
    if faults.is_empty() { Ok(()) } else { Err(Error::NotReady(faults)) }
}

/// Every check, for `brune doctor`. With `allow_owner` it is no fault that the database role owns the tables.
pub async fn examine(
    pool: &Pool,
    catalog: &Catalog,
    environment: &Environment,
    allow_owner: bool,
) -> Result<Vec<CheckResult>, Error> {
    let migrations = migrations(pool).await?;
    let up_to_date = migrations.result.is_ok();
    // The role first: what it may not read ends the checks after it.
    let mut findings = vec![pooler(pool), role::finding(pool, allow_owner).await?, migrations];
    // Without its tables there is nothing else to look at.
    if up_to_date {
        findings.push(published(pool, catalog, environment).await);
        findings.push(stored_settings(pool, catalog).await);
        findings.push(triggers_and_functions(pool).await?);
        findings.push(characters(pool).await?);
        findings.push(trail(pool).await?);
        findings.push(secret_residue(pool).await?);
    }
    Ok(findings)
}

fn pooler(pool: &Pool) -> CheckResult {
    let told = match (pool.uses_pooler(), pool.session_options()) {
        (false, _) => "none; each connection is a session",
        (true, Some(_)) => "in transaction mode; what needs a session goes around it",
        (true, None) => {
            "in transaction mode, and no DATABASE_DIRECT_URL: changes that others make are found by the poll, and \
             migrations are refused"
        }
    };
    CheckResult { check: "pooler", result: Ok(told.to_owned()) }
}

async fn migrations(pool: &Pool) -> Result<CheckResult, Error> {
    let state = database::migrations(pool).await?;
    let way_out = match pool.session_options() {
        Some(_) => "run `brune migrate`",
        None => {
            "run `brune migrate` with DATABASE_DIRECT_URL set to the server itself: migrations need a session"
        }
    };
    let mut faults = Vec::new();
    for name in &state.pending {
        faults.push(format!("migration {name} is pending; {way_out}"));
    }
    for name in &state.altered {
        faults.push(format!(
            "migration {name} was altered after it ran; deploy the release that ran it"
        ));
    }
    let result =
        if faults.is_empty() { Ok(format!("{} applied", state.applied)) } else { Err(faults) };
    Ok(CheckResult { check: "migrations", result })
}

async fn secret_residue(pool: &Pool) -> Result<CheckResult, Error> {
    let left = secrets::residue(pool).await?;
    let told = |name: String| {
        format!(
            "the database still holds {name}; provide it outside, restart, and run `brune secrets cleanup`"
        )
    };
    let result = match left.as_slice() {
        [] => Ok("none in the database".to_owned()),
        _ => Err(left.into_iter().map(told).collect()),
    };
    Ok(CheckResult { check: "secrets", result })
}

async fn published(pool: &Pool, catalog: &Catalog, environment: &Environment) -> CheckResult {
    let provided = |key: &str| provided(environment, key);
    let result = match settings::publish(pool, catalog, &provided, &SecretScanner::default(), true)
        .await
    {
        Ok(plan) if plan.is_empty() => Ok(format!("{} is published as it stands", catalog.name)),
        Ok(plan) => {
            let told = |what: &str, keys: &[String]| -> Vec<String> {
                keys.iter().map(|key| format!("{key} is {what}; run `brune migrate`")).collect()
            };
            let seeds: Vec<String> = plan.seed.into_iter().map(|it| it.key).collect();
            let drift = [
                told("declared otherwise in the database", &plan.declare),
                told("no longer in the catalog", &plan.forget),
                told("without its first value", &seeds),
            ];
            Err(drift.concat())
        }
        Err(settings::PublishError::Conflict(problems)) => Err(problems),
        Err(err) => Err(vec![err.to_string()]),
    };
    CheckResult { check: "catalog", result }
}

async fn stored_settings(pool: &Pool, catalog: &Catalog) -> CheckResult {
    let result = match settings::load(pool).await {
        Ok(snapshot) => is_of(catalog, &snapshot)
            .and_then(|()| sessions_can_start(&snapshot))
            .map(|()| format!("{} valid at revision {}", snapshot.len(), snapshot.revision)),
        Err(settings::ReloadError::Invalid(faults)) => {
            Err(faults.iter().map(|it| format!("{} {}", it.key, it.detail)).collect())
        }
        Err(err) => Err(vec![err.to_string()]),
    };
    CheckResult { check: "settings", result }
}

/// Values that an older release took, or that were written past the service.
async fn characters(pool: &Pool) -> Result<CheckResult, Error> {
    let violations = settings::forbidden_characters(pool).await?;
    let fix = "set it again with `brune config set`";
    let faults: Vec<_> =
        violations.iter().map(|it| format!("{} {}; {fix}", it.key, it.detail)).collect();
    let result =
        if faults.is_empty() { Ok("no forbidden characters".to_owned()) } else { Err(faults) };
    Ok(CheckResult { check: "characters", result })
}

/// A catalog of another product declares none of the session's keys; one that declares some must declare
/// all.
fn sessions_can_start(snapshot: &Snapshot) -> Result<(), Vec<String>> {
    if !KEYS.iter().any(|key| snapshot.schema.find(key).is_some()) {
        return Ok(());
    }
    let told =
        |faults: Vec<InvalidSettings>| faults.iter().map(InvalidSettings::to_string).collect();
    SessionSettings::read(snapshot).map(drop).map_err(told)
}

/// The database must hold the catalog that this process is configured for.
fn is_of(catalog: &Catalog, snapshot: &Snapshot) -> Result<(), Vec<String>> {
    let held = &snapshot.schema.catalog;
    if held.is_empty() {
        return Err(vec!["no catalog is published; run `brune migrate`".to_owned()]);
    }
    if *held == catalog.name {
        return Ok(());
    }
    Err(vec![format!("the database holds catalog {held}, not {}; see BRUNE_CATALOG", catalog.name)])
}

async fn trail(pool: &Pool) -> Result<CheckResult, Error> {
    let (entries, breaks) = audit::verify(pool).await?;
    let faults: Vec<String> = breaks.iter().map(ToString::to_string).collect();
    let result =
        if faults.is_empty() { Ok(format!("{entries} entries, unbroken")) } else { Err(faults) };
    Ok(CheckResult { check: "audit trail", result })
}

/// Whether the triggers exist and are enabled, and the functions have a fixed `search_path` and the right owner.
async fn triggers_and_functions(pool: &Pool) -> Result<CheckResult, Error> {
    let Inspection { triggers, functions, defects } = database::inspect(pool).await?;
    let result = if defects.is_empty() {
        Ok(format!("{triggers} triggers enabled, {functions} functions with a fixed search_path"))
    } else {
        Err(defects.iter().map(ToString::to_string).collect())
    };
    Ok(CheckResult { check: "database", result })
}
