//! The application of a proposal, by the write path of every change.

use std::collections::BTreeMap;

use crate::{
    audit::{Action, Actor, Reason},
    compute,
    database::Connection,
    json::StrictJson,
    proposals::{self, Applied, Edition, Proposal, State},
    settings::{
        change::{self, Approval, Batch, ChangeResult, Edit, Error as ChangeError, WriteOptions},
        proposal::{
            error::Error,
            message::{self, Settled},
            step::{Locked, Person, require_state},
        },
        rules::Violation,
        schema::Schema,
    },
};

/// Applies `content`, the current edition of `proposal`, under the lock under which both were read, if the time has come
/// and the approvals suffice.
pub(super) async fn apply(
    conn: &mut Connection,
    locked: &Locked<'_>,
    (proposal, content): (&Proposal, &Edition),
    person: &Person,
) -> Result<ChangeResult, Error> {
    require_approval(conn, locked.schema, proposal, content).await?;
    apply_permitted(conn, locked, (proposal, content), person, None).await
}

/// Applies `content` as [`apply`] does, without a check of time and approvals: the caller has checked both, or in an
/// `emergency` somebody bypasses both for that reason.
pub(super) async fn apply_permitted(
    conn: &mut Connection,
    locked: &Locked<'_>,
    (proposal, content): (&Proposal, &Edition),
    person: &Person,
    emergency: Option<&Reason>,
) -> Result<ChangeResult, Error> {
    let number = proposal.number;
    require_state(proposal, &[State::Open])?;
    let is_bypass = emergency.is_some();
    let approval = if is_bypass { Approval::Emergency } else { Approval::Proposal };
    let edits = edits(conn, content).await?;
    // The database accepts no reason that `parse` refuses.
    let reason = Reason::parse(&content.reason).unwrap_or_else(|_| Reason::withheld());
    let size = change::size(edits.iter());
    // An edition that `psql` wrote was never scanned, and the secrets of the process may be new.
    let scan = || change::scan(&locked.writer.scanner, locked.schema, &reason, edits.iter());
    let matches = compute::run(size, scan).await;
    let (resolved, _) = change::resolve(locked.schema, &edits, false, matches.as_ref())?;
    let actor = Actor { user: person.user.clone(), reason, request: person.request.clone() };
    let options = WriteOptions { approval, ..WriteOptions::default() };
    let action = Action::Update;
    let (actor, options) = (&actor, &options);
    let batch = Batch { action, actor, edits: &resolved, ignored: &[], options, size };
    let mut result = change::apply(conn, locked.schema, locked.head, &batch).await?;
    if result.changed.is_empty() {
        return Err(Error::NothingChanges);
    }
    // The reason of the edition is why the settings change, and the reason of the emergency why nobody was asked.
    let reason = emergency.unwrap_or(&actor.reason).clone();
    let ending_actor = &Actor { reason, ..actor.clone() };
    let applied = Applied { revision: result.revision, is_bypass };
    proposals::apply(conn, number, ending_actor, applied).await?;
    result.proposal = Some(number);
    let (outbox, scanner) = (&locked.writer.outbox, &locked.writer.scanner);
    change::enqueue_changed(conn, outbox, scanner, action, actor, &result).await?;
    if is_bypass {
        let content = (number, content.edition);
        change::enqueue_emergency(conn, outbox, scanner, ending_actor, content, &result).await?;
    } else {
        let outcome = Settled::Applied(result.revision);
        message::enqueue_settled(conn, locked, number, content, actor, outcome).await?;
    }
    Ok(result)
}

/// Requires that the time of a proposal has come, and that the approvals suffice.
async fn require_approval(
    conn: &mut Connection,
    schema: &Schema,
    proposal: &Proposal,
    content: &Edition,
) -> Result<(), Error> {
    if let Some(due_at) = proposal.due_at.filter(|due_at| *due_at > proposal.read_at) {
        return Err(Error::NotDue(due_at));
    }
    let needed = needed_approvals(schema, content);
    let status = proposals::approval_status(conn, proposal.id, proposal.edition, needed).await?;
    if status.is_approved() { Ok(()) } else { Err(Error::NotApproved(Box::new(status))) }
}

/// Returns the greatest number of approvals that a setting of `content` needs today.
pub(super) fn needed_approvals(schema: &Schema, content: &Edition) -> i16 {
    let needed = content.edits.keys().filter_map(|key| Some(schema.find(key)?.approvals));
    needed.max().unwrap_or(0)
}

/// Returns the edits of `content`, with the versions that the predecessor wrote.
///
/// # Errors
/// The predecessor is not applied, or a value was removed because its key is a secret, or was one.
async fn edits(conn: &mut Connection, content: &Edition) -> Result<Vec<Edit>, Error> {
    let redacted = content.edits.iter().filter(|(_, proposed)| proposed.redacted);
    let violations: Vec<_> = redacted.map(|(key, _)| Violation::redacted(key)).collect();
    if !violations.is_empty() {
        return Err(ChangeError::Invalid(violations).into());
    }
    let keys: Vec<String> = content.edits.keys().cloned().collect();
    let mut versions = BTreeMap::new();
    if let Some(after) = content.plan.after {
        let earlier = proposals::find(conn, after).await?;
        if earlier.is_none_or(|earlier| earlier.state != State::Applied) {
            return Err(Error::Predecessor(after));
        }
        versions = proposals::version_written_by(conn, after, &keys).await?;
    }
    let edits = content.edits.iter().map(|(key, proposed)| Edit {
        key: key.clone(),
        value: StrictJson::from(&proposed.value),
        // No setting has version 0: a setting that exists by now is a conflict.
        version: Some(versions.get(key).copied().or(proposed.version).unwrap_or(0)),
    });
    Ok(edits.collect())
}
