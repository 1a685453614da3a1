//! Programs that some tests run and a fresh machine lacks, and packages and scripts for them.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rustix::fs::{FlockOperation, flock};
use sha2::{Digest as _, Sha256};

use super::wait::no_hang;

/// Sees to it that the shell's `condition` holds: what a Debian machine lacks is installed by `.ci/setup`, by
/// whichever test is first.
pub(crate) fn need(condition: &str) {
    if holds(condition) {
        return;
    }
    let lock = Path::new(env!("CARGO_TARGET_TMPDIR")).join("setup.lock");
    let lock = File::create(lock).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    if holds(condition) {
        return;
    }
    let actual_output =
        Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.ci/setup")).output().unwrap();
    let second_output =
        String::from_utf8_lossy(&[actual_output.stdout, actual_output.stderr].concat())
            .into_owned();
    assert!(
        holds(condition),
        "`{condition}` does not hold, and .ci/setup did not mend it:\n{second_output}"
    );
}

fn holds(condition: &str) -> bool {
    let actual_output = Command::new("sh").args(["-c", condition]).output();
    actual_output.is_ok_and(|output| output.status.success())
}

/// A directory that holds `files` and what `install` adds to them, which is done once for the same files. Processes
/// that want the same at once wait for the first.
pub(crate) fn installed(
    name: &str,
    files: &[(&str, &str)],
    install: impl FnOnce(&Path),
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
        install(&dir);
        File::create(dir.join("done")).unwrap();
    }
    dir
}

/// Installs what `dir`'s `package.json` names.
pub(crate) fn npm_install(dir: &Path) {
    let quietly = ["--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"];
    install(dir, "npm", &[&["install"], &quietly[..]].concat());
}

/// Runs one step of an installation in `dir`; `program` may be one of its own.
pub(crate) fn install(dir: &Path, program: &str, arguments: &[&str]) {
    let actual = dir.join(program);
    let path = if actual.exists() { actual } else { PathBuf::from(program) };
    let actual_output = Command::new(path).args(arguments).current_dir(dir).output();
    let why = match actual_output {
        Ok(actual_output) if actual_output.status.success() => return,
        Ok(actual_output) => {
            String::from_utf8_lossy(&[actual_output.stdout, actual_output.stderr].concat())
                .into_owned()
        }
        Err(err) => err.to_string(),
    };
    panic!(
        "what the test runs cannot be installed: `{program} {}` failed. Such tests need Node 18 with npm, or \
         Python 3 with venv, which `.ci/setup` installs, and once a network that reaches the package registries.\n{why}",
        arguments.join(" ")
    );
}

/// Runs `script` to its end, which is to be a good one; returns what it said.
pub(crate) async fn finish(program: &str, script: &Path, variables: &[(&str, &str)]) -> String {
    let dir = script.parent().unwrap();
    let mut command = tokio::process::Command::new(program);
    command.arg(script).current_dir(dir).envs(variables.iter().copied()).kill_on_drop(true);
    let actual_output = no_hang("the script ends", command.output()).await.unwrap();
    let second_output = [actual_output.stdout, actual_output.stderr]
        .map(|stream| String::from_utf8_lossy(&stream).into_owned())
        .concat();
    assert!(
        actual_output.status.success(),
        "{}: {}\n{second_output}",
        script.display(),
        actual_output.status
    );
    second_output
}
