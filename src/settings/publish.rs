//! From a catalog file into the database: declarations, and the first value of every key.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::{
    audit::{self, Action, Actor, NewEntry, Reason},
    database::{Connection, OnSuccess, Pool, Transaction, TransactionError},
    ids::{RequestId, UserId},
    json::StrictJson,
    secret_scanner::SecretScanner,
    settings::{
        catalog::Catalog,
        change,
        entry::Stored,
        rules::{self, Violation},
        schema::{self, Definition, Kind},
        store::{self, Head, Write},
        value::{SettingValue, ValueType},
    },
};

/// Where the value of a key that is not stored yet is looked for first: the environment or a `.env`
/// file. Returns the text, or why it cannot be read, and the name of its source.
pub type Provided<'a> = dyn Fn(&str) -> Option<(Result<String, String>, &'static str)> + Sync + 'a;

/// What [`Seed::source`] says of a value that nobody provided.
const DEFAULT: &str = "default";

/// What publishing does, or would do.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Plan {
    /// The keys that are declared, or declared anew.
    pub declare: Vec<String>,
    /// The keys whose declarations are forgotten.
    pub forget: Vec<String>,
    /// The keys that get their first value.
    pub seed: Vec<Seed>,
}

/// The first value of a key.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Seed {
    /// The key.
    pub key: String,
    /// Its first value.
    pub value: SettingValue,
    /// Where that comes from: `default`, or what [`Provided`] called it.
    pub source: &'static str,
}

impl Plan {
    /// Whether it takes a value from the environment or a `.env` file.
    #[must_use]
    pub fn imports(&self) -> bool {
        self.seed.iter().any(|it| it.source != DEFAULT)
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.declare.is_empty() && self.forget.is_empty() && self.seed.is_empty()
    }
}

/// Why a catalog was not published; nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The catalog does not fit what is stored, or a first value breaks a rule.
    #[error("the catalog does not fit:\n  {}", .0.join("\n  "))]
    Unfit(Vec<String>),
    /// A declaration in the database is not understood.
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

/// Brings the database to `catalog`: declares every key, and gives those without a value their first.
/// Nothing is written when anything does not fit or does not pass the `scanner`, or when `dry_run`.
pub async fn publish(
    pool: &Pool,
    catalog: &Catalog,
    provided: &Provided<'_>,
    scanner: &SecretScanner,
    dry_run: bool,
) -> Result<Plan, Error> {
    // Without a request's limits: a large catalog may take its time.
    let mut work = Transaction::begin_unlimited(pool).await?;
    let plan = carry_out(work.conn(), catalog, provided, scanner, dry_run).await;
    work.finish(plan, if dry_run { OnSuccess::Rollback } else { OnSuccess::Commit }).await
}

async fn carry_out(
    conn: &mut Connection,
    catalog: &Catalog,
    provided: &Provided<'_>,
    scanner: &SecretScanner,
    dry_run: bool,
) -> Result<Plan, Error> {
    let head = store::head_for_update(conn).await?;
    let declared = schema::store::all(conn).await??;
    let stored = store::all(conn).await?;
    let plan = draw_up(catalog, &head, &declared, stored, (provided, scanner))?;
    let bared = store::with_values(conn, &no_longer_secret(catalog, &declared)).await?;
    if !bared.is_empty() {
        return Err(Error::Unfit(bared.into_iter().map(|key| {
            format!("{key}: its history holds values of a secret; clean up first: `brune secrets cleanup`")
        }).collect()));
    }
    if !dry_run {
        write(conn, catalog, &plan).await?;
    }
    Ok(plan)
}

/// The secrets that the catalog does not call so any more: their history would be shown.
fn no_longer_secret(catalog: &Catalog, declared: &[Definition]) -> Vec<String> {
    let secrets = declared.iter().filter(|it| it.kind == Kind::Secret);
    let now = |it: &&Definition| catalog.schema.find(&it.key).map(|it| it.kind);
    secrets.filter(|it| now(it) != Some(Kind::Secret)).map(|it| it.key.clone()).collect()
}

/// What publishing into a database without tables does once they are there.
pub fn plan_of_empty(
    catalog: &Catalog,
    provided: &Provided<'_>,
    scanner: &SecretScanner,
) -> Result<Plan, Error> {
    let head = Head { revision: 0, catalog_revision: 0, catalog: None, timeline: None };
    draw_up(catalog, &head, &[], Vec::new(), (provided, scanner))
}

fn draw_up(
    catalog: &Catalog,
    head: &Head,
    declared: &[Definition],
    stored: Vec<Stored>,
    (provided, scanner): (&Provided<'_>, &SecretScanner),
) -> Result<Plan, Error> {
    if let Some(other) = head.catalog.as_ref().filter(|it| **it != catalog.name) {
        let fault = format!("the database holds catalog {other}, this is {}", catalog.name);
        return Err(Error::Unfit(vec![fault]));
    }
    // The environment is read for editable keys once: when an empty database is first seeded.
    let first = stored.is_empty() && head.revision == 0;
    let mut faults = secrets(catalog, scanner);
    let stored = values(catalog, declared, stored, &mut faults);
    let plan = Plan {
        declare: redeclared(catalog, declared),
        forget: gone(catalog, declared, &stored, &mut faults),
        seed: seeds(catalog, &stored, first.then_some((provided, scanner)), &mut faults),
    };
    faults.extend(whole(catalog, &stored, &plan.seed));
    if faults.is_empty() { Ok(plan) } else { Err(Error::Unfit(faults)) }
}

/// What the catalog declares that looks like a secret, or is one of this process.
fn secrets(catalog: &Catalog, scanner: &SecretScanner) -> Vec<String> {
    let found = catalog.schema.all().filter_map(|it| Some((&it.key, it.find_secret(scanner)?)));
    found.map(|(key, (what, likeness))| format!("{key}: {what} {}", likeness.detail())).collect()
}

type Values = BTreeMap<String, (SettingValue, i32)>;

/// Returns the stored values by key, with their versions.
///
/// The database's declaration says of which type a stored value is; the catalog may declare a new type.
fn values(
    catalog: &Catalog,
    declared: &[Definition],
    rows: Vec<Stored>,
    faults: &mut Vec<String>,
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
                faults.push(format!("{key}: the stored value is not of the declared type"));
            }
        }
    }
    values
}

/// The keys whose declaration is new or says something else than the database's.
fn redeclared(catalog: &Catalog, declared: &[Definition]) -> Vec<String> {
    let known: BTreeMap<&str, &Definition> =
        declared.iter().map(|it| (it.key.as_str(), it)).collect();
    let moved = catalog
        .schema
        .all()
        .filter(|it| known.get(it.key.as_str()).is_none_or(|old| !it.says_as(old)));
    moved.map(|it| it.key.clone()).collect()
}

/// The declared keys that the catalog no longer names; one that is still stored is a fault.
fn gone(
    catalog: &Catalog,
    declared: &[Definition],
    stored: &Values,
    faults: &mut Vec<String>,
) -> Vec<String> {
    let gone = declared.iter().filter(|it| catalog.schema.find(&it.key).is_none());
    let (kept, forgotten): (Vec<_>, Vec<_>) = gone.partition(|it| stored.contains_key(&it.key));
    faults.extend(kept.iter().map(|it| {
        format!(
            "{}: stored, and the catalog no longer declares it; declare it, or delete it first",
            it.key
        )
    }));
    forgotten.into_iter().map(|it| it.key.clone()).collect()
}

fn seeds(
    catalog: &Catalog,
    stored: &Values,
    provided: Option<(&Provided<'_>, &SecretScanner)>,
    faults: &mut Vec<String>,
) -> Vec<Seed> {
    let without = catalog.schema.editable().filter(|it| !stored.contains_key(&it.key));
    let mut seeds = Vec::new();
    for definition in without {
        match seed(definition, provided) {
            Ok(seed) => seeds.extend(seed),
            Err(violations) => faults.extend(violations),
        }
    }
    seeds
}

fn seed(
    definition: &Definition,
    provided: Option<(&Provided<'_>, &SecretScanner)>,
) -> Result<Option<Seed>, Vec<String>> {
    let key = definition.key.clone();
    let given = provided.and_then(|(provided, scanner)| Some((provided(&key)?, scanner)));
    let Some(((text, source), scanner)) = given else {
        let value = definition.default.clone();
        return Ok(value.map(|value| Seed { key, value, source: DEFAULT }));
    };
    let text = text.map_err(|fault| vec![format!("{key} ({source}): {fault}")])?;
    if let Some(likeness) = scanner.scan(&text) {
        return Err(vec![format!("{key} ({source}): {}", likeness.detail())]);
    }
    let value = change::read(definition, &from_text(definition.value_type, &text)).map_err(
        |violations| {
            let told = violations.into_iter().map(|it| format!("{key} ({source}): {}", it.detail));
            told.collect::<Vec<_>>()
        },
    )?;
    Ok(Some(Seed { key, value, source }))
}

/// A value as environment variables spell it: numbers and booleans as JSON does, lists as a JSON array
/// or with commas.
pub(super) fn from_text(value_type: ValueType, text: &str) -> StrictJson {
    let trimmed = text.trim();
    match value_type {
        ValueType::String => StrictJson::String(text.to_owned()),
        ValueType::Number if trimmed.parse::<serde_json::Number>().is_ok() => {
            StrictJson::Number(trimmed.to_owned())
        }
        ValueType::Number => StrictJson::Null,
        ValueType::Boolean => match trimmed {
            "true" => StrictJson::Bool(true),
            "false" => StrictJson::Bool(false),
            _ => StrictJson::Null,
        },
        ValueType::StringArray => list(trimmed),
    }
}

fn list(text: &str) -> StrictJson {
    if text.starts_with('[') {
        let items: Option<Vec<String>> = serde_json::from_str(text).ok();
        return items.map_or(StrictJson::Null, |items| {
            StrictJson::Array(items.into_iter().map(StrictJson::String).collect())
        });
    }
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    StrictJson::Array(items.map(|item| StrictJson::String(item.to_owned())).collect())
}

/// What would be wrong with the whole once the plan is carried out.
fn whole(catalog: &Catalog, stored: &Values, seeds: &[Seed]) -> Vec<String> {
    let seeded: BTreeMap<&str, &SettingValue> =
        seeds.iter().map(|it| (it.key.as_str(), &it.value)).collect();
    let value_of = |key: &str| seeded.get(key).copied().or_else(|| stored.get(key).map(|it| &it.0));
    let unique: BTreeSet<String> = rules::check(&catalog.schema, value_of)
        .into_iter()
        // A first value that was refused has been named already, with its source.
        .filter(|it| it.code != "missing")
        .map(|Violation { key, detail, .. }| format!("{key}: {detail}"))
        .collect();
    unique.into_iter().collect()
}

async fn write(conn: &mut Connection, catalog: &Catalog, plan: &Plan) -> Result<(), Error> {
    if !plan.declare.is_empty() {
        let definitions: Vec<_> =
            plan.declare.iter().filter_map(|key| catalog.schema.find(key)).collect();
        schema::store::write(conn, &definitions).await?;
    }
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
    let sources: BTreeSet<&str> = seeds.iter().map(|it| it.source).collect();
    let request = RequestId::new();
    let keys: Vec<String> = seeds.iter().map(|it| it.key.clone()).collect();
    // A key that was deleted once goes on from the version it had.
    let spent = store::newest_versions(conn, &keys).await?;
    for source in sources {
        let Some(actor) = seeder(source, &request) else { continue };
        let of_source = seeds.iter().filter(|it| it.source == source);
        let writes: Vec<_> = of_source
            .filter_map(|seed| {
                let Seed { key, value, .. } = seed;
                let value_type = catalog.schema.find(key)?.value_type;
                Some(Write {
                    key,
                    value_type,
                    value,
                    version: spent.get(key).map_or(1, |it| it + 1),
                })
            })
            .collect();
        let written = store::write(conn, actor.user.as_str(), &writes).await?;
        let entries = written.into_iter().map(|row| NewEntry {
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

/// Who seeds, and why: the source is what a later reader of the trail wants to know.
fn seeder(source: &str, request: &RequestId) -> Option<Actor> {
    let reason = match source {
        DEFAULT => "first value, from the catalog's default".to_owned(),
        // A word of its own, so that the trail can be searched for what the environment brought in.
        source => format!("env_import: first value, from {source}"),
    };
    Some(Actor {
        user: UserId::service("migrate"),
        reason: Reason::parse(&reason).ok()?,
        request: request.clone(),
    })
}

impl Definition {
    /// Whether both say the same.
    fn says_as(&self, other: &Self) -> bool {
        let words = |it: &Self| {
            serde_json::json!([
                it.kind,
                it.category,
                it.value_type,
                it.constraints,
                it.default,
                it.applies,
                it.required,
                it.description
            ])
        };
        words(self) == words(other)
    }
}
