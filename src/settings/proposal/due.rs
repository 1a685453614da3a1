//! Applies proposals at their scheduled time.

use std::{future::Future, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time;
use tracing::{info, warn};

use crate::{
    audit::{Actor, Reason},
    clock,
    database::{self, Connection, OnSuccess, TransactionError},
    ids::{RequestId, UserId},
    metrics::Metrics,
    proposals::{self, Edition, Failure, Proposal, State},
    settings::{
        change::{ChangeResult, Error as ChangeError},
        proposal::{
            apply::{needed_approvals, take_effect},
            error::Error,
            message::{self, Outcome},
            remind::remind_of_emergencies,
            step::{self, Person, Step, StepContext, find_content},
        },
        writer::SettingsWriter,
    },
};

/// The grace period of a plan without one.
const GRACE_MINUTES: i32 = 30;

/// The outcome of a due proposal.
#[derive(Debug)]
pub enum DueOutcome {
    /// Applied, or its rollout has begun.
    Applied(ChangeResult),
    /// Failed; a new edition opens the proposal again.
    Failed(Failure),
    /// Not due any more: another instance was faster, or somebody ended or edited the proposal.
    NotDue,
    /// Waits for the end of a freeze.
    Frozen,
    /// Waits for the end of another rollout, or until every instance knows rollouts.
    Waiting,
    /// Not applied because of an error that may pass; the next round tries again.
    Postponed(Error),
}

/// Applies every due proposal, in the order of their times, each in a transaction of its own. Returns the outcomes by
/// number, first of those that wait for the end of a freeze. Several instances may run this at once: the lock of the head
/// lets one of them act.
///
/// `can_roll_out` says whether every running instance knows rollouts; called only if a proposal is due.
pub async fn apply_due<F>(
    writer: &SettingsWriter,
    can_roll_out: impl FnOnce() -> F,
) -> Result<Vec<(i64, DueOutcome)>, Error>
where
    F: Future<Output = Result<bool, TransactionError>>,
{
    let mut position = next_due(writer, None, &[]).await?;
    if position.is_none() {
        return Ok(Vec::new());
    }
    // Once for a round: the instances change seldom, and each due proposal would cost a query.
    let can_roll_out = can_roll_out().await?;
    // One read for all: in a freeze, a transaction for each proposal would take the lock of the head every second.
    let waiting = database::read_with_retry(&writer.pool, async |conn| {
        proposals::waiting_for_freeze(conn, GRACE_MINUTES).await
    });
    let waiting = waiting.await?;
    let mut outcomes: Vec<_> = waiting.iter().map(|number| (*number, DueOutcome::Frozen)).collect();
    if position.is_some_and(|(_, number)| waiting.contains(&number)) {
        position = next_due(writer, position, &waiting).await?;
    }
    while let Some((_, number)) = position {
        let user = UserId::service("schedule");
        let person = Person { user, request: RequestId::new() };
        let step = ApplyWhenDue { number, person, can_roll_out };
        // An error of one proposal must not keep the proposals after it from being applied.
        let outcome = step::run(writer, OnSuccess::Commit, &step).await;
        let outcome = outcome.unwrap_or_else(DueOutcome::Postponed);
        if matches!(outcome, DueOutcome::Applied(_)) {
            writer.settings.notify_local_write();
        }
        outcomes.push((number, outcome));
        position = next_due(writer, position, &waiting).await?;
    }
    Ok(outcomes)
}

/// The time and the number of a due proposal.
type Position = Option<(DateTime<Utc>, i64)>;

/// Returns the first due proposal after `position`, except `skipped`.
async fn next_due(
    writer: &SettingsWriter,
    position: Position,
    skipped: &[i64],
) -> Result<Position, Error> {
    let next = database::read_with_retry(&writer.pool, async |conn| {
        proposals::next_due(conn, position, skipped).await
    });
    Ok(next.await?)
}

/// Applies due proposals and sends the reminders of emergencies every `interval`, for as long as the process runs. A
/// failed round is repeated at the next.
pub async fn apply_due_proposals<F>(
    writer: SettingsWriter,
    metrics: Metrics,
    interval: Duration,
    can_roll_out: impl Fn() -> F,
) where
    F: Future<Output = Result<bool, TransactionError>>,
{
    loop {
        time::sleep(clock::jittered(interval, 0.8..1.2)).await;
        match apply_due(&writer, &can_roll_out).await {
            Ok(outcomes) => outcomes.iter().for_each(|outcome| report(outcome, &metrics)),
            Err(err) => {
                warn!(error = %err, "due proposals were not applied; next try in {interval:?}");
            }
        }
        if let Err(err) = remind_of_emergencies(&writer).await {
            warn!(error = %err, "reminders were not enqueued; next try in {interval:?}");
        }
    }
}

fn report((number, outcome): &(i64, DueOutcome), metrics: &Metrics) {
    match outcome {
        DueOutcome::Applied(result) if result.rollout.is_some() => {
            metrics.proposals().record_due("begun");
            info!(proposal = number, "rollout of a due proposal begun");
        }
        DueOutcome::Applied(result) => {
            metrics.proposals().record_due("applied");
            info!(proposal = number, revision = result.revision, "due proposal applied");
        }
        DueOutcome::Failed(failure) => {
            metrics.proposals().record_due(failure.as_str());
            warn!(proposal = number, failure = failure.as_str(), "due proposal failed");
        }
        DueOutcome::NotDue => (),
        // Not logged: every round of a freeze or a rollout is the same.
        DueOutcome::Frozen => metrics.proposals().record_due("frozen"),
        DueOutcome::Waiting => metrics.proposals().record_due("waiting"),
        DueOutcome::Postponed(err) => {
            metrics.proposals().record_due("postponed");
            warn!(proposal = number, error = %err, "due proposal was not applied; retrying at the next round");
        }
    }
}

/// Applies the proposal `number` if the time has come, or marks the proposal as failed.
struct ApplyWhenDue {
    number: i64,
    person: Person,
    /// Whether every running instance knows rollouts.
    can_roll_out: bool,
}

impl Step for ApplyWhenDue {
    type Output = DueOutcome;

    async fn run(
        &self,
        conn: &mut Connection,
        context: &StepContext<'_>,
    ) -> Result<DueOutcome, Error> {
        // Again under the lock: another instance may have been faster.
        let (proposal, content) = match find_content(conn, self.number).await {
            // The owner of the tables stored it. A later round could not read it either.
            Err(Error::Change(ChangeError::Database(err))) if err.is_unreadable() => {
                return self.fail_unreadable(conn, context).await;
            }
            result => result?,
        };
        let Some(due_at) = time_of_due(&proposal) else { return Ok(DueOutcome::NotDue) };
        let needed = needed_approvals(context.schema, &content);
        let status =
            proposals::approval_status(conn, proposal.id, proposal.edition, needed).await?;
        let grace = i64::from(content.plan.grace_minutes.unwrap_or(GRACE_MINUTES));
        let late_by = proposal.read_at - due_at;
        let failure = if !status.is_approved() {
            Failure::NotApproved
        } else if late_by > TimeDelta::minutes(grace) {
            Failure::Missed
        } else if proposals::active_freeze(conn).await?.is_some() {
            return Ok(DueOutcome::Frozen);
        } else {
            let current = (&proposal, &content);
            // Starts of an older instance would have no arm.
            if content.plan.rollout.is_some() && !self.can_roll_out {
                return Ok(DueOutcome::Waiting);
            }
            match take_effect(conn, context, current, &self.person).await {
                Ok(result) => return Ok(DueOutcome::Applied(result)),
                // Found before the first write, so the transaction can end.
                Err(Error::Change(
                    ChangeError::RolloutRunning { .. } | ChangeError::RolloutConflict { .. },
                )) => return Ok(DueOutcome::Waiting),
                Err(err) => failure_of(err)?,
            }
        };
        self.fail(conn, context, &content, late_by, failure).await
    }
}

impl ApplyWhenDue {
    /// Marks the proposal as failed, and enqueues the message.
    async fn fail(
        &self,
        conn: &mut Connection,
        context: &StepContext<'_>,
        content: &Edition,
        late_by: TimeDelta,
        failure: Failure,
    ) -> Result<DueOutcome, Error> {
        let actor = actor_of_failure(&self.person, late_by, failure);
        proposals::mark_failed(conn, self.number, &actor, failure).await?;
        let outcome = Outcome::Failed(failure);
        message::enqueue_settled(conn, context, self.number, content, &actor, outcome).await?;
        Ok(DueOutcome::Failed(failure))
    }

    /// Marks a due proposal as failed whose content cannot be read.
    async fn fail_unreadable(
        &self,
        conn: &mut Connection,
        context: &StepContext<'_>,
    ) -> Result<DueOutcome, Error> {
        let number = self.number;
        let proposal = proposals::find(conn, number).await?.ok_or(Error::NotFound(number))?;
        let Some(due_at) = time_of_due(&proposal) else { return Ok(DueOutcome::NotDue) };
        let content = Edition::unreadable(&proposal);
        self.fail(conn, context, &content, proposal.read_at - due_at, Failure::Invalid).await
    }
}

/// Returns the scheduled time of an open proposal that is due.
fn time_of_due(proposal: &Proposal) -> Option<DateTime<Utc>> {
    proposal.due_at.filter(|due_at| *due_at <= proposal.read_at && proposal.state == State::Open)
}

/// Returns why a due proposal cannot be applied.
///
/// # Errors
/// The error if it may pass, such as a database outage: the proposal is tried again.
fn failure_of(err: Error) -> Result<Failure, Error> {
    match err {
        Error::Predecessor(..) => Ok(Failure::Predecessor),
        Error::NothingChanges | Error::Change(ChangeError::Stale(_)) => Ok(Failure::Stale),
        Error::NotRollable(_)
        | Error::Plan { .. }
        | Error::Change(
            ChangeError::Invalid(_) | ChangeError::Locked(_) | ChangeError::SecretLike(_),
        ) => Ok(Failure::Invalid),
        err => Err(err),
    }
}

/// Returns the actor that marks a proposal as failed, with the reason.
fn actor_of_failure(person: &Person, late_by: TimeDelta, failure: Failure) -> Actor {
    let reason = match failure {
        Failure::Stale => "a setting was changed since the edition was written".to_owned(),
        Failure::Invalid => "the settings would be invalid".to_owned(),
        Failure::Missed => {
            format!(
                "no instance applied the proposal in time: {} minutes late",
                late_by.num_minutes()
            )
        }
        Failure::NotApproved => "approvals were missing, or somebody objected".to_owned(),
        Failure::Predecessor => "the earlier proposal was not applied".to_owned(),
    };
    // The texts above are valid reasons.
    let reason = Reason::parse(&reason).unwrap_or_else(|_| Reason::withheld());
    Actor { user: person.user.clone(), reason, request: person.request.clone() }
}
