//! Taking out what is left of secrets in the database.

use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use crate::{
    audit::{self, Action, Actor, NewEntry},
    config::{Provision, Source},
    database::{Deadline, OnSuccess, Pool, Transaction, TransactionError},
    outbox::{Outbox, Topic},
    secret_scanner::{SecretKind, SecretScanner},
    secrets::store,
    settings::{GlobalSettingsService, Kind},
};

/// What is to be cleaned up.
#[derive(Debug, Clone, Default)]
pub struct Cleanup {
    /// These secrets; every one when `None`.
    pub names: Option<Vec<String>>,
    /// Whether it is only tried.
    pub dry_run: bool,
}

/// What was done.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SecretCleanup)]
pub struct CleanupResult {
    /// The secrets of which nothing is left now.
    pub removed: Vec<String>,
    /// The secrets of which something was kept.
    pub kept: Vec<KeptSecret>,
    /// Whether it was only tried.
    pub dry_run: bool,
}

/// A secret of which the database still holds a value.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = KeptSecret)]
pub struct KeptSecret {
    /// Its name.
    pub name: String,
    /// Why: `no_environment_source`, it would be lost.
    #[schema(example = "no_environment_source")]
    pub why: &'static str,
}

/// Why nothing was cleaned up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The catalog declares no such secrets.
    #[error("the catalog declares no secret {}", .0.join(", "))]
    NoSuchSecret(Vec<String>),
    /// The reason itself would leave one in the trail.
    #[error("the reason looks like {0}")]
    SecretLike(SecretKind),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] TransactionError),
}

impl From<sqlx::Error> for Error {
    fn from(err: sqlx::Error) -> Self {
        Self::Database(err.into())
    }
}

/// Removes what the database holds of secrets that this instance is provided with otherwise: rows, and
/// values in the trail. One transaction, told in the trail without values; safe to repeat.
pub async fn clean_up(
    pool: &Pool,
    settings: &GlobalSettingsService,
    scanner: &SecretScanner,
    outbox: &Outbox,
    provision: &Provision,
    actor: &Actor,
    cleanup: &Cleanup,
) -> Result<CleanupResult, Error> {
    let unknown = unknown(settings, cleanup);
    if !unknown.is_empty() {
        return Err(Error::NoSuchSecret(unknown));
    }
    if let Some(likeness) = scanner.scan(actor.reason.as_str()) {
        return Err(Error::SecretLike(likeness));
    }
    let mut work = Transaction::begin(pool, Deadline::standard()).await?;
    let cleaned = carry_out(&mut work, outbox, provision, actor, cleanup).await;
    let ending = if cleanup.dry_run { OnSuccess::Rollback } else { OnSuccess::Commit };
    let cleaned = work.finish(cleaned, ending).await?;
    outbox.wake();
    Ok(cleaned)
}

fn unknown(settings: &GlobalSettingsService, cleanup: &Cleanup) -> Vec<String> {
    let snapshot = settings.snapshot();
    let is_secret =
        |name: &str| snapshot.schema.find(name).is_some_and(|it| it.kind == Kind::Secret);
    let named = cleanup.names.iter().flatten();
    named.filter(|name| !is_secret(name)).cloned().collect()
}

async fn carry_out(
    work: &mut Transaction,
    outbox: &Outbox,
    provision: &Provision,
    actor: &Actor,
    cleanup: &Cleanup,
) -> Result<CleanupResult, Error> {
    let conn = work.conn();
    let wanted = |name: &String| cleanup.names.as_ref().is_none_or(|it| it.contains(name));
    let residue = store::residue(conn).await?.into_iter().filter(wanted);
    let (removed, kept): (Vec<_>, Vec<_>) = residue.partition(|it| is_elsewhere(provision, it));
    if !removed.is_empty() {
        let entry = |key: &String| NewEntry::without_values(key, Action::SecretCleanup);
        let entries: Vec<_> = removed.iter().map(entry).collect();
        // First, since it takes the lock that writers stand in a row for.
        audit::append(conn, actor, entries).await?;
        store::remove(conn, &removed).await?;
        let payload = json!({
            "removed": removed,
            "total": removed.len(),
            "by": actor.user,
            "reason": actor.reason.as_str(),
            "request_id": actor.request,
        });
        outbox.enqueue(conn, Topic::SecretsCleaned, &payload).await?;
    }
    let kept = kept.into_iter().map(|name| KeptSecret { name, why: "no_environment_source" });
    Ok(CleanupResult { removed, kept: kept.collect(), dry_run: cleanup.dry_run })
}

/// Whether this instance has the secret from somewhere else than the database.
fn is_elsewhere(provision: &Provision, name: &str) -> bool {
    provision.source(name).is_some_and(|it| it != Source::LegacyDb)
}
