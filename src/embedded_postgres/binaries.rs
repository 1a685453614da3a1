//! Finds the Postgres binaries of the machine.

use std::{
    collections::HashSet,
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    process::Stdio,
};

use super::{
    account::Runner,
    error::Error,
    programs::{Programs, probe},
};
use crate::{config::Embedded, database::OLDEST_MAJOR};

/// Directories of the distributions: `<root>/<directory with the version>[/bin]`.
const ROOTS: [&str; 6] = [
    "/usr/lib/postgresql", // Debian, Ubuntu
    "/usr/libexec",        // Alpine
    "/usr",                // the packages of the Postgres project for Red Hat
    "/opt/homebrew/opt",
    "/usr/local/opt",
    "/Applications/Postgres.app/Contents/Versions",
];

/// Finds binaries: of the version `cluster_major` of an existing cluster, which no other version can open, or of any
/// supported version.
pub(super) async fn find(
    config: &Embedded,
    runner: &Runner,
    cluster_major: Option<u32>,
) -> Result<Programs, Error> {
    // A configured directory has no fallback, which would hide a mistake.
    if let Some(dir) = &config.bin_dir {
        return configured(dir, runner, cluster_major);
    }
    let unsuitable = match search(&candidates(runner), runner, cluster_major) {
        Ok(programs) => return Ok(programs),
        Err(unsuitable) => unsuitable,
    };
    match download_programs(config, runner, cluster_major).await {
        Ok(programs) => Ok(programs),
        Err(download) => Err(Error::NoPrograms {
            wanted: required(cluster_major),
            others: listed(&unsuitable),
            download,
        }),
    }
}

/// Whether binaries of version `major` are suitable.
fn is_suitable(major: u32, cluster_major: Option<u32>) -> bool {
    cluster_major.map_or(major >= OLDEST_MAJOR, |required| required == major)
}

fn required(cluster_major: Option<u32>) -> String {
    match cluster_major {
        Some(major) => format!("Postgres {major} (the version of the data directory)"),
        None => format!("Postgres {OLDEST_MAJOR} or newer"),
    }
}

fn configured(dir: &Path, runner: &Runner, cluster_major: Option<u32>) -> Result<Programs, Error> {
    let contents = match probe(dir, runner) {
        Some(programs) if is_suitable(programs.major, cluster_major) => return Ok(programs),
        Some(programs) => format!("Postgres {}", programs.major),
        None => "no working postgres and initdb".to_owned(),
    };
    Err(Error::BinDir { dir: dir.to_owned(), found: contents, wanted: required(cluster_major) })
}

/// Returns the first suitable binaries in `dirs`, or all unsuitable ones.
fn search(
    dirs: &[PathBuf],
    runner: &Runner,
    cluster_major: Option<u32>,
) -> Result<Programs, Vec<Programs>> {
    let mut visited = HashSet::new();
    let mut unsuitable = Vec::new();
    for programs in dirs.iter().filter_map(|dir| probe(dir, runner)) {
        if is_suitable(programs.major, cluster_major) {
            return Ok(programs);
        }
        // PATH and several roots may lead to the same installation.
        if visited.insert(programs.dir.clone()) {
            unsuitable.push(programs);
        }
    }
    Err(unsuitable)
}

fn listed(unsuitable: &[Programs]) -> String {
    if unsuitable.is_empty() {
        return String::new();
    }
    let versions: Vec<String> = unsuitable
        .iter()
        .map(|programs| format!("{} in {}", programs.major, programs.dir.display()))
        .collect();
    format!(" (installed: {})", versions.join(", "))
}

/// Returns the directories to search, the newest version of each root first.
fn candidates(runner: &Runner) -> Vec<PathBuf> {
    // A relative entry of PATH would mean another directory, since programs run in `/`.
    let mut dirs: Vec<PathBuf> =
        std::env::split_paths(runner.path()).filter(|dir| dir.is_absolute()).collect();
    // Debian keeps the server outside of PATH, and `pg_config` inside.
    let pg_config = runner
        .command(Path::new("pg_config"))
        .arg("--bindir")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    if let Ok(output) = pg_config {
        dirs.push(PathBuf::from(OsStr::from_bytes(output.stdout.trim_ascii())));
    }
    dirs.extend(ROOTS.iter().flat_map(|root| versions_in(Path::new(root))));
    dirs.push(PathBuf::from("/usr/local/pgsql/bin"));
    dirs
}

fn versions_in(root: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(root)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.file_name().is_some_and(|name| is_versioned(&name.to_string_lossy())))
        .collect();
    paths.sort();
    // Alpine has no `bin` below the directory with the version.
    paths.into_iter().rev().flat_map(|dir| [dir.join("bin"), dir]).collect()
}

fn is_versioned(name: &str) -> bool {
    name.starts_with("postgresql")
        || name.starts_with("pgsql-")
        || name.starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(feature = "download")]
async fn download_programs(
    config: &Embedded,
    runner: &Runner,
    cluster_major: Option<u32>,
) -> Result<Programs, String> {
    let Some(cache) = &config.cache_dir else {
        return Err("downloads are disabled (BRUNE_PG_NO_DOWNLOAD)".to_owned());
    };
    let major = cluster_major.unwrap_or(super::download::MAJOR);
    let accept = |dir: &Path| {
        probe(dir, runner).filter(|programs| is_suitable(programs.major, cluster_major))
    };
    super::download::programs(cache, major, accept)
        .await
        .map_err(|err| format!("the download failed: {err}"))
}

#[cfg(not(feature = "download"))]
#[expect(clippy::unused_async, reason = "the other build of this function waits for the network")]
async fn download_programs(_: &Embedded, _: &Runner, _: Option<u32>) -> Result<Programs, String> {
    Err("this build cannot download it".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_version_of_the_cluster_is_suitable() {
        assert!(
            is_suitable(18, None)
                && is_suitable(OLDEST_MAJOR, None)
                && !is_suitable(OLDEST_MAJOR - 1, None)
        );
        assert!(is_suitable(15, Some(15)) && !is_suitable(16, Some(15)));
    }

    #[tokio::test]
    async fn without_binaries_the_error_names_three_remedies() {
        let config = Embedded {
            dir: "/nowhere".into(),
            bin_dir: None,
            path: "/nowhere".into(),
            account: None,
            cache_dir: None,
        };
        let runner = Runner::detect(&config).unwrap();
        let message = find(&config, &runner, Some(4)).await.unwrap_err().to_string();
        for part in
            ["Postgres 4", "apt-get install postgresql", "DATABASE_URL", "docker compose up"]
        {
            assert!(message.contains(part), "{message}");
        }
    }
}
