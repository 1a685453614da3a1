//! The beginning of a rollout, with the checks of an application.

use crate::{
    database::Connection,
    proposals::{self, Edition, Proposal, RolloutEvent, RolloutStepRecord, State},
    rollouts::{Plan, PlanDraft},
    settings::{
        change::{self, Approval, ChangeResult, WriteOptions},
        proposal::{
            apply::prepare,
            error::Error,
            step::{Person, StepContext, require_state},
        },
        schema::{Applies, KeyClass, Schema},
    },
};

/// Begins the rollout of `content` at the first stage of `plan`. The caller has checked time and approvals. Everything else
/// is checked as if the change were applied now, so the change can be promoted later.
pub(in crate::settings::proposal) async fn begin(
    conn: &mut Connection,
    context: &StepContext<'_>,
    (proposal, content, plan): (&Proposal, &Edition, &PlanDraft),
    person: &Person,
) -> Result<ChangeResult, Error> {
    let &StepContext { writer, schema, head } = context;
    require_state(proposal, &[State::Open])?;
    // Again, by the declarations of today.
    let keys = not_rollable(schema, content);
    if !keys.is_empty() {
        return Err(Error::NotRollable(keys));
    }
    let prepared = prepare(conn, context, content, person).await?;
    let options = WriteOptions { approval: Approval::Proposal, ..WriteOptions::default() };
    // Two rollouts would share users, and nobody could tell which of the two changes does harm.
    if let Some(running) = change::current_rollout(conn).await? {
        return Err(running.running().into());
    }
    let checked = change::check(conn, schema, head, &prepared.batch(&options)).await?;
    if !checked.is_change() {
        return Err(Error::NothingChanges);
    }
    let number = proposal.number;
    let step = RolloutStepRecord { number, actor: &prepared.actor, evidence: None };
    proposals::begin_rollout(conn, step, share_of_stage(&valid_plan(plan)?, 1)?).await?;
    let step_event = (number, RolloutEvent::Begun);
    let (outbox, scanner) = (&writer.outbox, &writer.scanner);
    change::enqueue_rollout_moved(conn, outbox, scanner, step_event, step.actor, None).await?;
    Ok(ChangeResult {
        proposal: Some(number),
        rollout: Some(RolloutEvent::Begun),
        ..ChangeResult::unchanged(head.revision)
    })
}

/// Returns the plan of a stored edition.
///
/// # Errors
/// The stored plan is invalid, because the edition was written by SQL.
pub(super) fn valid_plan(plan: &PlanDraft) -> Result<Plan, Error> {
    // A stored plan names its guards, so no defaults are needed.
    plan.validate(&[], "").map_err(|_| unreadable())
}

/// Returns the share of the stage `stage`, from 1, in basis points.
pub(super) fn share_of_stage(plan: &Plan, stage: i16) -> Result<i32, Error> {
    let index = usize::try_from(stage - 1).map_err(|_| unreadable())?;
    let stage = plan.stages().get(index).ok_or_else(unreadable)?;
    Ok(i32::from(stage.share.basis_points()))
}

fn unreadable() -> Error {
    sqlx::Error::Decode("the plan of the rollout is invalid".into()).into()
}

/// Returns the settings of `content` that prevent a rollout: only settings for new sessions can differ between users. Empty
/// for an edition without a rollout.
pub(in crate::settings::proposal) fn not_rollable(
    schema: &Schema,
    content: &Edition,
) -> Vec<String> {
    match content.plan.rollout {
        Some(_) => keys_not_rollable(schema, content.edits.keys().map(String::as_str)),
        None => Vec::new(),
    }
}

/// Requires that every setting of `keys` can be rolled out.
pub(in crate::settings::proposal) fn require_rollable<'k>(
    schema: &Schema,
    keys: impl Iterator<Item = &'k str>,
) -> Result<(), Error> {
    let keys = keys_not_rollable(schema, keys);
    if keys.is_empty() { Ok(()) } else { Err(Error::NotRollable(keys)) }
}

/// Returns the declared settings of `keys` that do not apply to new sessions. Unknown and locked keys fail elsewhere.
fn keys_not_rollable<'k>(schema: &Schema, keys: impl Iterator<Item = &'k str>) -> Vec<String> {
    let is_rollable = |key: &str| match schema.classify(key) {
        KeyClass::Editable(definition) => definition.applies == Applies::NewSessions,
        KeyClass::Locked(_) | KeyClass::Unknown => true,
    };
    keys.filter(|key| !is_rollable(key)).map(str::to_owned).collect()
}
