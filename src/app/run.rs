//! The last step of a start, and the shutdown.

use std::{future::Future, net::SocketAddr, path::Path, time::Duration};

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::{
    app::{
        background::BackgroundTasks,
        boot::Booted,
        database::Database,
        descriptors,
        error::Error,
        instance::InstanceParts,
        log_forwarder::{BatchPolicy, LogForwarder},
        prepare::Prepared,
        services,
    },
    config::{AddressFile, Config, Environment, Provision, Reload},
    embedded_postgres,
    fleet::HeartbeatPolicy,
    http::{self, AppState, Limits, StreamBounds},
    outbox::{self, Worker},
    settings::{ChangeSignal, Definition, GlobalSettingsService, Kind},
    telemetry::LogQueue,
};

/// How long unregistering the instance may take.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);

/// The details of a running service.
#[derive(Debug)]
pub struct Ready {
    /// The address that the service listens on.
    pub address: SocketAddr,
    /// The public address, if configured (`BRUNE_PUBLIC_URL`).
    pub public_url: Option<String>,
    /// A token of a `SUPER_ADMIN`, in development with a generated secret only.
    pub token: Option<String>,
}

/// Runs the service until `stop` resolves or the private Postgres exits. Calls `on_ready` once requests are answered.
/// Forwards `log` to Discord if configured.
///
/// # Errors
/// The service cannot start, or the private Postgres exits.
pub async fn serve(
    config: Config,
    environment: &Environment,
    log: LogQueue,
    on_ready: impl FnOnce(&Ready),
    stop: impl Future<Output = ()>,
) -> Result<(), Error> {
    let mut booted = Booted::open(config).await?;
    // No early return: the database is closed after errors, too.
    let result = run(&mut booted, environment, log, on_ready, stop).await;
    booted.database.close().await?;
    result
}

async fn run(
    booted: &mut Booted,
    environment: &Environment,
    log: LogQueue,
    on_ready: impl FnOnce(&Ready),
    stop: impl Future<Output = ()>,
) -> Result<(), Error> {
    let prepared = Prepared::new(booted, environment).await?;
    let database = &mut booted.database;
    // A taken address should fail the start before the instance joins the fleet.
    // The port of the configuration may be 0, so the address comes from the listener.
    let (listener, address) = listen(prepared.config.listen).await?;
    // A private Postgres locks the directory, so no two services share the address file.
    let data_dir = prepared.config.data_dir().filter(|_| database.is_private());
    let data_dir = data_dir.map(Path::to_owned);
    let ready = Ready {
        address,
        public_url: prepared.config.alerts.public_url.clone(),
        token: prepared.development_token.clone(),
    };
    let running = Running::start(prepared, database, log).await?;
    // Lets `brune config` on this machine find the service.
    let _address_file = data_dir.and_then(|dir| address_file(&dir, address));
    running.serve(listener, database, || on_ready(&ready), stop).await
}

/// An instance whose background tasks run.
struct Running {
    state: AppState,
    tasks: BackgroundTasks,
    worker: Worker,
    forwarder: Option<LogForwarder>,
    shutdown: CancellationToken,
}

impl Running {
    /// Joins the fleet and starts the background tasks.
    async fn start(prepared: Prepared, database: &Database, log: LogQueue) -> Result<Self, Error> {
        let Prepared {
            config, environment, settings, scanner, outbox, metrics, sinks, clock, ..
        } = prepared;
        descriptors::raise_limit();
        let shutdown = CancellationToken::new();
        for sink in &sinks {
            // Creates the series with 0, so that a first failure is an increase.
            metrics.sink(sink.name());
        }
        let provision = provision(&environment, &settings);
        let parts = InstanceParts {
            pool: database.pool().clone(),
            name: provision.instance().to_owned(),
            provision,
            clock,
            auth: config.auth.clone(),
            public_url: config.alerts.public_url.clone(),
            cors_origins: config.cors_origins.clone(),
            session_starter: services::session_starter(&config, &settings, &outbox, &metrics)?,
            admin_writes_per_minute: config.tuning.admin_writes_per_minute,
            heartbeat: HeartbeatPolicy::default(),
            stream_bounds: StreamBounds::default(),
            settings,
            scanner,
            outbox,
            metrics,
        };
        let state = parts.into_state(shutdown.clone());
        let mut tasks = BackgroundTasks::new();
        tasks.watch_outbox(&state);
        tasks.watch_proposals(&state);
        let worker = tasks.deliver(&state, sinks, config.delivery, shutdown.clone());
        tasks.follow_settings(&state, change_signal(&config), config.tuning.reload_poll);
        tasks.clean_up(&state);
        if config.expiry.enabled {
            tasks.expire_sessions(&state, config.expiry);
        }
        if config.change_worker.enabled {
            tasks.apply_due_proposals(&state, config.change_worker.interval);
            // A task of its own: a slow count must not delay what is due.
            tasks.guard_rollouts(&state, config.change_worker.interval);
        }
        // Before the first answer, because writes wait for every instance in the fleet.
        tasks.join_fleet(&state).await?;
        let forwarder = forward_log(log, &config, &state, &mut tasks)?;
        Ok(Self { state, tasks, worker, forwarder, shutdown })
    }

    /// Serves until `stop` resolves or the private Postgres exits, then shuts down.
    async fn serve(
        self,
        listener: TcpListener,
        database: &mut Database,
        on_ready: impl FnOnce(),
        stop: impl Future<Output = ()>,
    ) -> Result<(), Error> {
        let Self { state, tasks, worker, forwarder, shutdown } = self;
        let limits = Limits::default();
        let router = http::router(state.clone(), &limits);
        let server = http::serve(listener, router, limits, shutdown.clone());
        // Pinned, because the shutdown awaits the same future again.
        tokio::pin!(server);
        on_ready();
        let exited = tokio::select! {
            () = &mut server => None,
            () = stop => None,
            error = database.exited() => Some(error),
        };
        // Requests may wait for tasks, so the tasks end after the last request.
        shutdown.cancel();
        server.await;
        tasks.stop().await;
        match &exited {
            None => leave(&state, &worker).await,
            // Leaving needs the database.
            Some(error) => log_exit(error),
        }
        // Last, to forward the lines of the shutdown as well.
        if let Some(forwarder) = forwarder {
            forwarder.flush().await;
        }
        exited.map_or(Ok(()), |error| Err(error.into()))
    }
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Error> {
    let error = |source| Error::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(error)?;
    let address = listener.local_addr().map_err(error)?;
    Ok((listener, address))
}

fn address_file(dir: &Path, address: SocketAddr) -> Option<AddressFile> {
    let warn = |err: &std::io::Error| {
        warn!(error = %err, "cannot write the address file; set BRUNE_URL for `brune config`");
    };
    AddressFile::create(dir, address).inspect_err(warn).ok()
}

fn change_signal(config: &Config) -> ChangeSignal {
    match &config.reload {
        Reload::Notify => ChangeSignal::Notify,
        Reload::Poll => ChangeSignal::None,
        Reload::Redis(url) => ChangeSignal::Redis(url.clone()),
    }
}

/// Returns the keys of the catalog that `environment` provides.
fn provision(environment: &Environment, settings: &GlobalSettingsService) -> Provision {
    let snapshot = settings.snapshot();
    let keys = |is_secret: bool| {
        let matches =
            move |definition: &&Definition| (definition.kind == Kind::Secret) == is_secret;
        snapshot.schema.all().filter(matches).map(|definition| definition.key.as_str())
    };
    Provision::of(environment, keys(true), keys(false))
}

/// Starts forwarding the log to Discord, if configured.
fn forward_log(
    log: LogQueue,
    config: &Config,
    state: &AppState,
    tasks: &mut BackgroundTasks,
) -> Result<Option<LogForwarder>, Error> {
    let discord = outbox::discord(&config.alerts)?.filter(|_| !config.log.discord.is_empty());
    let Some(discord) = discord else { return Ok(None) };
    let scanner = state.scanner.clone();
    let metrics = &state.metrics;
    let instance = state.provision.instance().to_owned();
    let forwarder =
        LogForwarder::new(log, discord, scanner, metrics, instance, BatchPolicy::default());
    tasks.spawn(forwarder.clone().run());
    Ok(Some(forwarder))
}

fn log_exit(error: &embedded_postgres::Error) {
    error!(error = error as &dyn std::error::Error, "the private Postgres exited");
}

/// Unregisters the instance and releases the lease of its worker.
async fn leave(state: &AppState, worker: &Worker) {
    let leaving = async { tokio::try_join!(state.fleet.leave(&state.pool), worker.leave()) };
    // Other instances detect a missing heartbeat, so the shutdown does not wait longer.
    let result = tokio::time::timeout(LEAVE_TIMEOUT, leaving).await;
    if !matches!(result, Ok(Ok(_))) {
        warn!("cannot unregister this instance; it expires in a few seconds");
    }
}
