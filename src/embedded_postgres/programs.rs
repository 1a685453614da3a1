//! The binaries of one Postgres version.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use super::account::Runner;

/// The programs of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Programs {
    /// Their directory, links resolved.
    pub(super) dir: PathBuf,
    /// Their major version.
    pub(super) major: u32,
}

/// Returns the binaries in `dir`, if the server's account can run them.
pub(super) fn probe(dir: &Path, runner: &Runner) -> Option<Programs> {
    // Packages with client programs alone have no `initdb`.
    if !dir.join("initdb").is_file() {
        return None;
    }
    // `dir` may hold a link such as /usr/local/bin/postgres; Postgres finds its files from the real path.
    let real = fs::canonicalize(dir.join("postgres")).ok()?;
    let dir = real.parent().filter(|dir| dir.join("initdb").is_file())?.to_path_buf();
    let output = runner
        .command(&real)
        .arg("--version")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let major = parse_major(&String::from_utf8_lossy(&output.stdout))?;
    Some(Programs { dir, major })
}

/// Parses the major version in `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)` or `… 18beta1`.
fn parse_major(version: &str) -> Option<u32> {
    let number = version.split_whitespace().nth(2)?;
    number.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_parsed_from_the_output_of_postgres() {
        assert_eq!(parse_major("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some(15));
        assert_eq!(parse_major("postgres (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(parse_major("postgres (PostgreSQL) devel"), None);
        assert_eq!(parse_major("sh: not found"), None);
    }
}
