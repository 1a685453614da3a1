//! The `brune` program in a process of its own, as in production.

use std::{fs, net::SocketAddr, path::Path, process::Stdio, time::Duration};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::timeout,
};

use crate::world::SECRET;

/// The program of this build.
const PROGRAM: &str = env!("CARGO_BIN_EXE_brune");

/// A running program.
pub(crate) struct Program {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Program {
    /// Starts the program with the database at `url`, and returns once the program listens.
    pub(crate) async fn start(url: &str, catalog: Option<&Path>) -> Self {
        let mut command = command(Path::new(PROGRAM), url, "serve");
        // Required in production; no session is started.
        command.env("NODE_ENV", "production").env("OPENAI_API_KEY", "sk-for-measuring");
        if let Some(catalog) = catalog {
            command.env("BRUNE_CATALOG", catalog);
        }
        Self::launch(command).await
    }

    /// Starts the program without a realtime provider, so that sessions start at once.
    pub(crate) async fn start_without_provider(url: &str) -> Self {
        Self::start_of(Path::new(PROGRAM), url).await
    }

    /// The same for the program at `path`.
    pub(crate) async fn start_of(path: &Path, url: &str) -> Self {
        let mut command = command(path, url, "serve");
        command.env("NODE_ENV", "development").env("LOG_FORMAT", "json");
        // A measured writer writes more often than a person.
        command.env("ADMIN_WRITE_RATE_LIMIT_PER_MINUTE", "60000");
        Self::launch(command).await
    }

    /// Migrates the database at `url` by the program at `path`, as the login of `owner_url`.
    pub(crate) async fn migrate(path: &Path, url: &str, owner_url: &str) {
        let mut command = command(path, url, "migrate");
        command.env("DATABASE_MIGRATE_URL", owner_url).stderr(Stdio::inherit());
        let status = command.status().await.unwrap();
        assert!(status.success(), "{} migrate: {status}", path.display());
    }

    async fn launch(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if let Some((_, address)) = line.split_once("listening on http://") {
                    return address.trim().parse().unwrap();
                }
            }
            panic!("the program ended before listening");
        };
        let address = timeout(Duration::from_secs(10), address).await.unwrap();
        Self { child, address }
    }

    /// Ends the program as an orchestrator does, by SIGTERM.
    pub(crate) async fn stop(mut self) {
        let id = self.child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)).unwrap();
        kill_process(id, Signal::TERM).unwrap();
        timeout(Duration::from_secs(15), self.child.wait()).await.unwrap().unwrap();
    }

    /// Returns the resident memory in megabytes; `None` on systems without `/proc`.
    pub(crate) fn resident(&self) -> Option<f64> {
        self.memory("VmRSS:")
    }

    /// Returns the processor time of the running threads; `None` on systems without `/proc`.
    pub(crate) fn processor_time(&self) -> Option<Duration> {
        let threads = fs::read_dir(format!("/proc/{}/task", self.child.id()?)).ok()?;
        let of_thread = |path: &Path| {
            let statistics = fs::read_to_string(path.join("schedstat")).ok()?;
            statistics.split_whitespace().next()?.parse::<u64>().ok()
        };
        let nanoseconds = threads.filter_map(|thread| of_thread(&thread.ok()?.path())).sum();
        Some(Duration::from_nanos(nanoseconds))
    }

    /// Returns the maximum of the resident memory so far, in megabytes; `None` on systems without `/proc`.
    pub(crate) fn peak(&self) -> Option<f64> {
        self.memory("VmHWM:")
    }

    fn memory(&self, field: &str) -> Option<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()?)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(field))?;
        let kilobytes: f64 = line.split_whitespace().next()?.parse().ok()?;
        Some(kilobytes / 1024.0)
    }
}

/// Returns the command `name` of the program at `path`, with the required variables only.
fn command(path: &Path, url: &str, name: &str) -> Command {
    let mut command = Command::new(path);
    command
        .arg(name)
        .env_clear()
        .env("DATABASE_URL", url)
        .env("JWT_SECRET", SECRET)
        .env("BRUNE_LISTEN", "127.0.0.1:0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    command
}
