//! Standard output. A line that cannot be written is remembered, and the command ends with an error: it has done its
//! work by then, or goes on to do it.

use std::{
    io::{self, Write as _},
    sync::OnceLock,
};

/// The first failure.
static FAILURE: OnceLock<io::Error> = OnceLock::new();

/// Writes a line to standard output; false if it could not be written, now or earlier.
pub(super) fn say(line: &str) -> bool {
    write(line.as_bytes()) && write(b"\n")
}

/// Writes `bytes` to standard output; false if they could not be written, now or earlier.
pub(super) fn write(bytes: &[u8]) -> bool {
    if FAILURE.get().is_some() {
        return false;
    }
    let mut out = io::stdout();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => true,
        Err(err) => {
            // Another thread may have been first.
            let _ = FAILURE.set(err);
            false
        }
    }
}

/// The error that the command ends with. A reader that has gone (`| head`) wanted no more, and is none.
pub(super) fn failure() -> Option<String> {
    let err = FAILURE.get().filter(|err| err.kind() != io::ErrorKind::BrokenPipe)?;
    Some(format!("cannot write to standard output: {err}"))
}
