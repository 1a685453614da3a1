//! The running rollout, which every write respects: no other write changes a setting that rolls out, and the settings
//! stay valid with the proposed values, so that the rollout can always be promoted.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    audit::Actor,
    database::Connection,
    outbox::{Outbox, Topic},
    proposals::{
        self, Edition, Proposal, ProposedValue, RevertCause, RolloutEvent, RolloutStepRecord,
    },
    secret_scanner::SecretScanner,
    settings::{
        change::{
            edit::Approval,
            message::{MAX_KEYS, text_json},
            outcome::Error,
            related::check_related,
            resolve::ResolvedEdit,
        },
        schema::{Definition, Schema},
        value::SettingValue,
    },
};

/// The running rollout.
pub(in crate::settings) struct CurrentRollout {
    /// The number of the proposal.
    pub(in crate::settings) number: i64,
    /// The proposed values.
    edits: BTreeMap<String, ProposedValue>,
}

/// Returns the running rollout, if any. The database permits only one.
pub(in crate::settings) async fn current_rollout(
    conn: &mut Connection,
) -> sqlx::Result<Option<CurrentRollout>> {
    let Some(number) = proposals::rolling_number(conn).await? else { return Ok(None) };
    let Some((_, content)) = find_content(conn, number).await? else { return Ok(None) };
    Ok(Some(CurrentRollout { number, edits: content.edits }))
}

async fn find_content(
    conn: &mut Connection,
    number: i64,
) -> sqlx::Result<Option<(Proposal, Edition)>> {
    let Some(proposal) = proposals::find(conn, number).await? else { return Ok(None) };
    let content = proposals::find_edition(conn, proposal.id, proposal.edition).await?;
    Ok(content.map(|content| (proposal, content)))
}

impl CurrentRollout {
    /// Returns the error of a second rollout.
    pub(in crate::settings) fn running(&self) -> Error {
        Error::RolloutRunning { proposal: self.number, keys: self.edits.keys().cloned().collect() }
    }

    /// Returns why `edits`, which change settings with the values of `value_before`, cannot be made during the rollout.
    pub(in crate::settings) fn obstacle<'v>(
        &self,
        schema: &Schema,
        edits: &'v [ResolvedEdit<'_>],
        value_before: impl Fn(&str) -> Option<&'v SettingValue>,
    ) -> Option<Error> {
        let is_change =
            |edit: &&ResolvedEdit<'_>| value_before(&edit.definition.key) != Some(&edit.value);
        let changing = edits.iter().filter(is_change).map(|edit| &edit.definition.key);
        let keys: Vec<_> = changing.filter(|key| self.edits.contains_key(*key)).cloned().collect();
        let proposal = self.number;
        if !keys.is_empty() {
            return Some(Error::RolloutRunning { proposal, keys });
        }
        // Otherwise the rollout could not be promoted any more.
        let candidate = proposed_values(schema, &self.edits);
        // The rules of the edited settings suffice: the rules of other settings hold with the rollout already.
        let value_with = |key: &str| candidate.get(key).or_else(|| value_before(key));
        let violations = check_related(schema, edits, value_with);
        (!violations.is_empty()).then_some(Error::RolloutConflict { proposal, violations })
    }
}

/// Checks that `edits` can be made during the running rollout. Returns the rollout if an emergency has to revert the
/// rollout first.
///
/// # Errors
/// `RolloutRunning` and `RolloutConflict`.
pub(super) async fn check<'v>(
    conn: &mut Connection,
    schema: &Schema,
    edits: &'v [ResolvedEdit<'_>],
    value_before: impl Fn(&str) -> Option<&'v SettingValue>,
    approval: Approval,
) -> Result<Option<CurrentRollout>, Error> {
    // The promotion makes the changes of the running rollout.
    if approval == Approval::Promotion {
        return Ok(None);
    }
    let Some(rollout) = current_rollout(conn).await? else { return Ok(None) };
    match rollout.obstacle(schema, edits, value_before) {
        // An emergency never waits for a person who ends the rollout.
        Some(_) if approval == Approval::Emergency => Ok(Some(rollout)),
        Some(err) => Err(err),
        None => Ok(None),
    }
}

/// Reverts `rollout`, because an emergency by `actor` changes the settings.
pub(super) async fn revert(
    conn: &mut Connection,
    rollout: &CurrentRollout,
    actor: &Actor,
) -> sqlx::Result<()> {
    let step = RolloutStepRecord { number: rollout.number, actor, evidence: None };
    proposals::mark_reverted(conn, step, RevertCause::Emergency).await
}

/// Returns a problem for each setting of the running rollout that a catalog with the declarations `new` drops, or
/// declares with another type or for another time: the rollout could not be promoted.
pub(in crate::settings) async fn rollout_problems(
    conn: &mut Connection,
    declared: &[Definition],
    new: &Schema,
) -> sqlx::Result<Vec<String>> {
    let Some(CurrentRollout { number, edits }) = current_rollout(conn).await? else {
        return Ok(Vec::new());
    };
    let parts =
        |definition: &Definition| (definition.kind, definition.value_type, definition.applies);
    // Constraints may change: the rule reverts a rollout whose values become invalid.
    let is_kept = |key: &str| {
        let old = declared.iter().find(|definition| definition.key == key);
        old.map(parts) == new.find(key).map(parts)
    };
    let problem = |key: &String| {
        format!("{key}: rolls out with proposal {number}; promote or revert the rollout first")
    };
    Ok(edits.keys().filter(|key| !is_kept(key)).map(problem).collect())
}

/// Returns the proposed values of `edits` by key.
pub(in crate::settings) fn proposed_values<'a>(
    schema: &Schema,
    edits: &'a BTreeMap<String, ProposedValue>,
) -> BTreeMap<&'a str, SettingValue> {
    let values = edits.iter().filter_map(|(key, proposed)| {
        let declared = schema.find(key)?.value_type;
        Some((key.as_str(), SettingValue::from_stored(declared, &proposed.value).ok()?))
    });
    values.collect()
}

/// Enqueues a message of a step of the rollout of proposal `number`, after the step is stored.
pub(in crate::settings) async fn enqueue_rollout_moved(
    conn: &mut Connection,
    outbox: &Outbox,
    scanner: &SecretScanner,
    (number, event): (i64, RolloutEvent),
    actor: &Actor,
    evidence: Option<&Value>,
) -> sqlx::Result<()> {
    // Without a sink, the transaction saves the round trips.
    if [Topic::RolloutMoved, Topic::ProposalSettled].iter().all(|t| outbox.sinks(*t).is_empty()) {
        return Ok(());
    }
    // Read again, because triggers set times and the stage of the step.
    let Some((proposal, content)) = find_content(conn, number).await? else { return Ok(()) };
    let Some(rollout) = &proposal.rollout else { return Ok(()) };
    // Counted under the lock: later starts have the settings after the step.
    let candidate = proposals::candidate_sessions(conn, proposal.id).await?;
    let stages = content.plan.rollout.as_ref().and_then(|plan| plan.stages.as_ref());
    let payload = json!({
        "proposal": number,
        "edition": proposal.edition,
        "event": event,
        "stage": rollout.stage,
        "stages": stages.map_or(0, Vec::len),
        "share": rollout.percent(),
        "held": rollout.held,
        "cause": rollout.revert_cause,
        "revision": proposal.applied_revision,
        "evidence": evidence,
        "sessions": candidate.sessions,
        "drained_by": candidate.drained_by,
        "keys": content.edits.keys().take(MAX_KEYS).collect::<Vec<_>>(),
        "total": content.edits.len(),
        "truncated": content.edits.len() > MAX_KEYS,
        "by": actor.user,
        "reason": text_json(scanner, actor.reason.as_str()),
        "request_id": actor.request,
    });
    outbox.enqueue(conn, Topic::RolloutMoved, &payload).await?;
    if event != RolloutEvent::Reverted {
        return Ok(());
    }
    // The end of the proposal; a promotion has the message of an application.
    let payload = json!({
        "proposal": number,
        "edition": proposal.edition,
        "state": proposal.state,
        "keys": payload["keys"],
        "total": payload["total"],
        "truncated": payload["truncated"],
        "by": payload["by"],
        "reason": payload["reason"],
        "request_id": payload["request_id"],
    });
    outbox.enqueue(conn, Topic::ProposalSettled, &payload).await
}
