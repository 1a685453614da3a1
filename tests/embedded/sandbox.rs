//! A directory for one test, and a look at the processes in it.

use std::{
    fs::{self, File, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use brune::config::Embedded;
use rustix::process::{Pid, Signal};

use crate::{programs::need_postgres, wait::wait_or_give_up};

/// A directory that every account can enter, removed with the test.
pub(crate) struct Sandbox {
    root: PathBuf,
    dir: PathBuf,
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        Self::named("pg")
    }

    /// One whose server lives in a directory called `name`.
    pub(crate) fn named(name: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        need_postgres();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let root = base().join(format!("brune-embedded-{}-{number}", std::process::id()));
        fs::create_dir(&root).unwrap();
        let root = root.canonicalize().unwrap();
        fs::set_permissions(&root, Permissions::from_mode(0o777)).unwrap();
        Self { dir: root.join(name), root }
    }

    /// The server's directory; not there yet.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn config(&self) -> Embedded {
        config(&self.dir)
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // A server that a failed test left behind is on its way out.
        let is_locked = |lock: File| lock.try_lock().is_err();
        wait_or_give_up(|| {
            let lock = File::open(self.dir.join("server.lock"));
            (!lock.is_ok_and(is_locked)).then_some(())
        });
        let _ = fs::remove_dir_all(&self.root);
    }
}

/// In memory where there is room: what is tested is who dies, and not the disk.
fn base() -> PathBuf {
    let memory = Path::new("/dev/shm");
    let roomy = rustix::fs::statvfs(memory).is_ok_and(|fs| fs.f_bavail * fs.f_frsize > 2 << 30);
    if roomy { memory.to_owned() } else { std::env::temp_dir() }
}

/// A private server in `dir` of the programs of this machine; nothing is downloaded.
pub(crate) fn config(dir: &Path) -> Embedded {
    #[expect(
        clippy::disallowed_methods,
        reason = "the programs are where whoever runs the tests has them"
    )]
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    Embedded {
        dir: dir.to_owned(),
        bin_dir: variable("BRUNE_PG_BIN_DIR").map(PathBuf::from),
        path: variable("PATH").unwrap_or_default(),
        account: None,
        cache_dir: None,
    }
}

/// Whether `process` runs; one that has ended and was not waited for does not.
pub(crate) fn is_alive(process: i32) -> bool {
    stat(process).is_some_and(|(state, _)| state != 'Z')
}

/// `kill -9`; one that has gone by itself meanwhile is as good.
pub(crate) fn kill(process: i32) {
    let outcome = rustix::process::kill_process(Pid::from_raw(process).unwrap(), Signal::KILL);
    assert!(matches!(outcome, Ok(()) | Err(rustix::io::Errno::SRCH)), "{outcome:?}");
}

pub(crate) fn parent_of(process: i32) -> i32 {
    stat(process).unwrap().1
}

pub(crate) fn children_of(parent: i32) -> Vec<i32> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|entry| entry.file_name().to_string_lossy().parse().ok())
        .filter(|&process| stat(process).is_some_and(|(_, of)| of == parent))
        .collect()
}

/// State and parent, which stand behind the name in parentheses.
fn stat(process: i32) -> Option<(char, i32)> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}
