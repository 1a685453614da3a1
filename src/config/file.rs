//! Small text files: a secret, the `.env` file.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

/// The most that is read, in bytes. What is longer was not meant for us.
const MAX_BYTES: u64 = 64 * 1024;

/// Why the text of a file cannot be had; reads on after "the file X".
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    /// The system says no.
    #[error("cannot be read ({0})")]
    Io(io::Error),
    /// A directory, a pipe, a device: opening a pipe would wait for ever.
    #[error("is not a file")]
    NoFile,
    /// Longer than 64 KiB.
    #[error("is longer than 64 KiB")]
    TooLong,
    /// Not text.
    #[error("is not UTF-8")]
    NotText,
}

impl Unreadable {
    pub(super) fn kind(&self) -> io::ErrorKind {
        match self {
            Self::Io(e) => e.kind(),
            Self::NoFile | Self::TooLong | Self::NotText => io::ErrorKind::InvalidData,
        }
    }
}

/// The text of the file at `path`, through links.
pub(super) fn text(path: &Path) -> Result<String, Unreadable> {
    if !path.metadata().map_err(Unreadable::Io)?.is_file() {
        return Err(Unreadable::NoFile);
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(Unreadable::Io)?;
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(Unreadable::Io)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_BYTES) {
        return Err(Unreadable::TooLong);
    }
    String::from_utf8(bytes).map_err(|_| Unreadable::NotText)
}
