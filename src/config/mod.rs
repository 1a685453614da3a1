//! What the process was started with: plain data, fixed until restart.
//!
//! [`Config::load`] reads an [`Environment`] and reports every fault at once; nothing else in the
//! program reads the environment.

pub(crate) mod address;
mod alerts;
mod client;
mod database;
mod development;
mod directories;
pub(crate) mod dotenv;
mod env;
mod error;
mod expiry;
mod file;
mod known_secrets;
mod log;
mod origins;
mod provision;
mod reading;
mod reexec;
mod secret;
mod services;
#[cfg(test)]
mod tests;
mod variables;

use std::{ffi::OsString, net::SocketAddr, num::NonZeroU32, path::PathBuf, time::Duration};

use chrono::TimeDelta;

pub use alerts::{Alerts, Delivery};
pub use client::{Announcement, Client};
pub use env::{Environment, Source};
pub use error::{Fault, Faults};
pub use expiry::Expiry;
pub use log::{Format, Log};
pub use provision::Provision;
use reading::Reading;
pub use reexec::without_driver_variables;
pub use secret::Secret;
pub use services::Services;
pub use variables::{VARIABLES, Variable};

/// Everything the process was started with.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen (`BRUNE_LISTEN`); port 0 takes a free one.
    pub listen: SocketAddr,
    /// How careful to be (`NODE_ENV`).
    pub mode: Mode,
    /// Which Postgres to use.
    pub database: Database,
    /// The address that migrations connect to, as the owner (`DATABASE_MIGRATE_URL`); the service's when `None`.
    pub migrate_url: Option<Secret>,
    /// Whether the service may run as the owner of the tables in production (`BRUNE_DB_ALLOW_OWNER`).
    pub allow_owner: bool,
    /// What stands before it.
    pub pooler: Pooler,
    /// Connections of the pool (`BRUNE_DB_POOL_SIZE`).
    pub pool_size: u32,
    /// Writes of one administrator in a minute (`ADMIN_WRITE_RATE_LIMIT_PER_MINUTE`).
    pub admin_writes_per_minute: NonZeroU32,
    /// Whom to believe.
    pub auth: Auth,
    /// The key for the realtime provider (`OPENAI_API_KEY`).
    pub openai_api_key: Option<Secret>,
    /// What takes part in session starts.
    pub services: Services,
    /// Where alerts go.
    pub alerts: Alerts,
    /// How messages to other services are delivered.
    pub delivery: Delivery,
    /// How often to look for settings whose notification was lost (`BRUNE_RELOAD_POLL_MS`).
    pub reload_poll: Duration,
    /// What tells of changed settings before that (`BRUNE_RELOAD`).
    pub reload: Reload,
    /// Origins whose pages may read settings as flags (`BRUNE_CORS_ORIGINS`); `*` for all.
    pub cors_origins: Vec<String>,
    /// How sessions whose time is over are marked.
    pub expiry: Expiry,
    /// The catalog's file (`BRUNE_CATALOG`); the built-in one when `None`.
    pub catalog: Option<PathBuf>,
    /// What to log, and how.
    pub log: Log,
    /// Where the private Postgres and the development secret are kept (`BRUNE_DATA_DIR`).
    data_dir: Result<PathBuf, Fault>,
}

/// What a command cannot do without in production.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// A database and a secret for tokens.
    Serve,
    /// A database only.
    Database,
}

/// What tells of changed settings before the timer does.
#[derive(Debug, Clone)]
pub enum Reload {
    /// Notifications of Postgres.
    Notify,
    /// Nothing.
    Poll,
    /// The Redis at this address (`REDIS_URL`).
    Redis(Secret),
}

impl Reload {
    fn read(reading: &mut Reading<'_>) -> Self {
        let redis = reading.secret("REDIS_URL");
        let known = [("notify", "notify"), ("poll", "poll"), ("redis", "redis")];
        match (reading.choice("BRUNE_RELOAD", &known), redis) {
            (Some("poll"), _) => Self::Poll,
            (Some("redis"), Some(url)) => {
                if let Err(error) = address::redis(url.expose()) {
                    reading.fault("REDIS_URL", error.what, error.fix);
                }
                Self::Redis(url)
            }
            (Some("redis"), None) => {
                reading.missing(
                    "REDIS_URL",
                    "set it to `redis://host:6379`, or BRUNE_RELOAD to `poll`",
                );
                Self::Poll
            }
            _ => Self::Notify,
        }
    }
}

/// How careful to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Nothing is made up: what is missing is a fault.
    Production,
    /// A database of one's own and a secret are made where none is given.
    Development,
    /// The same, under a test.
    Test,
}

/// Which Postgres to use.
#[derive(Debug, Clone)]
pub enum Database {
    /// The one at this address, a `postgres://` URL.
    Url(Secret),
    /// A private one of our own.
    Embedded(Embedded),
}

/// What stands between the service and the Postgres at an address (`BRUNE_DB_POOLER`).
#[derive(Debug, Clone)]
pub enum Pooler {
    /// Nothing, or what hands whole sessions out.
    None,
    /// A pooler that hands out sessions for a transaction each.
    Transaction {
        /// The address of the Postgres behind it (`DATABASE_DIRECT_URL`).
        direct: Option<Secret>,
    },
}

/// How to run a private Postgres.
#[derive(Debug, Clone)]
pub struct Embedded {
    /// Holds everything: the lock files, `data/`, `run/` and `postgres.log`.
    pub dir: PathBuf,
    /// Where `postgres` and `initdb` are (`BRUNE_PG_BIN_DIR`); searched for when `None`.
    pub bin_dir: Option<PathBuf>,
    /// `PATH`, the first place to search.
    pub path: OsString,
    /// The account that runs the server when this process is root (`BRUNE_PG_USER`); `postgres`, else
    /// `nobody`, when `None`.
    pub account: Option<String>,
    /// Where to keep a downloaded server; `None` forbids the download (`BRUNE_PG_NO_DOWNLOAD`).
    pub cache_dir: Option<PathBuf>,
}

/// Whom to believe.
#[derive(Debug, Clone)]
pub struct Auth {
    /// What tokens are signed with (`JWT_SECRET`, a line each), newest first. Empty only in development, until
    /// [`Config::with_development_secret`].
    pub jwt_secrets: Vec<Secret>,
    /// The `iss` that tokens must carry (`JWT_ISSUER`).
    pub issuer: Option<String>,
    /// The `aud` that tokens must carry (`JWT_AUDIENCE`).
    pub audience: Option<String>,
    /// What a trusted service proves itself with (`INTERNAL_API_KEY`).
    pub internal_api_key: Option<Secret>,
    /// Most seconds that a token may live (`JWT_MAX_LIFE`).
    pub max_life: u32,
}

impl Config {
    /// Reads what `env` holds, for a command that `needs` so much.
    ///
    /// # Errors
    /// Every fault there is, not only the first.
    pub fn load(env: &Environment, needs: Needs) -> Result<Self, Faults> {
        let mut reading = Reading::of(env);
        let mode = Mode::read(&mut reading);
        let data_dir = directories::data_dir(env);
        let auth = Auth::read(&mut reading);
        if needs == Needs::Serve {
            auth.must_do_in(mode, &mut reading);
        }
        let database = database::read(&mut reading, mode, data_dir.clone());
        let (listen, log) = (listen(&mut reading), Log::read(&mut reading, mode));
        let pooler = database::pooler(&mut reading, database.as_ref());
        let migrate_url = database::migrate_url(&mut reading, database.as_ref());
        let allow_owner = reading.boolean("BRUNE_DB_ALLOW_OWNER", false);
        let pool_size = reading.number("BRUNE_DB_POOL_SIZE", 10, 1..=500);
        let writes = reading.number("ADMIN_WRITE_RATE_LIMIT_PER_MINUTE", 60, 1..=60_000);
        let openai_api_key = reading.header_secret("OPENAI_API_KEY", 1);
        let services = Services::read(&mut reading, auth.internal_api_key.as_ref());
        let (alerts, delivery) = (Alerts::read(&mut reading), Delivery::read(&mut reading));
        let reload = Reload::read(&mut reading);
        let reload_poll = reading.milliseconds("BRUNE_RELOAD_POLL_MS", 5_000, 100..=600_000);
        let expiry = Expiry::read(&mut reading);
        let cors_origins = origins::read(&mut reading);
        // Only here, when everything has been read, may a fault end it.
        let config = database.zip(services).map(|(database, services)| Self {
            listen,
            mode,
            database,
            migrate_url,
            allow_owner,
            pooler,
            pool_size,
            admin_writes_per_minute: NonZeroU32::new(writes).unwrap_or(NonZeroU32::MIN),
            auth,
            openai_api_key,
            services,
            alerts,
            delivery,
            reload_poll,
            reload,
            cors_origins,
            expiry,
            catalog: env.path("BRUNE_CATALOG"),
            log,
            data_dir,
        });
        reading.finish(config)
    }

    /// Where the private Postgres and the development secret are kept, if there is such a place.
    #[must_use]
    pub fn data_dir(&self) -> Option<&std::path::Path> {
        self.data_dir.as_deref().ok()
    }

    /// Where the service listens, for a command that needs nothing else.
    ///
    /// # Errors
    /// `BRUNE_LISTEN` is no address.
    pub fn listen_address(env: &Environment) -> Result<SocketAddr, Faults> {
        let mut reading = Reading::of(env);
        let address = listen(&mut reading);
        reading.finish(Some(address))
    }

    /// The same with a secret for tokens: in development one is made, and kept in the data directory for
    /// the next start, when none was given.
    ///
    /// # Errors
    /// The directory or the file in it cannot be used.
    pub fn with_development_secret(mut self) -> Result<Self, Faults> {
        self.auth = self.auth.with_development_secret(self.mode, self.data_dir.clone())?;
        Ok(self)
    }
}

impl Auth {
    /// Most seconds that a token may live unless `JWT_MAX_LIFE` says otherwise: 12 hours.
    pub const DEFAULT_MAX_LIFE: u32 = 12 * 60 * 60;

    /// `life`, or the longest that a token may live.
    #[must_use]
    pub fn bounded(&self, life: TimeDelta) -> TimeDelta {
        life.min(TimeDelta::seconds(self.max_life.into()))
    }

    /// What tokens are signed with, for a command that needs nothing else; like
    /// [`Config::with_development_secret`], a secret is made in development.
    ///
    /// # Errors
    /// Every fault that concerns it.
    pub fn load(env: &Environment) -> Result<Self, Faults> {
        let mut reading = Reading::of(env);
        let mode = Mode::read(&mut reading);
        let auth = Self::read(&mut reading);
        auth.must_do_in(mode, &mut reading);
        reading.finish(Some(auth))?.with_development_secret(mode, directories::data_dir(env))
    }

    fn read(reading: &mut Reading<'_>) -> Self {
        Self {
            jwt_secrets: reading.secrets_of("JWT_SECRET", 32),
            issuer: reading.text("JWT_ISSUER"),
            audience: reading.text("JWT_AUDIENCE"),
            internal_api_key: reading.header_secret("INTERNAL_API_KEY", 16),
            // A minute at least, so that clocks may differ; a week at most, since no token can be revoked.
            max_life: reading.number("JWT_MAX_LIFE", Self::DEFAULT_MAX_LIFE, 60..=7 * 24 * 60 * 60),
        }
    }

    fn must_do_in(&self, mode: Mode, reading: &mut Reading<'_>) {
        if mode == Mode::Production && self.jwt_secrets.is_empty() {
            reading.missing(
                "JWT_SECRET",
                "set it to 32 bytes or more, as `openssl rand -hex 32` makes",
            );
        }
    }

    fn with_development_secret(
        mut self,
        mode: Mode,
        dir: Result<PathBuf, Fault>,
    ) -> Result<Self, Faults> {
        if mode != Mode::Production && self.jwt_secrets.is_empty() {
            self.jwt_secrets.push(development::jwt_secret(&dir?)?);
        }
        Ok(self)
    }
}

impl Mode {
    fn read(reading: &mut Reading<'_>) -> Self {
        let known = [
            ("production", Self::Production),
            ("development", Self::Development),
            ("test", Self::Test),
        ];
        reading.choice("NODE_ENV", &known).unwrap_or(Self::Development)
    }
}

fn listen(reading: &mut Reading<'_>) -> SocketAddr {
    let local = SocketAddr::from(([127, 0, 0, 1], 8080));
    let way_out = "write `127.0.0.1:8080`, `0.0.0.0:8080` or `[::1]:0`";
    reading.parsed("BRUNE_LISTEN", "is no address with a port", way_out).unwrap_or(local)
}
