//! Finding the programs of Postgres on this machine.

use std::{
    collections::HashSet,
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    process::Stdio,
};

use super::{account::Runner, error::Error};
use crate::{config::Embedded, database::OLDEST_MAJOR};

/// Where distributions put the programs: under `<root>/<a directory with the version>[/bin]`.
const ROOTS: [&str; 6] = [
    "/usr/lib/postgresql", // Debian, Ubuntu
    "/usr/libexec",        // Alpine
    "/usr",                // the packages of the Postgres project for Red Hat
    "/opt/homebrew/opt",
    "/usr/local/opt",
    "/Applications/Postgres.app/Contents/Versions",
];

/// The programs of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Programs {
    /// Where they are, links resolved.
    pub(super) dir: PathBuf,
    /// Their major version.
    pub(super) major: u32,
}

/// Finds programs that fit: of the version `written`, which wrote an existing cluster and is the
/// only one that can open it, else of any that is new enough.
pub(super) async fn find(
    config: &Embedded,
    runner: &Runner,
    written: Option<u32>,
) -> Result<Programs, Error> {
    if let Some(dir) = &config.bin_dir {
        return configured(dir, runner, written);
    }
    let others = match search(&candidates(runner), runner, written) {
        Ok(programs) => return Ok(programs),
        Err(others) => others,
    };
    match fetch(config, runner, written).await {
        Ok(programs) => Ok(programs),
        Err(download) => {
            Err(Error::NoPrograms { wanted: wanted(written), others: listed(&others), download })
        }
    }
}

/// Whether programs of version `major` may be used.
fn fits(major: u32, written: Option<u32>) -> bool {
    written.map_or(major >= OLDEST_MAJOR, |written| written == major)
}

fn wanted(written: Option<u32>) -> String {
    match written {
        Some(major) => format!("Postgres {major} (it wrote the data directory)"),
        None => format!("Postgres {OLDEST_MAJOR} or newer"),
    }
}

fn configured(dir: &Path, runner: &Runner, written: Option<u32>) -> Result<Programs, Error> {
    let found = match probe(dir, runner) {
        Some(programs) if fits(programs.major, written) => return Ok(programs),
        Some(programs) => format!("Postgres {}", programs.major),
        None => "no working postgres and initdb".to_owned(),
    };
    Err(Error::BinDir { dir: dir.to_owned(), found, wanted: wanted(written) })
}

/// The first programs in `dirs` that fit, else all that do not.
fn search(
    dirs: &[PathBuf],
    runner: &Runner,
    written: Option<u32>,
) -> Result<Programs, Vec<Programs>> {
    let mut seen = HashSet::new();
    let mut others = Vec::new();
    for programs in dirs.iter().filter_map(|dir| probe(dir, runner)) {
        if fits(programs.major, written) {
            return Ok(programs);
        }
        if seen.insert(programs.dir.clone()) {
            others.push(programs);
        }
    }
    Err(others)
}

fn listed(others: &[Programs]) -> String {
    if others.is_empty() {
        return String::new();
    }
    let each: Vec<String> = others
        .iter()
        .map(|programs| format!("{} in {}", programs.major, programs.dir.display()))
        .collect();
    format!(" (found {})", each.join(", "))
}

/// Where programs may be, the likeliest first, of each root the newest first.
fn candidates(runner: &Runner) -> Vec<PathBuf> {
    let mut dirs: Vec<PathBuf> =
        std::env::split_paths(runner.path()).filter(|dir| dir.is_absolute()).collect();
    let asked = runner
        .command(Path::new("pg_config"))
        .arg("--bindir")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    if let Ok(output) = asked {
        dirs.push(PathBuf::from(OsStr::from_bytes(output.stdout.trim_ascii())));
    }
    dirs.extend(ROOTS.iter().flat_map(|root| versions_in(Path::new(root))));
    dirs.push(PathBuf::from("/usr/local/pgsql/bin"));
    dirs
}

fn versions_in(root: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(root)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.file_name().is_some_and(|name| is_versioned(&name.to_string_lossy())))
        .collect();
    found.sort();
    found.into_iter().rev().flat_map(|dir| [dir.join("bin"), dir]).collect()
}

fn is_versioned(name: &str) -> bool {
    name.starts_with("postgresql")
        || name.starts_with("pgsql-")
        || name.starts_with(|c: char| c.is_ascii_digit())
}

/// The programs in `dir`, if there are some that the server's account can run.
fn probe(dir: &Path, runner: &Runner) -> Option<Programs> {
    if !dir.join("initdb").is_file() {
        return None;
    }
    // A link such as /usr/local/bin/postgres: the real place is where the rest is found from.
    let real = fs::canonicalize(dir.join("postgres")).ok()?;
    let dir = real.parent().filter(|dir| dir.join("initdb").is_file())?.to_path_buf();
    let output = runner
        .command(&real)
        .arg("--version")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let major = major_of(&String::from_utf8_lossy(&output.stdout))?;
    Some(Programs { dir, major })
}

/// The major version in `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)` or `… 18beta1`.
fn major_of(version: &str) -> Option<u32> {
    let number = version.split_whitespace().nth(2)?;
    number.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(feature = "download")]
async fn fetch(
    config: &Embedded,
    runner: &Runner,
    written: Option<u32>,
) -> Result<Programs, String> {
    let Some(cache) = &config.cache_dir else {
        return Err("fetching one is forbidden (BRUNE_PG_NO_DOWNLOAD)".to_owned());
    };
    let major = written.unwrap_or(super::download::MAJOR);
    let accept = |dir: &Path| probe(dir, runner).filter(|programs| fits(programs.major, written));
    super::download::programs(cache, major, accept)
        .await
        .map_err(|fault| format!("fetching one failed: {fault}"))
}

#[cfg(not(feature = "download"))]
#[expect(clippy::unused_async, reason = "the other build of this function waits for the network")]
async fn fetch(_: &Embedded, _: &Runner, _: Option<u32>) -> Result<Programs, String> {
    Err("this build cannot fetch one".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_what_postgres_says_of_itself() {
        assert_eq!(major_of("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some(15));
        assert_eq!(major_of("postgres (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(major_of("postgres (PostgreSQL) devel"), None);
        assert_eq!(major_of("sh: not found"), None);
    }

    #[test]
    fn only_the_version_that_wrote_a_cluster_opens_it() {
        assert!(fits(18, None) && fits(OLDEST_MAJOR, None) && !fits(OLDEST_MAJOR - 1, None));
        assert!(fits(15, Some(15)) && !fits(16, Some(15)));
    }

    #[tokio::test]
    async fn without_programs_the_error_names_three_ways_out() {
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
