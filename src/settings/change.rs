//! The one write path: resolve, lock, compare versions, check the whole, write, audit. Everything that
//! changes a setting ends here, so a rule added here holds everywhere.

use std::{borrow::Cow, collections::BTreeMap};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgPool};
use utoipa::ToSchema;

use crate::{
    audit::{self, Action, Actor, NewEntry},
    database::{self, Ending, Work},
    idempotency,
    json::Json,
    settings::{
        reload,
        rules::{self, Violation},
        schema::{Definition, Named, Schema},
        service::GlobalSettingsService,
        snapshot::Entry,
        store::{self, Head, Write},
        value::SettingValue,
    },
};

/// One wished-for value, as it came in.
#[derive(Debug, Clone)]
pub struct Edit {
    /// What to change.
    pub key: String,
    /// What to.
    pub value: Json,
    /// The version it must still be at; may be left out when the whole's revision is given.
    pub version: Option<i64>,
}

/// What is asked of a write, whatever it writes.
#[derive(Debug, Clone, Default)]
pub struct Terms {
    /// The revision that must still be current (`If-Match`).
    pub revision: Option<i64>,
    /// Leave out what may not be written, and apply the rest (`Prefer: handling=lenient`).
    pub lenient: bool,
    /// Check everything, store nothing.
    pub dry_run: bool,
    /// What makes a repeat the same request.
    pub idempotency: Option<idempotency::Key>,
}

/// What a write did, or would do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Changed {
    /// The revision that is current now.
    pub revision: i64,
    /// Whether nothing was stored.
    pub dry_run: bool,
    /// The keys that have a new version.
    pub changed: Vec<ChangedKey>,
    /// The keys that already had the value.
    pub unchanged: Vec<String>,
    /// The keys that were left out because they may not be written.
    pub ignored: Vec<String>,
}

/// One key with a new version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ChangedKey {
    /// The key.
    pub key: String,
    /// Its value before.
    #[schema(value_type = serde_json::Value)]
    pub old_value: Option<SettingValue>,
    /// Its value as it is stored.
    #[schema(value_type = serde_json::Value)]
    pub new_value: SettingValue,
    /// Its version now.
    pub version: i32,
}

/// A version that is not the current one, told three ways.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Conflict {
    /// The key.
    pub key: String,
    /// The version that the caller saw.
    pub expected_version: Option<i64>,
    /// The value at that version, if there was one.
    #[schema(value_type = serde_json::Value)]
    pub base_value: Option<SettingValue>,
    /// The version that stands.
    pub current_version: i32,
    /// The value that stands.
    #[schema(value_type = serde_json::Value)]
    pub current_value: SettingValue,
    /// The value that the caller wanted.
    #[schema(value_type = serde_json::Value)]
    pub your_value: SettingValue,
    /// Who was faster.
    pub updated_by: String,
    /// When.
    pub updated_at: DateTime<Utc>,
}

/// Why a change did not happen.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// These keys are not written here; the attempt is on the trail.
    #[error("{} may not be changed here", .0.join(", "))]
    Locked(Vec<String>),
    /// Values break rules, or name nothing.
    #[error("the change breaks {} rules", .0.len())]
    Invalid(Vec<Violation>),
    /// These keys came without the version they must still be at.
    #[error("no version for {}", .0.join(", "))]
    VersionRequired(Vec<String>),
    /// The whole is at another revision.
    #[error("the settings are at revision {current}, not {expected}")]
    Mismatch {
        /// The revision that the caller saw.
        expected: i64,
        /// The revision that stands.
        current: i64,
    },
    /// Somebody else was faster.
    #[error("{} settings were changed since they were read", .0.len())]
    Stale(Vec<Conflict>),
    /// There is nothing to go back to.
    #[error("{0}")]
    VersionNotFound(String),
    /// The idempotency key was used for another request.
    #[error(transparent)]
    Idempotency(#[from] idempotency::Reused),
    /// The declarations changed while the change was made.
    #[error("the catalog was changed meanwhile")]
    CatalogMoved,
    /// The database's settings could not be read.
    #[error(transparent)]
    Reload(#[from] reload::Error),
    /// The database failed, or could not be waited for.
    #[error(transparent)]
    Database(#[from] database::Failure),
}

impl From<sqlx::Error> for Error {
    fn from(err: sqlx::Error) -> Self {
        Self::Database(err.into())
    }
}

/// An [`Edit`] of a key that exists, by a value that may stand on its own.
pub(super) struct Resolved<'s> {
    pub(super) definition: &'s Definition,
    pub(super) value: SettingValue,
    pub(super) version: Option<i64>,
}

/// Applies `edits` in one transaction, all or nothing.
pub async fn update(
    pool: &PgPool,
    settings: &GlobalSettingsService,
    actor: &Actor,
    edits: &[Edit],
    terms: &Terms,
) -> Result<Changed, Error> {
    update_as(Action::Update, pool, settings, actor, edits, terms).await
}

/// [`update`], told on the trail as `action`.
pub(super) async fn update_as(
    action: Action,
    pool: &PgPool,
    settings: &GlobalSettingsService,
    actor: &Actor,
    edits: &[Edit],
    terms: &Terms,
) -> Result<Changed, Error> {
    let mut attempts = database::Attempts::new();
    loop {
        let result = attempt(action, pool, settings, actor, edits, terms).await;
        match result {
            Err(Error::CatalogMoved) if attempts.again().await => {
                reload::refresh(pool, settings).await?;
            }
            Err(Error::Database(failure)) if failure.is_transient() && attempts.again().await => (),
            result => return result,
        }
    }
}

async fn attempt(
    action: Action,
    pool: &PgPool,
    settings: &GlobalSettingsService,
    actor: &Actor,
    edits: &[Edit],
    terms: &Terms,
) -> Result<Changed, Error> {
    let snapshot = settings.snapshot();
    let (resolved, refused) = match resolve(&snapshot.schema, edits, terms.lenient) {
        Ok(resolved) => resolved,
        Err(Error::Locked(keys)) => {
            if !terms.dry_run {
                refuse(pool, actor, &keys).await?;
            }
            return Err(Error::Locked(keys));
        }
        Err(err) => return Err(err),
    };
    let mut work = Work::begin(pool).await?;
    let deadline = work.deadline();
    let batch = Batch { action, actor, edits: &resolved, refused: &refused, terms };
    let done = deadline.within(store_once(work.conn(), &snapshot.schema, &batch)).await;
    work.conclude(done, ending(terms)).await
}

/// How the transaction of a write ends when nothing is wrong.
pub(super) fn ending(terms: &Terms) -> Ending {
    if terms.dry_run { Ending::Rollback } else { Ending::Commit }
}

/// Leaves a trace of an attempt on keys that are not written here.
pub(super) async fn refuse(pool: &PgPool, actor: &Actor, keys: &[String]) -> Result<(), Error> {
    let entries: Vec<NewEntry> = keys.iter().map(|key| NewEntry::refused(key)).collect();
    let mut work = Work::begin(pool).await?;
    let deadline = work.deadline();
    let written = async { Ok(audit::append(work.conn(), actor, &entries).await?) };
    let written = deadline.within(written).await;
    work.conclude(written, Ending::Commit).await
}

/// The edits with their declarations and values, and the keys that were left out; or everything wrong
/// with them. What may not be written outranks what is invalid.
fn resolve<'s>(
    schema: &'s Schema,
    edits: &[Edit],
    lenient: bool,
) -> Result<(Vec<Resolved<'s>>, Vec<String>), Error> {
    let (mut resolved, mut locked, mut faults) = (Vec::new(), Vec::new(), Vec::new());
    for edit in edits {
        match schema.classify(&edit.key) {
            Named::Locked(definition) => locked.push(definition.key.clone()),
            Named::Unknown => faults.push(Violation::unknown(&edit.key)),
            Named::Editable(definition) => match read(definition, &edit.value) {
                Ok(value) => resolved.push(Resolved { definition, value, version: edit.version }),
                Err(violations) => faults.extend(violations),
            },
        }
    }
    if !locked.is_empty() && !lenient {
        return Err(Error::Locked(locked));
    }
    if !faults.is_empty() {
        return Err(Error::Invalid(faults));
    }
    Ok((resolved, locked))
}

/// Reads `json` as a value of `definition` that may stand on its own.
pub(super) fn read(definition: &Definition, json: &Json) -> Result<SettingValue, Vec<Violation>> {
    let value = SettingValue::parse(definition.value_type, json)
        .map_err(|unfit| vec![Violation::unfit(definition, unfit)])?;
    let violations = rules::check_alone(definition, &value);
    if violations.is_empty() { Ok(value) } else { Err(violations) }
}

/// One change set, ready to be stored.
pub(super) struct Batch<'a> {
    pub(super) action: Action,
    pub(super) actor: &'a Actor,
    pub(super) edits: &'a [Resolved<'a>],
    pub(super) refused: &'a [String],
    pub(super) terms: &'a Terms,
}

/// Stores a batch, or answers as the first time when it was stored before.
async fn store_once(
    conn: &mut PgConnection,
    schema: &Schema,
    batch: &Batch<'_>,
) -> Result<Changed, Error> {
    let head = lock(conn, schema).await?;
    if let Some(key) = &batch.terms.idempotency
        && let Some(first) = idempotency::find(conn, key).await??
    {
        return Ok(first);
    }
    let changed = apply(conn, schema, &head, batch).await?;
    if let Some(key) = &batch.terms.idempotency {
        idempotency::store(conn, key, &changed).await?;
    }
    Ok(changed)
}

/// Takes the lock that puts writers in a row; from here on nothing moves.
pub(super) async fn lock(conn: &mut PgConnection, schema: &Schema) -> Result<Head, Error> {
    let head = store::head_for_update(conn).await?;
    if head.catalog_revision == schema.revision { Ok(head) } else { Err(Error::CatalogMoved) }
}

/// Applies a batch within the caller's transaction, under the caller's lock.
pub(super) async fn apply(
    conn: &mut PgConnection,
    schema: &Schema,
    head: &Head,
    batch: &Batch<'_>,
) -> Result<Changed, Error> {
    let Batch { actor, edits, terms, .. } = batch;
    require_versions(edits, terms)?;
    if let Some(expected) = terms.revision.filter(|it| *it != head.revision) {
        return Err(Error::Mismatch { expected, current: head.revision });
    }
    let before = affected(conn, schema, edits).await?;
    let conflicts = conflicts(conn, edits, &before).await?;
    if !conflicts.is_empty() {
        return Err(Error::Stale(conflicts));
    }
    let violations = check_ties(schema, edits, &before);
    if !violations.is_empty() {
        return Err(Error::Invalid(violations));
    }
    let (same, new): (Vec<_>, Vec<_>) = edits.iter().partition(|edit| {
        before.get(&edit.definition.key).is_some_and(|it| it.value == edit.value)
    });
    let refusals: Vec<_> = batch.refused.iter().map(|key| NewEntry::refused(key)).collect();
    if !refusals.is_empty() {
        audit::append(conn, actor, &refusals).await?;
    }
    let (revision, changed) = write(conn, batch, &new, &before, head.revision).await?;
    let unchanged = same.into_iter().map(|edit| edit.definition.key.clone()).collect();
    let ignored = batch.refused.to_vec();
    Ok(Changed { revision, dry_run: terms.dry_run, changed, unchanged, ignored })
}

fn require_versions(edits: &[Resolved<'_>], terms: &Terms) -> Result<(), Error> {
    let without = edits.iter().filter(|edit| edit.version.is_none());
    let without: Vec<_> = without.map(|edit| edit.definition.key.clone()).collect();
    if without.is_empty() || terms.revision.is_some() {
        Ok(())
    } else {
        Err(Error::VersionRequired(without))
    }
}

type Entries = BTreeMap<String, Entry>;

/// The settings that `edits` touch, and those that a rule ties to them: what must be looked at grows with
/// the change, not with the catalog.
async fn affected(
    conn: &mut PgConnection,
    schema: &Schema,
    edits: &[Resolved<'_>],
) -> sqlx::Result<Entries> {
    let mut keys: Vec<String> = Vec::new();
    for edit in edits {
        keys.push(edit.definition.key.clone());
        keys.extend_from_slice(schema.partners(&edit.definition.key));
    }
    let rows = store::some(conn, &keys).await?;
    // A stored value of no type of ours counts as none: mending it must be possible.
    Ok(rows
        .into_iter()
        .filter_map(|row| row.into_entry().and_then(|(key, it)| Some((key, it?))))
        .collect())
}

async fn conflicts(
    conn: &mut PgConnection,
    edits: &[Resolved<'_>],
    before: &Entries,
) -> sqlx::Result<Vec<Conflict>> {
    let mut conflicts = Vec::new();
    for edit in edits {
        let Some(current) = before.get(&edit.definition.key) else { continue };
        let Some(expected) = edit.version.filter(|it| *it != i64::from(current.version)) else {
            continue;
        };
        let key = edit.definition.key.clone();
        let base_value = match i32::try_from(expected) {
            Ok(version) => store::value_at_version(conn, &key, version).await?,
            Err(_) => None,
        };
        conflicts.push(Conflict {
            key,
            expected_version: Some(expected),
            base_value: base_value.map(|it| it.0),
            current_version: current.version,
            current_value: current.value.clone(),
            your_value: edit.value.clone(),
            updated_by: current.updated_by.clone(),
            updated_at: current.updated_at,
        });
    }
    Ok(conflicts)
}

/// Whether every rule that ties an edited setting to another still holds afterwards.
fn check_ties(schema: &Schema, edits: &[Resolved<'_>], before: &Entries) -> Vec<Violation> {
    let after = |key: &str| {
        let edited = edits.iter().find(|edit| edit.definition.key == key).map(|edit| &edit.value);
        edited.or_else(|| before.get(key).map(|entry| &entry.value))
    };
    let mut keys: Vec<Cow<'_, str>> = Vec::new();
    for edit in edits {
        keys.push(Cow::Borrowed(&edit.definition.key));
        keys.extend(
            schema.partners(&edit.definition.key).iter().map(|key| Cow::Borrowed(key.as_str())),
        );
    }
    keys.sort_unstable();
    keys.dedup();
    let definitions = keys.iter().filter_map(|key| schema.find(key));
    definitions.filter_map(|definition| rules::check_ties(definition, after)).collect()
}

/// Writes the new values with their audit entries, and returns what is stored.
async fn write(
    conn: &mut PgConnection,
    batch: &Batch<'_>,
    edits: &[&Resolved<'_>],
    before: &Entries,
    revision: i64,
) -> Result<(i64, Vec<ChangedKey>), Error> {
    if edits.is_empty() {
        return Ok((revision, Vec::new()));
    }
    let writes = edits.iter().map(|edit| Write {
        key: &edit.definition.key,
        value_type: edit.definition.value_type,
        value: &edit.value,
        version: before.get(&edit.definition.key).map_or(1, |entry| entry.version + 1),
    });
    let writes: Vec<_> = writes.collect();
    let written = store::write(conn, batch.actor.user.as_str(), &writes).await?;
    let old = |key: &str| before.get(key).map(|entry| &entry.value);
    let entries: Vec<_> = written
        .iter()
        .map(|row| NewEntry {
            key: row.key.clone(),
            action: batch.action,
            old: old(&row.key).map(SettingValue::to_json),
            new: Some(row.value.to_json()),
            version: Some(row.version),
        })
        .collect();
    audit::append(conn, batch.actor, &entries).await?;
    let revision = written.first().map_or(revision, |row| row.revision);
    let changed = written.into_iter().map(|row| ChangedKey {
        old_value: old(&row.key).cloned(),
        key: row.key,
        new_value: row.value.0,
        version: row.version,
    });
    Ok((revision, changed.collect()))
}
