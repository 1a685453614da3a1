//! A child process that cannot outlive its parent.
//!
//! The program runs under a small shell whose standard input is a pipe. The parent holds the only write end, which the
//! kernel closes when the parent exits, panics or is killed; the shell then stops the program. `PR_SET_PDEATHSIG` is
//! unsuitable: the signal is sent when the forking *thread* ends.

use std::{
    ffi::OsString, fs::File, os::unix::process::CommandExt as _, path::Path, process::Stdio,
};

use tokio::process::{Child, ChildStdin, Command};

use super::{
    account::Runner,
    error::{Error, On as _},
};

/// The shell ignores signals to the process group; the program sets its own handlers. fd 3 is the pipe. Standard output
/// is the descriptor of `server.lock` and becomes fd 4, which only the program and its children keep. SIGINT (for
/// Postgres: a fast shutdown) is repeated, because a signal before the program has set its handlers is lost.
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

/// A running program with its lifeline.
#[derive(Debug)]
pub(super) struct Guarded {
    /// The shell, which exits with the program's status.
    pub(super) child: Child,
    /// The write end of the pipe. Dropping stops the program.
    pub(super) line: Option<ChildStdin>,
}

/// Starts `program`. The program and its children hold `lock` while they run, and write to `output`.
pub(super) fn start(
    runner: &Runner,
    program: &Path,
    arguments: &[OsString],
    lock: &File,
    output: Stdio,
) -> Result<Guarded, Error> {
    let mut command = runner.command(Path::new("/bin/sh"));
    command
        // The last argument is `$0` of the script, so that the program begins `$@`.
        .args(["-c", SHELL, "sh"])
        .arg(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(lock.try_clone().on("pass the lock to", program)?)
        .stderr(output)
        // Ctrl-C in a terminal must reach the service only, which then stops the server.
        .process_group(0);
    let mut child = Command::from(command).spawn().on("start", program)?;
    // Waiting for a child closes the standard input left in `Child`, and so stops the program.
    let line = child.stdin.take();
    Ok(Guarded { child, line })
}
