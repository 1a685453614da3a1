//! Directories for data and caches, by the platform's conventions.

use std::path::{Path, PathBuf};

use super::{ConfigError, Environment};

/// The name of this program's directories.
const NAME: &str = "brune";

/// Returns the absolute path of `BRUNE_DATA_DIR`, or of the platform's directory for data.
pub(super) fn data_dir(environment: &Environment) -> Result<PathBuf, ConfigError> {
    const VARIABLE: &str = "BRUNE_DATA_DIR";
    if let Some(dir) = environment.path(VARIABLE) {
        return absolute(VARIABLE, &dir);
    }
    if environment.is_root() {
        return Ok(Path::new("/var/lib").join(NAME));
    }
    let dir = user_dir(environment, "XDG_DATA_HOME", ".local/share", "Library/Application Support");
    dir.ok_or_else(|| {
        let problem = "is required, since HOME is not set";
        ConfigError::new(VARIABLE, problem, "set it to a directory for data")
    })
}

/// Returns the platform's directory for caches, or `data_dir/cache`.
pub(super) fn cache_dir(environment: &Environment, data_dir: &Path) -> PathBuf {
    if environment.is_root() {
        return Path::new("/var/cache").join(NAME);
    }
    let dir = user_dir(environment, "XDG_CACHE_HOME", ".cache", "Library/Caches");
    dir.unwrap_or_else(|| data_dir.join("cache"))
}

/// Returns `dir` as an absolute path: the private Postgres runs in another working directory.
pub(super) fn absolute(variable: &str, dir: &Path) -> Result<PathBuf, ConfigError> {
    if dir.starts_with("~") {
        let problem = "must not begin with `~`, which only a shell expands";
        return Err(ConfigError::new(variable, problem, "write the path in full"));
    }
    std::path::absolute(dir).map_err(|err| {
        let problem = format!("is not a valid path ({err})");
        ConfigError::new(variable, problem, "write an absolute path")
    })
}

fn user_dir(
    environment: &Environment,
    variable: &str,
    xdg_default: &str,
    macos: &str,
) -> Option<PathBuf> {
    let is_macos = cfg!(target_os = "macos");
    // The XDG specification says to ignore a relative path.
    let xdg = environment.path(variable).filter(|dir| dir.is_absolute() && !is_macos);
    let default = || {
        let home = environment.path("HOME").filter(|dir| dir.is_absolute())?;
        Some(home.join(if is_macos { macos } else { xdg_default }))
    };
    xdg.or_else(default).map(|dir| dir.join(NAME))
}
