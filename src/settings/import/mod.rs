//! From a document into the settings: first a plan, then the same write path as every other change.

mod plan;

use crate::{
    audit::{Action, Actor},
    database::{self, Pool, TransactionError},
    idempotency,
    json::StrictJson,
    settings::{
        change::{self, Changed, Edit, Error as ChangeError, WriteOptions},
        document::Incoming,
        import::plan::{skipped, wanted},
        reload,
        service::GlobalSettingsService,
    },
};

pub use plan::{Class, ImportPlan, PlanEntry, plan};

/// What to do with keys that the catalog does not declare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnUnknown {
    /// Import nothing.
    Refuse,
    /// Leave them out, whatever their values are.
    Skip,
}

/// What to do with entries that were changed here after the document was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnConflict {
    /// Import nothing.
    Refuse,
    /// The document wins.
    Overwrite,
    /// What stands wins.
    Skip,
}

/// How a document is to be imported.
#[derive(Debug, Clone)]
pub struct ImportOptions {
    /// The plan that was reviewed.
    pub plan_id: Option<String>,
    /// What to do with conflicts.
    pub on_conflict: OnConflict,
    /// What to do with keys that the catalog does not declare.
    pub on_unknown: OnUnknown,
    /// What makes a repeat the same request.
    pub idempotency: Option<idempotency::Key>,
}

/// Why a document was not imported; nothing was stored.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is of another catalog.
    #[error("the document is of catalog {theirs}, and this is {ours}")]
    OtherCatalog {
        /// The document's.
        theirs: String,
        /// The service's.
        ours: String,
    },
    /// Something moved since the plan was drawn up.
    #[error("the settings have moved since the plan was drawn up")]
    PlanOutdated,
    /// Keys were changed here after the document was written.
    #[error("{} settings were changed here after the document was written", .0.len())]
    Conflict(Vec<PlanEntry>),
    /// The change was refused.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// The declarations could not be read.
    #[error(transparent)]
    Reload(#[from] reload::Error),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] TransactionError),
}

/// Imports a document, all or nothing, as one change set.
pub async fn import(
    pool: &Pool,
    settings: &GlobalSettingsService,
    actor: &Actor,
    incoming: &Incoming,
    digest: &[u8],
    terms: &ImportOptions,
) -> Result<Changed, Error> {
    let mut changed = write(pool, settings, actor, incoming, digest, terms).await?;
    if terms.on_unknown == OnUnknown::Skip {
        changed.ignored.extend(skipped(settings, incoming));
    }
    Ok(changed)
}

async fn write(
    pool: &Pool,
    settings: &GlobalSettingsService,
    actor: &Actor,
    incoming: &Incoming,
    digest: &[u8],
    terms: &ImportOptions,
) -> Result<Changed, Error> {
    let on_unknown = terms.on_unknown;
    let edits = wanted(&settings.snapshot().schema, incoming, on_unknown);
    change::screen(pool, settings, actor, &edits, false).await?;
    if let Some(key) = &terms.idempotency {
        // Before anything is compared: the first import has moved the settings itself.
        let first = database::read_with_retry(pool, async |conn| {
            Ok::<_, ChangeError>(idempotency::find(conn, key).await??)
        });
        if let Some(first) = first.await? {
            return Ok(first);
        }
    }
    // Without a plan to hold to, a change in between is planned anew; with one, it is refused.
    for _ in 0..8 {
        let plan = plan(pool, settings, incoming, digest, on_unknown).await?;
        if terms.plan_id.as_ref().is_some_and(|it| *it != plan.plan_id) {
            return Err(Error::PlanOutdated);
        }
        let base = plan.base_revision;
        let edits = accepted(plan, terms.on_conflict)?;
        let terms = WriteOptions {
            revisions: Some(vec![base]),
            lenient: true,
            dry_run: false,
            idempotency: terms.idempotency.clone(),
        };
        match change::update_as(Action::Import, pool, settings, actor, &edits, &terms).await {
            Err(ChangeError::Mismatch { .. }) => (),
            done => return Ok(done?),
        }
    }
    Err(Error::PlanOutdated)
}

/// What is to be written, locked entries included: the write path leaves those out and says so.
fn accepted(plan: ImportPlan, on_conflict: OnConflict) -> Result<Vec<Edit>, Error> {
    if let Some(refusal) = plan.refusal(on_conflict) {
        return Err(refusal);
    }
    let wanted = plan.entries.into_iter().filter(|it| match it.class {
        Class::Change | Class::Same | Class::Locked => true,
        Class::Conflict => on_conflict == OnConflict::Overwrite,
        Class::Unknown | Class::Invalid => false,
    });
    let edit = |entry: PlanEntry| {
        let value = entry.imported.as_ref().map_or(StrictJson::Null, StrictJson::from);
        Edit { key: entry.key, value, version: None }
    };
    Ok(wanted.map(edit).collect())
}
