//! The configuration of the process: plain data, fixed until restart.
//!
//! [`Config::load`] reads an [`Environment`] and reports every error at once. No other module reads the environment.

pub(crate) mod address;
mod alerts;
mod auth;
mod change_worker;
mod client;
mod database;
mod development;
mod directories;
pub(crate) mod dotenv;
mod environment;
mod error;
mod expiry;
mod file;
mod known_secrets;
mod log;
mod numbers;
mod origins;
mod provision;
mod reader;
mod reexec;
mod secret;
mod services;
#[cfg(test)]
mod tests;
mod tuning;
mod variables;

use std::{ffi::OsString, net::SocketAddr, path::PathBuf};

pub use alerts::{Alerts, Delivery};
pub use auth::Auth;
pub use change_worker::ChangeWorker;
pub use client::{AddressFile, Client};
pub use environment::{Environment, Source};
pub use error::{ConfigError, ConfigErrors};
pub use expiry::Expiry;
pub use log::{Format, Log};
pub use provision::Provision;
use reader::Reader;
pub use reexec::without_driver_variables;
pub use secret::Secret;
pub use services::Services;
pub use tuning::Tuning;
pub use variables::{VARIABLES, Variable};

/// The configuration of the process.
#[derive(Debug, Clone)]
pub struct Config {
    /// The address to listen on (`BRUNE_LISTEN`); port 0 takes a free port.
    pub listen: SocketAddr,
    /// The environment type (`NODE_ENV`).
    pub mode: Mode,
    /// The Postgres to use.
    pub database: Database,
    /// The address for migrations, which connect as the owner (`DATABASE_MIGRATE_URL`); defaults to `database`.
    pub migrate_url: Option<Secret>,
    /// Whether the service may run as the owner of the tables in production (`BRUNE_DB_ALLOW_OWNER`).
    pub allow_owner: bool,
    /// The pooler in front of the database.
    pub pooler: Pooler,
    /// Numbers that tune the process.
    pub tuning: Tuning,
    /// Keys and rules for tokens.
    pub auth: Auth,
    /// The key for the realtime provider (`OPENAI_API_KEY`).
    pub openai_api_key: Option<Secret>,
    /// Services that session starts call.
    pub services: Services,
    /// Receivers of alerts.
    pub alerts: Alerts,
    /// Delivery of messages to other services.
    pub delivery: Delivery,
    /// The signal of changed settings (`BRUNE_RELOAD`).
    pub reload: Reload,
    /// Origins whose pages may read settings as flags (`BRUNE_CORS_ORIGINS`); `*` for all.
    pub cors_origins: Vec<String>,
    /// How expired sessions are marked.
    pub expiry: Expiry,
    /// How due proposals are applied.
    pub change_worker: ChangeWorker,
    /// The catalog's file (`BRUNE_CATALOG`); the built-in catalog when `None`.
    pub catalog: Option<PathBuf>,
    /// Log levels and format.
    pub log: Log,
    /// The directory of the private Postgres and the development secret (`BRUNE_DATA_DIR`).
    data_dir: Result<PathBuf, ConfigError>,
}

/// What a command requires in production.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// A database and a secret for tokens.
    Serve,
    /// A database only.
    Database,
}

/// The signal of changed settings, besides the poll.
#[derive(Debug, Clone)]
pub enum Reload {
    /// Notifications of Postgres.
    Notify,
    /// No signal: the poll only.
    Poll,
    /// A channel of the Redis at this address (`REDIS_URL`).
    Redis(Secret),
}

impl Reload {
    fn read(reader: &mut Reader<'_>) -> Self {
        let redis = reader.secret("REDIS_URL");
        let choices = [("notify", "notify"), ("poll", "poll"), ("redis", "redis")];
        match (reader.choice("BRUNE_RELOAD", &choices), redis) {
            // A REDIS_URL of another program may be set, so only `redis` reads the address.
            (Some("poll"), _) => Self::Poll,
            (Some("redis"), Some(url)) => {
                if let Err(error) = address::redis(url.expose()) {
                    reader.reject("REDIS_URL", error.problem, error.fix);
                }
                Self::Redis(url)
            }
            (Some("redis"), None) => {
                let fix = "set it to `redis://host:6379`, or BRUNE_RELOAD to `poll`";
                reader.reject_missing("REDIS_URL", fix);
                // A placeholder: the reported error keeps the configuration from being used.
                Self::Poll
            }
            // The default needs no server besides Postgres; an invalid choice is reported.
            _ => Self::Notify,
        }
    }
}

/// The environment type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Nothing is generated: a missing database or secret is an error.
    Production,
    /// A private Postgres and a secret are created if none is configured.
    Development,
    /// Like development, for tests.
    Test,
}

impl Mode {
    fn read(reader: &mut Reader<'_>) -> Self {
        let choices = [
            ("production", Self::Production),
            ("development", Self::Development),
            ("test", Self::Test),
        ];
        // A first `brune serve` needs no variable; a deployment sets NODE_ENV explicitly.
        reader.choice("NODE_ENV", &choices).unwrap_or(Self::Development)
    }
}

/// The Postgres to use.
#[derive(Debug, Clone)]
pub enum Database {
    /// A server at this `postgres://` address.
    Url(Secret),
    /// A private server, started by this process.
    Embedded(Embedded),
}

/// The pooler in front of a Postgres (`BRUNE_DB_POOLER`).
#[derive(Debug, Clone)]
pub enum Pooler {
    /// None, or a pooler in session mode.
    None,
    /// A pooler in transaction mode.
    Transaction {
        /// The address of the Postgres behind the pooler (`DATABASE_DIRECT_URL`).
        direct: Option<Secret>,
    },
}

/// The private Postgres.
#[derive(Debug, Clone)]
pub struct Embedded {
    /// The directory of the lock files, `data/`, `run/` and `postgres.log`.
    pub dir: PathBuf,
    /// The directory of `postgres` and `initdb` (`BRUNE_PG_BIN_DIR`); searched for when `None`.
    pub bin_dir: Option<PathBuf>,
    /// `PATH`, the first place to search.
    pub path: OsString,
    /// The account that runs the server when this process is root (`BRUNE_PG_USER`); defaults to `postgres`, else
    /// `nobody`.
    pub account: Option<String>,
    /// The directory for a downloaded server; `None` forbids the download (`BRUNE_PG_NO_DOWNLOAD`).
    pub cache_dir: Option<PathBuf>,
}

impl Config {
    /// Reads the configuration of a command with `needs` from `environment`.
    ///
    /// # Errors
    /// Every invalid or missing variable, not only the first.
    pub fn load(environment: &Environment, needs: Needs) -> Result<Self, ConfigErrors> {
        let mut reader = Reader::new(environment);
        let mode = Mode::read(&mut reader);
        // Kept as a result: without a private Postgres no directory is required.
        let data_dir = directories::data_dir(environment);
        let auth = Auth::read(&mut reader);
        // `brune migrate` and `brune doctor` verify no token, so neither requires the secret.
        if needs == Needs::Serve {
            auth.require_in(mode, &mut reader);
        }
        let database = database::read(&mut reader, mode, data_dir.clone());
        let listen = listen(&mut reader);
        let log = Log::read(&mut reader, mode);
        let pooler = database::pooler(&mut reader, database.as_ref());
        let migrate_url = database::migrate_url(&mut reader, database.as_ref());
        let allow_owner = reader.boolean("BRUNE_DB_ALLOW_OWNER", false);
        let tuning = Tuning::read(&mut reader);
        // Only the provider knows the length of a key, so every length is accepted.
        let openai_api_key = reader.header_secret("OPENAI_API_KEY", 1);
        let services = Services::read(&mut reader, auth.internal_api_key.as_ref());
        let alerts = Alerts::read(&mut reader);
        let delivery = Delivery::read(&mut reader);
        let reload = Reload::read(&mut reader);
        let expiry = Expiry::read(&mut reader);
        let change_worker = ChangeWorker::read(&mut reader);
        let cors_origins = origins::read(&mut reader);
        // An early return above would hide the errors of later variables.
        let config = database.zip(services).map(|(database, services)| Self {
            listen,
            mode,
            database,
            migrate_url,
            allow_owner,
            pooler,
            tuning,
            auth,
            openai_api_key,
            services,
            alerts,
            delivery,
            reload,
            cors_origins,
            expiry,
            change_worker,
            // A path and not a text, because file names may be any bytes.
            catalog: environment.path("BRUNE_CATALOG"),
            log,
            data_dir,
        });
        reader.finish(config)
    }

    /// Returns the directory of the private Postgres and the development secret, if there is any.
    #[must_use]
    pub fn data_dir(&self) -> Option<&std::path::Path> {
        self.data_dir.as_deref().ok()
    }

    /// Reads the address to listen on, without the rest of the configuration.
    ///
    /// # Errors
    /// `BRUNE_LISTEN` is invalid.
    pub fn listen_address(environment: &Environment) -> Result<SocketAddr, ConfigErrors> {
        let mut reader = Reader::new(environment);
        let address = listen(&mut reader);
        reader.finish(Some(address))
    }

    /// Adds the development secret for tokens, outside production and if none is configured.
    ///
    /// # Errors
    /// The secret cannot be read or created in the data directory.
    pub fn with_development_secret(mut self) -> Result<Self, ConfigErrors> {
        self.auth = self.auth.with_development_secret(self.mode, self.data_dir.clone())?;
        Ok(self)
    }
}

fn listen(reader: &mut Reader<'_>) -> SocketAddr {
    // Loopback: other machines reach a service only after an explicit choice.
    let default = SocketAddr::from(([127, 0, 0, 1], 8080));
    let fix = "write `127.0.0.1:8080`, `0.0.0.0:8080` or `[::1]:0`";
    reader.parsed("BRUNE_LISTEN", "must be an address with a port", fix).unwrap_or(default)
}
