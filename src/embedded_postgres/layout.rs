//! What lies where in the directory of a private Postgres, and who may see it.

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

/// Names the socket's file only: nothing listens on TCP.
pub(super) const PORT: u16 = 5432;

/// A socket's path holds 108 bytes on Linux and 104 on macOS and the BSDs, the last of them a zero.
const LONGEST_SOCKET_PATH: usize = 103;

/// How much of a log an error repeats, in bytes.
const TAIL: usize = 4_000;

/// The places of one private Postgres.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    /// All of it; resolved, so that it compares equal to what the system says of a process.
    pub(super) dir: PathBuf,
    /// The cluster.
    pub(super) data: PathBuf,
    /// Where the socket is: 0700.
    pub(super) run: PathBuf,
    /// What the server says.
    pub(super) log: PathBuf,
}

impl Layout {
    /// Makes the directory where it is missing.
    pub(super) fn make(dir: &Path, runner: &Runner) -> Result<Self, Error> {
        // Another account must be able to pass through; what it owns inside is 0700.
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

    /// Where a cluster is made before it gets its name.
    pub(super) fn data_new(&self) -> PathBuf {
        self.dir.join("data.new")
    }

    /// The server's own note of who it is and how far it has got.
    pub(super) fn pid_file(&self) -> PathBuf {
        self.data.join("postmaster.pid")
    }

    /// What a server that was killed leaves behind, and what keeps the next one from starting.
    pub(super) fn leftovers(&self) -> [PathBuf; 3] {
        let socket = format!(".s.PGSQL.{PORT}");
        [self.pid_file(), self.run.join(format!("{socket}.lock")), self.run.join(socket)]
    }

    /// The process id in the server's note.
    pub(super) fn postmaster(&self) -> Option<i32> {
        fs::read_to_string(self.pid_file()).ok()?.lines().next()?.trim().parse().ok()
    }

    /// The state in the server's note (its eighth line); this is what `pg_ctl` looks at.
    pub(super) fn state(&self) -> Option<String> {
        Some(fs::read_to_string(self.pid_file()).ok()?.lines().nth(7)?.trim().to_owned())
    }

    /// The major version that wrote the cluster, or `None` when there is no cluster yet. No other
    /// version can open it.
    pub(super) fn major(&self) -> Result<Option<u32>, Error> {
        let path = self.data.join("PG_VERSION");
        match fs::read_to_string(&path) {
            Ok(text) => text.trim().parse().map(Some).map_err(|_| Error::Version { path }),
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(fault) => Err(fault).on("read", &path),
        }
    }

    /// The log, and how long it is before this run writes to it.
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

    /// The end of what was logged after `start`.
    pub(super) fn log_tail(&self, start: u64) -> String {
        let mut bytes = Vec::new();
        let read = File::open(&self.log).and_then(|mut log| {
            log.seek(SeekFrom::Start(start))?;
            log.read_to_end(&mut bytes)
        });
        match read {
            Ok(length) => {
                String::from_utf8_lossy(&bytes[length.saturating_sub(TAIL)..]).trim().to_owned()
            }
            Err(fault) => format!("(cannot be read: {fault})"),
        }
    }
}

/// `<dir>/run`, or a short stand-in when that is too long for a socket's address.
fn socket_dir(dir: &Path) -> PathBuf {
    let own = dir.join("run");
    if own.as_os_str().len() + format!("/.s.PGSQL.{PORT}").len() <= LONGEST_SOCKET_PATH {
        return own;
    }
    let digest = Sha256::digest(dir.as_os_str().as_bytes());
    let name = digest.iter().take(8).fold(0_u64, |name, &byte| name << 8 | u64::from(byte));
    PathBuf::from(format!("/tmp/brune-pg-{}-{name:016x}", rustix::process::geteuid().as_raw()))
}

/// Makes `dir` 0700 and the server's own. Somebody else's directory (possible in /tmp) or a link is
/// refused.
pub(super) fn make_private(dir: &Path, runner: &Runner) -> Result<(), Error> {
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(fault) if fault.kind() != io::ErrorKind::AlreadyExists => {
            return Err(fault).on("create", dir);
        }
        _ => {}
    }
    let found = fs::symlink_metadata(dir).on("look at", dir)?;
    let ours = [runner.uid(), rustix::process::geteuid().as_raw()];
    if !found.is_dir() || !ours.contains(&found.uid()) {
        return Err(Error::Foreign { path: dir.to_owned() });
    }
    runner.give(dir).on("change the owner of", dir)?;
    fs::set_permissions(dir, Permissions::from_mode(0o700)).on("change the mode of", dir)
}
