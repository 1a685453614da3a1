//! Going back, forward: an earlier value becomes a new version under today's rules.

use std::collections::{HashMap, HashSet};

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    audit::{self, Action, Actor},
    database::{self, Connection, Pool},
    json::StrictJson,
    settings::{
        change::{self, Changed, Conflict, Edit, Error, WriteOptions},
        entry::Since,
        read,
        rules::Violation,
        schema::{KeyClass, Schema},
        service::GlobalSettingsService,
        store,
        value::{Number, SettingValue},
    },
};

/// What to go back to, and what the caller saw as current.
#[derive(Debug, Clone)]
pub enum Target {
    /// One key, to its value at a version.
    Version {
        /// The key.
        key: String,
        /// The version whose value is wanted.
        to_version: i64,
        /// The version that must still be current.
        version: Option<i64>,
    },
    /// One key, to the old value of an entry of the trail: undoes that change.
    Entry {
        /// The entry.
        audit_id: Uuid,
        /// The version that must still be current.
        version: Option<i64>,
    },
    /// Every key, to its value at a revision.
    Revision {
        /// The revision whose values are wanted.
        to_revision: i64,
        /// The revision that must still be current.
        revision: Option<i64>,
    },
}

/// What going back would do.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RollbackPlan)]
pub struct Plan {
    /// What would change.
    #[serde(flatten)]
    pub changed: Changed,
    /// The newest change of each affected key since the point that would be restored.
    pub changed_since: Vec<Since>,
    /// What today's rules would refuse; nothing is restored as long as anything stands here.
    #[schema(value_type = Vec<crate::json::FieldError>)]
    pub refused: Vec<Violation>,
}

/// What was found to go back to: history, which never changes once it is written.
struct TargetValues {
    edits: Vec<Edit>,
    since: Vec<Since>,
}

/// Goes back to `target`.
pub async fn roll_back(
    pool: &Pool,
    settings: &GlobalSettingsService,
    actor: &Actor,
    target: &Target,
    terms: &WriteOptions,
) -> Result<Changed, Error> {
    keep_out(pool, settings, actor, target, terms).await?;
    let found = find(pool, settings, actor, target, terms).await?;
    restore(pool, settings, actor, target, terms, &found).await
}

/// What going back to `target` would do; stores nothing.
pub async fn plan(
    pool: &Pool,
    settings: &GlobalSettingsService,
    actor: &Actor,
    target: &Target,
    terms: &WriteOptions,
) -> Result<Plan, Error> {
    let terms = WriteOptions { dry_run: true, idempotency: None, ..terms.clone() };
    keep_out(pool, settings, actor, target, &terms).await?;
    let found = find(pool, settings, actor, target, &terms).await?;
    let (changed, refused) = match restore(pool, settings, actor, target, &terms, &found).await {
        Ok(changed) => (changed, Vec::new()),
        Err(Error::Invalid(refused)) => (nothing(read::revision(pool).await?), refused),
        Err(Error::SecretLike(found)) => (nothing(read::revision(pool).await?), found.violations()),
        Err(err) => return Err(err),
    };
    let changing = changed.changed.iter().map(|change| &change.key);
    let concerned: HashSet<_> = changing.chain(refused.iter().map(|fault| &fault.key)).collect();
    let changed_since =
        found.since.into_iter().filter(|since| concerned.contains(&since.key)).collect();
    Ok(Plan { changed, changed_since, refused })
}

/// Refuses a reason, or a name of a key, that looks like a secret, before anything is looked for.
async fn keep_out(
    pool: &Pool,
    settings: &GlobalSettingsService,
    actor: &Actor,
    target: &Target,
    terms: &WriteOptions,
) -> Result<(), Error> {
    let named = match target {
        Target::Version { key, .. } => {
            vec![Edit { key: key.clone(), value: StrictJson::Null, version: None }]
        }
        Target::Entry { .. } | Target::Revision { .. } => Vec::new(),
    };
    change::screen(pool, settings, actor, &named, terms.dry_run).await
}

fn nothing(revision: i64) -> Changed {
    let (changed, unchanged, ignored) = (Vec::new(), Vec::new(), Vec::new());
    Changed { revision, dry_run: true, changed, unchanged, ignored }
}

async fn restore(
    pool: &Pool,
    settings: &GlobalSettingsService,
    actor: &Actor,
    target: &Target,
    terms: &WriteOptions,
    found: &TargetValues,
) -> Result<Changed, Error> {
    let Target::Revision { revision, .. } = *target else {
        return change::update_as(Action::Rollback, pool, settings, actor, &found.edits, terms)
            .await;
    };
    if revision.is_none() && terms.revisions.is_none() {
        return Err(Error::RevisionRequired);
    }
    // A precondition of the header is not replaced by the body's revision: both must hold.
    let may_be = |revision: &i64| terms.revisions.as_ref().is_none_or(|it| it.contains(revision));
    let bound = revision.map(|revision| Vec::from_iter(Some(revision).filter(may_be)));
    let excluded = bound.as_ref().is_some_and(Vec::is_empty);
    let terms =
        WriteOptions { revisions: bound.or_else(|| terms.revisions.clone()), ..terms.clone() };
    let done =
        change::update_as(Action::Rollback, pool, settings, actor, &found.edits, &terms).await;
    match (done, revision) {
        (Err(Error::Mismatch { .. }), Some(seen)) if !excluded => {
            let schema = &settings.snapshot().schema;
            Err(Error::Stale(conflicts(pool, schema, seen, &found.edits).await?))
        }
        (done, _) => done,
    }
}

async fn find(
    pool: &Pool,
    settings: &GlobalSettingsService,
    actor: &Actor,
    target: &Target,
    terms: &WriteOptions,
) -> Result<TargetValues, Error> {
    let snapshot = settings.snapshot();
    let found = database::read_with_retry(pool, async |conn| match target {
        Target::Version { key, to_version, version } => {
            at_version(conn, &snapshot.schema, key, *to_version, *version).await
        }
        Target::Entry { audit_id, version } => before(conn, *audit_id, *version).await,
        Target::Revision { to_revision, .. } => at_revision(conn, *to_revision).await,
    });
    match found.await {
        Err(Error::Locked(keys)) => {
            if !terms.dry_run {
                change::refuse(pool, settings, actor, &keys).await?;
            }
            Err(Error::Locked(keys))
        }
        found => found,
    }
}

async fn at_version(
    conn: &mut Connection,
    schema: &Schema,
    key: &str,
    to_version: i64,
    version: Option<i64>,
) -> Result<TargetValues, Error> {
    match schema.classify_lookalike(key) {
        KeyClass::Editable(_) => (),
        KeyClass::Locked(definition) => return Err(Error::Locked(vec![definition.key.clone()])),
        KeyClass::Unknown => return Err(Error::Invalid(vec![Violation::unknown(key)])),
    }
    let wanted = i32::try_from(to_version).unwrap_or(i32::MAX);
    let mut values = store::values_at_versions(conn, &[key.to_owned()], &[wanted]).await?;
    let edit =
        values.remove(key).and_then(|value| edit(key, &value, version)).ok_or_else(|| {
            Error::VersionNotFound(format!("{key} has no value at version {to_version}"))
        })?;
    let since = store::since_version(conn, key, wanted).await?;
    Ok(TargetValues { edits: vec![edit], since })
}

async fn before(
    conn: &mut Connection,
    audit_id: Uuid,
    version: Option<i64>,
) -> Result<TargetValues, Error> {
    let nothing =
        || Error::VersionNotFound(format!("audit entry {audit_id} has no old value to restore"));
    let entry = audit::find(conn, audit_id).await?.ok_or_else(nothing)?;
    let value = entry.old_value.as_ref();
    let edit = value.and_then(|value| edit(&entry.key, value, version)).ok_or_else(nothing)?;
    let since = store::since_version(conn, &entry.key, entry.version.unwrap_or(0) - 1).await?;
    Ok(TargetValues { edits: vec![edit], since })
}

async fn at_revision(conn: &mut Connection, to_revision: i64) -> Result<TargetValues, Error> {
    let head = store::head(conn).await?;
    if !(1..=head.revision).contains(&to_revision) {
        let detail = format!("there is no revision {to_revision}; the newest is {}", head.revision);
        return Err(Error::VersionNotFound(detail));
    }
    let rows = store::as_of(conn, to_revision).await?;
    let edits = rows.iter().filter_map(|row| edit(&row.key, row.value.as_ref()?, None));
    let edits = edits.collect();
    Ok(TargetValues { edits, since: store::since_revision(conn, to_revision).await? })
}

/// Returns an edit that restores `value`, which the write path reads by the declared type of today. Returns `None` for a
/// number with too many digits, which can only have been written past the service.
fn edit(key: &str, value: &Value, version: Option<i64>) -> Option<Edit> {
    let is_readable = match value {
        Value::Number(number) => Number::parse(&number.to_string()).is_some(),
        _ => true,
    };
    is_readable.then(|| Edit { key: key.to_owned(), value: value.into(), version })
}

/// The keys that were changed after `revision`, told three ways.
async fn conflicts(
    pool: &Pool,
    schema: &Schema,
    revision: i64,
    edits: &[Edit],
) -> Result<Vec<Conflict>, database::TransactionError> {
    database::read_with_retry(pool, async |conn| {
        let moved = store::moved_since(conn, revision).await?;
        let edits: HashMap<&str, &Edit> =
            edits.iter().map(|edit| (edit.key.as_str(), edit)).collect();
        let conflicts = moved.into_iter().filter_map(|row| {
            let edit = edits.get(row.key.as_str())?;
            let declared = schema.find(&row.key)?.value_type;
            let stored = |value: &Value| SettingValue::from_stored(declared, value).ok();
            Some(Conflict {
                expected_version: row.base_version.map(i64::from),
                base_value: row.base_value.as_ref().and_then(stored),
                current_version: row.current_version,
                current_value: stored(&row.current_value)?,
                your_value: SettingValue::parse(declared, &edit.value).ok()?,
                updated_by: row.updated_by,
                updated_at: row.updated_at,
                key: row.key,
            })
        });
        Ok(conflicts.collect())
    })
    .await
}
