//! Under the lock: compare, check the whole, write, audit.

use std::collections::{BTreeMap, HashMap};

use crate::{
    audit::{self, Action, Actor, NewEntry},
    database::Connection,
    settings::{
        change::{Changed, ChangedKey, Conflict, Error, WriteOptions},
        entry::{Entry, readable_entries},
        rules::{self, Violation},
        schema::{Definition, Schema},
        store::{self, Head, Write},
        value::SettingValue,
    },
};

/// An [`Edit`] of a key that exists, by a value that may stand on its own.
pub(super) struct Resolved<'s> {
    pub(super) definition: &'s Definition,
    pub(super) value: SettingValue,
    pub(super) version: Option<i64>,
}

/// One change set, ready to be stored.
pub(super) struct Batch<'a> {
    pub(super) action: Action,
    pub(super) actor: &'a Actor,
    pub(super) edits: &'a [Resolved<'a>],
    pub(super) refused: &'a [String],
    pub(super) terms: &'a WriteOptions,
}

/// Takes the lock that puts writers in a row; from here on nothing moves.
pub(super) async fn lock(conn: &mut Connection, schema: &Schema) -> Result<Head, Error> {
    let head = store::head_for_update(conn).await?;
    if head.catalog_revision == schema.revision { Ok(head) } else { Err(Error::CatalogMoved) }
}

/// Applies a batch within the caller's transaction, under the caller's lock.
pub(super) async fn apply(
    conn: &mut Connection,
    schema: &Schema,
    head: &Head,
    batch: &Batch<'_>,
) -> Result<Changed, Error> {
    let Batch { actor, edits, terms, .. } = batch;
    require_versions(edits, terms)?;
    if terms.revisions.as_ref().is_some_and(|expected| !expected.contains(&head.revision)) {
        return Err(Error::Mismatch { current: head.revision });
    }
    let before = affected(conn, schema, edits).await?;
    let conflicts = conflicts(conn, schema, edits, &before).await?;
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
        audit::append(conn, actor, refusals).await?;
    }
    let (revision, changed) = write(conn, batch, &new, &before, head.revision).await?;
    let unchanged = same.into_iter().map(|edit| edit.definition.key.clone()).collect();
    let ignored = batch.refused.to_vec();
    Ok(Changed { revision, dry_run: terms.dry_run, changed, unchanged, ignored })
}

fn require_versions(edits: &[Resolved<'_>], terms: &WriteOptions) -> Result<(), Error> {
    let without = edits.iter().filter(|edit| edit.version.is_none());
    let without: Vec<_> = without.map(|edit| edit.definition.key.clone()).collect();
    if without.is_empty() || terms.revisions.is_some() {
        Ok(())
    } else {
        Err(Error::VersionRequired(without))
    }
}

type Entries = BTreeMap<String, Entry>;

/// The settings that `edits` touch, and those that a rule ties to them: what must be looked at grows with
/// the change, not with the catalog.
async fn affected(
    conn: &mut Connection,
    schema: &Schema,
    edits: &[Resolved<'_>],
) -> sqlx::Result<Entries> {
    let mut keys: Vec<String> = Vec::new();
    for edit in edits {
        keys.push(edit.definition.key.clone());
        keys.extend_from_slice(schema.partners(&edit.definition.key));
    }
    let rows = store::some(conn, &keys).await?;
    // An unreadable stored value counts as absent, because it must be possible to replace it.
    Ok(readable_entries(schema, rows))
}

async fn conflicts(
    conn: &mut Connection,
    schema: &Schema,
    edits: &[Resolved<'_>],
    before: &Entries,
) -> sqlx::Result<Vec<Conflict>> {
    let mut conflicts = Vec::new();
    for edit in edits {
        let Some(current) = before.get(&edit.definition.key) else { continue };
        let Some(expected) = edit.version.filter(|it| *it != i64::from(current.version)) else {
            continue;
        };
        conflicts.push(Conflict {
            key: edit.definition.key.clone(),
            expected_version: Some(expected),
            base_value: None,
            current_version: current.version,
            current_value: current.value.clone(),
            your_value: edit.value.clone(),
            updated_by: current.updated_by.clone(),
            updated_at: current.updated_at,
        });
    }
    // One statement for all of them: every other writer waits meanwhile.
    let wanted = conflicts.iter().filter_map(|conflict| {
        Some((conflict.key.clone(), i32::try_from(conflict.expected_version?).ok()?))
    });
    let (keys, versions): (Vec<_>, Vec<_>) = wanted.unzip();
    if !keys.is_empty() {
        let mut values = store::values_at_versions(conn, &keys, &versions).await?;
        for conflict in &mut conflicts {
            conflict.base_value = values.remove(&conflict.key).and_then(|stored| {
                let declared = schema.find(&conflict.key)?.value_type;
                SettingValue::from_stored(declared, &stored).ok()
            });
        }
    }
    Ok(conflicts)
}

/// Whether every rule that ties an edited setting to another still holds afterwards.
fn check_ties(schema: &Schema, edits: &[Resolved<'_>], before: &Entries) -> Vec<Violation> {
    let edited: BTreeMap<&str, &SettingValue> =
        edits.iter().map(|edit| (edit.definition.key.as_str(), &edit.value)).collect();
    let after =
        |key: &str| edited.get(key).copied().or_else(|| before.get(key).map(|it| &it.value));
    let keys: Vec<String> = edits.iter().map(|edit| edit.definition.key.clone()).collect();
    rules::check_partners(schema, &keys, after)
}

/// The newest version of each edited key; of one that is not stored now, or not readable, the trail knows
/// it.
async fn versions(
    conn: &mut Connection,
    edits: &[&Resolved<'_>],
    before: &Entries,
) -> sqlx::Result<HashMap<String, i32>> {
    let keys = edits.iter().map(|edit| edit.definition.key.clone());
    let (stored, missing): (Vec<_>, Vec<_>) = keys.partition(|key| before.contains_key(key));
    let mut versions = match missing.as_slice() {
        [] => HashMap::new(),
        missing => store::newest_versions(conn, missing).await?,
    };
    versions.extend(stored.into_iter().filter_map(|key| {
        let version = before.get(&key)?.version;
        Some((key, version))
    }));
    Ok(versions)
}

/// Writes the new values with their audit entries, and returns what is stored.
async fn write(
    conn: &mut Connection,
    batch: &Batch<'_>,
    edits: &[&Resolved<'_>],
    before: &Entries,
    revision: i64,
) -> Result<(i64, Vec<ChangedKey>), Error> {
    if edits.is_empty() {
        return Ok((revision, Vec::new()));
    }
    let versions = versions(conn, edits, before).await?;
    let writes = edits.iter().map(|edit| Write {
        key: &edit.definition.key,
        value_type: edit.definition.value_type,
        value: &edit.value,
        version: versions.get(&edit.definition.key).map_or(1, |newest| newest + 1),
    });
    let writes: Vec<_> = writes.collect();
    let mut written = store::write(conn, batch.actor.user.as_str(), &writes).await?;
    // Told in the order they were asked for in; the database returns them as its plan pleases.
    let asked: HashMap<_, usize> = writes.iter().map(|it| it.key).zip(0..).collect();
    written.sort_by_key(|it| asked.get(it.key.as_str()).copied());
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
    audit::append(conn, batch.actor, entries).await?;
    let revision = written.first().map_or(revision, |row| row.revision);
    let changed = written.into_iter().map(|row| ChangedKey {
        old_value: old(&row.key).cloned(),
        key: row.key,
        new_value: row.value,
        version: row.version,
    });
    Ok((revision, changed.collect()))
}
