//! Atomic writes of files.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

/// The treatment of an existing file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Replaces the file.
    Replace,
    /// Keeps the file; writing fails with [`io::ErrorKind::AlreadyExists`].
    Keep,
}

/// Writes `bytes` to `path` with the permissions `mode`. A full disk or a crash leaves the old content.
///
/// A replaced file keeps its permissions, a symbolic link is followed, and a device or a pipe is written directly.
///
/// # Errors
/// The file cannot be written, or exists and must be kept.
pub fn write(path: &Path, bytes: &[u8], mode: u32, existing: Existing) -> io::Result<()> {
    if existing == Existing::Keep {
        if path.symlink_metadata().is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        return write_beside(path, bytes, Mode::New(mode), |file| rename_new(file, path));
    }
    match path.metadata() {
        Ok(metadata) if !metadata.is_file() => {
            // A device or a pipe cannot be replaced by a rename.
            let mut file = OpenOptions::new().write(true).open(path)?;
            file.write_all(bytes)?;
            file.flush()
        }
        Ok(metadata) => {
            // A rename would replace the link itself.
            let path = &path.canonicalize()?;
            let mode = metadata.permissions().mode() & 0o7777;
            write_beside(path, bytes, Mode::Replaced(mode), |file| fs::rename(file, path))
        }
        Err(_) => write_beside(path, bytes, Mode::New(mode), |file| fs::rename(file, path)),
    }
}

/// Renames `file` to `path` unless `path` exists.
fn rename_new(file: &Path, path: &Path) -> io::Result<()> {
    match fs::hard_link(file, path) {
        Err(err) if err.kind() == io::ErrorKind::AlreadyExists => Err(err),
        // A file system without hard links: a file created at the same moment is replaced.
        Err(_) => fs::rename(file, path),
        Ok(()) => Ok(()),
    }
}

/// The permissions of a written file.
#[derive(Debug, Clone, Copy)]
enum Mode {
    /// Of a new file, restricted by the process's umask.
    New(u32),
    /// Of the replaced file, regardless of the umask.
    Replaced(u32),
}

/// Writes `bytes` to a temporary file beside `path`, syncs the file and calls `rename`.
fn write_beside(
    path: &Path,
    bytes: &[u8],
    mode: Mode,
    rename: impl FnOnce(&Path) -> io::Result<()>,
) -> io::Result<()> {
    let temporary = temporary_path(path);
    let (Mode::New(bits) | Mode::Replaced(bits)) = mode;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(bits).open(&temporary)?;
    let result = file
        .write_all(bytes)
        .and_then(|()| match mode {
            Mode::New(_) => Ok(()),
            Mode::Replaced(bits) => file.set_permissions(Permissions::from_mode(bits)),
        })
        .and_then(|()| file.sync_all())
        .and_then(|()| rename(&temporary));
    // Fails after a rename, which already removed the name.
    fs::remove_file(&temporary).ok();
    result?;
    // The directory holds the new name. Some file systems cannot sync a directory, so errors are ignored.
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    if let Ok(dir) = File::open(dir.unwrap_or(Path::new("."))) {
        dir.sync_all().ok();
    }
    Ok(())
}

fn temporary_path(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{:016x}", rand::random::<u64>()));
    path.with_file_name(name)
}
