//! The background tasks of an instance. Only this module spawns, so that shutdown stops every task.

use std::{future::Future, time::Duration};

use tokio::{task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    config,
    database::TransactionError,
    fleet::{self, FeatureLevel},
    http::AppState,
    outbox::{self, Sink, Worker},
    proposals, secrets,
    sessions::{self, Expiry},
    settings::{self, ChangeSignal},
};

/// The pause between two searches for secrets in the database.
const RESIDUE_CHECK: Duration = Duration::from_mins(5);

/// How long a task may take to stop. A task that never yields must not block the shutdown.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// The background tasks of an instance. Dropping them aborts every task.
#[derive(Debug, Default)]
pub struct BackgroundTasks(JoinSet<()>);

impl BackgroundTasks {
    /// Creates an empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs `task` until it ends or the tasks are stopped.
    pub fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn(task);
    }

    /// Reloads the settings on `signal` and every `poll_interval`, and publishes changes to event streams.
    pub fn follow_settings(
        &mut self,
        state: &AppState,
        signal: ChangeSignal,
        poll_interval: Duration,
    ) {
        let pool = state.pool.clone();
        let settings = state.settings.clone();
        self.spawn(settings::follow_by(signal, pool.clone(), settings.clone(), poll_interval));
        self.spawn(settings::publish_changes(pool, settings, state.feed.clone()));
    }

    /// Registers the instance in the fleet and keeps its heartbeat.
    ///
    /// # Errors
    /// The row of the instance cannot be written.
    pub async fn join_fleet(&mut self, state: &AppState) -> Result<(), TransactionError> {
        state.fleet.join(&state.pool, state.settings.revision()).await?;
        self.spawn(fleet::keep(
            state.pool.clone(),
            state.settings.clone(),
            state.fleet.clone(),
            state.outbox.clone(),
            state.metrics.clone(),
        ));
        Ok(())
    }

    /// Applies proposals whose time has come.
    pub fn apply_due_proposals(&mut self, state: &AppState, interval: Duration) {
        let metrics = state.metrics.clone();
        let writer = state.settings_writer();
        let (fleet, pool) = (state.fleet.clone(), state.pool.clone());
        // The module of the settings knows no instances.
        let can_roll_out = move || {
            let (fleet, pool) = (fleet.clone(), pool.clone());
            async move { fleet.can_read(&pool, FeatureLevel::Rollouts).await }
        };
        self.spawn(settings::apply_due_proposals(writer, metrics, interval, can_roll_out));
    }

    /// Judges the running rollout.
    pub fn guard_rollouts(&mut self, state: &AppState, interval: Duration) {
        self.spawn(sessions::guard_rollouts(state.rollout_worker(), interval));
    }

    /// Counts proposals for the metrics.
    pub fn watch_proposals(&mut self, state: &AppState) {
        self.spawn(proposals::watch(state.pool.clone(), state.metrics.clone()));
    }

    /// Deletes old start attempts, watches for a stop of starts, and counts secrets in the database.
    pub fn clean_up(&mut self, state: &AppState) {
        let metrics = state.metrics.clone();
        self.spawn(sessions::watch_stop(state.pool.clone(), metrics.clone()));
        self.spawn(secrets::watch(state.pool.clone(), metrics, RESIDUE_CHECK));
        self.spawn(sessions::forget_attempts(state.pool.clone()));
    }

    /// Marks expired sessions.
    pub fn expire_sessions(&mut self, state: &AppState, policy: config::Expiry) {
        let settings = state.settings.clone();
        let outbox = state.outbox.clone();
        let metrics = state.metrics.clone();
        let expiry = Expiry::new(state.pool.clone(), outbox, metrics, policy.batch);
        self.spawn(sessions::expire(expiry, policy, settings));
    }

    /// Deletes old messages, and counts waiting messages for the metrics.
    pub fn watch_outbox(&mut self, state: &AppState) {
        let outbox = state.outbox.clone();
        let metrics = state.metrics.clone();
        self.spawn(outbox::watch(state.pool.clone(), outbox, metrics));
    }

    /// Delivers messages to `sinks` until `shutdown`, if enabled. Returns the worker, which releases its lease.
    pub fn deliver(
        &mut self,
        state: &AppState,
        sinks: Vec<Sink>,
        delivery: config::Delivery,
        shutdown: CancellationToken,
    ) -> Worker {
        let settings = state.settings.clone();
        let outbox = state.outbox.clone();
        let metrics = state.metrics.clone();
        // Read for each message, because a published catalog may add sessions.
        let has_sessions = Box::new(move || sessions::are_declared(&settings.current().schema));
        // The worker exists without delivery, too, to release a lease at shutdown.
        let worker =
            Worker::new(state.pool.clone(), outbox, sinks, delivery, metrics, has_sessions);
        if delivery.enabled {
            self.spawn(worker.clone().run(shutdown));
        }
        worker
    }

    /// Aborts every task and waits for its end: until then a task holds database connections.
    pub async fn stop(mut self) {
        let _ = timeout(STOP_TIMEOUT, self.0.shutdown()).await;
    }
}
