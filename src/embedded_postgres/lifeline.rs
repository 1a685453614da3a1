//! A program that cannot outlive us.
//!
//! It runs under a small shell whose standard input is a pipe. We hold the only end that can be
//! written to, so the kernel closes it when we stop, panic, exit or are killed; the shell then
//! stops the program. Asking the kernel for a signal at the parent's death is no way: it fires when
//! the *thread* that forked ends.

use std::{
    ffi::OsString, fs::File, os::unix::process::CommandExt as _, path::Path, process::Stdio,
};

use tokio::process::{Child, ChildStdin, Command};

use super::{
    account::Runner,
    error::{Error, On as _},
};

/// Signals that reach a whole group are not for this shell; the program sets its own handlers. fd 3
/// is the pipe. Standard output arrives as the descriptor that holds `server.lock` and becomes fd
/// 4, which only the program and its children keep. SIGINT (for Postgres: a fast shutdown) is
/// repeated, because one that arrives before the program has its handlers is lost, and a second one
/// does no harm.
const SHELL: &str = r#"
trap '' HUP INT TERM
exec 3<&0 </dev/null 4>&1 1>&2
"$@" 3<&- & program=$!
exec 4>&-
( read -r _ <&3; while kill -INT "$program" 2>/dev/null; do sleep 1; done ) & watch=$!
exec 3<&-
wait "$program"; status=$?
kill -KILL "$watch" 2>/dev/null
exit "$status"
"#;

/// A running program, and the line that its life hangs on.
#[derive(Debug)]
pub(super) struct Guarded {
    /// The shell; it ends when the program has ended, with its status.
    pub(super) child: Child,
    /// Dropping it stops the program.
    pub(super) line: Option<ChildStdin>,
}

/// Starts `program`; it and its children hold `lock` while they live, and write to `output`.
pub(super) fn start(
    runner: &Runner,
    program: &Path,
    arguments: &[OsString],
    lock: &File,
    output: Stdio,
) -> Result<Guarded, Error> {
    let mut command = runner.command(Path::new("/bin/sh"));
    command
        .args(["-c", SHELL, "sh"])
        .arg(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(lock.try_clone().on("hand on the lock to", program)?)
        .stderr(output)
        // Ctrl-C in a terminal is for us, not for the server.
        .process_group(0);
    let mut child = Command::from(command).spawn().on("start", program)?;
    let line = child.stdin.take();
    Ok(Guarded { child, line })
}
