//! Paths and permissions in the directory of a private Postgres.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Read as _, Seek as _, SeekFrom},
    os::unix::{
        ffi::OsStrExt as _,
        fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

use super::{
    account::Runner,
    error::{Error, On as _},
};

/// A part of the name of the socket; the server does not listen on TCP.
pub(super) const PORT: u16 = 5432;

/// Socket paths hold 108 bytes on Linux and 104 on macOS and the BSDs, including a terminating zero.
const MAX_SOCKET_PATH: usize = 103;

/// The number of bytes of the log in an error.
const TAIL: usize = 4_000;

/// The paths of one private Postgres.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    /// The root directory, links resolved, so that it is equal to a working directory reported by the system.
    pub(super) dir: PathBuf,
    /// The data directory.
    pub(super) data: PathBuf,
    /// The directory of the socket, mode 0700.
    pub(super) run: PathBuf,
    /// The log of the server.
    pub(super) log: PathBuf,
}

impl Layout {
    /// Creates the directory if missing.
    pub(super) fn create(dir: &Path, runner: &Runner) -> Result<Self, Error> {
        // Another account must be able to enter; its own directories inside have mode 0700.
        let mode = if runner.uid() == rustix::process::geteuid().as_raw() { 0o700 } else { 0o755 };
        DirBuilder::new().recursive(true).mode(mode).create(dir).on("create", dir)?;
        let dir = fs::canonicalize(dir).on("resolve", dir)?;
        runner.check_reach(&dir)?;
        Ok(Self {
            data: dir.join("data"),
            run: socket_dir(&dir),
            log: dir.join("postgres.log"),
            dir,
        })
    }

    /// Returns the temporary directory of `initdb`.
    pub(super) fn data_new(&self) -> PathBuf {
        self.dir.join("data.new")
    }

    /// Returns the file in which the postmaster writes its process id and state.
    pub(super) fn pid_file(&self) -> PathBuf {
        self.data.join("postmaster.pid")
    }

    /// Returns the files of a killed server that would keep the next one from starting.
    pub(super) fn stale_files(&self) -> [PathBuf; 3] {
        let socket = format!(".s.PGSQL.{PORT}");
        [self.pid_file(), self.run.join(format!("{socket}.lock")), self.run.join(socket)]
    }

    /// Reads the process id of the postmaster.
    pub(super) fn postmaster(&self) -> Option<i32> {
        fs::read_to_string(self.pid_file()).ok()?.lines().next()?.trim().parse().ok()
    }

    /// Reads the state of the postmaster (the eighth line), as `pg_ctl` does.
    pub(super) fn state(&self) -> Option<String> {
        Some(fs::read_to_string(self.pid_file()).ok()?.lines().nth(7)?.trim().to_owned())
    }

    /// Returns the major version of the cluster, or `None` without a cluster. No other version can open the cluster.
    pub(super) fn major(&self) -> Result<Option<u32>, Error> {
        let path = self.data.join("PG_VERSION");
        match fs::read_to_string(&path) {
            Ok(text) => text.trim().parse().map(Some).map_err(|_| Error::Version { path }),
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(err) => Err(err).on("read", &path),
        }
    }

    /// Opens the log, and returns its length before this run.
    pub(super) fn open_log(&self) -> Result<(File, u64), Error> {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&self.log)
            .on("open", &self.log)?;
        let length = log.metadata().on("read", &self.log)?.len();
        Ok((log, length))
    }

    /// Returns the end of the log after the offset `start`.
    pub(super) fn log_tail(&self, start: u64) -> String {
        let mut bytes = Vec::new();
        let result = File::open(&self.log).and_then(|mut log| {
            log.seek(SeekFrom::Start(start))?;
            log.read_to_end(&mut bytes)
        });
        match result {
            Ok(length) => {
                String::from_utf8_lossy(&bytes[length.saturating_sub(TAIL)..]).trim().to_owned()
            }
            Err(err) => format!("(cannot be read: {err})"),
        }
    }
}

/// Returns `<dir>/run`, or a short path under /tmp if `<dir>/run` is too long for a socket.
fn socket_dir(dir: &Path) -> PathBuf {
    let run = dir.join("run");
    if run.as_os_str().len() + format!("/.s.PGSQL.{PORT}").len() <= MAX_SOCKET_PATH {
        return run;
    }
    let digest = Sha256::digest(dir.as_os_str().as_bytes());
    // 64 bits tell directories apart and keep the path short.
    let name = digest.iter().take(8).fold(0_u64, |name, &byte| name << 8 | u64::from(byte));
    PathBuf::from(format!("/tmp/brune-pg-{}-{name:016x}", rustix::process::geteuid().as_raw()))
}

/// Creates `dir` with mode 0700, owned by the server's account. Fails on a link or another user's directory, which is
/// possible in /tmp.
pub(super) fn make_private(dir: &Path, runner: &Runner) -> Result<(), Error> {
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(err) if err.kind() != io::ErrorKind::AlreadyExists => {
            return Err(err).on("create", dir);
        }
        _ => {}
    }
    let metadata = fs::symlink_metadata(dir).on("look at", dir)?;
    let own_accounts = [runner.uid(), rustix::process::geteuid().as_raw()];
    if !metadata.is_dir() || !own_accounts.contains(&metadata.uid()) {
        return Err(Error::Foreign { path: dir.to_owned() });
    }
    runner.give(dir).on("change the owner of", dir)?;
    // An existing directory keeps an old mode, and Postgres refuses data that all can read.
    fs::set_permissions(dir, Permissions::from_mode(0o700)).on("change the mode of", dir)
}
