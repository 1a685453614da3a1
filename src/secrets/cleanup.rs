//! Removing the values of secrets from the database.

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

/// A request to remove stored secrets.
#[derive(Debug, Clone, Default)]
pub struct Cleanup {
    /// Names of secrets; `None` for all.
    pub names: Option<Vec<String>>,
    /// Whether nothing is stored.
    pub dry_run: bool,
}

/// The result of a cleanup.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SecretCleanup)]
pub struct CleanupResult {
    /// Secrets without stored values after the cleanup.
    pub removed: Vec<String>,
    /// Secrets whose stored values were kept.
    pub kept: Vec<KeptSecret>,
    /// Whether nothing was stored.
    pub dry_run: bool,
}

/// A secret whose value is still stored.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = KeptSecret)]
pub struct KeptSecret {
    /// The name.
    pub name: String,
    /// The reason: `no_environment_source`, because the only copy would be lost.
    #[schema(example = "no_environment_source")]
    pub why: &'static str,
}

/// The reason why a cleanup failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Undeclared secrets.
    #[error("the catalog declares no secret {}", .0.join(", "))]
    NoSuchSecret(Vec<String>),
    /// The reason contains a secret, which would be stored in the audit trail.
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

/// Removes stored rows and audit values of secrets that this instance has from another source.
///
/// Runs in one transaction with audit entries without values, and is idempotent.
///
/// # Errors
/// An unknown name, a secret in the reason, or a database error.
pub async fn clean_up(
    pool: &Pool,
    settings: &GlobalSettingsService,
    scanner: &SecretScanner,
    outbox: &Outbox,
    provision: &Provision,
    actor: &Actor,
    cleanup: &Cleanup,
) -> Result<CleanupResult, Error> {
    // All unknown names at once, before anything is locked.
    let unknown = unknown(settings, cleanup);
    if !unknown.is_empty() {
        return Err(Error::NoSuchSecret(unknown));
    }
    // The reason is stored in the audit trail, which is append-only.
    if let Some(kind) = scanner.scan(actor.reason.as_str()) {
        return Err(Error::SecretLike(kind));
    }
    let mut transaction = Transaction::begin(pool, Deadline::standard()).await?;
    let result = execute(&mut transaction, outbox, provision, actor, cleanup).await;
    let on_success = if cleanup.dry_run { OnSuccess::Rollback } else { OnSuccess::Commit };
    let result = transaction.finish(result, on_success).await?;
    outbox.wake();
    Ok(result)
}

fn unknown(settings: &GlobalSettingsService, cleanup: &Cleanup) -> Vec<String> {
    let snapshot = settings.snapshot();
    let is_secret = |name: &str| {
        snapshot.schema.find(name).is_some_and(|definition| definition.kind == Kind::Secret)
    };
    let names = cleanup.names.iter().flatten();
    names.filter(|name| !is_secret(name)).cloned().collect()
}

async fn execute(
    transaction: &mut Transaction,
    outbox: &Outbox,
    provision: &Provision,
    actor: &Actor,
    cleanup: &Cleanup,
) -> Result<CleanupResult, Error> {
    let conn = transaction.conn();
    let is_selected =
        |name: &String| cleanup.names.as_ref().is_none_or(|names| names.contains(name));
    let residue = store::residue(conn).await?.into_iter().filter(is_selected);
    let (removed, only_stored): (Vec<_>, Vec<_>) =
        residue.partition(|name| has_other_source(provision, name));
    if !removed.is_empty() {
        let entry = |key: &String| NewEntry::without_values(key, Action::SecretCleanup);
        let entries: Vec<_> = removed.iter().map(entry).collect();
        // Appended first, because the append takes the lock that serializes all writers.
        audit::append(conn, actor, entries).await?;
        store::remove(conn, &removed).await?;
        let payload = json!({
            "removed": removed,
            "total": removed.len(),
            "by": actor.user,
            "reason": actor.reason.as_str(),
            "request_id": actor.request,
        });
        // In the same transaction, so that the message is sent exactly if the cleanup commits.
        outbox.enqueue(conn, Topic::SecretsCleaned, &payload).await?;
    }
    let only_stored = only_stored.into_iter();
    let kept_secret = |name| KeptSecret { name, why: "no_environment_source" };
    let dry_run = cleanup.dry_run;
    Ok(CleanupResult { removed, kept: only_stored.map(kept_secret).collect(), dry_run })
}

/// Whether this instance has the secret from a source other than the database.
fn has_other_source(provision: &Provision, name: &str) -> bool {
    provision.source(name).is_some_and(|source| source != Source::LegacyDb)
}
