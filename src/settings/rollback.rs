//! Rollback: an earlier value becomes a new version, under the current rules.

use std::collections::{HashMap, HashSet};

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    audit::{self, Action, Actor},
    database::{self, Connection, TransactionError},
    json::StrictJson,
    releases,
    settings::{
        change::{ChangeResult, Conflict, Edit, Error, WriteOptions},
        entry::LaterChange,
        history, read,
        rules::Violation,
        schema::{KeyClass, Schema},
        store,
        value::{SettingValue, TypeMismatch},
        writer::SettingsWriter,
    },
};

/// The state to restore, and the state that the caller expects to replace.
#[derive(Debug, Clone)]
pub enum Target {
    /// One key, to its value at a version.
    Version {
        /// The key.
        key: String,
        /// The version to restore.
        to_version: i64,
        /// The expected current version.
        version: Option<i64>,
    },
    /// One key, to the old value of an audit entry: undoes the change of the entry.
    Entry {
        /// The id of the audit entry.
        audit_id: Uuid,
        /// The expected current version.
        version: Option<i64>,
    },
    /// Every key, to its value at a revision.
    Revision {
        /// The revision to restore.
        to_revision: i64,
        /// The expected current revision.
        revision: Option<i64>,
    },
    /// Every key, to its value at the revision of a release.
    Release {
        /// The name of the release.
        name: String,
        /// The expected current revision.
        revision: Option<i64>,
    },
}

/// The preview of a rollback.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RollbackPlan)]
pub struct Plan {
    /// The changes.
    #[serde(flatten)]
    pub changed: ChangeResult,
    /// The newest change of each affected key since the restored state.
    pub changed_since: Vec<LaterChange>,
    /// The restored values refused by the current rules; a rollback fails unless empty.
    #[schema(value_type = Vec<crate::json::FieldError>)]
    pub refused: Vec<Violation>,
}

/// The edits of a rollback, from the audit trail.
struct Restoration {
    edits: Vec<Edit>,
    since: Vec<LaterChange>,
}

impl SettingsWriter {
    /// Restores `target` as one change set.
    pub async fn roll_back(
        &self,
        actor: &Actor,
        target: &Target,
        options: &WriteOptions,
    ) -> Result<ChangeResult, Error> {
        self.refuse_secret_target(actor, target, options).await?;
        let target = &self.with_revision(target).await?;
        let restoration = self.find_restoration(actor, target, options).await?;
        self.restore(actor, target, options, &restoration).await
    }

    /// Previews a rollback to `target`; stores nothing.
    pub async fn plan_roll_back(
        &self,
        actor: &Actor,
        target: &Target,
        options: &WriteOptions,
    ) -> Result<Plan, Error> {
        // Without an idempotency key: a plan has no stored result to replay.
        let options = WriteOptions { dry_run: true, idempotency: None, ..options.clone() };
        self.refuse_secret_target(actor, target, &options).await?;
        let target = &self.with_revision(target).await?;
        let restoration = self.find_restoration(actor, target, &options).await?;
        let (changed, refused) = match self.restore(actor, target, &options, &restoration).await {
            Ok(changed) => (changed, Vec::new()),
            // Refused values are part of the plan, not an error of the preview.
            Err(Error::Invalid(violations)) => (self.no_changes().await?, violations),
            Err(Error::SecretLike(matches)) => (self.no_changes().await?, matches.violations()),
            Err(err) => return Err(err),
        };
        let changing = changed.changed.iter().map(|change| &change.key);
        let affected: HashSet<_> =
            changing.chain(refused.iter().map(|violation| &violation.key)).collect();
        let since = restoration.since.into_iter();
        let changed_since = since.filter(|since| affected.contains(&since.key)).collect();
        Ok(Plan { changed, changed_since, refused })
    }

    /// Refuses a secret-like reason or key before the lookup of the key, whose error would repeat the key.
    async fn refuse_secret_target(
        &self,
        actor: &Actor,
        target: &Target,
        options: &WriteOptions,
    ) -> Result<(), Error> {
        let edits = match target {
            Target::Version { key, .. } => {
                vec![Edit { key: key.clone(), value: StrictJson::Null, version: None }]
            }
            // The keys come from the audit trail, not from the caller.
            Target::Entry { .. } | Target::Revision { .. } | Target::Release { .. } => Vec::new(),
        };
        let schema = &self.settings.snapshot().schema;
        self.refuse_secrets(schema, actor, edits.iter(), options.dry_run).await
    }

    /// Returns `target` with the revision instead of the release.
    async fn with_revision(&self, target: &Target) -> Result<Target, Error> {
        let Target::Release { name, revision } = target else {
            return Ok(target.clone());
        };
        let release =
            database::read_with_retry(&self.pool, async |conn| releases::find(conn, name).await);
        let release = release.await?.ok_or(Error::ReleaseNotFound)?;
        Ok(Target::Revision { to_revision: release.revision, revision: *revision })
    }

    /// Returns the result of a dry run without changes, at the current revision.
    async fn no_changes(&self) -> Result<ChangeResult, TransactionError> {
        let revision = read::revision(&self.pool).await?;
        Ok(ChangeResult { dry_run: true, ..ChangeResult::unchanged(revision) })
    }

    async fn restore(
        &self,
        actor: &Actor,
        target: &Target,
        options: &WriteOptions,
        restoration: &Restoration,
    ) -> Result<ChangeResult, Error> {
        let edits = &restoration.edits;
        let Target::Revision { revision, .. } = *target else {
            return self.write(Action::Rollback, actor, edits, options).await;
        };
        let expected = match (revision, &options.revisions) {
            (None, None) => return Err(Error::RevisionRequired),
            (None, Some(revisions)) => revisions.clone(),
            (Some(revision), None) => vec![revision],
            // Both preconditions must hold: the body's revision does not replace If-Match.
            (Some(revision), Some(revisions)) => {
                revisions.iter().copied().filter(|tag| *tag == revision).collect()
            }
        };
        let is_contradiction = expected.is_empty();
        let options = WriteOptions { revisions: Some(expected), ..options.clone() };
        let result = self.write(Action::Rollback, actor, edits, &options).await;
        match (result, revision) {
            // Contradictory preconditions stay a mismatch, because no state could satisfy both.
            (Err(Error::Mismatch { .. }), Some(base)) if !is_contradiction => {
                Err(Error::Stale(self.conflicts_since(base, edits).await?))
            }
            (result, _) => result,
        }
    }

    async fn find_restoration(
        &self,
        actor: &Actor,
        target: &Target,
        options: &WriteOptions,
    ) -> Result<Restoration, Error> {
        let snapshot = self.settings.snapshot();
        let restoration = database::read_with_retry(&self.pool, async |conn| match target {
            Target::Version { key, to_version, version } => {
                at_version(conn, &snapshot.schema, key, *to_version, *version).await
            }
            Target::Entry { audit_id, version } => {
                before_entry(conn, &snapshot.schema, *audit_id, *version).await
            }
            Target::Revision { to_revision, .. } => {
                at_revision(conn, &snapshot.schema, *to_revision).await
            }
            // Resolved before, by `with_revision`.
            Target::Release { .. } => Err(Error::ReleaseNotFound),
        });
        let restoration = restoration.await;
        // The lookup fails before the write path, so the refusal is audited in advance.
        if let Err(Error::Locked(keys)) = &restoration
            && !options.dry_run
        {
            self.record_refusal(actor, keys).await?;
        }
        restoration
    }

    /// Returns a conflict for each of `edits` whose key changed after the revision `base`.
    async fn conflicts_since(
        &self,
        base: i64,
        edits: &[Edit],
    ) -> Result<Vec<Conflict>, TransactionError> {
        let rows = database::read_with_retry(&self.pool, async |conn| {
            history::later_versions(conn, base).await
        });
        let edits: HashMap<&str, &Edit> =
            edits.iter().map(|edit| (edit.key.as_str(), edit)).collect();
        let snapshot = self.settings.snapshot();
        let conflicts = rows.await?.into_iter().filter_map(|row| {
            let edit = edits.get(row.key.as_str())?;
            let declared = snapshot.schema.find(&row.key)?.value_type;
            let parse_stored = |value: &Value| SettingValue::from_stored(declared, value).ok();
            Some(Conflict {
                key: row.key,
                expected_version: row.base_version.map(i64::from),
                base_value: row.base_value.as_ref().and_then(parse_stored),
                current_version: row.current_version,
                current_value: parse_stored(&row.current_value)?,
                your_value: SettingValue::parse(declared, &edit.value).ok()?,
                updated_by: row.updated_by,
                updated_at: row.updated_at,
            })
        });
        Ok(conflicts.collect())
    }
}

async fn at_version(
    conn: &mut Connection,
    schema: &Schema,
    key: &str,
    to_version: i64,
    version: Option<i64>,
) -> Result<Restoration, Error> {
    // A lookalike of a locked key is refused like the key.
    match schema.classify_lookalike(key) {
        KeyClass::Editable(_) => (),
        KeyClass::Locked(definition) => return Err(Error::Locked(vec![definition.key.clone()])),
        KeyClass::Unknown => return Err(Error::Invalid(vec![Violation::unknown(key)])),
    }
    // Versions beyond the column's type do not exist, and nor does the greatest version of the type.
    let stored_version = i32::try_from(to_version).unwrap_or(i32::MAX);
    let mut values =
        history::values_at_versions(conn, &[key.to_owned()], &[stored_version]).await?;
    let value = values.remove(key).filter(|value| is_readable(schema, key, value));
    let value = value.ok_or_else(|| {
        Error::VersionNotFound(format!("{key} has no value at version {to_version}"))
    })?;
    let since = history::since_version(conn, key, stored_version).await?;
    Ok(Restoration { edits: vec![edit(key, &value, version)], since })
}

async fn before_entry(
    conn: &mut Connection,
    schema: &Schema,
    audit_id: Uuid,
    version: Option<i64>,
) -> Result<Restoration, Error> {
    let not_found =
        || Error::VersionNotFound(format!("audit entry {audit_id} has no old value to restore"));
    let entry = audit::find(conn, audit_id).await?.ok_or_else(not_found)?;
    let old_value = entry.old_value.as_ref();
    let old_value = old_value.filter(|value| is_readable(schema, &entry.key, value));
    let old_value = old_value.ok_or_else(not_found)?;
    // From the version before, because the change of the entry itself is undone too.
    let since = history::since_version(conn, &entry.key, entry.version.unwrap_or(0) - 1).await?;
    Ok(Restoration { edits: vec![edit(&entry.key, old_value, version)], since })
}

async fn at_revision(
    conn: &mut Connection,
    schema: &Schema,
    to_revision: i64,
) -> Result<Restoration, Error> {
    let head = store::head(conn).await?;
    if !(1..=head.revision).contains(&to_revision) {
        let detail =
            format!("revision {to_revision} does not exist; the newest is {}", head.revision);
        return Err(Error::VersionNotFound(detail));
    }
    let rows = history::as_of(conn, to_revision).await?;
    // A setting without a value at the revision is left unchanged: a rollback deletes nothing.
    let edits = rows.iter().filter_map(|row| {
        let value = row.value.as_ref().filter(|value| is_readable(schema, &row.key, value))?;
        Some(edit(&row.key, value, None))
    });
    let edits = edits.collect();
    Ok(Restoration { edits, since: history::since_revision(conn, to_revision).await? })
}

/// Whether a setting can hold `value`: a number written by hand may have more digits than a number of a setting.
fn is_readable(schema: &Schema, key: &str, value: &Value) -> bool {
    // A value of another type was valid under an earlier catalog, and is refused by the write path with the reason.
    schema.find(key).is_none_or(|definition| {
        let result = SettingValue::from_stored(definition.value_type, value);
        !matches!(result, Err(TypeMismatch::Digits))
    })
}

/// Returns an edit to restore `value`, to be parsed by the currently declared type.
fn edit(key: &str, value: &Value, version: Option<i64>) -> Edit {
    Edit { key: key.to_owned(), value: value.into(), version }
}
