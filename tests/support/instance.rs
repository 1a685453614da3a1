//! A running instance of the service without a socket: requests go straight to its router.

use std::time::Duration;

use axum::{
    Router,
    http::{HeaderMap, HeaderValue, Method, header},
};
use brune::{
    app::BackgroundTasks,
    clock::Shift,
    config::Delivery,
    database::Pool,
    fleet::{self, FeatureLevel, Fleet},
    http::{AppState, Streams},
    metrics::Metrics,
    outbox::{Sink, Worker},
    sessions::RolloutWorker,
    settings::{
        ChangeSignal, DueOutcome, GlobalSettingsService, ProposalError, SettingsWriter, apply_due,
        remind_of_emergencies,
    },
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{
    admin,
    call::{Call, Reply},
    instance_builder::{InstanceBuilder, NO_POLL},
    wait::no_hang,
};

/// One instance of the service. Its tasks end when it is dropped.
pub(crate) struct Instance {
    pub(crate) router: Router,
    pub(crate) settings: GlobalSettingsService,
    /// Moves the instance's clock.
    pub(crate) shift: Shift,
    pub(crate) pool: Pool,
    /// Its row in the fleet; invisible before it [joins](Self::join_fleet).
    pub(crate) fleet: Fleet,
    pub(super) state: AppState,
    pub(super) tasks: BackgroundTasks,
    pub(crate) streams: Streams,
    /// Ends its event streams.
    pub(crate) shutdown: CancellationToken,
    pub(super) sinks: Vec<Sink>,
}

impl Instance {
    /// An instance over `pool`, to be started.
    pub(crate) fn builder(pool: impl Into<Pool>) -> InstanceBuilder {
        InstanceBuilder::new(pool.into())
    }

    /// Applies every due proposal once, as the worker of the instance does at each interval.
    pub(crate) async fn apply_due_proposals(&self) -> Vec<(i64, DueOutcome)> {
        self.try_due_proposals().await.unwrap()
    }

    /// The same for an instance whose connections are ended meanwhile.
    pub(crate) async fn try_due_proposals(&self) -> Result<Vec<(i64, DueOutcome)>, ProposalError> {
        let can_roll_out = || self.state.fleet.can_read(&self.state.pool, FeatureLevel::Rollouts);
        apply_due(&self.state.settings_writer(), can_roll_out).await
    }

    /// Takes steps as the rule of a rollout does.
    pub(crate) fn settings_writer(&self) -> SettingsWriter {
        self.state.settings_writer()
    }

    /// Enqueues every due reminder of an emergency, as the worker of the instance does at each interval.
    pub(crate) async fn remind_of_emergencies(&self) -> Vec<i64> {
        remind_of_emergencies(&self.state.settings_writer()).await.unwrap()
    }

    /// Applies due proposals every few milliseconds until the instance ends, as the worker of a service does.
    pub(crate) fn run_change_worker(&mut self) {
        self.tasks.apply_due_proposals(&self.state, Duration::from_millis(20));
    }

    /// A worker that judges the running rollout at each call of `look`.
    pub(crate) fn rollout_worker(&self) -> RolloutWorker {
        self.state.rollout_worker()
    }

    /// Judges the running rollout every few milliseconds until the instance ends, as the task of a service does.
    pub(crate) fn guard_rollouts(&mut self) {
        self.tasks.guard_rollouts(&self.state, Duration::from_millis(20));
    }

    /// A worker that delivers the messages of its sinks when it is asked to.
    pub(crate) fn worker(&self, delivery: Delivery) -> Worker {
        let delivery = Delivery { enabled: false, ..delivery };
        let mut no_tasks = BackgroundTasks::new();
        no_tasks.deliver(&self.state, self.sinks.clone(), delivery, self.shutdown.clone())
    }

    /// Starts a worker that delivers its messages.
    pub(crate) fn start_delivery(&mut self, delivery: Delivery) {
        let delivery = Delivery { enabled: true, ..delivery };
        self.tasks.deliver(&self.state, self.sinks.clone(), delivery, self.shutdown.clone());
    }

    /// Starts the outbox's clean-up and metrics.
    pub(crate) fn watch_outbox(&mut self) {
        self.tasks.watch_outbox(&self.state);
    }

    /// Starts to count proposals for the metrics.
    pub(crate) fn watch_proposals(&mut self) {
        self.tasks.watch_proposals(&self.state);
    }

    /// Starts listening for notifications, without a poll, and waits until the channel is open.
    pub(crate) async fn start_listening(&mut self) {
        self.start_listening_by(ChangeSignal::Notify, NO_POLL).await;
    }

    /// The same, with another change signal and poll interval.
    pub(crate) async fn start_listening_by(&mut self, signal: ChangeSignal, poll: Duration) {
        self.tasks.follow_settings(&self.state, signal, poll);
        self.settings.listening().wait_for(|is_open| *is_open).await.unwrap();
    }

    /// Registers in the fleet and keeps the heartbeat.
    pub(crate) async fn join_fleet(&mut self) {
        self.tasks.join_fleet(&self.state).await.unwrap();
    }

    /// Keeps its row in the fleet, from the first heartbeat that is stored.
    pub(crate) fn keep_heartbeat(&mut self) {
        let AppState { pool, settings, fleet, outbox, metrics, .. } = self.state.clone();
        self.tasks.spawn(fleet::keep(pool, settings, fleet, outbox, metrics));
    }

    /// Waits until the instance's snapshot is of `revision` or later.
    pub(crate) async fn wait_for_revision(&self, revision: i64) {
        no_hang("the revision is loaded", self.settings.wait_for(revision)).await;
    }

    /// The metrics, for a task that a test runs.
    pub(crate) fn metrics(&self) -> Metrics {
        self.state.metrics.clone()
    }

    pub(crate) fn get(&self, path: &str) -> Call<'_> {
        self.call(Method::GET, path)
    }

    pub(crate) fn post(&self, path: &str) -> Call<'_> {
        self.call(Method::POST, path)
    }

    pub(crate) fn patch(&self, path: &str) -> Call<'_> {
        self.call(Method::PATCH, path)
    }

    pub(crate) fn call(&self, method: Method, path: &str) -> Call<'_> {
        let headers =
            HeaderMap::from_iter([(header::HOST, HeaderValue::from_static("brune.test"))]);
        Call { instance: self, method, path: path.to_owned(), headers, body: Vec::new() }
    }

    /// The value of the metric `series`, labels included.
    pub(crate) async fn metric(&self, series: &str) -> u64 {
        let text = self.get("/metrics").send().await.text;
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{series} is not in {text}")).parse().unwrap()
    }

    /// How often the instance read the database because of `source`, with `outcome`.
    pub(crate) async fn reloads(&self, source: &str, outcome: &str) -> u64 {
        let labels = format!("source=\"{source}\",outcome=\"{outcome}\"");
        self.metric(&format!("brune_settings_reloads_total{{{labels}}}")).await
    }

    /// Changes settings as `admin-1`; each change is a key, a value and the version it replaces.
    pub(crate) async fn change(&self, changes: &[(&str, Value, i64)]) -> Reply {
        let changes: Vec<_> = changes
            .iter()
            .map(|(key, value, version)| json!({"key": key, "value": value, "version": version}))
            .collect();
        self.patch("/admin/global-settings")
            .bearer(&admin("admin-1"))
            .json(&json!({"reason": "a test", "changes": changes}))
            .send()
            .await
    }

    /// Starts a session with `token`.
    pub(crate) async fn start_session(&self, token: &str) -> Reply {
        self.post("/brun-e/start").bearer(token).send().await
    }
}
