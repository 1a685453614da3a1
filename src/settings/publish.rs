//! Publishing a catalog into the database: declarations, and initial values.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::{
    audit::{self, Action, Actor, NewEntry, Reason},
    database::{Connection, OnSuccess, Pool, Transaction, TransactionError},
    ids::{RequestId, UserId},
    secret_scanner::SecretScanner,
    settings::{
        catalog::Catalog,
        change,
        entry::StoredSetting,
        history,
        rules::{self, Violation},
        schema::{self, Definition, Kind},
        store::{self, Head, Write},
        text::from_text,
        value::{SettingValue, ValueType},
    },
};

/// Looks up the initial value of a key in the environment or a `.env` file. Returns the text, or the reason why
/// the text is unreadable, and the name of the source.
pub type Provided<'a> = dyn Fn(&str) -> Option<(Result<String, String>, &'static str)> + Sync + 'a;

/// The [`Seed::source`] of a default.
const DEFAULT: &str = "default";

/// The effects of publishing a catalog.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Plan {
    /// Keys with a new or changed declaration.
    pub declare: Vec<String>,
    /// Keys with a deleted declaration.
    pub forget: Vec<String>,
    /// Keys with an initial value.
    pub seed: Vec<Seed>,
}

/// The initial value of a key.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Seed {
    /// The key.
    pub key: String,
    /// The initial value.
    pub value: SettingValue,
    /// The source of the value: `default`, or the name from [`Provided`].
    pub source: &'static str,
}

impl Plan {
    /// Whether any value comes from the environment or a `.env` file.
    #[must_use]
    pub fn imports(&self) -> bool {
        self.seed.iter().any(|seed| seed.source != DEFAULT)
    }

    /// Whether publishing has no effect.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.declare.is_empty() && self.forget.is_empty() && self.seed.is_empty()
    }
}

/// The reason why a catalog was not published; nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The catalog conflicts with stored values, or an initial value is invalid.
    #[error("the catalog cannot be published:\n  {}", .0.join("\n  "))]
    Conflict(Vec<String>),
    /// A declaration in the database is unreadable.
    #[error(transparent)]
    Unreadable(#[from] schema::Unreadable),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] TransactionError),
}

impl From<sqlx::Error> for Error {
    fn from(err: sqlx::Error) -> Self {
        Self::Database(err.into())
    }
}

/// Publishes `catalog`: writes the declarations, and an initial value for each key without a value.
///
/// # Errors
/// The catalog conflicts with stored values, an initial value is invalid or contains a secret, or the database
/// failed. Nothing is written then.
pub async fn publish(
    pool: &Pool,
    catalog: &Catalog,
    provided: &Provided<'_>,
    scanner: &SecretScanner,
    dry_run: bool,
) -> Result<Plan, Error> {
    // Without the time limit of requests, because a large catalog may take longer.
    let mut transaction = Transaction::begin_unlimited(pool).await?;
    let plan = execute(transaction.conn(), catalog, provided, scanner, dry_run).await;
    transaction.finish(plan, if dry_run { OnSuccess::Rollback } else { OnSuccess::Commit }).await
}

async fn execute(
    conn: &mut Connection,
    catalog: &Catalog,
    provided: &Provided<'_>,
    scanner: &SecretScanner,
    dry_run: bool,
) -> Result<Plan, Error> {
    // Locked, so that no write happens between the plan and the execution.
    let head = store::head_for_update(conn).await?;
    let declared = schema::store::all(conn).await??;
    let rows = store::all(conn).await?;
    let rolling = change::rollout_problems(conn, &declared, &catalog.schema).await?;
    // Another catalog has a single error of its own.
    if !rolling.is_empty() && head.catalog.as_ref() == Some(&catalog.name) {
        return Err(Error::Conflict(rolling));
    }
    let plan = plan(catalog, &head, &declared, rows, (provided, scanner))?;
    // A key that is no longer secret becomes readable, with the whole history and every proposal.
    let exposed = history::with_values(conn, &no_longer_secret(catalog, &declared)).await?;
    if !exposed.is_empty() {
        let problem = |key| {
            format!(
                "{key}: the database still has values of a secret; run `brune secrets cleanup` first"
            )
        };
        return Err(Error::Conflict(exposed.into_iter().map(problem).collect()));
    }
    if !dry_run {
        write(conn, catalog, &plan).await?;
    }
    Ok(plan)
}

/// Returns the secrets that the catalog no longer declares as secrets: audit trail and proposals would expose old values.
fn no_longer_secret(catalog: &Catalog, declared: &[Definition]) -> Vec<String> {
    let secrets = declared.iter().filter(|definition| definition.kind == Kind::Secret);
    let is_secret = |key: &str| {
        catalog.schema.find(key).is_some_and(|definition| definition.kind == Kind::Secret)
    };
    let former = secrets.filter(|secret| !is_secret(&secret.key));
    former.map(|secret| secret.key.clone()).collect()
}

/// Returns the effects of publishing into a database without tables.
pub fn plan_of_empty(
    catalog: &Catalog,
    provided: &Provided<'_>,
    scanner: &SecretScanner,
) -> Result<Plan, Error> {
    let head =
        Head { revision: 0, catalog_revision: 0, catalog: None, timeline: None, next_digest: None };
    plan(catalog, &head, &[], Vec::new(), (provided, scanner))
}

fn plan(
    catalog: &Catalog,
    head: &Head,
    declared: &[Definition],
    rows: Vec<StoredSetting>,
    (provided, scanner): (&Provided<'_>, &SecretScanner),
) -> Result<Plan, Error> {
    if let Some(current) = head.catalog.as_ref().filter(|current| **current != catalog.name) {
        let problem = format!("the database belongs to catalog {current}, not {}", catalog.name);
        // Alone, because every comparison with declarations of another catalog would be noise.
        return Err(Error::Conflict(vec![problem]));
    }
    // The environment provides values of settings only once: for an empty database.
    let is_first = rows.is_empty() && head.revision == 0;
    let mut problems = secrets(catalog, scanner);
    let values = values(catalog, declared, rows, &mut problems);
    let plan = Plan {
        declare: redeclared(catalog, declared),
        forget: undeclared(catalog, declared, &values, &mut problems),
        seed: seeds(catalog, &values, is_first.then_some((provided, scanner)), &mut problems),
    };
    problems.extend(check_result(catalog, &values, &plan.seed));
    if problems.is_empty() { Ok(plan) } else { Err(Error::Conflict(problems)) }
}

/// Returns a problem for each declaration that contains a secret.
fn secrets(catalog: &Catalog, scanner: &SecretScanner) -> Vec<String> {
    let definitions = catalog.schema.all();
    let secrets = definitions
        .filter_map(|definition| Some((&definition.key, definition.find_secret(scanner)?)));
    secrets.map(|(key, (part, kind))| format!("{key}: {part} {}", kind.detail())).collect()
}

type Values = BTreeMap<String, (SettingValue, i32)>;

/// Returns the stored values by key, with their versions.
///
/// The database's declaration says of which type a stored value is; the catalog may declare a new type.
fn values(
    catalog: &Catalog,
    declared: &[Definition],
    rows: Vec<StoredSetting>,
    problems: &mut Vec<String>,
) -> Values {
    let types: BTreeMap<&str, ValueType> = declared
        .iter()
        .map(|definition| (definition.key.as_str(), definition.value_type))
        .collect();
    let mut values = Values::new();
    for row in rows {
        let key = row.key.clone();
        let declared = types.get(key.as_str()).copied();
        let declared = declared.or_else(|| Some(catalog.schema.find(&key)?.value_type));
        match declared.map(|declared| row.into_entry(declared)) {
            Some(Ok(Some(entry))) => {
                values.insert(key, (entry.value, entry.version));
            }
            Some(Ok(None)) => (),
            Some(Err(_)) | None => {
                problems.push(format!("{key}: the stored value is not of the declared type"));
            }
        }
    }
    values
}

/// Returns the keys with a new or changed declaration.
fn redeclared(catalog: &Catalog, declared: &[Definition]) -> Vec<String> {
    let current: BTreeMap<&str, &Definition> =
        declared.iter().map(|definition| (definition.key.as_str(), definition)).collect();
    let is_current = |definition: &&Definition| {
        current.get(definition.key.as_str()).is_some_and(|old| definition.is_same(old))
    };
    let new = catalog.schema.all().filter(|definition| !is_current(definition));
    new.map(|definition| definition.key.clone()).collect()
}

/// Returns the keys that the catalog no longer declares. A stored value of such a key is a problem.
fn undeclared(
    catalog: &Catalog,
    declared: &[Definition],
    values: &Values,
    problems: &mut Vec<String>,
) -> Vec<String> {
    let keys = declared.iter().map(|definition| &definition.key);
    let undeclared = keys.filter(|key| catalog.schema.find(key).is_none()).cloned();
    let (with_value, without_value): (Vec<String>, Vec<String>) =
        undeclared.partition(|key| values.contains_key(key));
    let problem =
        |key| format!("{key}: stored but no longer declared; declare or delete the setting");
    problems.extend(with_value.into_iter().map(problem));
    without_value
}

fn seeds(
    catalog: &Catalog,
    values: &Values,
    provided: Option<(&Provided<'_>, &SecretScanner)>,
    problems: &mut Vec<String>,
) -> Vec<Seed> {
    let without_value =
        catalog.schema.editable().filter(|definition| !values.contains_key(&definition.key));
    let mut seeds = Vec::new();
    for definition in without_value {
        match seed(definition, provided) {
            Ok(seed) => seeds.extend(seed),
            Err(violations) => problems.extend(violations),
        }
    }
    seeds
}

fn seed(
    definition: &Definition,
    provided: Option<(&Provided<'_>, &SecretScanner)>,
) -> Result<Option<Seed>, Vec<String>> {
    let key = definition.key.clone();
    let external = provided.and_then(|(provided, scanner)| Some((provided(&key)?, scanner)));
    let Some(((text, source), scanner)) = external else {
        let value = definition.default.clone();
        return Ok(value.map(|value| Seed { key, value, source: DEFAULT }));
    };
    let text = text.map_err(|problem| vec![format!("{key} ({source}): {problem}")])?;
    // Before the parse, so a secret of the wrong type is reported as a secret.
    if let Some(kind) = scanner.scan(&text) {
        return Err(vec![format!("{key} ({source}): {}", kind.detail())]);
    }
    let value = rules::parse_value(definition, &from_text(definition.value_type, &text)).map_err(
        |violations| {
            let details = violations.into_iter().map(|violation| violation.detail);
            details.map(|detail| format!("{key} ({source}): {detail}")).collect::<Vec<_>>()
        },
    )?;
    Ok(Some(Seed { key, value, source }))
}

/// Validates all values as they would be after publishing.
fn check_result(catalog: &Catalog, values: &Values, seeds: &[Seed]) -> Vec<String> {
    let seeded: BTreeMap<&str, &SettingValue> =
        seeds.iter().map(|seed| (seed.key.as_str(), &seed.value)).collect();
    let stored_value = |key: &str| values.get(key).map(|(value, _)| value);
    let value_of = |key: &str| seeded.get(key).copied().or_else(|| stored_value(key));
    // A set, because both settings of a constraint may report the same violation.
    let unique: BTreeSet<String> = rules::check(&catalog.schema, value_of)
        .into_iter()
        // A rejected initial value is already reported, together with the source.
        .filter(|violation| violation.code != "missing")
        .map(|Violation { key, detail, .. }| format!("{key}: {detail}"))
        .collect();
    unique.into_iter().collect()
}

async fn write(conn: &mut Connection, catalog: &Catalog, plan: &Plan) -> Result<(), Error> {
    // Declarations before values: a foreign key requires the declaration.
    if !plan.declare.is_empty() {
        let definitions: Vec<_> =
            plan.declare.iter().filter_map(|key| catalog.schema.find(key)).collect();
        schema::store::write(conn, &definitions).await?;
    }
    // Never with an empty list: the table's trigger increases the catalog revision for each
    // statement, and every instance would reload all declarations.
    if !plan.forget.is_empty() {
        schema::store::delete(conn, &plan.forget).await?;
    }
    schema::store::name_catalog(conn, &catalog.name).await?;
    write_seeds(conn, catalog, &plan.seed).await
}

async fn write_seeds(
    conn: &mut Connection,
    catalog: &Catalog,
    seeds: &[Seed],
) -> Result<(), Error> {
    let sources: BTreeSet<&str> = seeds.iter().map(|seed| seed.source).collect();
    // One id for all seeds, because publishing is one operation in the audit trail.
    let request = RequestId::new();
    let keys: Vec<String> = seeds.iter().map(|seed| seed.key.clone()).collect();
    // Versions of a deleted key are never reused.
    let newest_versions = history::newest_versions(conn, &keys).await?;
    // One change set for each source, because the reason names the source.
    for source in sources {
        let Some(actor) = seeder(source, &request) else { continue };
        let of_source = seeds.iter().filter(|seed| seed.source == source);
        let writes: Vec<_> = of_source
            .filter_map(|seed| {
                let Seed { key, value, .. } = seed;
                let value_type = catalog.schema.find(key)?.value_type;
                Some(Write {
                    key,
                    value_type,
                    value,
                    version: newest_versions.get(key).map_or(1, |newest| newest + 1),
                })
            })
            .collect();
        let rows = store::write(conn, actor.user.as_str(), &writes).await?;
        let entries = rows.into_iter().map(|row| NewEntry {
            key: row.key,
            action: Action::Seed,
            old: None,
            new: Some(row.value.to_json()),
            version: Some(row.version),
        });
        audit::append(conn, &actor, entries.collect()).await?;
    }
    Ok(())
}

/// Returns the actor for the audit trail, with the source of the values as the reason.
fn seeder(source: &str, request: &RequestId) -> Option<Actor> {
    let reason = match source {
        DEFAULT => "initial value, from the catalog default".to_owned(),
        // `env_import` makes values from the environment searchable in the audit trail.
        source => format!("env_import: initial value, from {source}"),
    };
    Some(Actor {
        user: UserId::service("migrate"),
        reason: Reason::parse(&reason).ok()?,
        request: request.clone(),
    })
}

impl Definition {
    /// Whether both declarations are equal. Compared as JSON, as the database stores constraints.
    fn is_same(&self, other: &Self) -> bool {
        let fields = |definition: &Self| {
            serde_json::json!([
                definition.kind,
                definition.category,
                definition.value_type,
                definition.constraints,
                definition.default,
                definition.applies,
                definition.required,
                definition.approvals,
                definition.description
            ])
        };
        fields(self) == fields(other)
    }
}
