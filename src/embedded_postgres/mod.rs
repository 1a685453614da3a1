//! A private Postgres: the default database of `cargo run`, and that of the tests (Unix only).
//!
//! - Its programs are those of the machine, else a prebuilt one is fetched (feature `download`).
//! - It listens on a Unix socket in a 0700 directory and nowhere else: no port to clash, no password.
//! - As root it runs under another account, since Postgres refuses to run as root.
//! - The service logs in with no more rights than it needs, migrations as the owner of the tables, and the superuser
//!   makes databases and roles and nothing else (`access`, `setup`).
//! - A directory has one owner, who holds a lock that the kernel drops when the owner dies.
//! - The server cannot outlive its owner, whichever way that ends (`lifeline`), and the next owner
//!   cannot
//!   meet its remains (`lock`).

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
    binaries::Programs,
    error::On as _,
    layout::{Layout, PORT, make_private},
    lifeline::Guarded,
};
use crate::config::Embedded;
use crate::database::refuse_foreign_options;

pub use self::error::Error;

/// The service's database on a private server.
const DATABASE: &str = "brune";

/// How long a start may take, crash recovery included.
const START: Duration = Duration::from_mins(2);

/// How long each of two ways to stop may take.
const STOP: Duration = Duration::from_secs(30);

/// What the server is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Nothing acknowledged is ever lost.
    Durable,
    /// For tests: nothing survives a crash, everything is fast.
    Throwaway,
}

impl Profile {
    fn settings(self) -> &'static [&'static str] {
        match self {
            Self::Durable => &["fsync=on", "full_page_writes=on", "synchronous_commit=on"],
            Self::Throwaway => &[
                "fsync=off",
                "full_page_writes=off",
                "autovacuum=off",
                "max_connections=300",
                // Not `wal_level=minimal`: it makes CREATE DATABASE slower.
                "min_wal_size=32MB",
                "max_wal_size=256MB",
                "wal_recycle=off",
                "wal_init_zero=off",
                // A test that wants a COMMIT that hangs turns `synchronous_commit` on for its own
                // database: the commit then waits for a standby that never comes.
                "synchronous_commit=off",
                "synchronous_standby_names=nobody_is_there",
            ],
        }
    }
}

/// A private Postgres that runs, owned by this process.
#[derive(Debug)]
pub struct Server {
    layout: Layout,
    guarded: Guarded,
    log_start: u64,
    /// Ours alone, and the one that the server's processes hold with us.
    _locks: [File; 2],
}

impl Server {
    /// Starts the server in `config.dir`, making the cluster first where there is none, and waits
    /// until it answers. A directory that another process owns is refused after five seconds.
    pub async fn start(config: &Embedded, profile: Profile) -> Result<Self, Error> {
        let begun = Instant::now();
        refuse_foreign_options().map_err(|_| Error::ForeignOptions)?;
        let runner = Runner::detect(config)?;
        let layout = Layout::make(&config.dir, &runner)?;
        let owner = lock::own(&layout).await?;
        make_private(&layout.run, &runner)?;
        let inherited = lock::succeed(&layout).await?;
        let written = layout.major()?;
        let programs = binaries::find(config, &runner, written).await?;
        if written.is_none() {
            tracing::info!(dir = %layout.dir.display(), major = programs.major, "making a private Postgres");
            cluster::make(&layout, &programs, &runner, profile, &inherited).await?;
        }
        let (log, log_start) = layout.open_log()?;
        let access = access::write(&layout, &runner)?;
        let arguments = arguments(&layout, &access, profile)?;
        let program = programs.dir.join("postgres");
        let guarded = lifeline::start(&runner, &program, &arguments, &inherited, log.into())?;
        let mut server = Self { layout, guarded, log_start, _locks: [owner, inherited] };
        server.wait_until_ready().await?;
        setup::prepare(&options(&server.layout, SUPERUSER)).await?;
        server.report(&programs, begun.elapsed());
        Ok(server)
    }

    /// How the service connects to its database on this server.
    #[must_use]
    pub fn options(&self) -> PgConnectOptions {
        options(&self.layout, SERVE)
    }

    /// How migrations connect: as a member of the owner's group.
    #[must_use]
    pub fn owner_options(&self) -> PgConnectOptions {
        options(&self.layout, MIGRATE)
    }

    /// How the superuser connects.
    #[must_use]
    pub fn admin_options(&self) -> PgConnectOptions {
        options(&self.layout, SUPERUSER)
    }

    /// The service's connection as a URL, for other programs; the socket's directory and the account of the process
    /// that connects are what keeps others out.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_of(SERVE)
    }

    /// The superuser's connection as a URL.
    #[must_use]
    pub fn admin_url(&self) -> String {
        self.url_of(SUPERUSER)
    }

    fn url_of(&self, user: &str) -> String {
        let run = self.layout.run.to_string_lossy();
        let host: String = url::form_urlencoded::byte_serialize(run.as_bytes()).collect();
        // A plus sign means a space to browsers only.
        let host = host.replace('+', "%20").replace("%2F", "/");
        format!("postgres://{user}@localhost:{PORT}/{DATABASE}?host={host}&sslmode=disable")
    }

    /// The directory that holds everything, links resolved.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.layout.dir
    }

    /// The server's own process id.
    #[must_use]
    pub fn postmaster(&self) -> Option<i32> {
        self.layout.postmaster()
    }

    /// Resolves when the server is gone although nobody asked for that; the service cannot go on
    /// then. May be dropped and called again.
    pub async fn died(&mut self) -> Error {
        match self.guarded.child.wait().await {
            Ok(status) => self.fault(format!("ended by itself ({status})")),
            Err(fault) => self.fault(format!("cannot be waited for ({fault})")),
        }
    }

    /// Stops the server: sessions that are left are ended, everything is written. Close pools first.
    pub async fn stop(mut self) -> Result<(), Error> {
        drop(self.guarded.line.take());
        if self.gone_within(STOP).await?.is_none() {
            tracing::warn!("the private Postgres is slow to stop; asking for less");
            // Without a checkpoint: the next start recovers, and nothing is lost.
            lock::send(&self.layout, Signal::QUIT);
            if self.gone_within(STOP).await?.is_none() {
                return Err(self.fault("does not stop".to_owned()));
            }
        }
        Ok(())
    }

    async fn gone_within(&mut self, limit: Duration) -> Result<Option<ExitStatus>, Error> {
        match timeout(limit, self.guarded.child.wait()).await {
            Ok(status) => status.on("wait for the server of", &self.layout.dir).map(Some),
            Err(_) => Ok(None),
        }
    }

    /// A note that an earlier server left cannot deceive this: such were removed under the server's
    /// lock.
    async fn wait_until_ready(&mut self) -> Result<(), Error> {
        let until = Instant::now() + START;
        loop {
            // "standby": it runs, as a replica; whoever connects is told.
            if matches!(self.layout.state().as_deref(), Some("ready" | "standby")) {
                return Ok(());
            }
            let ended =
                self.guarded.child.try_wait().on("wait for the server of", &self.layout.dir)?;
            if let Some(status) = ended {
                return Err(self.fault(format!("did not start ({status})")));
            }
            if Instant::now() > until {
                return Err(self.fault(format!("was not ready within {} s", START.as_secs())));
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    fn report(&self, programs: &Programs, took: Duration) {
        tracing::info!(
            dir = %self.layout.dir.display(),
            programs = %programs.dir.display(),
            major = programs.major,
            took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            "the private Postgres is up",
        );
    }

    fn fault(&self, what: String) -> Error {
        let tail = self.layout.log_tail(self.log_start);
        Error::Server { what, log: self.layout.log.clone(), tail }
    }
}

/// How to connect to the server of `config.dir` that another process owns, if one answers there.
pub async fn running(config: &Embedded) -> Result<Option<PgConnectOptions>, Error> {
    if !config.dir.exists() {
        return Ok(None);
    }
    let options = options(&Layout::make(&config.dir, &Runner::detect(config)?)?, SERVE);
    let answer = timeout(Duration::from_secs(2), options.connect()).await;
    let Ok(Ok(connection)) = answer else { return Ok(None) };
    connection.close().await?;
    Ok(Some(options))
}

fn options(layout: &Layout, user: &str) -> PgConnectOptions {
    // Every part that the driver would otherwise take from `PG*` variables is given.
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
        // A list of names: quotes keep a comma or a space in the path from ending it.
        format!("unix_socket_directories=\"{}\"", run.replace('"', "\"\"")),
        "unix_socket_permissions=0700".to_owned(),
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
