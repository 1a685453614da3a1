//! Reading what the database says, and taking it on.

use std::{sync::Arc, time::Duration};

use tokio::time;
use tracing::info;

use crate::{
    database::{self, Connection, Deadline, OnSuccess, Pool, Transaction, TransactionError},
    metrics::{Outcome, Source},
    settings::{
        entry::readable_entries,
        rules::{self, Violation},
        schema::{self, Schema},
        service::GlobalSettingsService,
        snapshot::Snapshot,
        store,
        value::SettingValue,
    },
};

/// Why the database's settings were not taken on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// They break their own rules.
    #[error("the stored settings are invalid: {}", describe(.0))]
    Invalid(Vec<Violation>),
    /// The server is a standby, which may lag.
    #[error("the database server is in recovery")]
    Recovering,
    /// The database failed, or did not answer in time.
    #[error("the settings could not be read")]
    Database(#[from] TransactionError),
}

/// A declaration that is not understood is a fault of its key, told and mended like any other.
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

/// The faults in one line.
fn describe(faults: &[Violation]) -> String {
    faults.iter().map(|it| format!("{} {}", it.key, it.detail)).collect::<Vec<_>>().join("; ")
}

/// Reads everything: declarations and values at one revision.
pub async fn load(pool: &Pool) -> Result<Snapshot, Error> {
    // One state of the database for both, whatever is committed between the statements.
    let deadline = Deadline::standard();
    let mut work = Transaction::begin_reading(pool, deadline).await?;
    let read = deadline.within(read_all(work.conn())).await;
    work.finish(read, OnSuccess::Rollback).await
}

async fn read_all(conn: &mut Connection) -> Result<Snapshot, Error> {
    let head = store::head(conn).await?;
    let timeline = head.timeline.ok_or(Error::Recovering)?;
    let definitions = schema::store::all(conn).await??;
    // A contradiction in the declarations shows as values that break a rule.
    let catalog = head.catalog.unwrap_or_default();
    let schema = Schema::new(catalog, head.catalog_revision, definitions);
    let rows = store::all(conn).await?;
    Snapshot::new(head.revision, Some(timeline), Arc::new(schema), rows).map_err(Error::Invalid)
}

/// Finds stored values with characters that no write takes any more: an older release did, and `psql` does. They are
/// served as they are.
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
    let violations = readable_entries(&schema, rows).into_iter().flat_map(|(key, entry)| {
        let name = SettingValue::String(entry.updated_by);
        let of_name = rules::check_characters(&key, &name).into_iter().map(|violation| {
            let detail = format!("updated_by {}", violation.detail);
            Violation { detail, ..violation }
        });
        let of_name: Vec<_> = of_name.collect();
        rules::check_characters(&key, &entry.value).into_iter().chain(of_name)
    });
    Ok(violations.collect())
}

/// Reads what is newer than what is held, and takes it on; says whether anything was.
pub async fn refresh(pool: &Pool, settings: &GlobalSettingsService) -> Result<bool, Error> {
    refresh_for(Source::Demand, pool, settings).await
}

/// [`refresh`], woken by `source`.
pub(super) async fn refresh_for(
    source: Source,
    pool: &Pool,
    settings: &GlobalSettingsService,
) -> Result<bool, Error> {
    let _only = settings.refreshing().await;
    let began = time::Instant::now();
    let taken = take(newer(pool, settings).await, settings);
    let outcome = match &taken {
        Ok(true) => Outcome::Taken,
        Ok(false) => Outcome::Unchanged,
        Err(Error::Invalid(_)) => Outcome::Invalid,
        Err(Error::Database(_) | Error::Recovering) => Outcome::Failed,
    };
    settings.set_reachable(outcome != Outcome::Failed);
    settings.metrics().reload(source, outcome, began.elapsed());
    taken
}

/// Takes on what was read; says whether it was newer.
fn take(
    read: Result<Option<Newer>, Error>,
    settings: &GlobalSettingsService,
) -> Result<bool, Error> {
    match read {
        Ok(Some(Newer { snapshot, age })) => {
            let revision = snapshot.revision;
            let taken = settings.advance(snapshot);
            if taken {
                settings.metrics().applied(revision, age);
                info!(settings.revision = revision, "took on new settings");
            }
            Ok(taken)
        }
        Ok(None) => Ok(false),
        Err(err) => {
            if let Error::Invalid(faults) = &err {
                settings.set_violations(faults.clone());
            }
            Err(err)
        }
    }
}

/// Settings that are other than those held.
struct Newer {
    snapshot: Snapshot,
    /// Since the newest change, by the database's clock; `None` where that is not what was waited for.
    age: Option<Duration>,
}

impl From<Snapshot> for Newer {
    fn from(snapshot: Snapshot) -> Self {
        Self { snapshot, age: None }
    }
}

/// The settings in the database when they are other than those held.
async fn newer(pool: &Pool, settings: &GlobalSettingsService) -> Result<Option<Newer>, Error> {
    let held = settings.snapshot();
    let since = held.revision;
    let changes = database::read_with_retry(pool, async |conn| {
        Ok::<_, TransactionError>(store::changed_since(conn, since).await?)
    });
    let changes = changes.await?;
    let Some(head) = changes.first() else { return reloaded(pool).await };
    if head.timeline.is_none() {
        return Err(Error::Recovering);
    }
    // Another history, another catalog, or a fault found before: nothing held can be built upon.
    let known = head.timeline == held.timeline
        && head.catalog_revision == held.schema.revision
        && settings.is_valid();
    if !known || head.revision < held.revision {
        return reloaded(pool).await;
    }
    if head.revision == held.revision {
        return Ok(None);
    }
    let (revision, age) = (head.revision, head.age());
    let rows = changes.into_iter().filter_map(store::Change::stored).collect();
    let snapshot = held.advanced(revision, rows).map_err(Error::Invalid)?;
    Ok(Some(Newer { snapshot, age }))
}

async fn reloaded(pool: &Pool) -> Result<Option<Newer>, Error> {
    Ok(Some(load(pool).await?.into()))
}
