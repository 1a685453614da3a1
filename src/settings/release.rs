//! Releases of the settings: make, archive, compare. `rollback.rs` restores.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    audit::Actor,
    database::{self, Connection, Pool, TransactionError},
    idempotency,
    releases::{self, Release},
    secret_scanner::SecretKind,
    settings::{
        change::WriteOptions,
        current::GlobalSettingsService,
        read::{self, AsOf},
        writer::SettingsWriter,
    },
};

/// Why a release could not be made, archived or compared.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No release has the name.
    // The name is not repeated, because the caller may have sent a secret.
    #[error("there is no release with this name")]
    NotFound,
    /// The name exists.
    #[error("a release with this name exists")]
    Exists,
    /// The name or the text looks like a secret.
    #[error("the {field} {}", .kind.detail())]
    SecretLike {
        /// The member of the body.
        field: &'static str,
        /// The kind of secret.
        kind: SecretKind,
    },
    /// The idempotency key belongs to another request.
    #[error(transparent)]
    Idempotency(#[from] idempotency::Reused),
    /// The settings could not be read.
    #[error(transparent)]
    Read(#[from] read::Error),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] TransactionError),
}

impl From<sqlx::Error> for Error {
    fn from(err: sqlx::Error) -> Self {
        Self::Database(err.into())
    }
}

/// The differences between a release and another state.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReleaseDiff {
    /// The revision of the release.
    pub from_revision: i64,
    /// The revision of the other release, or the current revision.
    pub to_revision: i64,
    /// The settings with different values, by key.
    pub changed: Vec<ValueDiff>,
}

/// A setting with different values in two states.
#[derive(Debug, Serialize, ToSchema)]
pub struct ValueDiff {
    /// The key.
    #[schema(example = "BRUNE_COOLDOWN_MINUTES")]
    pub key: String,
    /// The value in the release; null without a value.
    #[schema(required)]
    pub from: Option<Value>,
    /// The value in the other state; null without a value.
    #[schema(required)]
    pub to: Option<Value>,
}

impl SettingsWriter {
    /// Makes the release `name` of `revision`, or of the current revision. The reason of `actor` is the note.
    pub async fn make_release(
        &self,
        actor: &Actor,
        name: &str,
        revision: Option<i64>,
        options: &WriteOptions,
    ) -> Result<Release, Error> {
        self.refuse_secret(actor, "name", name, options).await?;
        self.refuse_secret(actor, "note", actor.reason.as_str(), options).await?;
        let newest = read::revision(&self.pool).await?;
        let revision = revision.unwrap_or(newest);
        if !(1..=newest).contains(&revision) {
            let detail = format!("revision {revision} does not exist; the newest is {newest}");
            return Err(read::Error::NoSuchRevision(detail).into());
        }
        let insert = async |conn: &mut Connection| {
            releases::insert(conn, actor, name, revision).await?.ok_or(Error::Exists)
        };
        self.run_once(options, insert).await
    }

    /// Archives the release `name`. An archived release stays as it is.
    pub async fn archive_release(
        &self,
        actor: &Actor,
        name: &str,
        options: &WriteOptions,
    ) -> Result<Release, Error> {
        self.refuse_secret(actor, "reason", actor.reason.as_str(), options).await?;
        let archive = async |conn: &mut Connection| {
            if let Some(release) = releases::archive(conn, actor, name).await? {
                return Ok(release);
            }
            releases::find(conn, name).await?.ok_or(Error::NotFound)
        };
        self.run_once(options, archive).await
    }

    async fn refuse_secret(
        &self,
        actor: &Actor,
        field: &'static str,
        text: &str,
        options: &WriteOptions,
    ) -> Result<(), Error> {
        match self.scan_text(actor, text, options.dry_run).await? {
            Some(kind) => Err(Error::SecretLike { field, kind }),
            None => Ok(()),
        }
    }
}

/// Compares the release `from` with the release `to`, or with the current settings.
pub async fn diff_release(
    pool: &Pool,
    settings: &GlobalSettingsService,
    from: &str,
    to: Option<&str>,
) -> Result<ReleaseDiff, Error> {
    let from = AsOf::Revision(find(pool, from).await?.revision);
    let to = match to {
        Some(name) => AsOf::Revision(find(pool, name).await?.revision),
        None => AsOf::Now,
    };
    let from = read::list(pool, settings, from).await?;
    let to = read::list(pool, settings, to).await?;
    let (from_revision, to_revision) = (from.revision, to.revision);
    let mut pairs: BTreeMap<String, (Option<Value>, Option<Value>)> = BTreeMap::new();
    for setting in from.settings {
        pairs.entry(setting.key).or_default().0 = Some(setting.value);
    }
    for setting in to.settings {
        pairs.entry(setting.key).or_default().1 = Some(setting.value);
    }
    let differing = pairs.into_iter().filter(|(_, (from, to))| from != to);
    let differences = differing.map(|(key, (from, to))| ValueDiff { key, from, to });
    Ok(ReleaseDiff { from_revision, to_revision, changed: differences.collect() })
}

/// Returns the release `name`.
pub async fn find(pool: &Pool, name: &str) -> Result<Release, Error> {
    let release = database::read_with_retry(pool, async |conn| releases::find(conn, name).await);
    release.await?.ok_or(Error::NotFound)
}
