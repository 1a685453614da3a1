//! Two locks of the kernel, which it drops when their holder dies, however that happens.
//!
//! `lock` is held by the owner of the directory. `server.lock` is *inherited* by every process of
//! the server, so that it is free only when the last of them has gone: then, and only then, what
//! they left is stale for certain. No process id is ever guessed to be alive or dead.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal};

use super::{
    error::{Error, On as _},
    layout::Layout,
};

/// How long a new owner waits for the old one, which may be stopping.
const PATIENCE: Duration = Duration::from_secs(5);

/// Takes the directory, or says who has it.
pub(super) async fn own(layout: &Layout) -> Result<File, Error> {
    let path = layout.dir.join("lock");
    let mut lock = open(&path)?;
    if !taken_within(&lock, &path, PATIENCE).await? {
        let mut owner = String::new();
        let known = lock.read_to_string(&mut owner).is_ok() && !owner.trim().is_empty();
        let owner =
            if known { format!("process {}", owner.trim()) } else { "another process".to_owned() };
        return Err(Error::Owned { owner, dir: layout.dir.clone() });
    }
    let note = format!("{}\n", std::process::id());
    lock.set_len(0).and_then(|()| lock.write_all(note.as_bytes())).on("write", &path)?;
    Ok(lock)
}

/// Takes `path` as a lock, if it gets free within `patience`.
#[cfg(feature = "download")]
pub(super) async fn hold(path: &Path, patience: Duration) -> Result<Option<File>, Error> {
    let lock = open(path)?;
    Ok(taken_within(&lock, path, patience).await?.then_some(lock))
}

/// Waits until no process of an earlier server is left, removes what they left behind, and returns
/// the lock that the next server inherits. Its owner is dead (we hold `lock`), so it is already on
/// its way out.
pub(super) async fn succeed(layout: &Layout) -> Result<File, Error> {
    let path = layout.dir.join("server.lock");
    let lock = open(&path)?;
    let steps = [(3, Some(Signal::INT)), (27, Some(Signal::QUIT)), (30, None)];
    for (patience, then) in steps {
        if taken_within(&lock, &path, Duration::from_secs(patience)).await? {
            remove_leftovers(layout)?;
            return Ok(lock);
        }
        // Its life line was cut too: somebody killed the shell that held it.
        if let Some(signal) = then {
            tracing::warn!(dir = %layout.dir.display(), "a server without an owner still runs; stopping it");
            send(layout, signal);
        }
    }
    Err(Error::LeftOver { dir: layout.dir.clone() })
}

/// Sends `signal` to the server that the cluster names, if that process is really a server on it.
pub(super) fn send(layout: &Layout, signal: Signal) {
    let Some(pid) = layout.postmaster() else { return };
    let home = fs::read_link(format!("/proc/{pid}/cwd"));
    // Where there is no /proc, the lock says well enough that the number still is the server's.
    let is_server = home.map_or(!Path::new("/proc/self").exists(), |home| home == layout.data);
    if let Some(pid) = Pid::from_raw(pid).filter(|_| is_server) {
        // It may have gone meanwhile, which is what is wanted.
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// A process id in these files may exist again (a restarted container, an unreaped zombie), and
/// then Postgres would refuse to start; and an old note says "ready" before the new server is.
fn remove_leftovers(layout: &Layout) -> Result<(), Error> {
    for path in layout.leftovers() {
        match fs::remove_file(&path) {
            Ok(()) => tracing::warn!(path = %path.display(), "removed what a crash left behind"),
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => {}
            Err(fault) => return Err(fault).on("remove", &path),
        }
    }
    Ok(())
}

fn open(path: &Path) -> Result<File, Error> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).read(true).write(true).mode(0o600);
    options.open(path).on("open", path)
}

async fn taken_within(lock: &File, path: &Path, patience: Duration) -> Result<bool, Error> {
    let until = Instant::now() + patience;
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::Error(fault)) => return Err(fault).on("lock", path),
            Err(TryLockError::WouldBlock) if Instant::now() >= until => return Ok(false),
            Err(TryLockError::WouldBlock) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}
