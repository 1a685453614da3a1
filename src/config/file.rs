//! Small text files: a secret, the `.env` file.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use crate::text::{self, DecodeError};

/// Why the text of a file cannot be had; reads on after "the file X".
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    /// The system says no.
    #[error("cannot be read ({0})")]
    Io(io::Error),
    /// A directory, a pipe, a device: opening a pipe would wait for ever.
    #[error("is not a file")]
    NoFile,
    /// Too long, or not UTF-8.
    #[error("is {0}")]
    NotText(DecodeError),
}

impl Unreadable {
    pub(super) fn kind(&self) -> io::ErrorKind {
        match self {
            Self::Io(e) => e.kind(),
            Self::NoFile | Self::NotText(_) => io::ErrorKind::InvalidData,
        }
    }
}

/// Reads the text of the file at `path`, through links, if it has at most `max` bytes.
pub(super) fn text(path: &Path, max: usize) -> Result<String, Unreadable> {
    if !path.metadata().map_err(Unreadable::Io)?.is_file() {
        return Err(Unreadable::NoFile);
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(Unreadable::Io)?;
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    file.take(limit).read_to_end(&mut bytes).map_err(Unreadable::Io)?;
    text::decode(&bytes, max).map(str::to_owned).map_err(Unreadable::NotText)
}
