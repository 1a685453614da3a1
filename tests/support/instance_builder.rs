//! What an instance of the service is started with.
//!
//! ```ignore
//! let instance = Instance::builder(app.db.pool())
//!     .writes_per_minute(NonZeroU32::new(5).unwrap())
//!     .without_listener()
//!     .start()
//!     .await;
//! ```

use std::{num::NonZeroU32, time::Duration};

use brune::{
    app::{BackgroundTasks, InstanceParts},
    clock::Clock,
    config::{Alerts, Environment, Provision},
    database::Pool,
    fleet::HeartbeatPolicy,
    http::{Limits, StreamBounds, router},
    metrics::Metrics,
    outbox::{self, Outbox, Sink},
    settings::{self, BRUN_E, Catalog, ChangeSignal, GlobalSettingsService, Kind},
};
use tokio_util::sync::CancellationToken;

use super::{Instance, auth, canary, firewall, services::Services};

/// The origin whose pages may call test instances from a browser.
pub(crate) const ORIGIN: &str = "https://app.test";

/// Heartbeats fast enough that a test sees an instance expire, and slow enough for a busy machine.
pub(crate) const FAST_PACE: HeartbeatPolicy = HeartbeatPolicy {
    beat: Duration::from_millis(40),
    live: Duration::from_millis(1500),
    forget: Duration::from_secs(3),
    acknowledgement: Duration::from_millis(10),
};

/// A poll so rare that a test ends before the first: only a notification can be the reason of a reload.
pub(super) const NO_POLL: Duration = Duration::from_hours(1);

/// An instance that is not started yet. Without further calls it listens for notifications, does not poll, and
/// has no limits, no services around it and no alerts.
#[must_use = "an instance runs after `start`"]
pub(crate) struct InstanceBuilder {
    pool: Pool,
    listener: bool,
    change_signal: ChangeSignal,
    poll: Duration,
    joins_fleet: bool,
    writes_per_minute: NonZeroU32,
    provision: Provision,
    pace: HeartbeatPolicy,
    stream_bounds: StreamBounds,
    services: Services,
    alerts: Alerts,
}

impl InstanceBuilder {
    pub(super) fn new(pool: Pool) -> Self {
        Self {
            pool,
            listener: true,
            change_signal: ChangeSignal::Notify,
            poll: NO_POLL,
            joins_fleet: false,
            writes_per_minute: NonZeroU32::MAX,
            provision: Provision::default(),
            pace: HeartbeatPolicy::default(),
            stream_bounds: StreamBounds::default(),
            services: Services::default(),
            alerts: Alerts::default(),
        }
    }

    /// The instance learns of no change: its snapshot stays the first, unless a request makes it reload.
    pub(crate) fn without_listener(mut self) -> Self {
        self.listener = false;
        self
    }

    /// Learns of changes by `signal` instead of `LISTEN`.
    pub(crate) fn change_signal(mut self, signal: ChangeSignal) -> Self {
        self.change_signal = signal;
        self
    }

    /// Reads the database every `interval` as well.
    pub(crate) fn poll_every(mut self, interval: Duration) -> Self {
        self.poll = interval;
        self
    }

    /// Registers the instance in the fleet and keeps its heartbeat.
    pub(crate) fn join_fleet(mut self) -> Self {
        self.joins_fleet = true;
        self
    }

    /// Limits the writes of each administrator.
    pub(crate) fn writes_per_minute(mut self, writes: NonZeroU32) -> Self {
        self.writes_per_minute = writes;
        self
    }

    /// Reads secrets and locked keys of the built-in catalog from `environment`.
    pub(crate) fn environment(mut self, environment: &Environment) -> Self {
        self.provision = provision(environment);
        self
    }

    /// Sets the times of heartbeats.
    pub(crate) fn pace(mut self, pace: HeartbeatPolicy) -> Self {
        self.pace = pace;
        self
    }

    /// Sets the limits of event streams.
    pub(crate) fn stream_bounds(mut self, bounds: StreamBounds) -> Self {
        self.stream_bounds = bounds;
        self
    }

    /// Sets the services that the instance calls.
    pub(crate) fn services(mut self, services: Services) -> Self {
        self.services = services;
        self
    }

    /// Enqueues messages for the sinks of `alerts`.
    pub(crate) fn alerts(mut self, alerts: &Alerts) -> Self {
        self.alerts = alerts.clone();
        self
    }

    /// Starts the instance; returns once its listener is connected and its row is in the fleet, if it has them.
    pub(crate) async fn start(self) -> Instance {
        canary::listen();
        let listener = self.listener;
        let joins_fleet = self.joins_fleet;
        let signal = self.change_signal.clone();
        let poll = self.poll;
        let mut instance = self.assemble().await;
        if listener {
            instance.start_listening_by(signal, poll).await;
        }
        if joins_fleet {
            instance.join_fleet().await;
        }
        instance
    }

    /// Builds the instance as `brune serve` does; no task runs yet.
    async fn assemble(self) -> Instance {
        let pool = self.pool;
        let sinks = outbox::sinks(&self.alerts).unwrap();
        let metrics = Metrics::default();
        for sink in &sinks {
            metrics.sink(sink.name());
        }
        let subscriptions = sinks.iter().map(Sink::subscription).chain(self.services.sinks.clone());
        let outbox = Outbox::new(subscriptions.collect());
        let snapshot = settings::load(&pool).await.unwrap();
        let settings = GlobalSettingsService::new(snapshot, &metrics);
        let (clock, shift) = Clock::shifted();
        let shutdown = CancellationToken::new();
        let parts = InstanceParts {
            pool,
            session_starter: self.services.session_starter(outbox.clone(), &metrics),
            settings,
            scanner: firewall(),
            outbox,
            metrics,
            clock,
            provision: self.provision,
            name: "brune.test".to_owned(),
            auth: auth(),
            public_url: self.alerts.public_url,
            cors_origins: vec![ORIGIN.to_owned()],
            admin_writes_per_minute: self.writes_per_minute,
            heartbeat: self.pace,
            stream_bounds: self.stream_bounds,
        };
        let state = parts.into_state(shutdown.clone());
        Instance {
            router: router(state.clone(), &Limits::default()),
            settings: state.settings.clone(),
            pool: state.pool.clone(),
            fleet: state.fleet.clone(),
            streams: state.streams.clone(),
            state,
            tasks: BackgroundTasks::new(),
            shift,
            shutdown,
            sinks,
        }
    }
}

/// What `environment` provides for the keys of the built-in catalog.
fn provision(environment: &Environment) -> Provision {
    let catalog = Catalog::parse(BRUN_E).unwrap();
    let keys = |secret: bool| {
        let definitions = catalog.schema.all();
        definitions
            .filter(move |definition| (definition.kind == Kind::Secret) == secret)
            .map(|definition| definition.key.as_str())
    };
    Provision::of(environment, keys(true), keys(false))
}
