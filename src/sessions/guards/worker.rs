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
    proposals,
    rollouts::Guard,
    sessions::guards::{
        judge::{NextStep, Reading, Validity},
        rollout::Rollout,
        step, store, view,
    },
    settings::{self, GlobalSettingsService, ProposalError, RuleOutcome, SettingsWriter},
};

/// A revert that fails for longer is an error in the log.
const REVERT_PATIENCE: Duration = Duration::from_secs(10);

/// The pause after a step that failed or is frozen, except a revert, which is tried again at every look.
const STEP_BACKOFF: Duration = Duration::from_secs(10);

/// How long counts may be unreadable before the rollout is held.
const UNREADABLE_PATIENCE: Duration = Duration::from_mins(5);

/// The pause between two counts of the users, as a multiple of the duration of a count.
const COUNT_PAUSE_FACTOR: u32 = 20;

/// The longest pause between two counts of the users.
const MAX_COUNT_PAUSE: Duration = Duration::from_mins(1);

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
        let Some(rollout) = database::read_with_retry(&self.pool, find).await? else {
            self.forget();
            return Ok(StepOutcome::Idle);
        };
        // Errors of an earlier rollout say nothing about the next rollout.
        if self.memory.proposal != Some(rollout.id) {
            self.memory = Memory { proposal: Some(rollout.id), ..Memory::default() };
        }
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
        let count = async |conn: &mut Connection| store::failures(conn, rollout.id).await;
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
        self.report(rollout, next, &outcome);
        outcome
    }
}

impl RolloutWorker {
    /// Logs and counts the outcome of `next`.
    fn report(&mut self, rollout: &Rollout, next: &NextStep, outcome: &StepOutcome) {
        let (proposal, stage) = (rollout.number, rollout.stage);
        let step = next.event();
        // A step that was possible ends the backoff of an earlier one.
        self.memory.retry_at = None;
        let name = match outcome {
            StepOutcome::Taken(step) => {
                info!(proposal, stage, step, "the rule took a step of the rollout");
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
        (self.memory.count_duration * COUNT_PAUSE_FACTOR).min(MAX_COUNT_PAUSE)
    }
}

/// Judges the running rollout every `interval`, for as long as the process runs. A failed look is repeated at the next.
pub async fn guard_rollouts(mut worker: RolloutWorker, interval: Duration) {
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
