//! The second step of a start.

use chrono::TimeDelta;
use tracing::warn;

use crate::{
    app::{
        boot::Booted,
        catalog::{initial_value, secret_scanner},
        error::Error,
        guard,
        migrate::migrate,
    },
    clock::Clock,
    config::{Config, Environment, Needs, Source},
    database::Pool,
    http::{self, Grant},
    metrics::Metrics,
    outbox::{self, Outbox, Sink},
    secret_scanner::SecretScanner,
    secrets,
    settings::{self, GlobalSettingsService},
};

/// A process with its complete configuration and its settings, over a database that this release can serve from.
pub(super) struct Prepared {
    pub(super) config: Config,
    pub(super) environment: Environment,
    pub(super) settings: GlobalSettingsService,
    pub(super) scanner: SecretScanner,
    pub(super) outbox: Outbox,
    pub(super) metrics: Metrics,
    pub(super) sinks: Vec<Sink>,
    pub(super) clock: Clock,
    /// A token of a `SUPER_ADMIN`, if the signing secret was generated.
    pub(super) development_token: Option<String>,
}

impl Prepared {
    /// Migrates a private Postgres, runs the startup guard, completes the configuration and loads the settings.
    ///
    /// # Errors
    /// The guard finds a problem, or the configuration or a setting is invalid.
    pub(super) async fn new(booted: &Booted, environment: &Environment) -> Result<Self, Error> {
        let catalog = &booted.catalog;
        let pool = booted.database.pool();
        let was_seeded = migrate_private(booted, environment).await?;
        guard::require_servable(pool, catalog, &booted.config).await?;
        // The database may hold secrets of an older release, so the configuration is complete only now.
        let environment = with_legacy_secrets(environment, pool).await?;
        let loaded = Config::load(&environment, Needs::Serve)?;
        let has_secret = !loaded.auth.jwt_secrets.is_empty();
        let config = loaded.with_development_secret()?;
        guard::require_secrets(catalog, &environment, config.mode)?;
        // With the complete configuration, so that the scanner knows every secret.
        let scanner = secret_scanner(&config, catalog, &environment);
        // Invalid receivers of alerts fail the start, not the first message.
        let sinks = outbox::sinks(&config.alerts)?;
        let outbox = Outbox::new(sinks.iter().map(Sink::subscription).collect());
        let snapshot = settings::load(pool).await?;
        let metrics = Metrics::default();
        let settings = GlobalSettingsService::new(snapshot, &metrics);
        if !was_seeded {
            warn_of_drift(&environment, &settings);
        }
        let clock = Clock::system();
        let development_token = if has_secret { None } else { development_token(&config, &clock) };
        Ok(Self {
            config,
            environment,
            settings,
            scanner,
            outbox,
            metrics,
            sinks,
            clock,
            development_token,
        })
    }
}

/// Migrates a private Postgres, which no other process can do. Returns whether settings were seeded from the environment.
async fn migrate_private(booted: &Booted, environment: &Environment) -> Result<bool, Error> {
    let Some(owner) = booted.database.private_owner_pool().await? else { return Ok(false) };
    let catalog = &booted.catalog;
    // The initial values of settings are scanned like every other write.
    let scanner = secret_scanner(&booted.config, catalog, environment);
    let result = migrate(&owner, catalog, environment, &scanner).await;
    // Closed before an error is returned, so that no session of the owner stays open.
    owner.close().await;
    let (plan, _) = result?;
    Ok(plan.imports())
}

/// Adds the secrets that an older release left in the database to `environment` (ADR 0001).
async fn with_legacy_secrets(environment: &Environment, pool: &Pool) -> Result<Environment, Error> {
    let rows = secrets::legacy(pool).await?;
    let environment = environment.clone().with_legacy(rows.iter().cloned());
    let is_legacy =
        |name: &str| matches!(environment.secret(name), Ok(Some((_, Source::LegacyDb))));
    let names = rows.iter().map(|(name, _)| name.as_str());
    let legacy: Vec<_> = names.filter(|name| is_legacy(name)).collect();
    if !legacy.is_empty() {
        warn!(
            secrets = legacy.join(", "),
            "secrets are read from the database, where an older release left them; provide them in the environment"
        );
    }
    Ok(environment)
}

/// Warns of settings in the environment, which have no effect once the database has values.
fn warn_of_drift(environment: &Environment, settings: &GlobalSettingsService) {
    let initial = |key: &str| initial_value(environment, key);
    // Names only: a value may be a secret.
    let describe = |drift: settings::Drift| {
        format!("{} {}", drift.key, if drift.differs { "differs" } else { "is the same" })
    };
    let drift = settings::drift(&settings.snapshot(), &initial);
    let keys: Vec<_> = drift.into_iter().map(describe).collect();
    if !keys.is_empty() {
        warn!(
            keys = keys.join(", "),
            "settings in the environment or .env are ignored, because the database has their values; change them \
             with `brune config set`, and remove them from the environment"
        );
    }
}

fn development_token(config: &Config, clock: &Clock) -> Option<String> {
    let grant = Grant {
        sub: "developer".to_owned(),
        role: Some(http::SUPER_ADMIN.to_owned()),
        ..Grant::default()
    };
    // Enough for a day of development; `JWT_MAX_LIFE` may be shorter.
    let life = config.auth.cap_life(TimeDelta::hours(12));
    http::issue(&config.auth, &grant, clock.now(), life).ok()
}
