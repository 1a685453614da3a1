//! Reload: reads the stored settings and replaces the current snapshot.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use tracing::{error, info};

use crate::{
    database::{self, Connection, Deadline, OnSuccess, Pool, Transaction, TransactionError},
    metrics::{Outcome, Source},
    settings::{
        current::{GlobalSettingsService, NextNotification},
        entry::{StoredSetting, readable_entries},
        notification::NotifiedChange,
        rules::{self, Violation},
        schema::{self, Schema},
        snapshot::Snapshot,
        store,
        value::SettingValue,
    },
};

/// Why a reload failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The stored settings break their rules.
    #[error("the stored settings are invalid: {}", describe(.0))]
    Invalid(Vec<Violation>),
    /// The server is a standby, which may lag behind.
    #[error("the database server is in recovery")]
    Recovering,
    /// The database failed, or did not answer in time.
    #[error("the settings could not be read")]
    Database(#[from] TransactionError),
}

/// An unreadable declaration is a violation of the declared key, reported like all violations.
impl From<schema::Unreadable> for Error {
    fn from(unreadable: schema::Unreadable) -> Self {
        Self::Invalid(vec![Violation::unreadable(&unreadable.key, &unreadable.error.to_string())])
    }
}

impl From<sqlx::Error> for Error {
    fn from(err: sqlx::Error) -> Self {
        Self::Database(err.into())
    }
}

/// Returns the violations as one line.
fn describe(violations: &[Violation]) -> String {
    let texts =
        violations.iter().map(|violation| format!("{} {}", violation.key, violation.detail));
    texts.collect::<Vec<_>>().join("; ")
}

/// Reads all declarations and values at one revision.
pub async fn load(pool: &Pool) -> Result<Snapshot, Error> {
    let (snapshot, _) = load_with_digest(pool).await?;
    Ok(snapshot)
}

/// [`load`], with the digest of the secret in the next notification.
async fn load_with_digest(pool: &Pool) -> Result<(Snapshot, Option<Vec<u8>>), Error> {
    // Repeatable read: a commit between the statements must not mix two revisions.
    let deadline = Deadline::standard();
    let mut transaction = Transaction::begin_reading(pool, deadline).await?;
    let result = deadline.within(read_all(transaction.conn())).await;
    transaction.finish(result, OnSuccess::Rollback).await
}

async fn read_all(conn: &mut Connection) -> Result<(Snapshot, Option<Vec<u8>>), Error> {
    let head = store::head(conn).await?;
    // A standby may be behind the snapshot, and the comparison of timelines would fail.
    let timeline = head.timeline.ok_or(Error::Recovering)?;
    let definitions = schema::store::all(conn).await??;
    // No check for contradictory declarations: no value satisfies them, so the violation of the value reports them.
    let catalog = head.catalog.unwrap_or_default();
    let schema = Schema::new(catalog, head.catalog_revision, definitions);
    let rows = store::all(conn).await?;
    let snapshot = Snapshot::new(head.revision, Some(timeline), Arc::new(schema), rows)
        .map_err(Error::Invalid)?;
    Ok((snapshot, head.next_digest))
}

/// Finds stored values with characters that writes refuse. Such values come from older releases or from `psql`, and are
/// served unchanged.
///
/// # Errors
/// The database failed.
pub async fn forbidden_characters(pool: &Pool) -> Result<Vec<Violation>, TransactionError> {
    let (definitions, rows) = database::read_with_retry(pool, async |conn| {
        let definitions = schema::store::all(conn).await?;
        Ok::<_, TransactionError>((definitions, store::all(conn).await?))
    })
    .await?;
    // Unreadable declarations are reported by `load`, whose check runs first.
    let schema = Schema::new(String::new(), 0, definitions.unwrap_or_default());
    let mut violations = Vec::new();
    for (key, entry) in readable_entries(&schema, rows) {
        violations.extend(rules::check_characters(&key, &entry.value));
        let author = SettingValue::String(entry.updated_by);
        for violation in rules::check_characters(&key, &author) {
            let detail = format!("updated_by {}", violation.detail);
            violations.push(Violation { detail, ..violation });
        }
    }
    Ok(violations)
}

/// Reloads the settings if the database has a newer revision. Returns whether the current snapshot was replaced.
pub async fn refresh(pool: &Pool, settings: &GlobalSettingsService) -> Result<bool, Error> {
    refresh_for(Source::Demand, pool, settings).await
}

/// [`refresh`], counted under `source`.
pub(super) async fn refresh_for(
    source: Source,
    pool: &Pool,
    settings: &GlobalSettingsService,
) -> Result<bool, Error> {
    // One reload at a time: callers that waited find the snapshot current already.
    let mut state = settings.lock_reload().await;
    let start = Instant::now();
    let read = newer(pool, settings, state.next_notification.as_ref()).await.map(|read| {
        state.next_notification = read.next_notification;
        read.newer
    });
    let result = replace(read, settings);
    let outcome = outcome(&result);
    // Invalid settings are an answer of the database, too.
    settings.set_reachable(outcome != Outcome::Failed);
    settings.metrics().reload(source, outcome, start.elapsed());
    result
}

fn outcome(result: &Result<bool, Error>) -> Outcome {
    match result {
        Ok(true) => Outcome::Taken,
        Ok(false) => Outcome::Unchanged,
        Err(Error::Invalid(_)) => Outcome::Invalid,
        Err(Error::Database(_) | Error::Recovering) => Outcome::Failed,
    }
}

/// Applies notified `changes`, in the order of their commits, without reading the database. Returns whether the settings
/// are current now; otherwise the database has to be read.
///
/// # Errors
/// `Invalid`: the settings after the changes break their rules.
pub(super) async fn apply_notified(
    settings: &GlobalSettingsService,
    changes: Vec<NotifiedChange>,
) -> Result<bool, Error> {
    let mut state = settings.lock_reload().await;
    let start = Instant::now();
    let current = settings.snapshot();
    // Violations may concern any setting, and only a full load finds out whether they are gone.
    let new = settings
        .is_valid()
        .then(|| successors(&current, &mut state.next_notification, changes))
        .flatten();
    let Some(new) = new else { return Ok(false) };
    let Some(last) = new.last() else { return Ok(true) };
    let revision = last.revision;
    let age = settings.database_time_since(last.changed_at);
    let is_awaited = new.iter().any(|change| change.is_awaited);
    // All at once, as a reload does: only the settings after the last change have to be valid.
    let rows = new.into_iter().flat_map(|change| change.settings).collect();
    let newer = current.advanced(revision, rows).map_err(Error::Invalid);
    let newer = newer.map(|snapshot| Newer { snapshot, age, is_awaited, is_correction: false });
    let result = replace(newer.map(Some), settings);
    settings.metrics().reload(Source::Notify, outcome(&result), start.elapsed());
    settings.metrics().applied_from_notification();
    result.map(|_| true)
}

/// Returns the `changes` that follow `current`, without changes that `current` contains, and moves `next` past every
/// verified notification. `None` if a change is missing or forged, or belongs to another timeline or catalog.
fn successors(
    current: &Snapshot,
    next: &mut Option<NextNotification>,
    changes: Vec<NotifiedChange>,
) -> Option<Vec<NotifiedChange>> {
    let mut new: Vec<NotifiedChange> = Vec::new();
    for change in changes {
        let catalog_revision = current.schema.revision;
        if current.timeline.as_ref() != Some(&change.timeline) {
            return None;
        }
        // Whoever knows the secret of the digest has the rights of the trigger.
        let is_genuine = next
            .as_ref()
            .is_some_and(|next| next.revision == change.revision && next.digest == change.digest);
        if is_genuine {
            // Also for a change of this process, whose notification arrives after the change was applied.
            let digest = change.next_digest.clone();
            *next = Some(NextNotification { revision: change.revision + 1, digest });
        }
        if change.revision <= current.revision && change.catalog_revision <= catalog_revision {
            continue;
        }
        let is_next =
            change.revision == new.last().map_or(current.revision, |last| last.revision) + 1;
        if !is_genuine || !is_next || change.catalog_revision != catalog_revision {
            return None;
        }
        new.push(change);
    }
    Some(new)
}

/// Applies a committed change of this process to the current snapshot: the statement that committed the change returned
/// `rows`, the changed settings at `revision`, the next after `base`. Leaves the change to the next reload if `base` is
/// not the current snapshot any more, or while a reload runs.
pub(super) fn advance(
    settings: &GlobalSettingsService,
    base: &Arc<Snapshot>,
    revision: i64,
    rows: Vec<StoredSetting>,
) {
    let start = Instant::now();
    let Some(_lock) = settings.try_lock_reload() else { return };
    if !Arc::ptr_eq(&settings.snapshot(), base) || !settings.is_valid() {
        return;
    }
    // The rules were checked before the commit; if they do not hold, the reload reports the violations.
    let Ok(snapshot) = base.advanced(revision, rows) else { return };
    // The commit was acknowledged just before. The writer needs no acknowledgement of its own instance.
    let age = Some(start.elapsed());
    let newer = Newer { snapshot, age, is_awaited: false, is_correction: false };
    if replace(Ok(Some(newer)), settings).is_ok_and(|is_replaced| is_replaced) {
        settings.metrics().reload(Source::Demand, Outcome::Taken, start.elapsed());
    }
}

/// Replaces the current snapshot by `newer`, or records why the stored settings are invalid.
fn replace(
    newer: Result<Option<Newer>, Error>,
    settings: &GlobalSettingsService,
) -> Result<bool, Error> {
    match newer {
        Ok(Some(Newer { snapshot, age, is_awaited, is_correction })) => {
            let revision = snapshot.revision;
            let is_replaced = settings.advance(snapshot, is_correction);
            if is_replaced {
                if is_awaited {
                    settings.announce_awaited();
                }
                settings.metrics().applied(revision, age);
                info!(settings.revision = revision, "settings reloaded");
            }
            Ok(is_replaced)
        }
        // Violations need no reset: until the settings are valid, `newer` always loads everything.
        Ok(None) => Ok(false),
        Err(err) => {
            if let Error::Invalid(violations) = &err {
                settings.set_violations(violations.clone());
            }
            Err(err)
        }
    }
}

/// A snapshot that differs from the current snapshot.
struct Newer {
    snapshot: Snapshot,
    /// The time since the newest change, by the database's clock; `None` after a full load.
    age: Option<Duration>,
    /// Whether a writer may wait for the revision. Unknown without the notification, and then assumed.
    is_awaited: bool,
    /// Whether the database lost the revision of the current snapshot.
    is_correction: bool,
}

/// The result of a read of the database.
struct Read {
    /// `None` without changes.
    newer: Option<Newer>,
    next_notification: Option<NextNotification>,
}

impl Read {
    /// Creates the result for a database at `revision`; `digest` of the secret in the next notification.
    fn new(newer: Option<Newer>, revision: i64, digest: Option<Vec<u8>>) -> Self {
        let next_notification =
            digest.map(|digest| NextNotification { revision: revision + 1, digest });
        Self { newer, next_notification }
    }
}

/// Reads the changes since the current snapshot, under the lock of reloads: no other snapshot replaces the current one
/// meanwhile, so every read here began after the current snapshot was committed. `next` is the next notification that can
/// be verified.
async fn newer(
    pool: &Pool,
    settings: &GlobalSettingsService,
    next: Option<&NextNotification>,
) -> Result<Read, Error> {
    let current = settings.snapshot();
    let since = current.revision;
    let read = database::read_with_retry(pool, async |conn| {
        let begin = settings.local_time();
        Ok::<_, sqlx::Error>((begin, store::changed_since(conn, since).await?))
    });
    let (begin, changes) = read.await?;
    let Some(head) = changes.first() else { return load_newer(pool, &current, false).await };
    if let Some(now) = head.read_at {
        settings.set_database_time(now, begin);
    }
    if head.timeline.is_none() {
        return Err(Error::Recovering);
    }
    // Also without a new revision: a stop of starts and a step of a rollout change the epoch only.
    settings.set_epoch(store::Change::epoch_of(&changes));
    // After a failover, a new catalog or a violation, the current snapshot is no base for changes: load everything.
    let is_base = head.timeline == current.timeline
        && head.catalog_revision == current.schema.revision
        && settings.is_valid();
    if !is_base || head.revision < current.revision {
        return load_newer(pool, &current, false).await;
    }
    let revision = head.revision;
    let next_digest = head.next_digest.clone();
    if revision == current.revision {
        // Two secrets of one revision: the database lost the revision, and has another change of the same number.
        let differs = |next: &NextNotification| {
            next.revision == revision + 1
                && next_digest.as_ref().is_some_and(|digest| *digest != next.digest)
        };
        if next.is_some_and(differs) {
            return load_newer(pool, &current, true).await;
        }
        return Ok(Read::new(None, revision, next_digest));
    }
    // Only the changed rows: a reload must not cost more with the size of the catalog.
    let age = head.age();
    let rows = changes.into_iter().filter_map(store::Change::stored).collect();
    let snapshot = current.advanced(revision, rows).map_err(Error::Invalid)?;
    let newer = Newer { snapshot, age, is_awaited: true, is_correction: false };
    Ok(Read::new(Some(newer), revision, next_digest))
}

/// Reads all settings, after the read that found `current` outdated. `is_other_history`: the database has another change of
/// the revision of `current`.
async fn load_newer(
    pool: &Pool,
    current: &Snapshot,
    is_other_history: bool,
) -> Result<Read, Error> {
    let (snapshot, next_digest) = load_with_digest(pool).await?;
    let revision = snapshot.revision;
    let is_ahead =
        revision < current.revision || snapshot.schema.revision < current.schema.revision;
    // A failover may lose revisions, and is no fault.
    let is_correction = (is_ahead || is_other_history) && snapshot.timeline == current.timeline;
    if is_correction {
        error!(
            settings.revision = current.revision,
            database.revision = revision,
            "the database does not have the settings of this instance: restored, or commits were lost; the settings of \
             the database replace those of the instance"
        );
    }
    let newer = Newer { snapshot, age: None, is_awaited: true, is_correction };
    Ok(Read::new(Some(newer), revision, next_digest))
}
