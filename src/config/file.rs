//! Small text files: a secret, the `.env` file.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use crate::text::{self, DecodeError};

/// An unreadable file. Displays to follow "the file X".
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    /// The system call failed.
    #[error("cannot be read ({0})")]
    Io(io::Error),
    /// A directory, a pipe or a device.
    #[error("is not a file")]
    NotAFile,
    /// Too long, or not UTF-8.
    #[error("is {0}")]
    NotText(DecodeError),
}

impl FileError {
    pub(super) fn kind(&self) -> io::ErrorKind {
        match self {
            Self::Io(error) => error.kind(),
            Self::NotAFile | Self::NotText(_) => io::ErrorKind::InvalidData,
        }
    }
}

/// Reads the file at `path`, following links, up to `max` bytes.
pub(super) fn text(path: &Path, max: usize) -> Result<String, FileError> {
    // Opening a pipe would block until somebody writes.
    if !path.metadata().map_err(FileError::Io)?.is_file() {
        return Err(FileError::NotAFile);
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(FileError::Io)?;
    // One byte more than the limit tells a longer file apart.
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    file.take(limit).read_to_end(&mut bytes).map_err(FileError::Io)?;
    text::decode(&bytes, max).map(str::to_owned).map_err(FileError::NotText)
}
