//! A private Postgres, its databases, and instances of the service.

use std::{
    collections::HashMap,
    fs::{self, DirBuilder, File},
    net::SocketAddr,
    num::NonZeroU32,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::Mutex,
    time::Duration,
};

use axum::Router;
use brune::{
    app::{BackgroundTasks, InstanceParts},
    clock::Clock,
    config::{Auth, Embedded, Format, Log, Provision, Secret},
    database::{
        self, MIGRATOR, Pool, Topology,
        roles::{self, OWNER, Scope},
    },
    embedded_postgres::{Profile, Server},
    fleet::HeartbeatPolicy,
    http::{self, AppState, Grant, Limits, SUPER_ADMIN, StreamBounds},
    metrics::Metrics,
    outbox::Outbox,
    secret_scanner::SecretScanner,
    sessions::{Realtime, SessionStarter},
    settings::{self, Catalog, ChangeSignal, GlobalSettingsService},
    telemetry,
};
use chrono::TimeDelta;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, PgPool};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::rows;

/// The signing key of the tokens.
pub(crate) const SECRET: &str = "a secret for measuring, long enough to be one";
/// The connections of a pool: the default of the service.
pub(crate) const POOL: u32 = 10;

/// The Postgres server, and everything that the scenarios share.
pub(crate) struct World {
    pub(crate) server: Server,
    dir: Scratch,
    /// Instances by the number of settings and of audit rows, shared because a large database takes minutes to create.
    instances: HashMap<(usize, usize), Instance>,
}

impl World {
    pub(crate) async fn new() -> Self {
        let dir = std::env::temp_dir().join(format!("brune-load-{}", std::process::id()));
        // Started as root, the harness runs the server under another account, which must be able to enter the directory.
        DirBuilder::new().mode(0o711).create(&dir).unwrap();
        #[expect(clippy::disallowed_methods, reason = "the harness has no other configuration")]
        let variable = |name: &str| std::env::var_os(name);
        let config = Embedded {
            dir: dir.join("postgres"),
            bin_dir: variable("BRUNE_PG_BIN_DIR").map(PathBuf::from),
            path: variable("PATH").unwrap_or_default(),
            account: None,
            cache_dir: Some(Path::new(env!("CARGO_TARGET_TMPDIR")).join("postgres")),
        };
        let server = Server::start(&config, Profile::Durable).await.unwrap();
        Self { server, dir: Scratch(dir), instances: HashMap::new() }
    }

    /// Returns a path for the file `name`, which is deleted with the world.
    pub(crate) fn scratch(&self, name: &str) -> PathBuf {
        self.dir.0.join(name)
    }

    /// Returns the URL of the database `name`.
    pub(crate) fn url(&self, name: &str) -> String {
        self.server.url().replace("/brune?", &format!("/{name}?"))
    }

    /// Returns the URL of the database `name` for the login that migrates.
    pub(crate) fn owner_url(&self, name: &str) -> String {
        self.server.owner_options().database(name).to_url_lossy().into()
    }

    /// Creates an empty database.
    pub(crate) async fn create_database(&self, name: &str) {
        let mut connection = self.server.admin_options().connect().await.unwrap();
        let create = format!("create database {name} owner {OWNER} template template0");
        connection.execute(AssertSqlSafe(create)).await.unwrap();
        connection.close().await.unwrap();
    }

    /// Creates and migrates the database `name`, and publishes `catalog` with its default values. Returns a pool of the
    /// service's role.
    pub(crate) async fn database(&self, name: &str, catalog: &Catalog) -> Pool {
        self.create_database(name).await;
        let owner = self.server.owner_options().database(name);
        let owner = Pool::open(owner, Topology::Direct, 2).await.unwrap();
        let mut session = database::unlimited_owner(&owner).await.unwrap().unwrap();
        MIGRATOR.run(&mut session).await.unwrap();
        roles::apply(&mut session, Scope::Grants).await.unwrap();
        session.close().await.unwrap();
        settings::publish(&owner, catalog, &|_| None, &SecretScanner::default(), false)
            .await
            .unwrap();
        owner.close().await;
        self.pool(name).await
    }

    /// Opens another pool for the database `name`.
    pub(crate) async fn pool(&self, name: &str) -> Pool {
        Pool::open(self.server.options().database(name), Topology::Direct, POOL).await.unwrap()
    }

    /// Returns an instance with `settings` generated settings, and `rows` audit rows besides their first values. Creates
    /// the database if it does not exist yet.
    pub(crate) async fn instance(&mut self, settings: usize, rows: usize) -> Instance {
        if !self.instances.contains_key(&(settings, rows)) {
            let started_at = std::time::Instant::now();
            let name = format!("s{settings}_r{rows}");
            let pool = self.database(&name, &crate::catalog::generated(settings)).await;
            rows::add(&self.server.admin_options().database(&name), rows).await;
            let instance = Instance::builder(pool).start().await;
            let seconds = started_at.elapsed().as_secs_f64();
            println!("created {settings} settings with {rows} audit rows in {seconds:.1} s");
            self.instances.insert((settings, rows), instance);
        }
        self.instances[&(settings, rows)].clone()
    }

    /// Stops the instances and the server.
    pub(crate) async fn end(self) {
        for (_, instance) in self.instances {
            instance.end().await;
        }
        self.server.stop().await.unwrap();
    }
}

/// Writes the log of this process to `path` in the format of production: the cost of a line is part of the
/// measurement.
pub(crate) fn log_into(path: &Path) {
    let log =
        Log { level: "info".to_owned(), format: Format::Json, color: false, discord: Vec::new() };
    let file = Mutex::new(File::create(path).unwrap());
    telemetry::subscriber(&log, file, false).unwrap().init();
}

/// A directory that is deleted when dropped, also after a panic.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A running service.
#[derive(Clone)]
pub(crate) struct Instance(std::sync::Arc<Inner>);

struct Inner {
    address: SocketAddr,
    settings: GlobalSettingsService,
    pool: Pool,
    tasks: std::sync::Mutex<Option<BackgroundTasks>>,
}

/// An instance that is not started yet.
pub(crate) struct InstanceBuilder {
    pool: Pool,
    realtime_provider: Option<String>,
}

impl InstanceBuilder {
    /// The URL of the realtime provider; without one, sessions start at once.
    pub(crate) fn realtime_provider(mut self, url: &str) -> Self {
        self.realtime_provider = Some(url.to_owned());
        self
    }

    /// Starts the service from the parts of `brune serve`: the real router behind the real accept loop.
    pub(crate) async fn start(self) -> Instance {
        let pool = self.pool;
        let metrics = Metrics::default();
        let settings = GlobalSettingsService::new(settings::load(&pool).await.unwrap(), &metrics);
        let outbox = Outbox::default();
        let realtime = self.realtime_provider.map(|url| realtime(&url, &metrics));
        let parts = InstanceParts {
            pool,
            session_starter: SessionStarter::new(
                None,
                realtime,
                NonZeroU32::MAX,
                outbox.clone(),
                metrics.clone(),
            ),
            settings,
            scanner: SecretScanner::default(),
            outbox,
            metrics,
            clock: Clock::system(),
            provision: Provision::default(),
            name: "bench".to_owned(),
            auth: auth(),
            public_url: None,
            cors_origins: Vec::new(),
            admin_writes_per_minute: NonZeroU32::MAX,
            heartbeat: HeartbeatPolicy::default(),
            stream_bounds: StreamBounds::default(),
        };
        let state = parts.into_state(CancellationToken::new());
        let AppState { pool, settings, .. } = state.clone();
        let mut tasks = BackgroundTasks::new();
        tasks.follow_settings(&state, ChangeSignal::Notify, Duration::from_secs(5));
        tasks.join_fleet(&state).await.unwrap();
        let limits = Limits::default();
        let router: Router = http::router(state, &limits);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tasks.spawn(http::serve(listener, router, limits, CancellationToken::new()));
        settings.listening().wait_for(|is_open| *is_open).await.unwrap();
        Instance(std::sync::Arc::new(Inner { address, settings, pool, tasks: Some(tasks).into() }))
    }
}

impl Instance {
    /// Returns a builder of an instance with `pool`.
    pub(crate) fn builder(pool: Pool) -> InstanceBuilder {
        InstanceBuilder { pool, realtime_provider: None }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0.address
    }

    pub(crate) fn settings(&self) -> &GlobalSettingsService {
        &self.0.settings
    }

    pub(crate) fn pool(&self) -> &PgPool {
        self.0.pool.connections()
    }

    /// Stops the instance and closes its pool.
    pub(crate) async fn end(self) {
        // Dropping the tasks aborts all of them.
        drop(self.0.tasks.lock().unwrap().take());
        self.0.pool.close().await;
    }
}

fn realtime(url: &str, metrics: &Metrics) -> Realtime {
    let key = Secret::new("sk-for-measuring".to_owned());
    Realtime::openai(url.parse().unwrap(), key, metrics.clone()).unwrap()
}

fn auth() -> Auth {
    Auth {
        jwt_secrets: vec![Secret::new(SECRET.to_owned())],
        issuer: None,
        audience: None,
        internal_api_key: None,
        max_life: Auth::DEFAULT_MAX_LIFE,
    }
}

fn token(grant: &Grant) -> String {
    http::issue(&auth(), grant, Clock::system().now(), TimeDelta::hours(6)).unwrap()
}

/// Issues a token of the user `sub`, who has a plan and a level.
pub(crate) fn user(sub: &str) -> String {
    let plan = Some("pro".to_owned());
    let level = Some("senior".to_owned());
    token(&Grant { sub: sub.to_owned(), plan, level, ..Grant::default() })
}

/// Issues a token of an administrator.
pub(crate) fn admin() -> String {
    admin_called("admin")
}

/// Issues a token of the administrator `sub`.
pub(crate) fn admin_called(sub: &str) -> String {
    let role = Some(SUPER_ADMIN.to_owned());
    token(&Grant { sub: sub.to_owned(), role, ..Grant::default() })
}
