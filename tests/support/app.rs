//! A running service without a socket: instances over one database, spoken to through the router.

use std::{num::NonZeroU32, time::Duration};

use axum::{
    Router,
    http::{HeaderMap, HeaderValue, Method, header},
};
use brune::{
    clock::{Clock, Shift},
    config::{Alerts, Auth, Delivery, Environment, Provision, Secret},
    database::Pool,
    fleet::{self, Fleet, HeartbeatPolicy},
    http::{
        AppState, Grant, Limits, Ofrep, Origins, PathPrefix, SUPER_ADMIN, StreamBounds, Streams,
        TokenVerifier, WriteQuota, issue, router,
    },
    outbox::{self, Outbox, Sink, Worker},
    secret_scanner::SecretScanner,
    sessions::are_declared,
    settings::{self, BRUN_E, Catalog, ChangeSignal, Feed, GlobalSettingsService, Kind},
};
use chrono::TimeDelta;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{
    TestDb,
    call::{Call, Reply},
    canary,
    services::Services,
};

/// The secret that test tokens are signed with.
pub(crate) const SECRET: &str = "a secret for tests, long enough to be one";
/// So quick that nobody has to wait long for the silence of others, and no busy machine takes for silence.
const QUICK: HeartbeatPolicy = HeartbeatPolicy {
    beat: Duration::from_millis(40),
    live: Duration::from_millis(1500),
    forget: Duration::from_secs(3),
};
/// What test services prove themselves with.
pub(crate) const INTERNAL_KEY: &str = "an internal key for tests";
/// What test instances prove themselves with to the realtime provider.
pub(crate) const PROVIDER_KEY: &str = "sk-a-key-for-tests-of-the-provider";
/// Whose pages may call test instances from a browser.
pub(crate) const ORIGIN: &str = "https://app.test";
/// A poll so slow that only a notification can explain what is taken on.
const NEVER: Duration = Duration::from_hours(1);

/// Whom test instances believe.
pub(crate) fn auth() -> Auth {
    Auth {
        jwt_secrets: vec![Secret::new(SECRET.to_owned())],
        issuer: None,
        audience: None,
        internal_api_key: Some(Secret::new(INTERNAL_KEY.to_owned())),
        max_life: Auth::DEFAULT_MAX_LIFE,
    }
}

/// What keeps the secrets of test instances out of their settings.
pub(crate) fn firewall() -> SecretScanner {
    SecretScanner::with_known_secrets(
        [SECRET, INTERNAL_KEY, PROVIDER_KEY].map(|it| Secret::new(it.to_owned())),
    )
}

/// A token for what `grant` says, good for an hour.
pub(crate) fn token(grant: &Grant) -> String {
    issue(&auth(), grant, Clock::system().now(), TimeDelta::hours(1)).unwrap()
}

/// A token of an administrator that is signed with `secret`.
pub(crate) fn admin_signed_with(secret: &str) -> String {
    let auth = Auth { jwt_secrets: vec![Secret::new(secret.to_owned())], ..auth() };
    let role = Some(SUPER_ADMIN.to_owned());
    let grant = Grant { sub: "admin-1".to_owned(), role, ..Grant::default() };
    issue(&auth, &grant, Clock::system().now(), TimeDelta::hours(1)).unwrap()
}

/// A token of the administrator `sub`.
pub(crate) fn admin(sub: &str) -> String {
    let role = Some(SUPER_ADMIN.to_owned());
    token(&Grant { sub: sub.to_owned(), role, ..Grant::default() })
}

/// A token of a user on plan `pro`.
pub(crate) fn user(sub: &str) -> String {
    let plan = Some("pro".to_owned());
    token(&Grant { sub: sub.to_owned(), plan, ..Grant::default() })
}

/// A database that is seeded with the built-in catalog's defaults, and one instance over it.
pub(crate) struct TestApp {
    pub(crate) db: TestDb,
    pub(crate) instance: Instance,
}

impl TestApp {
    pub(crate) async fn new() -> Self {
        Self::of(BRUN_E).await
    }

    /// The same with another catalog, as its file spells it.
    pub(crate) async fn of(catalog: &str) -> Self {
        let db = TestDb::new().await;
        let catalog = Catalog::parse(catalog).unwrap();
        settings::publish(&db.owner().into(), &catalog, &|_| None, &firewall(), false)
            .await
            .unwrap();
        let instance = Instance::over(db.own_pool().await).await;
        Self { db, instance }
    }

    /// Publishes `catalog` into the database, as the migration of another release does.
    pub(crate) async fn publish(&self, catalog: &str) {
        let catalog = Catalog::parse(catalog).unwrap();
        let pool = self.db.owner().into();
        settings::publish(&pool, &catalog, &|_| None, &firewall(), false).await.unwrap();
    }

    /// Another instance of the service over the same database.
    pub(crate) async fn another(&self) -> Instance {
        Instance::over(self.db.own_pool().await).await
    }
}

fn provision(environment: &Environment) -> Provision {
    let catalog = Catalog::parse(BRUN_E).unwrap();
    let keys = |secret: bool| {
        let of_kind = catalog.schema.all().filter(move |it| (it.kind == Kind::Secret) == secret);
        of_kind.map(|it| it.key.as_str())
    };
    Provision::of(environment, keys(true), keys(false))
}

/// What an instance is started with.
struct Setup {
    writes: NonZeroU32,
    provision: Provision,
    pace: HeartbeatPolicy,
    bounds: StreamBounds,
    services: Services,
    alerts: Alerts,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            writes: NonZeroU32::MAX,
            provision: Provision::default(),
            pace: HeartbeatPolicy::default(),
            bounds: StreamBounds::default(),
            services: Services::default(),
            alerts: Alerts::default(),
        }
    }
}

/// One instance of the service.
pub(crate) struct Instance {
    pub(crate) router: Router,
    pub(crate) settings: GlobalSettingsService,
    /// Moves the instance's clock.
    pub(crate) shift: Shift,
    pub(crate) pool: Pool,
    /// Its place among the others; nobody sees it before it [joins](Self::join).
    pub(crate) fleet: Fleet,
    tasks: Vec<JoinHandle<()>>,
    pub(crate) streams: Streams,
    /// Ends its streams.
    pub(crate) ending: CancellationToken,
    feed: Feed,
    sinks: Vec<Sink>,
}

impl Instance {
    /// An instance that follows the database by notification alone.
    pub(crate) async fn over(pool: impl Into<Pool>) -> Self {
        let mut instance = Self::deaf(pool).await;
        instance.follow(NEVER).await;
        instance
    }

    /// An instance that hears of no change: it knows only what it is made to look at.
    pub(crate) async fn deaf(pool: impl Into<Pool>) -> Self {
        Self::allowing(NonZeroU32::MAX, pool).await
    }

    /// The same, started with `environment`.
    pub(crate) async fn provided(pool: impl Into<Pool>, environment: &Environment) -> Self {
        Self::with(Setup { provision: provision(environment), ..Setup::default() }, pool).await
    }

    /// The same, where an administrator may write so often in a minute.
    pub(crate) async fn allowing(writes: NonZeroU32, pool: impl Into<Pool>) -> Self {
        Self::with(Setup { writes, ..Setup::default() }, pool).await
    }

    /// One that hears of no change, and believes in the others as `pace` says.
    pub(crate) async fn paced(pace: HeartbeatPolicy, pool: impl Into<Pool>) -> Self {
        Self::with(Setup { pace, ..Setup::default() }, pool).await
    }

    /// One that follows the database by notification alone, with other bounds on its streams.
    pub(crate) async fn streaming(bounds: StreamBounds, pool: impl Into<Pool>) -> Self {
        let mut instance = Self::bounded(bounds, pool).await;
        instance.follow(NEVER).await;
        instance
    }

    /// One that hears of no change, among `services`.
    pub(crate) async fn among(services: Services, pool: impl Into<Pool>) -> Self {
        Self::with(Setup { services, ..Setup::default() }, pool).await
    }

    /// One that follows the database by notification alone, and leaves word where `alerts` says.
    pub(crate) async fn alerting(alerts: &Alerts, pool: impl Into<Pool>) -> Self {
        let setup = Setup { alerts: alerts.clone(), pace: QUICK, ..Setup::default() };
        let mut instance = Self::with(setup, pool).await;
        instance.follow(NEVER).await;
        instance
    }

    /// The same, started with `environment`.
    pub(crate) async fn alerting_provided(
        alerts: &Alerts,
        pool: impl Into<Pool>,
        environment: &Environment,
    ) -> Self {
        let setup = Setup { alerts: alerts.clone(), ..Setup::default() };
        Self::with(Setup { provision: provision(environment), ..setup }, pool).await
    }

    /// What delivers its messages.
    pub(crate) fn worker(&self, delivery: Delivery) -> Worker {
        let outbox = self.settings.outbox().clone();
        let metrics = self.settings.metrics().clone();
        let settings = self.settings.clone();
        let has_sessions = Box::new(move || are_declared(&settings.current().schema));
        Worker::new(self.pool.clone(), outbox, self.sinks.clone(), delivery, metrics, has_sessions)
    }

    /// Starts delivering its messages.
    pub(crate) fn deliver(&mut self, delivery: Delivery) {
        let worker = self.worker(delivery);
        self.spawn(worker.run(self.ending.clone()));
    }

    /// One that hears of no change, with other bounds on its streams.
    pub(crate) async fn bounded(bounds: StreamBounds, pool: impl Into<Pool>) -> Self {
        Self::with(Setup { bounds, ..Setup::default() }, pool).await
    }

    /// Starts looking after what was stored for other services.
    pub(crate) fn look_after_messages(&mut self) {
        let (pool, outbox) = (self.pool.clone(), self.settings.outbox().clone());
        self.spawn(outbox::watch(pool, outbox, self.settings.metrics().clone()));
    }

    async fn with(setup: Setup, pool: impl Into<Pool>) -> Self {
        let pool = pool.into();
        let Setup { writes, provision, pace, bounds, services, alerts } = setup;
        let fleet = Fleet::new("brune.test", Clock::system().now(), pace);
        canary::listen();
        let sinks = outbox::sinks(&alerts).unwrap();
        let told = sinks.iter().map(Sink::subscription).chain(services.sinks.clone());
        let told = Outbox::new(told.collect());
        let snapshot = settings::load(&pool).await.unwrap();
        let settings = GlobalSettingsService::with_outbox(told, snapshot, firewall());
        for sink in &sinks {
            settings.metrics().sink(sink.name());
        }
        let (clock, shift) = Clock::shifted();
        let keys = TokenVerifier::new(&auth()).with_public_url(alerts.public_url.as_deref());
        let path_prefix = PathPrefix::from_public_url(alerts.public_url.as_deref());
        let quota = WriteQuota::new(writes);
        let (feed, ending) = (Feed::new(&settings), CancellationToken::new());
        let streams = Streams::new(bounds, ending.clone());
        let state = AppState {
            pool: pool.clone(),
            settings: settings.clone(),
            fleet: fleet.clone(),
            feed: feed.clone(),
            ofrep: Ofrep::new(keys.clone()).under(path_prefix.clone()),
            path_prefix,
            origins: Origins([ORIGIN.to_owned()].into()),
            streams: streams.clone(),
            starts: services.starts(&settings),
            clock,
            provision,
            quota,
            keys,
        };
        let router = router(state, &Limits::default());
        Self {
            router,
            settings,
            shift,
            pool,
            fleet,
            streams,
            ending,
            feed,
            sinks,
            tasks: Vec::new(),
        }
    }

    /// Starts following the database, and waits until the channel is open.
    pub(crate) async fn follow(&mut self, poll: Duration) {
        self.follow_by(ChangeSignal::Notify, poll).await;
    }

    /// The same, told of changes by `hints`.
    pub(crate) async fn follow_by(&mut self, hints: ChangeSignal, poll: Duration) {
        let (pool, held, feed) = (self.pool.clone(), self.settings.clone(), self.feed.clone());
        self.spawn(settings::follow_by(hints, pool.clone(), held.clone(), poll));
        self.spawn(settings::publish_changes(pool, held, feed));
        self.settings.listening().wait_for(|it| *it).await.unwrap();
    }

    /// Takes its place in the fleet, and keeps it as long as it lives.
    pub(crate) async fn join(&mut self) {
        self.fleet.join(&self.pool, self.settings.revision()).await.unwrap();
        self.keep();
    }

    /// Keeps its place in the fleet, from the first heartbeat that is stored.
    pub(crate) fn keep(&mut self) {
        self.spawn(fleet::keep(self.pool.clone(), self.settings.clone(), self.fleet.clone()));
    }

    fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        #[expect(
            clippy::disallowed_methods,
            reason = "a test has no tasks to wait for at shutdown"
        )]
        self.tasks.push(tokio::spawn(task));
    }

    /// Waits until the instance has taken on `revision`.
    pub(crate) async fn reaches(&self, revision: i64) {
        let reached = self.settings.wait_for(revision);
        tokio::time::timeout(Duration::from_secs(20), reached).await.expect("taken on in time");
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

    /// Changes settings as `admin-1`: each a key, a value and the version it is at.
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
    pub(crate) async fn start(&self, token: &str) -> Reply {
        self.post("/brun-e/start").bearer(token).send().await
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}
