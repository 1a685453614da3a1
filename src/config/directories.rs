//! Where the platform wants things kept.

use std::path::{Path, PathBuf};

use super::{Environment, Fault};

/// What this program's directories are called.
const NAME: &str = "brune";

/// `BRUNE_DATA_DIR`, else the platform's place for data, whole from the root.
pub(super) fn data_dir(env: &Environment) -> Result<PathBuf, Fault> {
    const VARIABLE: &str = "BRUNE_DATA_DIR";
    if let Some(dir) = env.path(VARIABLE) {
        return whole(VARIABLE, &dir);
    }
    if env.is_root() {
        return Ok(Path::new("/var/lib").join(NAME));
    }
    under(env, "XDG_DATA_HOME", ".local/share", "Library/Application Support").ok_or_else(|| {
        Fault::of(VARIABLE, "is not set, and neither is HOME", "set it to a directory for data")
    })
}

/// The platform's place for what can be fetched again, else one in `data_dir`.
pub(super) fn cache_dir(env: &Environment, data_dir: &Path) -> PathBuf {
    if env.is_root() {
        return Path::new("/var/cache").join(NAME);
    }
    let dir = under(env, "XDG_CACHE_HOME", ".cache", "Library/Caches");
    dir.unwrap_or_else(|| data_dir.join("cache"))
}

/// `dir` from the root on: the server is started elsewhere, and would look for it there.
pub(super) fn whole(variable: &str, dir: &Path) -> Result<PathBuf, Fault> {
    if dir.starts_with("~") {
        return Err(Fault::of(
            variable,
            "begins with a `~`, which only a shell knows",
            "spell it out",
        ));
    }
    std::path::absolute(dir)
        .map_err(|e| Fault::of(variable, format!("is no path ({e})"), "write it from the root on"))
}

/// Our directory in that of `variable`, else in the home directory. A relative one is ignored, as the
/// XDG specification says.
fn under(env: &Environment, variable: &str, elsewhere: &str, macos: &str) -> Option<PathBuf> {
    let in_home = if cfg!(target_os = "macos") { macos } else { elsewhere };
    let given = env.path(variable).filter(|dir| dir.is_absolute() && !cfg!(target_os = "macos"));
    let home = || env.path("HOME").filter(|dir| dir.is_absolute()).map(|it| it.join(in_home));
    given.or_else(home).map(|dir| dir.join(NAME))
}
