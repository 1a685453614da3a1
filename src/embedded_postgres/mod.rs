//! A private Postgres: the default database of `cargo run`, and that of the tests (Unix only).
//!
//! - The binaries of the machine are used; without them, a prebuilt Postgres is downloaded (feature `download`).
//! - The server listens on a Unix socket in a 0700 directory only: no port to clash, no password.
//! - Started by root, the server runs under another account, since Postgres refuses to run as root.
//! - The service logs in with least privilege, migrations as the owner of the tables. The superuser only creates
//!   databases and roles (`access`, `setup`).
//! - A directory has one owner process, which holds a lock that the kernel releases when the process dies.
//! - The server stops when its owner dies in any way (`lifeline`), and the next owner waits until no process of an
//!   earlier server is left (`lock`).

mod access;
mod account;
mod binaries;
mod cluster;
#[cfg(feature = "download")]
mod download;
mod error;
mod layout;
mod lifeline;
mod lock;
mod programs;
mod setup;

use std::{
    ffi::OsString,
    fs::File,
    path::Path,
    process::ExitStatus,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use sqlx::{
    ConnectOptions as _, Connection as _,
    postgres::{PgConnectOptions, PgSslMode},
};
use tokio::time::{sleep, timeout};

use self::{
    access::{Access, MIGRATE, SERVE, SUPERUSER},
    account::Runner,
    error::On as _,
    layout::{Layout, PORT, make_private},
    lifeline::Guarded,
    programs::Programs,
};
use crate::{config::Embedded, database::refuse_foreign_options};

pub use self::error::Error;

/// The service's database on a private server.
const DATABASE: &str = "brune";

/// Time limit of a start, crash recovery included.
const START_LIMIT: Duration = Duration::from_mins(2);

/// Time limit of each of the two shutdown modes.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// The durability of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Acknowledged commits survive a crash.
    Durable,
    /// For tests: fast, and data is lost in a crash.
    Throwaway,
}

impl Profile {
    fn settings(self) -> &'static [&'static str] {
        match self {
            // Arguments override `postgresql.conf`, so an edited file cannot weaken durability.
            Self::Durable => &["fsync=on", "full_page_writes=on", "synchronous_commit=on"],
            Self::Throwaway => &[
                "fsync=off",
                "full_page_writes=off",
                "autovacuum=off",
                "max_connections=300",
                // Not `wal_level=minimal`, which makes CREATE DATABASE slower.
                "min_wal_size=32MB",
                "max_wal_size=256MB",
                "wal_recycle=off",
                "wal_init_zero=off",
                // A test makes a COMMIT hang by turning `synchronous_commit` on for its database: the
                // commit then waits for this standby, which never connects.
                "synchronous_commit=off",
                "synchronous_standby_names=nobody_is_there",
            ],
        }
    }
}

/// A running private Postgres, owned by this process.
#[derive(Debug)]
pub struct Server {
    layout: Layout,
    guarded: Guarded,
    log_start: u64,
    /// The owner's lock, and the lock that the server's processes share.
    _locks: [File; 2],
}

impl Server {
    /// Starts the server in `config.dir` and waits until it is ready. Creates the cluster if missing.
    ///
    /// # Errors
    /// [`Error::Owned`] if another process still owns the directory after five seconds; see [`Error`].
    pub async fn start(config: &Embedded, profile: Profile) -> Result<Self, Error> {
        let start = Instant::now();
        refuse_foreign_options().map_err(|_| Error::ForeignOptions)?;
        let runner = Runner::detect(config)?;
        let layout = Layout::create(&config.dir, &runner)?;
        // Every later step changes files in the directory.
        let owner = lock::own(&layout).await?;
        make_private(&layout.run, &runner)?;
        let inherited = lock::take_over(&layout).await?;
        let cluster_major = layout.major()?;
        let programs = binaries::find(config, &runner, cluster_major).await?;
        if cluster_major.is_none() {
            tracing::info!(dir = %layout.dir.display(), major = programs.major, "creating a private Postgres");
            cluster::create(&layout, &programs, &runner, profile, &inherited).await?;
        }
        let (log, log_start) = layout.open_log()?;
        let access = access::write(&layout, &runner)?;
        let arguments = arguments(&layout, &access, profile)?;
        let program = programs.dir.join("postgres");
        let guarded = lifeline::start(&runner, &program, &arguments, &inherited, log.into())?;
        let mut server = Self { layout, guarded, log_start, _locks: [owner, inherited] };
        server.wait_until_ready().await?;
        setup::prepare(&options(&server.layout, SUPERUSER)).await?;
        server.report(&programs, start.elapsed());
        Ok(server)
    }

    /// Returns the service's connection options.
    #[must_use]
    pub fn options(&self) -> PgConnectOptions {
        options(&self.layout, SERVE)
    }

    /// Returns the connection options of migrations, which log in as a member of the owner's group.
    #[must_use]
    pub fn owner_options(&self) -> PgConnectOptions {
        options(&self.layout, MIGRATE)
    }

    /// Returns the superuser's connection options.
    #[must_use]
    pub fn admin_options(&self) -> PgConnectOptions {
        options(&self.layout, SUPERUSER)
    }

    /// Returns the service's connection as a URL, for other programs. The URL has no password: access is controlled by
    /// the mode of the socket's directory and by the account of the connecting process.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_of(SERVE)
    }

    /// Returns the superuser's connection as a URL.
    #[must_use]
    pub fn admin_url(&self) -> String {
        self.url_of(SUPERUSER)
    }

    fn url_of(&self, user: &str) -> String {
        let run = self.layout.run.to_string_lossy();
        let host: String = url::form_urlencoded::byte_serialize(run.as_bytes()).collect();
        // Postgres takes `+` literally; only browsers decode it as a space.
        let host = host.replace('+', "%20").replace("%2F", "/");
        // A URL requires a host, which the driver replaces by the parameter `host`.
        format!("postgres://{user}@localhost:{PORT}/{DATABASE}?host={host}&sslmode=disable")
    }

    /// Returns the directory of the server, links resolved.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.layout.dir
    }

    /// Returns the process id of the postmaster.
    #[must_use]
    pub fn postmaster(&self) -> Option<i32> {
        self.layout.postmaster()
    }

    /// Waits until the server ends unexpectedly, and returns the reason. Cancel-safe.
    pub async fn exited(&mut self) -> Error {
        match self.guarded.child.wait().await {
            Ok(status) => self.server_error(format!("exited unexpectedly ({status})")),
            Err(err) => self.server_error(format!("cannot be waited for ({err})")),
        }
    }

    /// Stops the server: ends the remaining sessions and writes a checkpoint. Close pools first.
    pub async fn stop(mut self) -> Result<(), Error> {
        // The shell sends SIGINT, a fast shutdown, when the pipe closes.
        drop(self.guarded.line.take());
        if self.exited_within(STOP_LIMIT).await?.is_none() {
            tracing::warn!(
                "the private Postgres is slow to stop; shutting down without a checkpoint"
            );
            // Nothing is lost: the next start replays the WAL.
            lock::send(&self.layout, Signal::QUIT);
            if self.exited_within(STOP_LIMIT).await?.is_none() {
                return Err(self.server_error("does not stop".to_owned()));
            }
        }
        Ok(())
    }

    async fn exited_within(&mut self, limit: Duration) -> Result<Option<ExitStatus>, Error> {
        match timeout(limit, self.guarded.child.wait()).await {
            Ok(status) => status.on("wait for the server of", &self.layout.dir).map(Some),
            Err(_) => Ok(None),
        }
    }

    /// Waits until the postmaster's file reports readiness. The file of an earlier server was removed under the lock.
    async fn wait_until_ready(&mut self) -> Result<(), Error> {
        let until = Instant::now() + START_LIMIT;
        loop {
            // A "standby" runs as a replica, which the check at connect rejects with its own error.
            if matches!(self.layout.state().as_deref(), Some("ready" | "standby")) {
                return Ok(());
            }
            let exit_status =
                self.guarded.child.try_wait().on("wait for the server of", &self.layout.dir)?;
            if let Some(status) = exit_status {
                return Err(self.server_error(format!("did not start ({status})")));
            }
            if Instant::now() > until {
                return Err(
                    self.server_error(format!("was not ready within {} s", START_LIMIT.as_secs()))
                );
            }
            // A file is polled, as by `pg_ctl`: early connections would log errors of the server.
            sleep(Duration::from_millis(10)).await;
        }
    }

    fn report(&self, programs: &Programs, took: Duration) {
        tracing::info!(
            dir = %self.layout.dir.display(),
            programs = %programs.dir.display(),
            major = programs.major,
            took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            "the private Postgres is ready",
        );
    }

    fn server_error(&self, what: String) -> Error {
        let tail = self.layout.log_tail(self.log_start);
        Error::Server { what, log: self.layout.log.clone(), tail }
    }
}

/// Returns the options of a running server in `config.dir` that another process owns, if one answers.
pub async fn running(config: &Embedded) -> Result<Option<PgConnectOptions>, Error> {
    if !config.dir.exists() {
        return Ok(None);
    }
    let options = options(&Layout::create(&config.dir, &Runner::detect(config)?)?, SERVE);
    // A server that is starting or stopping counts as absent.
    let connection = timeout(Duration::from_secs(2), options.connect()).await;
    let Ok(Ok(connection)) = connection else { return Ok(None) };
    connection.close().await?;
    Ok(Some(options))
}

fn options(layout: &Layout, user: &str) -> PgConnectOptions {
    // Sets every part that the driver would otherwise take from `PG*` variables.
    PgConnectOptions::new_without_pgpass()
        .socket(&layout.run)
        .port(PORT)
        .username(user)
        .password("")
        .database(DATABASE)
        .ssl_mode(PgSslMode::Disable)
}

fn arguments(layout: &Layout, access: &Access, profile: Profile) -> Result<Vec<OsString>, Error> {
    let text = |path: &Path| {
        let text = path.to_str().map(str::to_owned);
        text.ok_or_else(|| Error::NotText { path: path.to_owned() })
    };
    let run = text(&layout.run)?;
    let mut settings = vec![
        "listen_addresses=".to_owned(),
        // The value is a list, so a comma or a space in the path needs quotes.
        format!("unix_socket_directories=\"{}\"", run.replace('"', "\"\"")),
        "unix_socket_permissions=0700".to_owned(),
        // A collector would take the messages away from the log that errors quote.
        "logging_collector=off".to_owned(),
        format!("hba_file={}", text(&access.hba)?),
        format!("ident_file={}", text(&access.ident)?),
    ];
    settings.extend(profile.settings().iter().map(|&setting| setting.to_owned()));
    let mut arguments: Vec<OsString> = vec!["-D".into(), layout.data.clone().into()];
    arguments.extend(["-p".into(), PORT.to_string().into()]);
    for setting in settings {
        arguments.extend(["-c".into(), setting.into()]);
    }
    Ok(arguments)
}
