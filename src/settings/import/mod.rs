//! From a document into the settings: first a plan, then the same write path as every other change.

mod plan;

use crate::{
    audit::{Action, Actor},
    database::{self, ConflictRetry, TransactionError},
    idempotency,
    json::StrictJson,
    settings::{
        change::{ChangeResult, Edit, Error as ChangeError, WriteOptions},
        document::Incoming,
        import::plan::wanted,
        reload,
        writer::SettingsWriter,
    },
};

pub use plan::{Class, ImportPlan, PlanEntry};

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

impl SettingsWriter {
    /// Imports a document as one change set, all or nothing.
    pub async fn import(
        &self,
        actor: &Actor,
        incoming: &Incoming,
        digest: &[u8],
        options: &ImportOptions,
    ) -> Result<ChangeResult, Error> {
        let mut changed = self.write_import(actor, incoming, digest, options).await?;
        if options.on_unknown == OnUnknown::Skip {
            changed.ignored.extend(self.skipped_keys(incoming));
        }
        Ok(changed)
    }

    async fn write_import(
        &self,
        actor: &Actor,
        incoming: &Incoming,
        digest: &[u8],
        options: &ImportOptions,
    ) -> Result<ChangeResult, Error> {
        let on_unknown = options.on_unknown;
        let edits = wanted(&self.settings.snapshot().schema, incoming, on_unknown);
        self.refuse_secrets(actor, &edits, false).await?;
        if let Some(key) = &options.idempotency {
            // Before the comparison of revisions: the first import itself has changed the revision.
            let first = database::read_with_retry(&self.pool, async |conn| {
                Ok::<_, ChangeError>(idempotency::find(conn, key).await??)
            });
            if let Some(first) = first.await? {
                return Ok(first);
            }
        }
        let mut retry = ConflictRetry::default();
        while retry.next() {
            let plan = self.plan_import(incoming, digest, on_unknown).await?;
            if options.plan_id.as_ref().is_some_and(|plan_id| *plan_id != plan.plan_id) {
                return Err(Error::PlanOutdated);
            }
            let write_options = WriteOptions {
                revisions: Some(vec![plan.base_revision]),
                lenient: true,
                dry_run: false,
                idempotency: options.idempotency.clone(),
            };
            let edits = accepted(plan, options.on_conflict)?;
            match self.write(Action::Import, actor, &edits, &write_options).await {
                // A concurrent change: plan again, unless the caller insists on the reviewed plan.
                Err(ChangeError::Mismatch { .. }) => (),
                result => return Ok(result?),
            }
        }
        Err(Error::PlanOutdated)
    }
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
