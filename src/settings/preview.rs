//! The settings as they would be after a change, without a change.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    compute,
    database::{self, Connection},
    json::StrictJson,
    proposals::{self, State},
    settings::{
        change::{self, Edit, Error, ResolvedEdit, SecretMatches},
        proposal::Error as ProposalError,
        snapshot::Snapshot,
        value::SettingValue,
        writer::SettingsWriter,
    },
};

/// The current settings, and the settings after a change that was only validated.
#[derive(Debug)]
pub struct Preview {
    /// The current settings.
    pub before: Arc<Snapshot>,
    /// The settings after the change, with the revision of `before`.
    pub after: Snapshot,
    /// The keys of the change, also with equal values.
    pub keys: Vec<String>,
}

impl SettingsWriter {
    /// Validates `edits` as a dry run of an update, and returns the result. Requires no versions and no approvals, and
    /// ignores freezes.
    ///
    /// # Errors
    /// Locked keys, possible secrets, and values that break rules.
    pub async fn preview(&self, edits: &[Edit]) -> Result<Preview, Error> {
        let before = self.settings.snapshot();
        // The scan and the validation of a large change take milliseconds of CPU.
        let after = compute::run(change::size(edits.iter()), || self.validated(&before, edits));
        let after = after.await?;
        let keys = edits.iter().map(|edit| edit.key.clone()).collect();
        Ok(Preview { before, after, keys })
    }

    /// Validates the current edition of the proposal `number` like [`preview`](Self::preview). The changes of an open
    /// proposal on which the proposal builds are included.
    ///
    /// # Errors
    /// There is no such proposal, or its values break rules by now.
    pub async fn preview_proposal(&self, number: i64) -> Result<Preview, ProposalError> {
        let read = async |conn: &mut Connection| proposed_edits(conn, number).await;
        let edits = database::read_with_retry(&self.pool, read).await?;
        Ok(self.preview(&edits).await?)
    }

    fn validated(&self, before: &Snapshot, edits: &[Edit]) -> Result<Snapshot, Error> {
        let schema = &before.schema;
        let values = change::scan_values(&self.scanner, schema, edits.iter());
        let matches = (!values.is_empty()).then_some(SecretMatches { reason: None, values });
        let (resolved, _) = change::resolve(schema, edits, false, matches.as_ref())?;
        let violations = change::check_related(schema, &resolved, |key| before.value(key));
        if !violations.is_empty() {
            return Err(Error::Invalid(violations));
        }
        let value = |edit: ResolvedEdit<'_>| (edit.definition.key.clone(), edit.value);
        let values: Vec<(String, SettingValue)> = resolved.into_iter().map(value).collect();
        Ok(before.with_values(values))
    }
}

/// Reads the changes of the proposal `number`, and of the open proposals before.
async fn proposed_edits(conn: &mut Connection, number: i64) -> Result<Vec<Edit>, ProposalError> {
    let mut edits = BTreeMap::new();
    let mut next = Some(number);
    while let Some(current) = next {
        let proposal = proposals::find(conn, current).await?;
        let proposal = proposal.ok_or(ProposalError::NotFound(current))?;
        // The changes of a predecessor that was applied are part of the current settings.
        if current != number && !matches!(proposal.state, State::Open | State::Rolling) {
            break;
        }
        let content = proposals::find_edition(conn, proposal.id, proposal.edition).await?;
        let content = content.ok_or(ProposalError::NotFound(current))?;
        for (key, proposed) in content.edits {
            let value = StrictJson::from(&proposed.value);
            let edit = Edit { key: key.clone(), value, version: None };
            // A later proposal overrides the earlier ones.
            edits.entry(key).or_insert(edit);
        }
        // A predecessor has a smaller number, so the loop ends.
        next = content.plan.after.filter(|after| *after < current);
    }
    Ok(edits.into_values().collect())
}
