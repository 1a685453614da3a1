//! A running instance of the service without a socket: requests go straight to its router.

use std::time::Duration;

use axum::{
    Router,
    http::{HeaderMap, HeaderValue, Method, header},
};
use brune::{
    clock::Shift,
    config::Delivery,
    database::Pool,
    fleet::{self, Fleet},
    http::Streams,
    metrics::Metrics,
    outbox::{self, Outbox, Sink, Worker},
    sessions::are_declared,
    settings::{self, ChangeSignal, Feed, GlobalSettingsService},
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
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
    pub(super) outbox: Outbox,
    pub(super) metrics: Metrics,
    /// Moves the instance's clock.
    pub(crate) shift: Shift,
    pub(crate) pool: Pool,
    /// Its row in the fleet; invisible before it [joins](Self::join_fleet).
    pub(crate) fleet: Fleet,
    pub(super) tasks: Vec<JoinHandle<()>>,
    pub(crate) streams: Streams,
    /// Ends its event streams.
    pub(crate) shutdown: CancellationToken,
    pub(super) feed: Feed,
    pub(super) sinks: Vec<Sink>,
}

impl Instance {
    /// An instance over `pool`, to be started.
    pub(crate) fn builder(pool: impl Into<Pool>) -> InstanceBuilder {
        InstanceBuilder::new(pool.into())
    }

    /// A worker that delivers the messages of its sinks.
    pub(crate) fn worker(&self, delivery: Delivery) -> Worker {
        let outbox = self.outbox.clone();
        let metrics = self.metrics.clone();
        let settings = self.settings.clone();
        let has_sessions = Box::new(move || are_declared(&settings.current().schema));
        Worker::new(self.pool.clone(), outbox, self.sinks.clone(), delivery, metrics, has_sessions)
    }

    /// Starts a worker that delivers its messages.
    pub(crate) fn start_delivery(&mut self, delivery: Delivery) {
        let worker = self.worker(delivery);
        self.spawn(worker.run(self.shutdown.clone()));
    }

    /// Starts the outbox's clean-up and metrics.
    pub(crate) fn watch_outbox(&mut self) {
        let outbox = self.outbox.clone();
        let metrics = self.metrics.clone();
        self.spawn(outbox::watch(self.pool.clone(), outbox, metrics));
    }

    /// Starts listening for notifications, without a poll, and waits until the channel is open.
    pub(crate) async fn start_listening(&mut self) {
        self.start_listening_by(ChangeSignal::Notify, NO_POLL).await;
    }

    /// The same, with another change signal and poll interval.
    pub(crate) async fn start_listening_by(&mut self, signal: ChangeSignal, poll: Duration) {
        let pool = self.pool.clone();
        let settings = self.settings.clone();
        self.spawn(settings::follow_by(signal, pool.clone(), settings.clone(), poll));
        self.spawn(settings::publish_changes(pool, settings, self.feed.clone()));
        self.settings.listening().wait_for(|is_open| *is_open).await.unwrap();
    }

    /// Registers in the fleet and keeps the heartbeat.
    pub(crate) async fn join_fleet(&mut self) {
        self.fleet.join(&self.pool, self.settings.revision()).await.unwrap();
        self.keep_heartbeat();
    }

    /// Keeps its row in the fleet, from the first heartbeat that is stored.
    pub(crate) fn keep_heartbeat(&mut self) {
        let outbox = self.outbox.clone();
        let metrics = self.metrics.clone();
        let pool = self.pool.clone();
        let settings = self.settings.clone();
        let fleet = self.fleet.clone();
        self.spawn(fleet::keep(pool, settings, fleet, outbox, metrics));
    }

    fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        #[expect(
            clippy::disallowed_methods,
            reason = "a test has no tasks to wait for at shutdown"
        )]
        self.tasks.push(tokio::spawn(task));
    }

    /// Waits until the instance's snapshot is of `revision` or later.
    pub(crate) async fn wait_for_revision(&self, revision: i64) {
        no_hang("the revision is loaded", self.settings.wait_for(revision)).await;
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

impl Drop for Instance {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}
