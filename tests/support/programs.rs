//! Programs that some tests run and a fresh machine lacks.

use std::{fs::File, path::Path, process::Command};

use rustix::fs::{FlockOperation, flock};

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
    let ran = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.ci/setup")).output().unwrap();
    let said = String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
    assert!(
        holds(condition),
        "`{condition}` does not hold, and .ci/setup did not mend it:\n{said}"
    );
}

fn holds(condition: &str) -> bool {
    let ran = Command::new("sh").args(["-c", condition]).output();
    ran.is_ok_and(|it| it.status.success())
}
