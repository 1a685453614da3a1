//! Applying a proposal, by the same write path as other changes.

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
            message::{self, Outcome},
            step::{Person, StepContext, require_state},
        },
        rules::Violation,
        schema::{KeyClass, Schema},
    },
};

/// Applies `content`, the current edition of `proposal`, under the lock under which both were read, if the time has come
/// and the approvals suffice.
pub(super) async fn apply(
    conn: &mut Connection,
    context: &StepContext<'_>,
    (proposal, content): (&Proposal, &Edition),
    person: &Person,
) -> Result<ChangeResult, Error> {
    require_approval(conn, context.schema, proposal, content).await?;
    apply_permitted(conn, context, (proposal, content), person, None).await
}

/// Applies `content` like [`apply`], without a check of time and approvals. The caller has checked both, or `emergency` is
/// the reason to bypass both.
pub(super) async fn apply_permitted(
    conn: &mut Connection,
    context: &StepContext<'_>,
    (proposal, content): (&Proposal, &Edition),
    person: &Person,
    emergency: Option<&Reason>,
) -> Result<ChangeResult, Error> {
    let number = proposal.number;
    require_state(proposal, &[State::Open])?;
    let is_emergency = emergency.is_some();
    let approval = if is_emergency { Approval::Emergency } else { Approval::Proposal };
    let edits = edits(conn, context.schema, content).await?;
    // The database accepts no reason that `parse` refuses.
    let reason = Reason::parse(&content.reason).unwrap_or_else(|_| Reason::withheld());
    let size = change::size(edits.iter());
    // An edition that `psql` wrote was never scanned, and the secrets of the process may be new.
    let scan = || change::scan(&context.writer.scanner, context.schema, &reason, edits.iter());
    let matches = compute::run(size, scan).await;
    let (resolved, _) = change::resolve(context.schema, &edits, false, matches.as_ref())?;
    let actor = Actor { user: person.user.clone(), reason, request: person.request.clone() };
    let options = WriteOptions { approval, ..WriteOptions::default() };
    let action = Action::Update;
    let (actor, options) = (&actor, &options);
    let batch = Batch { action, actor, edits: &resolved, ignored: &[], options, size };
    let mut result = change::apply(conn, context.schema, context.head, &batch).await?;
    if result.changed.is_empty() {
        return Err(Error::NothingChanges);
    }
    // The changes have the reason of the edition; the end of the proposal has the reason of the emergency.
    let reason = emergency.unwrap_or(&actor.reason).clone();
    let ending_actor = &Actor { reason, ..actor.clone() };
    let applied = Applied { revision: result.revision, is_emergency };
    proposals::mark_applied(conn, number, ending_actor, applied).await?;
    result.proposal = Some(number);
    let (outbox, scanner) = (&context.writer.outbox, &context.writer.scanner);
    change::enqueue_changed(conn, outbox, scanner, action, actor, &result).await?;
    if is_emergency {
        let content = (number, content.edition);
        change::enqueue_emergency(conn, outbox, scanner, ending_actor, content, &result).await?;
    } else {
        let outcome = Outcome::Applied(result.revision);
        message::enqueue_settled(conn, context, number, content, actor, outcome).await?;
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
async fn edits(
    conn: &mut Connection,
    schema: &Schema,
    content: &Edition,
) -> Result<Vec<Edit>, Error> {
    let violations: Vec<_> = redacted(schema, content).map(Violation::redacted).collect();
    if !violations.is_empty() {
        return Err(ChangeError::Invalid(violations).into());
    }
    let keys: Vec<String> = content.edits.keys().cloned().collect();
    let mut versions = BTreeMap::new();
    if let Some(after) = content.plan.after {
        let predecessor = proposals::find(conn, after).await?;
        let state = predecessor.map_or(State::Open, |proposal| proposal.state);
        if state != State::Applied {
            return Err(Error::Predecessor(after, state));
        }
        versions = proposals::versions_written_by(conn, after, &keys).await?;
    }
    Ok(edits_of(content, &versions))
}

/// Returns the keys of `content` whose values were removed, but for those that nobody may change by now: another value
/// would not help.
pub(super) fn redacted<'c>(
    schema: &'c Schema,
    content: &'c Edition,
) -> impl Iterator<Item = &'c str> {
    let redacted = content.edits.iter().filter(|(_, proposed)| proposed.redacted);
    let keys = redacted.map(|(key, _)| key.as_str());
    keys.filter(|key| !matches!(schema.classify(key), KeyClass::Locked(_)))
}

/// Returns the edits of `content`, with the `versions` that the predecessor wrote.
pub(super) fn edits_of(content: &Edition, versions: &BTreeMap<String, i64>) -> Vec<Edit> {
    let edits = content.edits.iter().map(|(key, proposed)| Edit {
        key: key.clone(),
        value: StrictJson::from(&proposed.value),
        // Version 0 means: no value yet. A setting that got a value in the meantime is a conflict.
        version: Some(versions.get(key).copied().or(proposed.version).unwrap_or(0)),
    });
    edits.collect()
}
