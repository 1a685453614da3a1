//! A secret for tokens on a developer's machine, made once and kept.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use super::{Fault, Secret, file};

/// The file's name in the data directory.
const NAME: &str = "jwt_secret";

/// The most bytes of the file.
const FILE_BYTES: usize = 1024;

/// The digits it is written in: 64 of them are 32 random bytes.
const HEX: [u8; 16] = *b"0123456789abcdef";

/// The secret kept in `dir`; makes it, and the directory, the first time. Never for production.
pub(super) fn jwt_secret(dir: &Path) -> Result<Secret, Fault> {
    let path = dir.join(NAME);
    let kept = match kept(&path) {
        Err(file::Unreadable::Io(e)) if e.kind() == io::ErrorKind::NotFound => {
            make(dir, &path).map_err(|e| {
                let what =
                    format!("a development secret cannot be made in {} ({e})", dir.display());
                Fault::of(
                    "JWT_SECRET",
                    what,
                    "set JWT_SECRET, or BRUNE_DATA_DIR to a directory of yours",
                )
            })?;
            self::kept(&path)
        }
        kept => kept,
    };
    let way_out = "remove the file, and a new one is made; or set JWT_SECRET";
    let fault = |what: String| {
        Fault::of(
            "JWT_SECRET",
            format!("the development secret {} {what}", path.display()),
            way_out,
        )
    };
    let secret = kept.map_err(|unreadable| fault(unreadable.to_string()))?;
    if secret.len() < 32 {
        return Err(fault("is shorter than 32 bytes".to_owned()));
    }
    Ok(Secret::new(secret))
}

fn kept(path: &Path) -> Result<String, file::Unreadable> {
    let text = file::text(path, FILE_BYTES)?;
    let mode = path.metadata().map_err(file::Unreadable::Io)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(file::Unreadable::Io(io::Error::other("other users may read it")));
    }
    Ok(text.trim_end().to_owned())
}

/// Writes a new secret beside `path` and moves it there whole.
fn make(dir: &Path, path: &Path) -> io::Result<()> {
    // The account that runs the private Postgres must be able to pass through.
    DirBuilder::new().recursive(true).mode(0o711).create(dir)?;
    let secret: String = (0..64).map(|_| char::from(HEX[rand::random_range(0..16)])).collect();
    let fresh = dir.join(format!("{NAME}.{:016x}", rand::random::<u64>()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
    let placed = writeln!(file, "{secret}")
        .and_then(|()| file.sync_all())
        .and_then(|()| place(&fresh, path));
    // Gone already where it was moved.
    fs::remove_file(&fresh).ok();
    placed
}

/// Gives `fresh` the name `path`. Of two that do so at once the first wins, and both go on to read what
/// it wrote; only a file system without hard links lets the second win.
fn place(fresh: &Path, path: &Path) -> io::Result<()> {
    match fs::hard_link(fresh, path) {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(_) => fs::rename(fresh, path),
    }
}
