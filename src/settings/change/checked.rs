//! A change in one statement: checked in memory against a snapshot, and stored only if the snapshot is still current.

use std::collections::HashSet;

use uuid::Uuid;

use crate::{
    database::{self, Deadline, Pool, TransactionError},
    idempotency::StoredResult,
    outbox::Outbox,
    secret_scanner::SecretScanner,
    settings::{
        change::{
            apply::{Batch, require_versions},
            edit::Approval,
            message,
            outcome::{ChangeResult, KeyChange},
            related::check_related,
            resolve::ResolvedEdit,
            store::{self, ExpectedRow, Message, NewValue, Statement},
        },
        entry::StoredSetting,
        snapshot::Snapshot,
    },
};

/// A change that satisfies all rules at the revision of a snapshot.
pub(in crate::settings) struct CheckedChange<'a> {
    statement: Statement<'a>,
    result: ChangeResult,
}

/// A committed change.
pub(in crate::settings) struct Committed {
    pub(in crate::settings) result: ChangeResult,
    /// The changed settings as stored; not all for a large change.
    pub(in crate::settings) rows: Vec<StoredSetting>,
}

impl<'a> CheckedChange<'a> {
    /// Checks `batch` with the values of `snapshot`. Returns `None` for a change that is refused, changes nothing, or
    /// needs further statements: then the checks under the lock decide, on the values of the database.
    pub(in crate::settings) fn new(
        snapshot: &'a Snapshot,
        batch: &Batch<'a>,
        scanner: &SecretScanner,
        outbox: &Outbox,
    ) -> Option<Self> {
        let Batch { action, actor, edits, ignored, options, .. } = *batch;
        let expected = options.revisions.as_ref();
        let is_revision_expected =
            expected.is_none_or(|revisions| revisions.contains(&snapshot.revision));
        let is_plain = options.approval == Approval::None;
        if options.dry_run || !ignored.is_empty() || !is_revision_expected || !is_plain {
            return None;
        }
        require_versions(edits, options).ok()?;
        if !check_related(&snapshot.schema, edits, |key| snapshot.value(key)).is_empty() {
            return None;
        }
        let (rows, result) = compare(snapshot, edits)?;
        let key = options.idempotency.as_ref();
        // A result without a JSON form is an error of the steps under the lock.
        let stored_result = key.map(|key| StoredResult::new(key, &result)).transpose().ok()?;
        let topic = message::topic(action)?;
        let sinks = outbox.sinks(topic);
        let message = (!sinks.is_empty()).then(|| Message {
            // One id for all sinks, so that receivers can recognize duplicates.
            id: Uuid::now_v7(),
            sinks,
            topic: topic.as_str(),
            payload: message::changed_payload(scanner, action, actor, &result),
        });
        let statement = Statement {
            revision: snapshot.revision,
            catalog_revision: snapshot.schema.revision,
            timeline: snapshot.timeline.as_deref()?,
            action,
            actor,
            rows,
            stored_result,
            message,
            is_awaited: options.is_awaited,
        };
        Some(Self { statement, result })
    }

    /// Stores the change with its audit entries, the result for a repeat and the message, if the database is still at the
    /// revision of the snapshot. Returns `None` if not, if the server refused the statement, or if too little time is left
    /// for a wait for a lock: then nothing is stored.
    ///
    /// # Errors
    /// The database is unavailable, or did not say whether the change was committed.
    pub(in crate::settings) async fn store(
        self,
        pool: &Pool,
        deadline: Deadline,
    ) -> Result<Option<Committed>, TransactionError> {
        let Self { statement, result } = self;
        let outcome = database::execute_autocommit_live(pool, deadline, async |conn| {
            // The steps under the lock give up at the deadline with nothing stored; a sent statement can still commit.
            if !deadline.outlasts_lock_wait() {
                return Ok(Vec::new());
            }
            store::write_at_revision(conn, &statement).await
        });
        match outcome.await {
            Ok(rows) if rows.is_empty() => Ok(None),
            Ok(rows) => Ok(Some(Committed { result, rows })),
            // The steps under the lock find out which part of the change the server refuses.
            Err(
                TransactionError::Refused(_)
                | TransactionError::Blocked(_)
                | TransactionError::Unrecorded(_),
            ) => Ok(None),
            Err(err) => Err(err),
        }
    }
}

/// Compares `edits` with `snapshot`. Returns the rows that the statement expects, and the result; `None` if a version
/// differs, a key has no value, or no value changes.
fn compare<'a>(
    snapshot: &'a Snapshot,
    edits: &'a [ResolvedEdit<'_>],
) -> Option<(Vec<ExpectedRow<'a>>, ChangeResult)> {
    let mut rows = Vec::with_capacity(edits.len());
    let mut changes = Vec::with_capacity(edits.len());
    let mut unchanged = Vec::new();
    let mut keys = HashSet::with_capacity(edits.len());
    for edit in edits {
        let key = edit.definition.key.as_str();
        let current = snapshot.find(key)?;
        let is_current = edit.version.is_none_or(|version| version == i64::from(current.version));
        // The statement joins the rows by key, so every key occurs once.
        if !is_current || !keys.insert(key) {
            return None;
        }
        let mut new = None;
        // An equal value gets no new version, so that a repeated request changes nothing.
        if current.value == edit.value {
            unchanged.push(key.to_owned());
        } else {
            let version = current.version.checked_add(1)?;
            let old_value = Some(current.value.clone());
            let new_value = edit.value.clone();
            changes.push(KeyChange { key: key.to_owned(), old_value, new_value, version });
            new = Some(NewValue { entry: Uuid::now_v7(), value: edit.value.to_json() });
        }
        rows.push(ExpectedRow { key, version: current.version, new });
    }
    // The rules were checked with the values of related settings, so their versions must be current, too.
    let related = edits.iter().flat_map(|edit| snapshot.schema.partners(&edit.definition.key));
    for key in related {
        if keys.insert(key) {
            rows.push(ExpectedRow { key, version: snapshot.find(key)?.version, new: None });
        }
    }
    if changes.is_empty() {
        return None;
    }
    let revision = snapshot.revision.checked_add(1)?;
    let result = ChangeResult { changed: changes, unchanged, ..ChangeResult::unchanged(revision) };
    Some((rows, result))
}
