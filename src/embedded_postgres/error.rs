//! Errors of a private Postgres.

use std::{
    io,
    path::{Path, PathBuf},
};

/// A private Postgres could not start, or has ended. Each message names a remedy where one exists.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file operation failed.
    #[error("cannot {action} {}", path.display())]
    File {
        /// The operation.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system error.
        source: io::Error,
    },
    /// Another process owns the directory.
    #[error(
        "{owner} owns the private Postgres in {}; stop it, or use another directory (BRUNE_DATA_DIR) \
         or a server of your own (DATABASE_URL)", dir.display()
    )]
    Owned {
        /// The process.
        owner: String,
        /// The directory.
        dir: PathBuf,
    },
    /// The server of a dead owner does not stop.
    #[error("an orphaned Postgres still runs in {}; stop it by hand", dir.display())]
    Orphaned {
        /// The directory.
        dir: PathBuf,
    },
    /// The process runs as root, which Postgres refuses, and no other account exists.
    #[error(
        "Postgres refuses to run as root, and the account {tried} does not exist; create an account, name an existing \
         one in BRUNE_PG_USER, or set DATABASE_URL"
    )]
    NoAccount {
        /// The names of the accounts.
        tried: String,
    },
    /// Switching to the other account failed.
    #[error("cannot run a program as the account {account} (is CAP_SETUID missing?)")]
    Account {
        /// The account.
        account: String,
        /// The system error.
        source: io::Error,
    },
    /// The other account cannot enter the directory.
    #[error(
        "running as root, so Postgres runs as the account {account}, which cannot enter {}; choose another directory \
         (BRUNE_DATA_DIR), for example /var/lib/brune", dir.display()
    )]
    Unreachable {
        /// The account.
        account: String,
        /// The directory.
        dir: PathBuf,
    },
    /// The directory of the socket belongs to another user, or is no directory.
    #[error("{} is not a directory of this account; remove it, or choose another directory (BRUNE_DATA_DIR)", path.display())]
    Foreign {
        /// The path.
        path: PathBuf,
    },
    /// The configured directory has no suitable binaries.
    #[error("BRUNE_PG_BIN_DIR={} contains {found}, but {wanted} is required", dir.display())]
    BinDir {
        /// The directory.
        dir: PathBuf,
        /// The version in the directory.
        found: String,
        /// The required version.
        wanted: String,
    },
    /// No suitable Postgres is installed, and none could be downloaded.
    #[error(
        "{wanted} is required and not installed{others}; {download}. To fix this, install it (apt-get install \
         postgresql, or set BRUNE_PG_BIN_DIR), set DATABASE_URL to a server of your own, or run `docker compose up`"
    )]
    NoPrograms {
        /// The required version.
        wanted: String,
        /// The installed versions, in parentheses.
        others: String,
        /// The result of the download.
        download: String,
    },
    /// The version file of the data directory is invalid.
    #[error("{} does not contain a Postgres version", path.display())]
    Version {
        /// The file.
        path: PathBuf,
    },
    /// A path is not UTF-8, so Postgres cannot use it.
    #[error("{} is not UTF-8; use another directory (BRUNE_DATA_DIR)", path.display())]
    NotText {
        /// The path.
        path: PathBuf,
    },
    /// `initdb` failed.
    #[error("initdb failed: {output}")]
    Initdb {
        /// The standard error of `initdb`.
        output: String,
    },
    /// The server ended, or did not become ready.
    #[error("the private Postgres {what}; the end of {}:\n{tail}", log.display())]
    Server {
        /// The event, as a predicate.
        what: String,
        /// The path of the log.
        log: PathBuf,
        /// The end of the log.
        tail: String,
    },
    /// The server runs, but a connection or setup statement failed.
    #[error("the private Postgres runs, but cannot be used")]
    Database(#[from] sqlx::Error),
    /// `PGOPTIONS` is set and would change every session.
    #[error("the private Postgres cannot be used: PGOPTIONS is set in the environment; unset it")]
    ForeignOptions,
}

/// Adds operation and path to a system error.
pub(super) trait On<T> {
    /// Adds the operation and the path.
    fn on(self, action: &'static str, path: &Path) -> Result<T, Error>;
}

impl<T> On<T> for io::Result<T> {
    fn on(self, action: &'static str, path: &Path) -> Result<T, Error> {
        self.map_err(|source| Error::File { action, path: path.to_owned(), source })
    }
}
