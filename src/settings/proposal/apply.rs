//! Applying a proposal, by the same write path as other changes.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    audit::{Action, Actor, Reason},
    compute,
    database::Connection,
    json::StrictJson,
    proposals::{self, Applied, Edition, Proposal, RolloutEvent, State},
    settings::{
        change::{
            self, Approval, Batch, ChangeResult, Edit, Error as ChangeError, ResolvedEdit,
            WriteOptions,
        },
        proposal::{
            error::Error,
            message::{self, Outcome},
            rollout,
            step::{Person, StepContext, require_state},
        },
        rules::Violation,
        schema::{KeyClass, Schema},
    },
};

/// Applies `content`, the current edition of `proposal`, or begins the rollout, under the lock under which both were read,
/// if the time has come and the approvals suffice.
pub(super) async fn apply(
    conn: &mut Connection,
    context: &StepContext<'_>,
    (proposal, content): (&Proposal, &Edition),
    person: &Person,
) -> Result<ChangeResult, Error> {
    require_approval(conn, context.schema, proposal, content).await?;
    take_effect(conn, context, (proposal, content), person).await
}

/// Applies `content`, or begins the rollout. The caller has checked time and approvals.
pub(super) async fn take_effect(
    conn: &mut Connection,
    context: &StepContext<'_>,
    (proposal, content): (&Proposal, &Edition),
    person: &Person,
) -> Result<ChangeResult, Error> {
    if let Some(plan) = &content.plan.rollout {
        return rollout::begin(conn, context, (proposal, content, plan), person).await;
    }
    apply_permitted(conn, context, (proposal, content), person, Permission::Approvals).await
}

/// Why a proposal is applied.
#[derive(Debug, Clone, Copy)]
pub(super) enum Permission<'a> {
    /// The time has come, and the approvals suffice.
    Approvals,
    /// An emergency, for the reason, bypasses time and approvals.
    Emergency(&'a Reason),
    /// The rollout ends, for the reason; the rule also gives the counts and the evidence.
    Promotion(&'a Reason, Option<&'a Value>),
}

impl Permission<'_> {
    fn approval(self) -> Approval {
        match self {
            Self::Approvals => Approval::Proposal,
            Self::Emergency(_) => Approval::Emergency,
            Self::Promotion(..) => Approval::Promotion,
        }
    }
}

/// The changes of an edition, validated one by one.
pub(super) struct Prepared<'s> {
    resolved: Vec<ResolvedEdit<'s>>,
    /// The person, with the reason of the edition.
    pub(super) actor: Actor,
    size: usize,
}

impl Prepared<'_> {
    /// Returns the changes as a change set.
    pub(super) fn batch<'a>(&'a self, options: &'a WriteOptions) -> Batch<'a> {
        let (edits, size) = (self.resolved.as_slice(), self.size);
        Batch { action: Action::Update, actor: &self.actor, edits, ignored: &[], options, size }
    }
}

/// Validates the changes of `content` one by one.
pub(super) async fn prepare<'s>(
    conn: &mut Connection,
    context: &StepContext<'s>,
    content: &Edition,
    person: &Person,
) -> Result<Prepared<'s>, Error> {
    let edits = edits(conn, context.schema, content).await?;
    // The database accepts no reason that `parse` refuses.
    let reason = Reason::parse(&content.reason).unwrap_or_else(|_| Reason::withheld());
    let size = change::size(edits.iter());
    // An edition that `psql` wrote was never scanned, and the secrets of the process may be new.
    let scan = || change::scan(&context.writer.scanner, context.schema, &reason, edits.iter());
    let matches = compute::run(size, scan).await;
    let (resolved, _) = change::resolve(context.schema, &edits, false, matches.as_ref())?;
    let actor = Actor { user: person.user.clone(), reason, request: person.request.clone() };
    Ok(Prepared { resolved, actor, size })
}

/// Applies `content` with `permission`, which the caller has checked.
pub(super) async fn apply_permitted(
    conn: &mut Connection,
    context: &StepContext<'_>,
    (proposal, content): (&Proposal, &Edition),
    person: &Person,
    permission: Permission<'_>,
) -> Result<ChangeResult, Error> {
    let number = proposal.number;
    // Only the proposal that rolls out is promoted, and no other step applies it.
    let expected = match permission {
        Permission::Promotion(..) => State::Rolling,
        Permission::Approvals | Permission::Emergency(_) => State::Open,
    };
    require_state(proposal, &[expected])?;
    let prepared = prepare(conn, context, content, person).await?;
    let actor = &prepared.actor;
    let options = WriteOptions { approval: permission.approval(), ..WriteOptions::default() };
    let batch = prepared.batch(&options);
    let mut result = change::apply(conn, context.schema, context.head, &batch).await?;
    if result.changed.is_empty() {
        return Err(Error::NothingChanges);
    }
    // The changes have the reason of the edition; the end of the proposal has the reason of the step.
    let (reason, evidence) = match permission {
        Permission::Approvals => (&actor.reason, None),
        Permission::Emergency(reason) => (reason, None),
        Permission::Promotion(reason, evidence) => (reason, evidence),
    };
    let ending_actor = &Actor { reason: reason.clone(), ..actor.clone() };
    let is_emergency = matches!(permission, Permission::Emergency(_));
    let applied = Applied { revision: result.revision, is_emergency, evidence };
    proposals::mark_applied(conn, number, ending_actor, applied).await?;
    result.proposal = Some(number);
    let actors = (actor, ending_actor);
    enqueue(conn, context, (number, content), actors, &result, permission).await?;
    Ok(result)
}

/// Enqueues the messages of an application: of the changes by the first actor, of the end of the proposal by the second.
async fn enqueue(
    conn: &mut Connection,
    context: &StepContext<'_>,
    (number, content): (i64, &Edition),
    (actor, ending_actor): (&Actor, &Actor),
    result: &ChangeResult,
    permission: Permission<'_>,
) -> sqlx::Result<()> {
    let (outbox, scanner) = (&context.writer.outbox, &context.writer.scanner);
    change::enqueue_changed(conn, outbox, scanner, Action::Update, actor, result).await?;
    // Before the message of the emergency, which is the cause.
    if let Some(reverted) = result.reverted {
        let step_event = (reverted, RolloutEvent::Reverted);
        change::enqueue_rollout_moved(conn, outbox, scanner, step_event, ending_actor, None)
            .await?;
    }
    if let Permission::Emergency(_) = permission {
        let content = (number, content.edition);
        return change::enqueue_emergency(conn, outbox, scanner, ending_actor, content, result)
            .await;
    }
    let outcome = Outcome::Applied(result.revision);
    message::enqueue_settled(conn, context, number, content, actor, outcome).await?;
    if let Permission::Promotion(_, evidence) = permission {
        let step_event = (number, RolloutEvent::Promoted);
        change::enqueue_rollout_moved(conn, outbox, scanner, step_event, ending_actor, evidence)
            .await?;
    }
    Ok(())
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
    require_approved(conn, schema, proposal, content).await
}

/// Requires that the approvals suffice today.
pub(super) async fn require_approved(
    conn: &mut Connection,
    schema: &Schema,
    proposal: &Proposal,
    content: &Edition,
) -> Result<(), Error> {
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
