//! Applies proposals at their scheduled time.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time;
use tracing::{info, warn};

use crate::{
    audit::{Actor, Reason},
    clock,
    database::{self, Connection, OnSuccess},
    ids::{RequestId, UserId},
    metrics::Metrics,
    proposals::{self, Failure, State},
    settings::{
        change::{ChangeResult, Error as ChangeError},
        proposal::{
            apply::{apply_permitted, needed_approvals},
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
    /// Applied.
    Applied(ChangeResult),
    /// Failed; a new edition opens the proposal again.
    Failed(Failure),
    /// Not due any more: another instance was faster, or somebody ended or edited the proposal.
    NotDue,
    /// Waits for the end of a freeze.
    Frozen,
    /// Not applied because of an error that may pass; the next round tries again.
    Postponed(Error),
}

/// Applies every due proposal, in the order of their times, each in a transaction of its own. Returns the outcomes by
/// number. Several instances may run this at once: the lock of the head lets one of them act.
pub async fn apply_due(writer: &SettingsWriter) -> Result<Vec<(i64, DueOutcome)>, Error> {
    let mut outcomes = Vec::new();
    let mut position: Option<(DateTime<Utc>, i64)> = None;
    loop {
        let next = database::read_with_retry(&writer.pool, async |conn| {
            proposals::next_due(conn, position).await
        });
        position = next.await?;
        let Some((_, number)) = position else { return Ok(outcomes) };
        let user = UserId::service("schedule");
        let person = Person { user, request: RequestId::new(), is_delegated: false };
        let step = ApplyWhenDue { number, person };
        // An error of one proposal must not keep the proposals after it from being applied.
        let outcome = step::run(writer, OnSuccess::Commit, &step).await;
        let outcome = outcome.unwrap_or_else(DueOutcome::Postponed);
        if matches!(outcome, DueOutcome::Applied(_)) {
            writer.settings.notify_local_write();
        }
        outcomes.push((number, outcome));
    }
}

/// Applies due proposals and sends the reminders of emergencies every `interval`, for as long as the process runs. A
/// failed round is repeated at the next.
pub async fn apply_due_proposals(writer: SettingsWriter, metrics: Metrics, interval: Duration) {
    loop {
        time::sleep(clock::jittered(interval, 0.8..1.2)).await;
        match apply_due(&writer).await {
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
        DueOutcome::Applied(result) => {
            metrics.proposals().record_due("applied");
            info!(proposal = number, revision = result.revision, "due proposal applied");
        }
        DueOutcome::Failed(failure) => {
            metrics.proposals().record_due(failure.as_str());
            warn!(proposal = number, failure = failure.as_str(), "due proposal failed");
        }
        DueOutcome::NotDue => (),
        // Not logged: every round of a freeze is the same.
        DueOutcome::Frozen => metrics.proposals().record_due("frozen"),
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
}

impl Step for ApplyWhenDue {
    type Output = DueOutcome;

    async fn run(
        &self,
        conn: &mut Connection,
        context: &StepContext<'_>,
    ) -> Result<DueOutcome, Error> {
        // Again under the lock: another instance may have been faster.
        let (proposal, content) = find_content(conn, self.number).await?;
        let due_at = proposal.due_at.filter(|due_at| *due_at <= proposal.read_at);
        let Some(due_at) = due_at.filter(|_| proposal.state == State::Open) else {
            return Ok(DueOutcome::NotDue);
        };
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
            match apply_permitted(conn, context, current, &self.person, None).await {
                Ok(result) => return Ok(DueOutcome::Applied(result)),
                Err(err) => failure_of(err)?,
            }
        };
        let actor = actor_of_failure(&self.person, late_by, failure);
        proposals::mark_failed(conn, self.number, &actor, failure).await?;
        let outcome = Outcome::Failed(failure);
        message::enqueue_settled(conn, context, self.number, &content, &actor, outcome).await?;
        Ok(DueOutcome::Failed(failure))
    }
}

/// Returns why a due proposal cannot be applied.
///
/// # Errors
/// The error if it may pass, such as a database outage: the proposal is tried again.
fn failure_of(err: Error) -> Result<Failure, Error> {
    match err {
        Error::Predecessor(_) => Ok(Failure::Predecessor),
        Error::NothingChanges | Error::Change(ChangeError::Stale(_)) => Ok(Failure::Stale),
        Error::Change(
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
