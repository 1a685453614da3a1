//! Import plans.

use std::{collections::BTreeMap, sync::Arc};

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    compute,
    database::{self, TransactionError},
    idempotency,
    secret_scanner::SecretKind,
    settings::{
        change::{self, Error as ChangeError, SecretMatches},
        document::IncomingDocument,
        entry::readable_entries,
        history,
        import::{
            builder::{CurrentSettings, PlanBuilder},
            entry::{Class, PlanEntry},
            error::Error,
            options::{OnConflict, OnUnknown},
        },
        reload,
        rules::Violation,
        schema::{KeyClass, Schema},
        snapshot::Snapshot,
        store::{self, Head},
        writer::SettingsWriter,
    },
};

/// The effects of importing a document.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ImportPlan {
    /// The id, which binds an import to the plan.
    pub plan_id: String,
    /// The revision at the creation of the plan.
    pub base_revision: i64,
    /// The document's entries, by key.
    pub entries: Vec<PlanEntry>,
    /// Number of entries by class.
    #[schema(value_type = Object)]
    pub counts: BTreeMap<Class, usize>,
    #[serde(skip)]
    violations: Vec<Violation>,
    #[serde(skip)]
    secret_like: Vec<(String, SecretKind)>,
}

impl ImportPlan {
    /// Returns the reason why the document cannot be imported, or `None`.
    #[must_use]
    pub fn rejection(&self, on_conflict: OnConflict) -> Option<Error> {
        // First, because `violations` has the same entries, and a secret is the graver error.
        if !self.secret_like.is_empty() {
            let values = self.secret_like.clone();
            return Some(ChangeError::SecretLike(SecretMatches { reason: None, values }).into());
        }
        if !self.violations.is_empty() {
            return Some(ChangeError::Invalid(self.violations.clone()).into());
        }
        let conflicts = self.entries.iter().filter(|entry| entry.class == Class::Conflict);
        let conflicts: Vec<_> = conflicts.cloned().collect();
        let is_rejected = !conflicts.is_empty() && on_conflict == OnConflict::Refuse;
        is_rejected.then_some(Error::Conflict(conflicts))
    }
}

impl SettingsWriter {
    /// Plans the import of `document`, whose bytes have the given `digest`, without storing anything.
    ///
    /// # Errors
    /// The document belongs to another catalog, or the settings could not be read.
    pub async fn plan_import(
        &self,
        document: &IncomingDocument,
        digest: &[u8],
        on_unknown: OnUnknown,
    ) -> Result<ImportPlan, Error> {
        let (head, changed_keys) = database::read_with_retry(&self.pool, async |conn| {
            // The head is read first, because a later write then fails the revision check.
            let head = store::head(conn).await?;
            let changed_keys = match document.revision {
                Some(revision) if revision < head.revision => {
                    history::keys_changed_since(conn, revision).await?
                }
                // Without the revision of the export, no conflict can be detected.
                _ => Vec::new(),
            };
            Ok::<_, TransactionError>((head, changed_keys))
        })
        .await?;
        let (schema, current) = self.settings_at(&head).await?;
        let schema = &*schema;
        let scanner = &self.scanner;
        if let Some(name) = document.catalog.as_ref().filter(|name| **name != schema.catalog) {
            // The name comes from the caller and may contain a secret.
            let name = if scanner.scan(name).is_none() { name } else { change::UNDECLARED };
            let service = schema.catalog.clone();
            return Err(Error::OtherCatalog { document: name.to_owned(), service });
        }
        let size = document.size.max(schema.reading_size());
        let build =
            || PlanBuilder::build(schema, scanner, &current, &changed_keys, document, on_unknown);
        let (entries, violations, secret_like) = compute::run(size, build).await;
        let mut counts = BTreeMap::new();
        for entry in &entries {
            *counts.entry(entry.class).or_default() += 1;
        }
        let plan_id = plan_id(&head, digest, on_unknown);
        let base_revision = head.revision;
        Ok(ImportPlan { plan_id, base_revision, entries, counts, violations, secret_like })
    }

    /// Returns the declarations, and the settings at the revision of `head` or later.
    async fn settings_at(&self, head: &Head) -> Result<(Arc<Schema>, CurrentSettings), Error> {
        let is_current = |snapshot: &Snapshot| {
            snapshot.revision == head.revision
                && snapshot.schema.revision == head.catalog_revision
                && snapshot.timeline == head.timeline
        };
        let mut snapshot = self.settings.snapshot();
        if snapshot.schema.revision != head.catalog_revision {
            // The catalog may have been published after the latest reload of this instance.
            reload::refresh(&self.pool, &self.settings).await?;
        } else if !is_current(&snapshot) && self.settings.is_valid() {
            // Cheaper than all rows, and the write needs a current snapshot as well. The rows are read after an error.
            let _ = reload::refresh(&self.pool, &self.settings).await;
        }
        snapshot = self.settings.snapshot();
        let schema = Arc::clone(&snapshot.schema);
        if is_current(&snapshot) {
            return Ok((schema, CurrentSettings::Snapshot(snapshot)));
        }
        // Limits concurrent reads of all settings, which need much memory.
        let permit = compute::read_permit(schema.reading_size()).await;
        let rows = database::read_with_retry(&self.pool, async |conn| {
            Ok::<_, TransactionError>(store::all(conn).await?)
        });
        let rows = rows.await?;
        // Released before the conversion, because waiting while holding the permit would block readers.
        drop(permit);
        let convert = || readable_entries(&schema, rows);
        let entries = compute::run(schema.reading_size(), convert).await;
        Ok((schema, CurrentSettings::Stored(entries)))
    }

    /// Returns the names of the skipped entries, in the order of the document.
    pub(super) fn skipped_keys(&self, document: &IncomingDocument) -> Vec<String> {
        let snapshot = self.settings.snapshot();
        let schema = &snapshot.schema;
        let keys = document.edits.iter().map(|edit| &edit.key);
        let unknown =
            keys.filter(|key| matches!(schema.classify_lookalike(key), KeyClass::Unknown));
        unknown.map(|key| change::public_name(&self.scanner, schema, key)).collect()
    }
}

fn plan_id(head: &Head, digest: &[u8], on_unknown: OnUnknown) -> String {
    let revision = head.revision.to_be_bytes();
    // A new catalog can change the effect of the same document.
    let catalog = head.catalog_revision.to_be_bytes();
    let mut parts = vec![&revision[..], &catalog[..], digest];
    if on_unknown == OnUnknown::Skip {
        parts.push(b"on_unknown=skip");
    }
    // RFC 9562 reserves version 8 for custom content, such as a hash.
    uuid::Uuid::new_v8(first_bytes(&idempotency::fingerprint(&parts))).to_string()
}

fn first_bytes(digest: &[u8]) -> [u8; 16] {
    std::array::from_fn(|index| digest.get(index).copied().unwrap_or_default())
}
