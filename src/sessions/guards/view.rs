//! The document of a rollout.

use chrono::{DateTime, Utc};
use serde::Serialize;
use tracing::warn;
use utoipa::ToSchema;

use crate::{
    database::{self, Connection, Deadline, OnSuccess, Pool, Transaction, TransactionError},
    proposals::{self, CandidateSessions},
    rollouts::{self, ASSIGNMENT_THRESHOLD, Guard, Plan, WaitsFor, Zone},
    sessions::guards::{
        counts::{Failures, UserCounts, Users},
        history::{self, Failure, HistoryEntry},
        judge::{Reading, Validity},
        rollout::{Rollout, RolloutError},
        store,
    },
    settings::{self, ProposalError, RolloutView, SettingsWriter},
};

/// A guard of a rollout. Null counts could not be read.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = RolloutGuardState)]
pub struct GuardView {
    /// The guard.
    pub guard: Guard,
    /// Whether the guard judges; otherwise the guard is only shown.
    pub judges: bool,
    /// Failing candidate users.
    #[schema(required)]
    pub candidate: Option<u32>,
    /// Failing users of the control.
    #[schema(required)]
    pub control: Option<u32>,
    /// The evidence: 1 says nothing, greater evidence speaks for harm, smaller evidence against harm.
    #[schema(required)]
    pub evidence: Option<f64>,
    /// The evidence at which the rollout is reverted.
    pub reverts_at: f64,
    /// The zone of the evidence.
    #[schema(required)]
    pub zone: Option<Zone>,
}

/// The check of the assignment.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
#[schema(as = RolloutAssignment)]
pub struct AssignmentView {
    /// The evidence that users are assigned with another probability than the share; null if users could not be counted.
    #[schema(required)]
    pub evidence: Option<f64>,
    /// The evidence at which the rollout is held.
    pub holds_at: f64,
}

/// The running sessions with the candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = RolloutRunning)]
pub struct RunningSessions {
    /// The number of sessions.
    pub sessions: i64,
    /// The latest expiry; null without sessions.
    #[schema(required)]
    pub drained_by: Option<DateTime<Utc>>,
}

/// A rollout with the users, the evidence, and the missing conditions of the next stage.
#[derive(Debug, Serialize, ToSchema)]
pub struct RolloutReport {
    /// The stored state.
    #[serde(flatten)]
    pub rollout: RolloutView,
    /// The distinct users; null if they could not be counted. Users, guards and history of an ended rollout are those until
    /// its end.
    #[schema(required)]
    pub users: Option<UserCounts>,
    /// Every guard, also those that judge nothing.
    pub guards: Vec<GuardView>,
    /// The check of the assignment.
    pub assignment: AssignmentView,
    /// The missing conditions of the next stage; all zero or empty after the end.
    pub waits_for: WaitsFor,
    /// The running sessions with the candidate; null if they could not be counted.
    #[schema(required)]
    pub running: Option<RunningSessions>,
    /// The newest 500 failing users, oldest first.
    pub history: Vec<HistoryEntry>,
}

impl RolloutReport {
    /// Returns the report of a rollout that the rule cannot read.
    fn without_counts(rollout: RolloutView) -> Self {
        Self {
            rollout,
            users: None,
            guards: Vec::new(),
            assignment: AssignmentView { evidence: None, holds_at: ASSIGNMENT_THRESHOLD },
            waits_for: WaitsFor::default(),
            running: None,
            history: Vec::new(),
        }
    }
}

/// Reads the rollout of the proposal `number`.
///
/// Counts that cannot be read are null: the state is shown in any case, since a person may want to revert.
///
/// # Errors
/// There is no such rollout, or its state cannot be read.
pub async fn find_rollout(
    writer: &SettingsWriter,
    pool: &Pool,
    number: i64,
) -> Result<RolloutReport, RolloutError> {
    let view = settings::find_rollout(writer, number).await?;
    let rollout = match find_begun(pool, number).await {
        // The plan, by SQL: the rule cannot judge such a rollout, but a person can revert it.
        Err(RolloutError::Database(err)) if err.is_unreadable() => {
            warn!(error = %err, proposal = number, "a rollout is unreadable");
            return Ok(RolloutReport::without_counts(view));
        }
        rollout => rollout?,
    };
    // Separate statements at the same time: a statement that fails or takes long must not hide the other counts.
    let (failures, users, running) = tokio::join!(
        read_failures(pool, &rollout),
        read_users(pool, &rollout),
        database::read_with_retry(pool, async |conn: &mut Connection| {
            proposals::candidate_sessions(conn, rollout.id).await
        }),
    );
    let (failures, newest) = readable(failures, "failing users").unzip();
    let newest: Vec<Failure> = newest.unwrap_or_default();
    let history = failures.as_ref().map(|total| history::history(total, &newest));
    // The code of a decision, so that the page shows the numbers of the rule.
    let reading = Reading {
        failures,
        has_abandoned_starts: true,
        users: readable(users, "users"),
        validity: Validity::Valid,
        is_unreadable: false,
    };
    let users = reading.users.as_ref();
    Ok(RolloutReport {
        rollout: view,
        users: users.map(Users::counts),
        guards: guard_views(&rollout.plan, reading.failures.as_ref()),
        assignment: AssignmentView {
            evidence: users.map(|users| users.evidence().value()),
            holds_at: ASSIGNMENT_THRESHOLD,
        },
        waits_for: reading.waits_for(&rollout),
        running: readable(running, "running sessions").map(RunningSessions::from),
        history: history.unwrap_or_default(),
    })
}

/// Returns the rollout of the proposal `number`.
///
/// # Errors
/// The rollout never began.
pub(super) async fn find_begun(pool: &Pool, number: i64) -> Result<Rollout, RolloutError> {
    let find = async |conn: &mut Connection| store::find(conn, number).await;
    let rollout = database::read_with_retry(pool, find).await?;
    rollout.ok_or_else(|| ProposalError::RolloutNotFound(number).into())
}

/// Reads the failing users, and the newest of them in the order of time, in one state of the database.
async fn read_failures(
    pool: &Pool,
    rollout: &Rollout,
) -> Result<(Failures, Vec<Failure>), TransactionError> {
    // One snapshot: a failure between the two statements would be subtracted without being counted.
    let deadline = Deadline::standard();
    let mut transaction = Transaction::begin_reading(pool, deadline).await?;
    let conn = transaction.conn();
    let read = async {
        let failures = store::failures(conn, rollout).await?;
        Ok((failures, store::newest_failures(conn, rollout).await?))
    };
    let result = deadline.within(read).await;
    transaction.finish(result, OnSuccess::Rollback).await
}

/// Counts the users.
pub(super) async fn read_users(pool: &Pool, rollout: &Rollout) -> Result<Users, TransactionError> {
    database::read_with_retry(pool, async |conn| store::users(conn, rollout).await).await
}

/// Returns the read counts, or logs why the counts could not be read.
fn readable<T>(result: Result<T, TransactionError>, counts: &'static str) -> Option<T> {
    result.inspect_err(|err| warn!(error = %err, counts, "counts of a rollout are unreadable")).ok()
}

impl From<CandidateSessions> for RunningSessions {
    fn from(running: CandidateSessions) -> Self {
        let CandidateSessions { sessions, drained_by } = running;
        Self { sessions, drained_by }
    }
}

fn guard_views(plan: &Plan, failures: Option<&Failures>) -> Vec<GuardView> {
    // In one order for every plan, so that readers find a guard at the same place.
    let views = Guard::ALL.iter().map(|guard| {
        let (candidate, control) = failures.map(|failures| failures.of(*guard)).unzip();
        let evidence = failures.map(|failures| failures.evidence(*guard));
        GuardView {
            guard: *guard,
            judges: plan.guards().contains(guard),
            candidate,
            control,
            evidence: evidence.map(rollouts::Evidence::value),
            reverts_at: plan.revert_threshold(),
            zone: evidence.map(|evidence| rollouts::zone(plan, evidence)),
        }
    });
    views.collect()
}
