//! The steps of a change under the lock: compare versions, validate across settings, write, audit.

use std::collections::{BTreeMap, HashMap};

use crate::{
    audit::{self, Action, Actor, NewEntry},
    database::Connection,
    settings::{
        change::{
            approval,
            edit::WriteOptions,
            outcome::{ChangeResult, Conflict, Error, KeyChange},
            related::check_related,
            resolve::ResolvedEdit,
            rollout::{self, CurrentRollout},
        },
        entry::{Entry, readable_entries},
        history,
        schema::Schema,
        store::{self, Head, Write},
        value::SettingValue,
    },
};

/// One validated change set, ready to be stored.
pub(in crate::settings) struct Batch<'a> {
    pub(in crate::settings) action: Action,
    pub(in crate::settings) actor: &'a Actor,
    pub(in crate::settings) edits: &'a [ResolvedEdit<'a>],
    /// Locked keys that the caller asked to leave out.
    pub(in crate::settings) ignored: &'a [String],
    pub(in crate::settings) options: &'a WriteOptions,
    /// The bytes of the edits, as an estimate of the work.
    pub(in crate::settings) size: usize,
}

/// Current entries by key.
type Entries = BTreeMap<String, Entry>;

/// Locks the head row, which serializes writers until the transaction ends.
///
/// # Errors
/// `CatalogMoved` if the declarations are newer than `schema`.
pub(in crate::settings) async fn lock(
    conn: &mut Connection,
    schema: &Schema,
) -> Result<Head, Error> {
    let head = store::head_for_update(conn).await?;
    if head.catalog_revision == schema.revision { Ok(head) } else { Err(Error::CatalogMoved) }
}

/// A change that passed every check under the lock.
pub(in crate::settings) struct Checked<'b> {
    /// The edited settings and the settings that a rule relates to them.
    before: Entries,
    /// The edits with the current value.
    same: Vec<&'b ResolvedEdit<'b>>,
    /// The edits with another value.
    new: Vec<&'b ResolvedEdit<'b>>,
    /// The rollout that an emergency has to revert first.
    rollout: Option<CurrentRollout>,
}

impl Checked<'_> {
    /// Whether a setting would change.
    pub(in crate::settings) fn is_change(&self) -> bool {
        !self.new.is_empty()
    }
}

/// Checks `batch` under the lock of `head`.
pub(in crate::settings) async fn check<'b>(
    conn: &mut Connection,
    schema: &Schema,
    head: &Head,
    batch: &Batch<'b>,
) -> Result<Checked<'b>, Error> {
    let &Batch { edits, options, .. } = batch;
    require_versions(edits, options)?;
    if options.revisions.as_ref().is_some_and(|expected| !expected.contains(&head.revision)) {
        return Err(Error::Mismatch { current: head.revision });
    }
    // From the database, not from the snapshot, which may be behind.
    let before = current_entries(conn, schema, edits).await?;
    let conflicts = version_conflicts(conn, schema, edits, &before).await?;
    if !conflicts.is_empty() {
        return Err(Error::Stale(conflicts));
    }
    // On the result as a whole: a batch may change a value and the list that must contain the value.
    let value_before = |key: &str| before.get(key).map(|entry| &entry.value);
    let violations = check_related(schema, edits, value_before);
    if !violations.is_empty() {
        return Err(Error::Invalid(violations));
    }
    // An equal value gets no new version, so that a repeated request changes nothing.
    let (same, new): (Vec<_>, Vec<_>) =
        edits.iter().partition(|edit| value_before(&edit.definition.key) == Some(&edit.value));
    let changing: Vec<_> = new.iter().map(|edit| edit.definition).collect();
    approval::check(conn, &changing, options.approval).await?;
    let rollout = match new.as_slice() {
        // A write of current values disturbs no rollout.
        [] => None,
        _ => rollout::check(conn, schema, edits, value_before, options.approval).await?,
    };
    Ok(Checked { before, same, new, rollout })
}

/// Applies `batch` in the caller's transaction, under the lock of `head`.
pub(in crate::settings) async fn apply(
    conn: &mut Connection,
    schema: &Schema,
    head: &Head,
    batch: &Batch<'_>,
) -> Result<ChangeResult, Error> {
    let Checked { before, same, new, rollout } = check(conn, schema, head, batch).await?;
    let actor = batch.actor;
    // First, because a setting of a rollout never changes while the rollout is in progress.
    if let Some(rollout) = &rollout {
        rollout::revert(conn, rollout, actor).await?;
    }
    let refusals: Vec<_> = batch.ignored.iter().map(|key| NewEntry::refused(key)).collect();
    if !refusals.is_empty() {
        audit::append(conn, actor, refusals).await?;
    }
    let (revision, changed) = write(conn, batch, &new, &before, head.revision).await?;
    let unchanged = same.into_iter().map(|edit| edit.definition.key.clone()).collect();
    Ok(ChangeResult {
        changed,
        unchanged,
        ignored: batch.ignored.to_vec(),
        dry_run: batch.options.dry_run,
        reverted: rollout.map(|rollout| rollout.number),
        ..ChangeResult::unchanged(revision)
    })
}

/// Requires an expected version of each edit, or an expected revision for all.
pub(super) fn require_versions(
    edits: &[ResolvedEdit<'_>],
    options: &WriteOptions,
) -> Result<(), Error> {
    // The revision covers all keys.
    if options.revisions.is_some() {
        return Ok(());
    }
    let unversioned = edits.iter().filter(|edit| edit.version.is_none());
    let unversioned: Vec<_> = unversioned.map(|edit| edit.definition.key.clone()).collect();
    if unversioned.is_empty() { Ok(()) } else { Err(Error::VersionRequired(unversioned)) }
}

/// Reads the edited settings and the settings that a rule relates to them.
pub(in crate::settings) async fn current_entries(
    conn: &mut Connection,
    schema: &Schema,
    edits: &[ResolvedEdit<'_>],
) -> sqlx::Result<Entries> {
    // Not the whole table: the lock is held, and the cost must grow with the change, not with the catalog.
    let mut keys: Vec<String> = Vec::new();
    for edit in edits {
        keys.push(edit.definition.key.clone());
        keys.extend_from_slice(schema.partners(&edit.definition.key));
    }
    let rows = store::some(conn, &keys).await?;
    // An unreadable stored value counts as absent, because it must be possible to replace it.
    Ok(readable_entries(schema, rows))
}

/// Returns a conflict for each edit whose expected version is not current.
pub(in crate::settings) async fn version_conflicts(
    conn: &mut Connection,
    schema: &Schema,
    edits: &[ResolvedEdit<'_>],
    before: &Entries,
) -> sqlx::Result<Vec<Conflict>> {
    let mut conflicts = Vec::new();
    for edit in edits {
        // A deleted setting has no version to conflict with.
        let Some(current) = before.get(&edit.definition.key) else { continue };
        let Some(expected) = edit.version else { continue };
        if expected == i64::from(current.version) {
            continue;
        }
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
    // One statement for all conflicts, because other writers wait for the lock meanwhile.
    let expected = conflicts.iter().filter_map(|conflict| {
        // A version beyond the column's type was never stored and has no value.
        let version = i32::try_from(conflict.expected_version?).ok()?;
        Some((conflict.key.clone(), version))
    });
    let (keys, versions): (Vec<_>, Vec<_>) = expected.unzip();
    if !keys.is_empty() {
        let mut values = history::values_at_versions(conn, &keys, &versions).await?;
        for conflict in &mut conflicts {
            conflict.base_value = values.remove(&conflict.key).and_then(|value| {
                let declared = schema.find(&conflict.key)?.value_type;
                SettingValue::from_stored(declared, &value).ok()
            });
        }
    }
    Ok(conflicts)
}

/// Returns the newest version of each edited key.
async fn newest_versions(
    conn: &mut Connection,
    edits: &[&ResolvedEdit<'_>],
    before: &Entries,
) -> sqlx::Result<HashMap<String, i32>> {
    let mut versions = HashMap::new();
    let mut missing = Vec::new();
    for edit in edits {
        let key = &edit.definition.key;
        match before.get(key) {
            Some(entry) => drop(versions.insert(key.clone(), entry.version)),
            None => missing.push(key.clone()),
        }
    }
    if !missing.is_empty() {
        // A deleted or unreadable setting continues from its last version in the audit trail.
        versions.extend(history::newest_versions(conn, &missing).await?);
    }
    Ok(versions)
}

/// Writes the new values and their audit entries. Returns the revision and the stored changes, in the order of `edits`.
async fn write(
    conn: &mut Connection,
    batch: &Batch<'_>,
    edits: &[&ResolvedEdit<'_>],
    before: &Entries,
    revision: i64,
) -> Result<(i64, Vec<KeyChange>), Error> {
    if edits.is_empty() {
        return Ok((revision, Vec::new()));
    }
    let versions = newest_versions(conn, edits, before).await?;
    let writes = edits.iter().map(|edit| Write {
        key: &edit.definition.key,
        value_type: edit.definition.value_type,
        value: &edit.value,
        // A trigger refuses every other version, so two writers cannot store the same version.
        version: versions.get(&edit.definition.key).map_or(1, |newest| newest + 1),
    });
    let writes: Vec<_> = writes.collect();
    let mut rows = store::write(conn, batch.actor.user.as_str(), &writes).await?;
    // Postgres returns the rows in the order of its query plan; the response keeps the order of the request.
    let positions: HashMap<_, usize> = writes.iter().map(|write| write.key).zip(0..).collect();
    rows.sort_by_key(|row| positions.get(row.key.as_str()).copied());
    let old_value = |key: &str| before.get(key).map(|entry| &entry.value);
    let entries = rows.iter().map(|row| NewEntry {
        key: row.key.clone(),
        action: batch.action,
        old: old_value(&row.key).map(SettingValue::to_json),
        new: Some(row.value.to_json()),
        version: Some(row.version),
    });
    // A constraint trigger refuses to commit rows without audit entries.
    audit::append(conn, batch.actor, entries.collect()).await?;
    let revision = rows.first().map_or(revision, |row| row.revision);
    let changes = rows.into_iter().map(|row| KeyChange {
        old_value: old_value(&row.key).cloned(),
        key: row.key,
        new_value: row.value,
        version: row.version,
    });
    Ok((revision, changes.collect()))
}
