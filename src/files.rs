//! Files that are there whole or not at all.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

/// Whether a file may be there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// It is replaced.
    Replace,
    /// It stays, and writing fails with [`io::ErrorKind::AlreadyExists`].
    Keep,
}

/// Writes `bytes` to `path` with the permissions `mode`: into a new file beside it that is synced and then moved
/// there, so that a full disk or a crash leaves what was there before. A file that is replaced keeps its permissions,
/// a symbolic link stays one, and what is no plain file (a device, a pipe) is written to as it is.
///
/// # Errors
/// What the system said.
pub fn write(path: &Path, bytes: &[u8], mode: u32, existing: Existing) -> io::Result<()> {
    if existing == Existing::Keep {
        if path.symlink_metadata().is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        return through(path, bytes, Mode::New(mode), |fresh| keep(fresh, path));
    }
    match path.metadata() {
        Ok(metadata) if !metadata.is_file() => {
            let mut file = OpenOptions::new().write(true).open(path)?;
            file.write_all(bytes)?;
            file.flush()
        }
        Ok(metadata) => {
            let path = &path.canonicalize()?;
            let mode = metadata.permissions().mode() & 0o7777;
            through(path, bytes, Mode::Kept(mode), |fresh| fs::rename(fresh, path))
        }
        Err(_) => through(path, bytes, Mode::New(mode), |fresh| fs::rename(fresh, path)),
    }
}

/// Gives `fresh` the name `path` unless that is taken. Only a file system without hard links lets a file that was
/// made at the same moment be replaced.
fn keep(fresh: &Path, path: &Path) -> io::Result<()> {
    match fs::hard_link(fresh, path) {
        Err(err) if err.kind() == io::ErrorKind::AlreadyExists => Err(err),
        Err(_) => fs::rename(fresh, path),
        Ok(()) => Ok(()),
    }
}

/// The permissions of a file that is written.
#[derive(Debug, Clone, Copy)]
enum Mode {
    /// Of a new file: less what the process's umask takes away.
    New(u32),
    /// Those of the file that is replaced.
    Kept(u32),
}

/// Writes `bytes` to a new file beside `path`, and lets `place` move it there.
fn through(
    path: &Path,
    bytes: &[u8],
    mode: Mode,
    place: impl FnOnce(&Path) -> io::Result<()>,
) -> io::Result<()> {
    let fresh = beside(path);
    let (Mode::New(bits) | Mode::Kept(bits)) = mode;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(bits).open(&fresh)?;
    let placed = file
        .write_all(bytes)
        .and_then(|()| match mode {
            Mode::New(_) => Ok(()),
            Mode::Kept(bits) => file.set_permissions(Permissions::from_mode(bits)),
        })
        .and_then(|()| file.sync_all())
        .and_then(|()| place(&fresh));
    // Gone already where it was moved.
    fs::remove_file(&fresh).ok();
    placed?;
    // The name is kept by the directory; some file systems cannot sync one.
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    if let Ok(dir) = File::open(dir.unwrap_or(Path::new("."))) {
        dir.sync_all().ok();
    }
    Ok(())
}

fn beside(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{:016x}", rand::random::<u64>()));
    path.with_file_name(name)
}
