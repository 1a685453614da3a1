//! Two file locks, which the kernel releases when their holder dies.
//!
//! `lock` is held by the owner of the directory. `server.lock` is *inherited* by every process of the server, so a free
//! lock means that no process of an earlier server runs, and its files are stale. No guess from process ids is needed.

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

/// The wait for a previous owner, which may be stopping.
const OWNER_WAIT: Duration = Duration::from_secs(5);

/// Locks the directory.
///
/// # Errors
/// [`Error::Owned`] with the process id of the present owner.
pub(super) async fn own(layout: &Layout) -> Result<File, Error> {
    let path = layout.dir.join("lock");
    let mut lock = open(&path)?;
    if !acquired_within(&lock, &path, OWNER_WAIT).await? {
        let mut owner = String::new();
        // The owner locks first and writes the process id later, so the file may be empty.
        let is_named = lock.read_to_string(&mut owner).is_ok() && !owner.trim().is_empty();
        let owner = if is_named {
            format!("process {}", owner.trim())
        } else {
            "another process".to_owned()
        };
        return Err(Error::Owned { owner, dir: layout.dir.clone() });
    }
    let note = format!("{}\n", std::process::id());
    lock.set_len(0).and_then(|()| lock.write_all(note.as_bytes())).on("write", &path)?;
    Ok(lock)
}

/// Locks `path`; returns `None` after `limit`.
#[cfg(feature = "download")]
pub(super) async fn hold(path: &Path, limit: Duration) -> Result<Option<File>, Error> {
    let lock = open(path)?;
    Ok(acquired_within(&lock, path, limit).await?.then_some(lock))
}

/// Waits until no process of an earlier server is left, removes its stale files, and returns the lock that the next
/// server inherits. The owner of that server is dead, since this process holds `lock`, so its lifeline stops it.
pub(super) async fn take_over(layout: &Layout) -> Result<File, Error> {
    let path = layout.dir.join("server.lock");
    let lock = open(&path)?;
    // 3 s for the lifeline, 27 s for a fast shutdown, 30 s for an immediate shutdown.
    let steps = [(3, Some(Signal::INT)), (27, Some(Signal::QUIT)), (30, None)];
    for (limit, signal) in steps {
        if acquired_within(&lock, &path, Duration::from_secs(limit)).await? {
            remove_stale_files(layout)?;
            return Ok(lock);
        }
        // The shell of the lifeline was killed too, so nothing else stops the server.
        if let Some(signal) = signal {
            tracing::warn!(dir = %layout.dir.display(), "stopping an orphaned Postgres");
            send(layout, signal);
        }
    }
    Err(Error::Orphaned { dir: layout.dir.clone() })
}

/// Sends `signal` to the postmaster, if the process is really a server on this cluster.
pub(super) fn send(layout: &Layout, signal: Signal) {
    let Some(pid) = layout.postmaster() else { return };
    let home = fs::read_link(format!("/proc/{pid}/cwd"));
    // A process id may be reused, but a postmaster works in the data directory.
    // Without /proc (macOS) the lock is evidence enough that the process is the server.
    let is_server = home.map_or(!Path::new("/proc/self").exists(), |home| home == layout.data);
    if let Some(pid) = Pid::from_raw(pid).filter(|_| is_server) {
        // An error means that the process has exited already.
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// Removes the files of a killed server. Their process id may exist again (a restarted container, an unreaped zombie),
/// and then Postgres would not start; an old state file would report "ready" too early.
fn remove_stale_files(layout: &Layout) -> Result<(), Error> {
    for path in layout.stale_files() {
        match fs::remove_file(&path) {
            Ok(()) => tracing::warn!(path = %path.display(), "removed a stale file of a crash"),
            Err(err) if err.kind() == io::ErrorKind::NotFound => {}
            Err(err) => return Err(err).on("remove", &path),
        }
    }
    Ok(())
}

fn open(path: &Path) -> Result<File, Error> {
    let mut options = OpenOptions::new();
    // The file is not truncated: a process without the lock reads the owner's process id.
    options.create(true).truncate(false).read(true).write(true).mode(0o600);
    options.open(path).on("open", path)
}

async fn acquired_within(lock: &File, path: &Path, limit: Duration) -> Result<bool, Error> {
    let until = Instant::now() + limit;
    loop {
        // Polled, because a blocking lock has no time limit and would occupy a thread.
        match lock.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::Error(err)) => return Err(err).on("lock", path),
            Err(TryLockError::WouldBlock) if Instant::now() >= until => return Ok(false),
            Err(TryLockError::WouldBlock) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}
