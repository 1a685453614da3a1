//! The parts put together: config → database → startup guard → tasks → router → serve, and the same in
//! reverse.

mod descriptors;
mod forward;
mod guard;
mod open;
mod role;
mod services;
mod signals;
mod tasks;

use std::{future::Future, net::SocketAddr, path::Path, time::Duration};

use chrono::TimeDelta;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

pub use forward::{BatchPolicy, Forwarder};
pub use guard::{CheckResult, examine};
pub use open::{Database, apply_roles, catalog, migrate, plan, secret_scanner};
pub use signals::signals;
use tasks::Tasks;

use crate::{
    clock::Clock,
    config::{self, Announcement, Config, Environment, Needs, Provision, Reload, Source},
    database::{self, Pool},
    embedded_postgres,
    fleet::{self, Fleet, HeartbeatPolicy},
    http::{
        self, AppState, Grant, Limits, Ofrep, Origins, PathPrefix, StreamBounds, Streams,
        TokenVerifier, WriteQuota,
    },
    metrics::Metrics,
    outbound,
    outbox::{self, Outbox, Sink, Worker},
    secret_scanner::SecretScanner,
    secrets,
    sessions::{self, Expiry},
    settings::{self, Catalog, ChangeSignal, Feed, GlobalSettingsService, Kind},
    telemetry::Lines,
};

/// How often the database is looked through for what is left of secrets.
const RESIDUE_CHECK: Duration = Duration::from_mins(5);

/// How long the row of this instance may take to be deleted at the end.
const LEAVING: Duration = Duration::from_secs(2);

/// Why the service does not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What it was started with is not enough, or wrong.
    #[error(transparent)]
    Config(#[from] config::Faults),
    /// The catalog cannot be used.
    #[error("{0}")]
    Catalog(String),
    /// There is no database to work with.
    #[error(transparent)]
    Database(#[from] database::Error),
    /// The private Postgres does not start, or ended.
    #[error(transparent)]
    Embedded(#[from] embedded_postgres::Error),
    /// The schema could not be brought up to date.
    #[error("the migrations failed")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// The catalog does not fit what is stored.
    #[error(transparent)]
    Publish(#[from] settings::PublishError),
    /// The database role is not one that may do this; with what to do.
    #[error("{0}")]
    Role(String),
    /// The startup guard found faults; each on its own line.
    #[error("not ready to serve:\n  {}", .0.join("\n  "))]
    NotReady(Vec<String>),
    /// The settings could not be read.
    #[error(transparent)]
    Settings(#[from] settings::ReloadError),
    /// The address is taken, or not ours.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// Messages cannot go where they are to.
    #[error(transparent)]
    Sinks(#[from] outbox::InvalidSink),
    /// A signal handler could not be set up.
    #[error("cannot wait for signals")]
    Signals(#[source] std::io::Error),
    /// Other services cannot be called from this machine.
    #[error("no service can be called from here")]
    Outbound(#[from] outbound::OutboundError),
    /// The database could not be read.
    #[error(transparent)]
    Read(#[from] database::TransactionError),
    /// A statement failed.
    #[error("the database refused a statement")]
    Query(#[from] sqlx::Error),
}

/// What a running service tells whoever started it.
#[derive(Debug)]
pub struct Ready {
    /// Where it answers.
    pub address: SocketAddr,
    /// Where people reach it, if that was said (`BRUNE_PUBLIC_URL`).
    pub public_url: Option<String>,
    /// A token of a `SUPER_ADMIN`; only in development, where the secret was made up.
    pub token: Option<String>,
}

/// Runs the service until `stop` resolves or the private Postgres ends; calls `ready` once it answers. Posts `lines`
/// of the log where the configuration says.
pub async fn serve(
    config: Config,
    environment: &Environment,
    lines: Lines,
    ready: impl FnOnce(&Ready),
    stop: impl Future<Output = ()>,
) -> Result<(), Error> {
    let catalog = catalog(&config)?;
    let mut database = Database::open(&config).await?;
    let served = run(&config, environment, &catalog, &mut database, lines, ready, stop).await;
    database.close().await?;
    served
}

async fn run(
    config: &Config,
    environment: &Environment,
    catalog: &Catalog,
    database: &mut Database,
    lines: Lines,
    ready: impl FnOnce(&Ready),
    stop: impl Future<Output = ()>,
) -> Result<(), Error> {
    let pool = database.pool().clone();
    // Nobody else can migrate a server that lives and dies with this process.
    let scanner = open::secret_scanner(config, catalog, environment);
    let imported = database.migrate_private(catalog, environment, &scanner).await?;
    guard::require(&pool, catalog, config).await?;
    let environment = &with_legacy_secrets(environment, &pool).await?;
    let config = Config::load(environment, Needs::Serve)?;
    let made_up = config.auth.jwt_secrets.is_empty();
    let config = &config.with_development_secret()?;
    guard::require_secrets(catalog, environment, config.mode)?;
    let scanner = open::secret_scanner(config, catalog, environment);
    let sinks = outbox::sinks(&config.alerts)?;
    let outbox = Outbox::new(sinks.iter().map(Sink::subscription).collect());
    let metrics = Metrics::default();
    let settings = GlobalSettingsService::new(settings::load(&pool).await?, &metrics);
    if !imported {
        tell_drift(environment, &settings);
    }
    let clock = Clock::system();
    let token = made_up.then(|| development_token(config, &clock)).flatten();
    let (listener, address) = listen(config.listen).await?;
    let mut tasks = Tasks::new();
    descriptors::raise();
    let shutdown = CancellationToken::new();
    let parts =
        Parts { config, environment, pool: &pool, settings, scanner, outbox, metrics, clock };
    let worker = deliver(sinks, &parts, &mut tasks, &shutdown);
    let state = parts.start(&mut tasks, &shutdown).await?;
    let fleet = state.fleet.clone();
    let forwarder = forward(lines, config, &state, &mut tasks)?;
    let limits = Limits::default();
    let router = http::router(state, &limits);
    let served = http::serve(listener, router, limits, shutdown.clone());
    tokio::pin!(served);
    // So that `brune config` on this machine finds the service without being told.
    let dir = config.data_dir().filter(|_| database.is_private());
    let _announced = dir.and_then(|dir| announced(dir, address));
    ready(&Ready { address, public_url: config.alerts.public_url.clone(), token });
    let ended = tokio::select! {
        () = &mut served => None,
        () = stop => None,
        fault = database.exited() => Some(fault),
    };
    // No new connections, then the requests under way, then the tasks they may wait on.
    shutdown.cancel();
    served.await;
    tasks.stop().await;
    conclude(ended, leave(&fleet, &worker, &pool), forwarder).await
}

/// The note of where the service answers. Without one `brune config` has to be told.
fn announced(dir: &Path, address: SocketAddr) -> Option<Announcement> {
    let written = Announcement::new(dir, address);
    written
        .inspect_err(
            |err| warn!(error = %err, "cannot write the address file; set BRUNE_URL for `brune config`"),
        )
        .ok()
}

/// The last steps: this instance leaves the others, if it still has a database, and what was said last is posted.
async fn conclude(
    ended: Option<embedded_postgres::Error>,
    leaving: impl Future<Output = ()>,
    forwarder: Option<Forwarder>,
) -> Result<(), Error> {
    match &ended {
        None => leaving.await,
        Some(fault) => {
            error!(error = fault as &dyn std::error::Error, "the private Postgres has ended");
        }
    }
    if let Some(forwarder) = forwarder {
        forwarder.flush().await;
    }
    ended.map_or(Ok(()), |fault| Err(fault.into()))
}

/// Starts what posts lines of the log, where they can be posted.
fn forward(
    lines: Lines,
    config: &Config,
    state: &AppState,
    tasks: &mut Tasks,
) -> Result<Option<Forwarder>, Error> {
    let scanner = state.scanner.clone();
    let metrics = &state.metrics;
    let instance = state.provision.instance().to_owned();
    let discord = outbox::discord(&config.alerts)?.filter(|_| !config.log.discord.is_empty());
    let forwarder =
        |it| Forwarder::new(lines, it, scanner, metrics, instance, BatchPolicy::default());
    let forwarder = discord.map(forwarder);
    if let Some(forwarder) = &forwarder {
        tasks.spawn(forwarder.clone().run());
    }
    Ok(forwarder)
}

/// The listener, and the address that it has.
async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Error> {
    let fault = |source| Error::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(fault)?;
    let address = listener.local_addr().map_err(fault)?;
    Ok((listener, address))
}

/// Starts what delivers messages, if this instance is to, and what looks after them. Returns the worker.
fn deliver(
    sinks: Vec<Sink>,
    parts: &Parts<'_>,
    tasks: &mut Tasks,
    shutdown: &CancellationToken,
) -> Worker {
    let Parts { config, settings, .. } = parts;
    let pool = parts.pool;
    let outbox = parts.outbox.clone();
    let metrics = parts.metrics.clone();
    for sink in &sinks {
        metrics.sink(sink.name());
    }
    tasks.spawn(outbox::watch(pool.clone(), outbox.clone(), metrics.clone()));
    let declared = settings.clone();
    let has_sessions = Box::new(move || sessions::are_declared(&declared.current().schema));
    let worker = Worker::new(pool.clone(), outbox, sinks, config.delivery, metrics, has_sessions);
    if config.delivery.enabled {
        tasks.spawn(worker.clone().run(shutdown.clone()));
    }
    worker
}

/// Takes this instance out of the fleet, and gives back what its worker held. If that fails the others find
/// out by themselves, and the end is not kept waiting.
async fn leave(fleet: &Fleet, worker: &Worker, pool: &Pool) {
    let both = async { tokio::try_join!(fleet.leave(pool), worker.leave()) };
    let left = tokio::time::timeout(LEAVING, both).await;
    if !matches!(left, Ok(Ok(_))) {
        warn!("could not take this instance's row out: the others count it for a few seconds more");
    }
}

/// What the service is put together from.
struct Parts<'a> {
    config: &'a Config,
    environment: &'a Environment,
    pool: &'a Pool,
    settings: GlobalSettingsService,
    scanner: SecretScanner,
    outbox: Outbox,
    metrics: Metrics,
    clock: Clock,
}

impl Parts<'_> {
    /// Starts what runs beside the routes, until `shutdown`; returns what these may ask for.
    async fn start(
        self,
        tasks: &mut Tasks,
        shutdown: &CancellationToken,
    ) -> Result<AppState, Error> {
        let Self { config, environment, pool, settings, scanner, outbox, metrics, clock } = self;
        let follow =
            settings::follow_by(hints(config), pool.clone(), settings.clone(), config.reload_poll);
        tasks.spawn(follow);
        tasks.spawn(secrets::watch(pool.clone(), metrics.clone(), RESIDUE_CHECK));
        tasks.spawn(sessions::forget_attempts(pool.clone()));
        if config.expiry.enabled {
            let expiry =
                Expiry::new(pool.clone(), outbox.clone(), metrics.clone(), config.expiry.batch);
            tasks.spawn(sessions::expire(expiry, config.expiry, settings.clone()));
        }
        let feed = Feed::new(&settings);
        tasks.spawn(settings::publish_changes(pool.clone(), settings.clone(), feed.clone()));
        let provision = provision(environment, &settings);
        let fleet = Fleet::new(provision.instance(), clock.now(), HeartbeatPolicy::default());
        // Before it answers anybody: from then on a write waits for it.
        fleet.join(pool, settings.revision()).await?;
        let heartbeat = fleet::keep(
            pool.clone(),
            settings.clone(),
            fleet.clone(),
            outbox.clone(),
            metrics.clone(),
        );
        tasks.spawn(heartbeat);
        let public_url = config.alerts.public_url.as_deref();
        let keys = TokenVerifier::new(&config.auth).with_public_url(public_url);
        let path_prefix = PathPrefix::from_public_url(public_url);
        Ok(AppState {
            starts: services::starts(config, &settings, &outbox, &metrics)?,
            quota: WriteQuota::new(config.admin_writes_per_minute),
            streams: Streams::new(StreamBounds::default(), shutdown.clone()),
            ofrep: Ofrep::new(keys.clone()).under(path_prefix.clone()),
            path_prefix,
            origins: Origins(config.cors_origins.clone().into()),
            pool: pool.clone(),
            provision,
            settings,
            scanner,
            outbox,
            metrics,
            fleet,
            feed,
            clock,
            keys,
        })
    }
}

/// What tells of changes before the timer does.
fn hints(config: &Config) -> ChangeSignal {
    match &config.reload {
        Reload::Notify => ChangeSignal::Notify,
        Reload::Poll => ChangeSignal::None,
        Reload::Redis(url) => ChangeSignal::Redis(url.clone()),
    }
}

/// Warns of settings that are still set in the environment, where they have had no effect since the first
/// start: whoever changes them there would wait in vain. Names only, no values.
fn tell_drift(environment: &Environment, settings: &GlobalSettingsService) {
    let provided = |key: &str| open::provided(environment, key);
    let told = |it: settings::Drift| {
        format!("{} {}", it.key, if it.differs { "differs" } else { "is the same" })
    };
    let drift: Vec<_> =
        settings::drift(&settings.snapshot(), &provided).into_iter().map(told).collect();
    if !drift.is_empty() {
        warn!(
            keys = drift.join(", "),
            "settings are still set in the environment or .env, where they are ignored; the database's values \
             count: change them with `brune config set`, and take them out there"
        );
    }
}

/// What the environment gives for the catalog's keys.
fn provision(environment: &Environment, settings: &GlobalSettingsService) -> Provision {
    let snapshot = settings.snapshot();
    let keys = |secret: bool| {
        let of_kind = move |it: &&settings::Definition| (it.kind == Kind::Secret) == secret;
        snapshot.schema.all().filter(of_kind).map(|it| it.key.as_str())
    };
    Provision::of(environment, keys(true), keys(false))
}

/// `environment` with the secrets that an older release left in the database, for as long as nothing else
/// provides them (ADR 0001).
async fn with_legacy_secrets(environment: &Environment, pool: &Pool) -> Result<Environment, Error> {
    let rows = secrets::legacy(pool).await?;
    let environment = environment.clone().with_legacy(rows.iter().cloned());
    let is_used = |name: &str| matches!(environment.secret(name), Ok(Some((_, Source::LegacyDb))));
    let used: Vec<_> =
        rows.iter().map(|(name, _)| name.as_str()).filter(|name| is_used(name)).collect();
    if !used.is_empty() {
        warn!(
            secrets = used.join(", "),
            "taken from the database, where an older release left them; provide them outside: the database \
             is the last place that is looked at, and no place for a secret"
        );
    }
    Ok(environment)
}

/// A token to begin with; tokens of other kinds are made by `brune token`.
fn development_token(config: &Config, clock: &Clock) -> Option<String> {
    let grant = Grant {
        sub: "developer".to_owned(),
        role: Some(http::SUPER_ADMIN.to_owned()),
        ..Grant::default()
    };
    let life = config.auth.bounded(TimeDelta::hours(12));
    http::issue(&config.auth, &grant, clock.now(), life).ok()
}
