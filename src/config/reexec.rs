//! Removal of variables that the database driver reads by itself and whose effect its interface cannot undo.

use std::{env, io, os::unix::process::CommandExt as _, process::Command};

/// Session options, and certificates for other servers.
const DRIVER_VARIABLES: [&str; 4] = ["PGOPTIONS", "PGSSLROOTCERT", "PGSSLCERT", "PGSSLKEY"];

/// Restarts this program in the same process without the variables of the driver. Returns if none is set.
///
/// Call first in `main`, because everything before the call runs twice.
///
/// # Errors
/// The program cannot be executed.
pub fn without_driver_variables() -> io::Result<()> {
    #[expect(clippy::disallowed_methods, reason = "this is `config`")]
    let is_set = |name: &&str| env::var_os(name).is_some();
    if !DRIVER_VARIABLES.iter().any(is_set) {
        return Ok(());
    }
    let mut command = Command::new(env::current_exe()?);
    command.args(env::args_os().skip(1));
    for name in DRIVER_VARIABLES {
        command.env_remove(name);
    }
    Err(command.exec())
}
