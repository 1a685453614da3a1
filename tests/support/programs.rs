//! Programs and packages that some tests need, and scripts that run with them. `.ci/setup` installs them; tests only
//! check that they are there.

use std::{
    fs::{self, File},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    sync::Once,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rustix::fs::{FlockOperation, flock};
use sha2::{Digest as _, Sha256};

use super::wait::no_hang;

/// What installs the programs and packages of the tests.
const INSTALL: &str = "run `.ci/test`, which installs what is missing";

/// Whether Brune can find a Postgres, or the tests use a server elsewhere.
const POSTGRES: &str = r#"
    test -n "$TEST_DATABASE_URL" || test -n "$BRUNE_PG_BIN_DIR" || command -v initdb ||
    test -x "$(pg_config --bindir)/initdb" || ls /usr/lib/postgresql/*/bin/initdb ||
    ls /usr/libexec/postgresql*/initdb || ls /usr/pgsql-*/bin/initdb
"#;

/// Fails the test with one line unless the shell's `condition` holds. Installs nothing.
pub(crate) fn need(condition: &str) {
    assert!(holds(condition), "`{condition}` fails on this machine: {INSTALL}");
}

/// Fails the test with one line unless the programs of Postgres are on this machine.
pub(crate) fn need_postgres() {
    static CHECK: Once = Once::new();
    let check = || assert!(holds(POSTGRES), "this machine has no programs of Postgres: {INSTALL}");
    // Every test reports a missing Postgres, not only the first.
    CHECK.call_once_force(|_| check());
}

fn holds(condition: &str) -> bool {
    let output = Command::new("sh").args(["-c", condition]).output();
    output.is_ok_and(|output| output.status.success())
}

/// Returns the directory with the packages `name` that `.ci/setup` installed for the requirements in `file`, whose
/// content is `wanted`.
pub(crate) fn packages(name: &str, file: &str, wanted: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("packages").join(name);
    let installed = fs::read_to_string(dir.join("installed")).unwrap_or_default();
    assert!(installed == wanted, "the packages of {file} are not installed: {INSTALL}");
    dir
}

/// Returns a directory with `files`, to which `prepare` was applied. The directory is kept for as long as the files
/// stay the same; concurrent processes wait for the first.
pub(crate) fn directory_of(
    name: &str,
    files: &[(&str, &str)],
    prepare: impl FnOnce(&Path),
) -> PathBuf {
    let content: String = files.iter().map(|(_, text)| *text).collect();
    let digest = URL_SAFE_NO_PAD.encode(&Sha256::digest(content)[..6]);
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{digest}"));
    fs::create_dir_all(&dir).unwrap();
    let lock = File::create(dir.join("lock")).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    if !dir.join("done").exists() {
        for (file, text) in files {
            fs::write(dir.join(file), text).unwrap();
        }
        prepare(&dir);
        File::create(dir.join("done")).unwrap();
    }
    dir
}

/// Makes the modules of `packages` those of the scripts in `dir`.
pub(crate) fn link_modules(packages: &Path, dir: &Path) {
    let link = dir.join("node_modules");
    // A test that failed half-way may have left the link.
    let _ = fs::remove_file(&link);
    symlink(packages.join("node_modules"), link).unwrap();
}

/// Runs `script` with `program`, asserts that it succeeds, and returns its output.
pub(crate) async fn finish(program: &str, script: &Path, variables: &[(&str, &str)]) -> String {
    let dir = script.parent().unwrap();
    let mut command = tokio::process::Command::new(program);
    command.arg(script).current_dir(dir).envs(variables.iter().copied()).kill_on_drop(true);
    let output = no_hang("the script ends", command.output()).await.unwrap();
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{}: {}\n{text}", script.display(), output.status);
    text
}
