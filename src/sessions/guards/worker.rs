//! The task that judges the running rollout, on every instance.
//!
//! A look takes no lock of the head. Only a step takes the lock, under which stage and state are compared again, so one of
//! several instances acts.

use std::{sync::Arc, time::Duration};

use tokio::time::{self, Instant};
use tracing::{error, info, warn};
use uuid::Uuid;

use crate::{
    clock::jittered,
    database::{self, Connection, Deadline, Pool, TransactionError},
    metrics::{Metrics, RolloutGauges},
    proposals::{self, HeldReason},
    rollouts::Guard,
    sessions::guards::{
        judge::{NextStep, Reading, Validity},
        rollout::Rollout,
        step, store, view,
    },
    settings::{
        self, GlobalSettingsService, ProposalError, RolloutPosition, RuleOutcome, RuleStep,
        SettingsWriter,
    },
};

/// A revert that fails for longer is an error in the log.
const REVERT_PATIENCE: Duration = Duration::from_secs(10);

/// The pause after a step that failed or is frozen, except a revert, which is tried again at every look.
const STEP_BACKOFF: Duration = Duration::from_secs(10);

/// How long counts may be unreadable before the rollout is held.
const UNREADABLE_PATIENCE: Duration = Duration::from_mins(5);

/// The pause between two counts of the users, as a multiple of the duration of a count.
const COUNT_PAUSE_FACTOR: u32 = 20;

/// The result of a look at the running rollout.
#[derive(Debug)]
pub enum StepOutcome {
    /// No rollout runs.
    Idle,
    /// The share stays.
    Stays,
    /// The step was taken: `widened`, `promoted`, `reverted` or `held`.
    Taken(&'static str),
    /// Another instance or a person was faster.
    Superseded,
    /// The step waits for the end of a freeze.
    Frozen,
    /// The step failed; a later look tries again.
    Failed(ProposalError),
}

/// Judges the running rollout, and takes the steps of the rule. One for each instance.
#[derive(Debug)]
pub struct RolloutWorker {
    pool: Pool,
    settings: GlobalSettingsService,
    writer: SettingsWriter,
    metrics: Metrics,
    /// How long counts may be unreadable before the rollout is held.
    unreadable_patience: Duration,
    memory: Memory,
}

/// The state of a worker between two looks. The counts are read each time.
#[derive(Debug, Default)]
struct Memory {
    proposal: Option<Uuid>,
    unreadable_since: Option<Instant>,
    revert_failing_since: Option<Instant>,
    /// Whether the delay of a revert is in the log.
    is_delay_logged: bool,
    /// When a failed step is tried again.
    retry_at: Option<Instant>,
    /// How long the last count of the users took.
    count_duration: Duration,
}

impl RolloutWorker {
    /// Creates a worker that judges by the rows of `pool` and takes steps by `writer`.
    #[must_use]
    pub fn new(
        pool: Pool,
        settings: GlobalSettingsService,
        writer: SettingsWriter,
        metrics: Metrics,
    ) -> Self {
        // Nothing is remembered over a restart: the patience with unreadable counts begins again.
        let memory = Memory::default();
        Self { pool, settings, writer, metrics, unreadable_patience: UNREADABLE_PATIENCE, memory }
    }

    /// Changes how long counts may be unreadable before the rollout is held; 5 minutes by default.
    #[must_use]
    pub fn with_unreadable_patience(self, unreadable_patience: Duration) -> Self {
        Self { unreadable_patience, ..self }
    }

    /// Looks at the running rollout, and takes the next step if there is one. Without `counts_users` only failing users are
    /// counted, which is cheap, and enough for a revert.
    ///
    /// # Errors
    /// The state of the rollout cannot be read, so no step is possible.
    pub async fn look(&mut self, counts_users: bool) -> Result<StepOutcome, TransactionError> {
        let find = async |conn: &mut Connection| {
            // By its index first: most of the time nothing rolls, and every instance asks each second.
            let Some(number) = proposals::rolling_number(conn).await? else { return Ok(None) };
            store::find(conn, number).await
        };
        let rollout = match database::read_with_retry(&self.pool, find).await {
            Ok(Some(rollout)) => rollout,
            Ok(None) => {
                self.forget();
                return Ok(StepOutcome::Idle);
            }
            Err(err) => return self.look_at_unreadable(err).await,
        };
        self.remember(rollout.id);
        let reading = self.read(&rollout, counts_users).await;
        let next = reading.next_step(&rollout);
        // Other instances may decide the same: only one finds the rollout unchanged under the lock.
        let outcome = match &next {
            Some(next) => self.take(&rollout, &reading, next).await,
            None => StepOutcome::Stays,
        };
        self.note_revert(&rollout, next.as_ref(), &outcome);
        self.set_gauges(&rollout, &reading);
        Ok(outcome)
    }

    /// Counts the time for which the row or the plan of the rollout has been unreadable, and holds the rollout after the
    /// patience.
    ///
    /// # Errors
    /// `error`, if the proposal cannot be read either, which is so during an outage of the database.
    async fn look_at_unreadable(
        &mut self,
        error: TransactionError,
    ) -> Result<StepOutcome, TransactionError> {
        let find = async |conn: &mut Connection| {
            let Some(number) = proposals::rolling_number(conn).await? else { return Ok(None) };
            proposals::find(conn, number).await
        };
        let proposal = database::read_with_retry(&self.pool, find).await.ok().flatten();
        if let Some(proposal) = &proposal {
            self.remember(proposal.id);
        }
        // An outage of the database is no unreadable rollout: nothing has to be decided afterwards.
        if proposal.is_some() || error.is_unreadable() {
            self.note_errors(Some(&error), false);
            self.metrics.rollouts().set_unreadable(self.unreadable_for());
        }
        let Some(position) = proposal.as_ref().and_then(RolloutPosition::of) else {
            return Err(error);
        };
        if self.unreadable_for() < self.unreadable_patience || position.held.is_some() {
            return Ok(StepOutcome::Stays);
        }
        let hold = RuleStep::Hold(HeldReason::Unreadable);
        let reason = "the rollout could not be read for 5 minutes";
        Ok(match self.writer.follow_rollout_rule(position, hold, reason, None).await {
            Ok(RuleOutcome::Taken | RuleOutcome::Held(_)) => {
                warn!(proposal = position.number, %error, "an unreadable rollout is held");
                self.metrics.rollouts().record_step("held");
                StepOutcome::Taken("held")
            }
            Ok(RuleOutcome::Outdated | RuleOutcome::Frozen) => StepOutcome::Superseded,
            Err(err) => StepOutcome::Failed(err),
        })
    }

    /// Returns for how long the rollout has been unreadable.
    fn unreadable_for(&self) -> Duration {
        self.memory.unreadable_since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    fn remember(&mut self, proposal: Uuid) {
        // Errors of an earlier rollout say nothing about the next rollout.
        if self.memory.proposal != Some(proposal) {
            self.memory = Memory { proposal: Some(proposal), ..Memory::default() };
        }
    }

    fn forget(&mut self) {
        if self.memory.proposal.is_some() {
            self.memory = Memory::default();
        }
        self.metrics.rollouts().clear();
    }

    /// Reads the counts. A count that cannot be read is `None` in the result, and logged.
    async fn read(&mut self, rollout: &Rollout, counts_users: bool) -> Reading {
        let mark =
            async |conn: &mut Connection| store::fail_abandoned_starts(conn, rollout.id).await;
        // First: a process that a candidate has killed never reports the failed start.
        let mark_result =
            database::execute_autocommit(&self.pool, Deadline::standard(), mark).await;
        // Even if the mark failed: the failures of before may be enough for a revert.
        let count = async |conn: &mut Connection| store::failures(conn, rollout).await;
        let failures = database::read_with_retry(&self.pool, count).await;
        let users = if counts_users {
            let start = Instant::now();
            let users = view::read_users(&self.pool, rollout).await;
            self.memory.count_duration = start.elapsed();
            Some(users)
        } else {
            None
        };
        let errors = [
            mark_result.as_ref().err(),
            failures.as_ref().err(),
            users.as_ref().and_then(|users| users.as_ref().err()),
        ];
        self.note_errors(errors.into_iter().flatten().next(), counts_users);
        Reading {
            failures: failures.ok(),
            has_abandoned_starts: mark_result.is_ok(),
            users: users.and_then(Result::ok),
            validity: self.validity(rollout).await,
            is_unreadable: self
                .memory
                .unreadable_since
                .is_some_and(|since| since.elapsed() >= self.unreadable_patience),
        }
    }

    /// Remembers since when counts are unreadable. Only a look that `counts_users` proves that all counts are readable.
    fn note_errors(&mut self, error: Option<&TransactionError>, counts_users: bool) {
        match error {
            Some(error) if self.memory.unreadable_since.is_none() => {
                warn!(%error, "counts of the rollout are unreadable: the share stays");
                self.memory.unreadable_since = Some(Instant::now());
            }
            None if counts_users && self.memory.unreadable_since.take().is_some() => {
                info!("counts of the rollout are readable again");
            }
            _ => (),
        }
    }

    /// Returns whether the settings of both arms are valid.
    async fn validity(&self, rollout: &Rollout) -> Validity {
        let is_current_valid = self.settings.is_valid();
        if is_current_valid && self.is_candidate_valid(rollout) {
            return Validity::Valid;
        }
        // Only a revert is left to decide, so the next regular reload is early enough.
        if !is_current_valid && rollout.held.is_some() {
            return Validity::CurrentInvalid;
        }
        // The settings of this instance may be old, and a revert is final.
        match settings::refresh(&self.pool, &self.settings).await {
            Ok(_) if !self.is_candidate_valid(rollout) => Validity::CandidateInvalid,
            Err(settings::ReloadError::Invalid(_)) => Validity::CurrentInvalid,
            _ => Validity::Valid,
        }
    }

    /// Returns false if the settings of the candidate are invalid; true on an instance that has not read the rollout.
    fn is_candidate_valid(&self, rollout: &Rollout) -> bool {
        let epoch = Arc::clone(&self.settings.epoch());
        // Before the next reload an instance may know the rollout before this one.
        let is_same = epoch.rollout.as_ref().is_some_and(|running| running.proposal == rollout.id);
        !is_same || self.settings.candidate(&epoch).is_none_or(|candidate| candidate.is_ok())
    }

    async fn take(&mut self, rollout: &Rollout, reading: &Reading, next: &NextStep) -> StepOutcome {
        // Each try takes the lock of all writes: only a revert may delay the writers every second.
        if !next.is_revert() && self.memory.retry_at.is_some_and(|at| Instant::now() < at) {
            return StepOutcome::Stays;
        }
        let outcome = match step::take(&self.writer, rollout, reading, next).await {
            Ok(RuleOutcome::Taken) => StepOutcome::Taken(next.event()),
            Ok(RuleOutcome::Held(_)) => StepOutcome::Taken("held"),
            Ok(RuleOutcome::Outdated) => StepOutcome::Superseded,
            Ok(RuleOutcome::Frozen) => StepOutcome::Frozen,
            Err(err) => StepOutcome::Failed(err),
        };
        self.report(rollout, reading, next, &outcome);
        outcome
    }
}

impl RolloutWorker {
    /// Logs and counts the outcome of `next`.
    fn report(
        &mut self,
        rollout: &Rollout,
        reading: &Reading,
        next: &NextStep,
        outcome: &StepOutcome,
    ) {
        let (proposal, stage) = (rollout.number, rollout.stage);
        let step = next.event();
        // A step that was possible ends the backoff of an earlier one.
        self.memory.retry_at = None;
        let name = match outcome {
            StepOutcome::Taken(step) => {
                let reason = reading.reason(rollout, next);
                let counts = reading.evidence(rollout);
                if matches!(*step, "reverted" | "held") {
                    warn!(proposal, stage, step, reason, %counts, "the rule took a step of the rollout");
                } else {
                    info!(proposal, stage, step, reason, %counts, "the rule took a step of the rollout");
                }
                step
            }
            StepOutcome::Failed(err) => {
                warn!(proposal, stage, step, error = %err, "a step of the rollout failed; the rule tries again");
                self.memory.retry_at = Some(Instant::now() + STEP_BACKOFF);
                "failed"
            }
            StepOutcome::Superseded => "superseded",
            StepOutcome::Frozen => {
                // Each try takes the lock of all writes.
                self.memory.retry_at = Some(Instant::now() + STEP_BACKOFF);
                "frozen"
            }
            StepOutcome::Idle | StepOutcome::Stays => return,
        };
        self.metrics.rollouts().record_step(name);
    }

    /// Remembers since when a revert has been failing, and logs a long delay once: users still get a harmful change.
    fn note_revert(&mut self, rollout: &Rollout, next: Option<&NextStep>, outcome: &StepOutcome) {
        let is_failing =
            next.is_some_and(NextStep::is_revert) && matches!(outcome, StepOutcome::Failed(_));
        if !is_failing {
            self.memory.revert_failing_since = None;
            self.memory.is_delay_logged = false;
            return;
        }
        let since = *self.memory.revert_failing_since.get_or_insert_with(Instant::now);
        if since.elapsed() >= REVERT_PATIENCE && !self.memory.is_delay_logged {
            self.memory.is_delay_logged = true;
            error!(
                proposal = rollout.number,
                "a harmful rollout could not be reverted for {} s; revert it with `brune rollout revert`, or stop starts",
                since.elapsed().as_secs()
            );
        }
    }

    fn set_gauges(&self, rollout: &Rollout, reading: &Reading) {
        let elapsed =
            |since: Option<Instant>| since.map_or(Duration::ZERO, |since| since.elapsed());
        let metrics = self.metrics.rollouts();
        metrics.set(&RolloutGauges {
            share: rollout.share.probability(),
            stage: rollout.stage,
            is_held: rollout.held.is_some(),
            unreadable: elapsed(self.memory.unreadable_since),
            revert_delay: elapsed(self.memory.revert_failing_since),
        });
        // Evidence that cannot be read stays as last read, beside the time for which counts are unreadable.
        for guard in Guard::ALL.iter().filter(|guard| rollout.plan.guards().contains(guard)) {
            if let Some(failures) = &reading.failures {
                metrics.set_evidence(guard.as_str(), failures.evidence(*guard).value());
            }
        }
    }

    /// Returns the pause until the users are counted again: counting takes a small share of the database's time, however
    /// many sessions a rollout has.
    fn count_pause(&self) -> Duration {
        // By the duration and not by the number of rows: the database may be busy with something else. Without an upper
        // bound, because the deadline of a query bounds the duration.
        self.memory.count_duration * COUNT_PAUSE_FACTOR
    }
}

/// Judges the running rollout every `interval`, for as long as the process runs. A failed look is repeated at the next.
pub async fn guard_rollouts(mut worker: RolloutWorker, interval: Duration) {
    // The first look counts: after a restart nothing is known about the last count.
    let mut count_at = Instant::now();
    let mut is_healthy = true;
    loop {
        // Jitter, so that instances do not look at the same time.
        time::sleep(jittered(interval, 0.8..1.2)).await;
        let counts_users = Instant::now() >= count_at;
        let result = worker.look(counts_users).await;
        // From the end of the count, so that a slow count leaves time between two of them.
        if counts_users {
            count_at = Instant::now() + worker.count_pause();
        }
        match &result {
            Err(error) if is_healthy => {
                warn!(%error, "the running rollout cannot be read; next try in {interval:?}");
            }
            Ok(_) if !is_healthy => info!("the running rollout can be read again"),
            _ => (),
        }
        is_healthy = result.is_ok();
    }
}
