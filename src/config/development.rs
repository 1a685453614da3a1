//! The signing secret for tokens in development, generated once and kept in the data directory.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use super::{
    ConfigError, Secret,
    file::{self, FileError},
};

/// The file's name in the data directory.
const NAME: &str = "jwt_secret";

/// The most bytes of the file.
const MAX_FILE_BYTES: usize = 1024;

/// The fewest bytes of the secret, as of `JWT_SECRET`.
const MIN_SECRET_BYTES: usize = 32;

const HEX: [u8; 16] = *b"0123456789abcdef";

/// Reads the secret in `dir`; generates the secret and the directory on the first call. Not for production.
pub(super) fn jwt_secret(dir: &Path) -> Result<Secret, ConfigError> {
    let path = dir.join(NAME);
    let mut secret = read(&path);
    if let Err(FileError::Io(err)) = &secret
        && err.kind() == io::ErrorKind::NotFound
    {
        create(dir, &path).map_err(|err| {
            let problem =
                format!("is not set, and creating a secret in {} failed ({err})", dir.display());
            let fix = "set JWT_SECRET, or set BRUNE_DATA_DIR to a writable directory";
            ConfigError::new("JWT_SECRET", problem, fix)
        })?;
        // Another process may have created the file first, so its content is what counts.
        secret = read(&path);
    }
    let reject = |problem: String| {
        let problem = format!("the development secret {} {problem}", path.display());
        let fix = "remove the file to have a new secret generated, or set JWT_SECRET";
        ConfigError::new("JWT_SECRET", problem, fix)
    };
    let secret = secret.map_err(|error| reject(error.to_string()))?;
    if secret.len() < MIN_SECRET_BYTES {
        return Err(reject(format!("must have at least {MIN_SECRET_BYTES} bytes")));
    }
    Ok(Secret::new(secret))
}

fn read(path: &Path) -> Result<String, FileError> {
    let text = file::text(path, MAX_FILE_BYTES)?;
    let mode = path.metadata().map_err(FileError::Io)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(FileError::Io(io::Error::other("other users may read it")));
    }
    Ok(text.trim_end().to_owned())
}

/// Writes a new secret beside `path` and moves the complete file to `path`.
fn create(dir: &Path, path: &Path) -> io::Result<()> {
    // The account that runs the private Postgres must be able to traverse the directory.
    DirBuilder::new().recursive(true).mode(0o711).create(dir)?;
    // 64 digits are 32 random bytes.
    let secret: String = (0..64).map(|_| char::from(HEX[rand::random_range(0..16)])).collect();
    let temporary = dir.join(format!("{NAME}.{:016x}", rand::random::<u64>()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    let result = writeln!(file, "{secret}")
        .and_then(|()| file.sync_all())
        .and_then(|()| publish(&temporary, path));
    // Fails after a rename, which already removed the name.
    fs::remove_file(&temporary).ok();
    result
}

/// Gives `temporary` the name `path`, unless another process has created `path` first.
fn publish(temporary: &Path, path: &Path) -> io::Result<()> {
    match fs::hard_link(temporary, path) {
        Ok(()) => Ok(()),
        Err(err) if err.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        // A file system without hard links: the last writer wins.
        Err(_) => fs::rename(temporary, path),
    }
}
