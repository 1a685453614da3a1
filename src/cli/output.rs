//! Standard output. The command ends with an error if a line cannot be written, after its work is done.

use std::{
    io::{self, Write as _},
    sync::OnceLock,
};

/// The first error of writing.
static ERROR: OnceLock<io::Error> = OnceLock::new();

/// Writes a line to standard output. Returns `false` after an error, now or earlier.
pub(super) fn print(line: &str) -> bool {
    write(line.as_bytes()) && write(b"\n")
}

/// Writes `bytes` to standard output. Returns `false` after an error, now or earlier.
pub(super) fn write(bytes: &[u8]) -> bool {
    if ERROR.get().is_some() {
        return false;
    }
    let mut stdout = io::stdout();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Ok(()) => true,
        Err(err) => {
            // Another thread may have stored its error first.
            let _ = ERROR.set(err);
            false
        }
    }
}

/// Returns the error that the command ends with.
pub(super) fn error() -> Option<String> {
    // A reader that closed the pipe (`| head`) has read enough.
    let err = ERROR.get().filter(|err| err.kind() != io::ErrorKind::BrokenPipe)?;
    Some(format!("cannot write to standard output: {err}"))
}
