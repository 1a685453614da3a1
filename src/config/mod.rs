//! What the process was started with: plain data, fixed until restart.

mod reexec;
mod secret;

use std::{ffi::OsString, path::PathBuf};

pub use reexec::without_driver_variables;
pub use secret::Secret;

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
