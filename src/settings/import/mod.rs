//! Imports: a plan for review, then the write path of every other change.

mod builder;
mod entry;
mod error;
mod options;
mod plan;

pub use entry::{Class, PlanEntry};
pub use error::Error;
pub use options::{ImportOptions, OnConflict, OnUnknown};
pub use plan::ImportPlan;

use crate::{
    audit::{Action, Actor},
    database::{self, ConflictRetry, TransactionError},
    idempotency,
    json::StrictJson,
    settings::{
        change::{self, Approval, ChangeResult, Edit, Error as ChangeError, WriteOptions},
        document::IncomingDocument,
        import::builder::selected_edits,
        schema::KeyClass,
        writer::SettingsWriter,
    },
};

impl SettingsWriter {
    /// Imports a document as one change set, all or nothing.
    ///
    /// # Errors
    /// The document, the plan or the change is rejected, or the database failed.
    pub async fn import(
        &self,
        actor: &Actor,
        document: &IncomingDocument,
        digest: &[u8],
        options: &ImportOptions,
    ) -> Result<ChangeResult, Error> {
        let mut result = self.write_import(actor, document, digest, options).await?;
        if options.on_unknown == OnUnknown::Skip {
            result.ignored.extend(self.skipped_keys(document));
        }
        Ok(result)
    }

    /// Returns why the import of `plan` would be rejected, or `None`.
    ///
    /// # Errors
    /// The database failed.
    pub async fn find_rejection(
        &self,
        plan: &ImportPlan,
        on_conflict: OnConflict,
        approval: Approval,
        is_delegated: bool,
    ) -> Result<Option<Error>, TransactionError> {
        if is_delegated && approval == Approval::Emergency {
            return Ok(Some(ChangeError::Delegated.into()));
        }
        if let Some(rejection) = plan.rejection(on_conflict) {
            return Ok(Some(rejection));
        }
        let snapshot = self.settings.snapshot();
        let editable = changing_entries(plan, on_conflict).filter_map(|entry| {
            match snapshot.schema.classify(&entry.key) {
                KeyClass::Editable(definition) => Some(definition),
                KeyClass::Locked(_) | KeyClass::Unknown => None,
            }
        });
        let changing: Vec<_> = editable.collect();
        let schema = &snapshot.schema;
        let check = database::read_with_retry(&self.pool, async |conn| {
            change::check_approval(conn, &changing, approval).await?;
            match change::current_rollout(conn).await? {
                // An emergency reverts the rollout.
                Some(rollout) if approval != Approval::Emergency => {
                    // Only during a rollout, because the values of a large import are many.
                    let edits = changing_edits(plan, on_conflict);
                    let (edits, _) = change::resolve(schema, &edits, true, None)?;
                    let before = change::current_entries(conn, schema, &edits).await?;
                    let value_before = |key: &str| before.get(key).map(|entry| &entry.value);
                    rollout.obstacle(schema, &edits, value_before).map_or(Ok(()), Err)
                }
                _ => Ok(()),
            }
        });
        match check.await {
            Ok(()) => Ok(None),
            Err(ChangeError::Database(err)) => Err(err),
            Err(rejection) => Ok(Some(rejection.into())),
        }
    }

    async fn write_import(
        &self,
        actor: &Actor,
        document: &IncomingDocument,
        digest: &[u8],
        options: &ImportOptions,
    ) -> Result<ChangeResult, Error> {
        let on_unknown = options.on_unknown;
        let snapshot = self.settings.snapshot();
        let edits = selected_edits(&snapshot.schema, document, on_unknown);
        // Before the plan, so that a secret is rejected and audited even if the plan fails.
        self.refuse_secrets(&snapshot.schema, actor, edits, false).await?;
        drop(snapshot);
        if let Some(key) = &options.idempotency {
            // Before the plan is compared, because the first import itself changed the settings.
            let first = database::read_with_retry(&self.pool, async |conn| {
                Ok::<_, ChangeError>(idempotency::find(conn, key).await??)
            });
            if let Some(first) = first.await? {
                return Ok(first);
            }
        }
        let mut retry = ConflictRetry::default();
        while retry.begin_attempt() {
            let plan = self.plan_import(document, digest, on_unknown).await?;
            if options.plan_id.as_ref().is_some_and(|plan_id| *plan_id != plan.plan_id) {
                return Err(Error::PlanOutdated);
            }
            let write_options = WriteOptions {
                // The revision of the plan must still be current at the write.
                revisions: Some(vec![plan.base_revision]),
                // Locked keys are skipped, as the plan states.
                lenient: true,
                dry_run: false,
                approval: options.approval,
                idempotency: options.idempotency.clone(),
                is_awaited: options.is_awaited,
                is_delegated: options.is_delegated,
            };
            let edits = accepted_edits(plan, options.on_conflict)?;
            match self.write(Action::Import, actor, &edits, &write_options).await {
                // A concurrent change leads to a new plan, or to an error if the request names a plan.
                Err(ChangeError::Mismatch { .. }) => (),
                result => return Ok(result?),
            }
        }
        Err(Error::PlanOutdated)
    }
}

/// Returns the edits of a plan, locked entries included: the write path skips and reports locked keys.
fn accepted_edits(plan: ImportPlan, on_conflict: OnConflict) -> Result<Vec<Edit>, Error> {
    if let Some(rejection) = plan.rejection(on_conflict) {
        return Err(rejection);
    }
    let accepted = plan.entries.into_iter().filter(|entry| is_accepted(entry, on_conflict));
    let edit = |entry: PlanEntry| {
        // Null only for locked keys, because the write path skips all values of locked keys.
        let value = entry.imported.map_or(StrictJson::Null, StrictJson::from);
        Edit { key: entry.key, value, version: None }
    };
    Ok(accepted.map(edit).collect())
}

/// Returns the accepted entries with another value than the current one. Equal values are no change, so neither a freeze,
/// nor missing approvals, nor a rollout reject them.
fn changing_entries(
    plan: &ImportPlan,
    on_conflict: OnConflict,
) -> impl Iterator<Item = &PlanEntry> {
    let entries = plan.entries.iter();
    entries.filter(move |entry| entry.class != Class::Same && is_accepted(entry, on_conflict))
}

/// Returns the edits of the accepted entries that change a setting, without locked keys.
fn changing_edits(plan: &ImportPlan, on_conflict: OnConflict) -> Vec<Edit> {
    let edit = |entry: &PlanEntry| {
        let value = StrictJson::from(entry.imported.as_ref()?);
        Some(Edit { key: entry.key.clone(), value, version: None })
    };
    changing_entries(plan, on_conflict).filter_map(edit).collect()
}

/// Whether the import passes the entry to the write path.
fn is_accepted(entry: &PlanEntry, on_conflict: OnConflict) -> bool {
    match entry.class {
        // `Same` too, because the result lists the unchanged keys.
        Class::Change | Class::Same | Class::Locked => true,
        Class::Conflict => on_conflict == OnConflict::Overwrite,
        Class::Unknown | Class::Invalid => false,
    }
}
