//! Outbox messages of proposals, stored in the transaction of the step. Functions are named like their topics.

use serde_json::{Map, Value, json};

use crate::{
    audit::Actor,
    database::Connection,
    json::StrictJson,
    outbox::Topic,
    proposals::{self, Edition, Failure, NewEdition, Proposal, State, VerdictKind},
    settings::{
        change,
        proposal::step::{Person, StepContext},
    },
};

/// How a proposal ended.
#[derive(Debug, Clone, Copy)]
pub(super) enum Outcome {
    /// Applied as the revision.
    Applied(i64),
    Withdrawn,
    Failed(Failure),
}

/// Enqueues a message of a new edition, with the proposed values.
pub(super) async fn enqueue_written(
    conn: &mut Connection,
    context: &StepContext<'_>,
    (number, edition): (i64, i32),
    actor: &Actor,
    content: &NewEdition,
) -> sqlx::Result<()> {
    let scanner = &context.writer.scanner;
    let changes = content.edits.iter().take(change::MAX_KEYS).map(|(key, proposed)| {
        let json = proposed.value.clone();
        let value = change::bounded_json(scanner, &StrictJson::from(&json), json);
        json!({"key": key, "value": value, "version": proposed.version})
    });
    let payload = json!({
        "proposal": number,
        "edition": edition,
        "changes": changes.collect::<Vec<_>>(),
        "total": content.edits.len(),
        "truncated": content.edits.len() > change::MAX_KEYS,
        "at": content.plan.at,
        "by": actor.user,
        "reason": actor.reason.as_str(),
        "request_id": actor.request,
    });
    context.writer.outbox.enqueue(conn, Topic::ProposalWritten, &payload).await
}

/// Enqueues a message of a verdict, with the number of needed approvals, and the approvals and objections after the
/// verdict.
pub(super) async fn enqueue_judged(
    conn: &mut Connection,
    context: &StepContext<'_>,
    proposal: &Proposal,
    needed: i16,
    person: &Person,
    (verdict, note): (VerdictKind, &str),
) -> sqlx::Result<()> {
    let outbox = &context.writer.outbox;
    // Without a sink, the transaction saves a round trip.
    if outbox.sinks(Topic::ProposalJudged).is_empty() {
        return Ok(());
    }
    let status = proposals::approval_status(conn, proposal.id, proposal.edition, needed).await?;
    let mut payload = json!({
        "proposal": proposal.number,
        "edition": proposal.edition,
        "verdict": verdict.as_str(),
        "needed": needed,
        "approvals": status.approvals.len(),
        "objections": status.objections.len(),
        "by": person.user,
        "request_id": person.request,
    });
    if !note.is_empty() {
        payload["note"] = Value::from(note);
    }
    outbox.enqueue(conn, Topic::ProposalJudged, &payload).await
}

/// Enqueues a message of the end of a proposal.
pub(super) async fn enqueue_settled(
    conn: &mut Connection,
    context: &StepContext<'_>,
    number: i64,
    content: &Edition,
    actor: &Actor,
    outcome: Outcome,
) -> sqlx::Result<()> {
    let mut payload = Map::new();
    let state = match outcome {
        Outcome::Applied(revision) => {
            payload.insert("revision".to_owned(), revision.into());
            State::Applied
        }
        Outcome::Withdrawn => State::Withdrawn,
        Outcome::Failed(failure) => {
            payload.insert("failure".to_owned(), failure.as_str().into());
            State::Failed
        }
    };
    let reason = change::text_json(&context.writer.scanner, actor.reason.as_str());
    let keys = content.edits.keys();
    let members = [
        ("proposal", json!(number)),
        ("edition", json!(content.edition)),
        ("state", json!(state)),
        ("keys", json!(keys.take(change::MAX_KEYS).collect::<Vec<_>>())),
        ("total", json!(content.edits.len())),
        ("truncated", json!(content.edits.len() > change::MAX_KEYS)),
        ("by", json!(actor.user)),
        ("reason", reason),
        ("request_id", json!(actor.request)),
    ];
    payload.extend(members.map(|(name, value)| (name.to_owned(), value)));
    context.writer.outbox.enqueue(conn, Topic::ProposalSettled, &Value::Object(payload)).await
}
