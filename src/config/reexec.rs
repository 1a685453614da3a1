//! Variables that the database driver reads by itself and that its interface cannot take out again.

use std::{env, io, os::unix::process::CommandExt as _, process::Command};

/// They would reach into every session, or name files of certificates meant for other servers.
const DRIVER: [&str; 4] = ["PGOPTIONS", "PGSSLROOTCERT", "PGSSLCERT", "PGSSLKEY"];

/// Starts this program over, as the same process, without the variables that only the driver would
/// read. Returns when there are none, which is nearly always, or with the reason why it could not.
///
/// It must be the first thing that `main` does: whatever ran before it runs again.
pub fn without_driver_variables() -> io::Result<()> {
    #[expect(clippy::disallowed_methods, reason = "this is `config`")]
    let set = |name: &&str| env::var_os(name).is_some();
    if !DRIVER.iter().any(set) {
        return Ok(());
    }
    let mut again = Command::new(env::current_exe()?);
    again.args(env::args_os().skip(1));
    for name in DRIVER {
        again.env_remove(name);
    }
    Err(again.exec())
}
