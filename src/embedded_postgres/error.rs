//! Why a private Postgres could not be started, or is gone.

use std::{
    io,
    path::{Path, PathBuf},
};

/// Why a private Postgres could not be started, or is gone. Each names the way out, where there is
/// one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system refused something about one of its files.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process has the directory.
    #[error(
        "{owner} owns the private Postgres in {}; stop it, or use another directory (BRUNE_DATA_DIR) \
         or a server of your own (DATABASE_URL)", dir.display()
    )]
    Owned {
        /// Who.
        owner: String,
        /// The directory.
        dir: PathBuf,
    },
    /// What an owner that is gone left running does not go.
    #[error("a server without an owner still runs in {}; end it by hand", dir.display())]
    LeftOver {
        /// The directory.
        dir: PathBuf,
    },
    /// Postgres refuses to run as root, and there is nobody else.
    #[error(
        "running as root, which Postgres refuses, and there is no account {tried} to run it as; create one, \
         name one in BRUNE_PG_USER, or set DATABASE_URL"
    )]
    NoAccount {
        /// The names that were looked up.
        tried: String,
    },
    /// The other account may not be taken on.
    #[error("cannot run a program as the account {account} (is CAP_SETUID missing?)")]
    Account {
        /// Its name.
        account: String,
        /// What the system said.
        source: io::Error,
    },
    /// The other account cannot get at the files.
    #[error(
        "running as root, so Postgres runs as the account {account}, which cannot enter {}; choose a directory \
         that it can enter (BRUNE_DATA_DIR), for example /var/lib/brune", dir.display()
    )]
    Unreachable {
        /// Its name.
        account: String,
        /// The directory.
        dir: PathBuf,
    },
    /// Something that is not ours is where the socket should be.
    #[error("{} is not a directory of ours; remove it, or choose another place (BRUNE_DATA_DIR)", path.display())]
    Foreign {
        /// It.
        path: PathBuf,
    },
    /// The configured directory does not hold what is needed.
    #[error("BRUNE_PG_BIN_DIR={} holds {found}, but {wanted} is needed", dir.display())]
    BinDir {
        /// The directory.
        dir: PathBuf,
        /// What is in it.
        found: String,
        /// What should be.
        wanted: String,
    },
    /// No Postgres on this machine, and none could be fetched.
    #[error(
        "{wanted} is needed and not on this machine{others}; {download}. Ways out: install it \
         (apt-get install postgresql, or name its programs in BRUNE_PG_BIN_DIR), set DATABASE_URL to a server \
         of your own, or run `docker compose up`"
    )]
    NoPrograms {
        /// Which versions would do.
        wanted: String,
        /// What was found instead, as an insertion.
        others: String,
        /// What became of the download.
        download: String,
    },
    /// The data directory does not say which version wrote it.
    #[error("{} does not hold a version of Postgres", path.display())]
    Version {
        /// The file that should.
        path: PathBuf,
    },
    /// A path that Postgres cannot be told.
    #[error("{} is not UTF-8; use another directory (BRUNE_DATA_DIR)", path.display())]
    NotText {
        /// It.
        path: PathBuf,
    },
    /// Making the data directory failed.
    #[error("initdb failed: {output}")]
    Initdb {
        /// What it printed.
        output: String,
    },
    /// The server ended, or never got ready.
    #[error("the private Postgres {what}; the end of {}:\n{tail}", log.display())]
    Server {
        /// What happened.
        what: String,
        /// Its log.
        log: PathBuf,
        /// The end of that.
        tail: String,
    },
    /// The server runs, but cannot be used.
    #[error("the private Postgres runs, but cannot be used")]
    Database(#[from] sqlx::Error),
    /// The environment would reach into every session.
    #[error("the private Postgres cannot be used: PGOPTIONS is set in the environment; unset it")]
    ForeignOptions,
}

/// Gives the system's refusals their context.
pub(super) trait On<T> {
    /// Says what was tried on which file.
    fn on(self, action: &'static str, path: &Path) -> Result<T, Error>;
}

impl<T> On<T> for io::Result<T> {
    fn on(self, action: &'static str, path: &Path) -> Result<T, Error> {
        self.map_err(|source| Error::File { action, path: path.to_owned(), source })
    }
}
