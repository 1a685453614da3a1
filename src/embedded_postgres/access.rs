//! Logins of a private Postgres: `pg_hba.conf` and `pg_ident.conf`.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use super::{
    account::Runner,
    error::{Error, On as _},
    layout::Layout,
};

/// The superuser of the cluster, which only creates databases and roles.
pub(super) const SUPERUSER: &str = "postgres";

/// The login of migrations, a member of the owner's group.
pub(super) const MIGRATE: &str = "brune_migrate";

/// The login of the service, a member of the service's group.
pub(super) const SERVE: &str = "brune_serve";

/// The paths of the two files.
pub(super) struct Access {
    pub(super) hba: PathBuf,
    pub(super) ident: PathBuf,
}

/// Writes both files, since the accounts may have changed. The kernel reports the account of a connecting process: the
/// service's, the server's and root may log in as the three roles. Further roles need a password.
pub(super) fn write(layout: &Layout, runner: &Runner) -> Result<Access, Error> {
    let access =
        Access { hba: layout.dir.join("pg_hba.conf"), ident: layout.dir.join("pg_ident.conf") };
    let roles = [SUPERUSER, MIGRATE, SERVE];
    // The first line that matches decides, so the line for all roles comes last.
    let hba = format!(
        "# Written by Brune at every start.\nlocal all {} peer map=brune\nlocal all all scram-sha-256\n",
        roles.join(",")
    );
    let mut ident = "# Written by Brune at every start.\n".to_owned();
    for account in runner.names() {
        for role in roles {
            ident.extend(["brune \"", account, "\" ", role, "\n"]);
        }
    }
    replace(&access.hba, &hba, runner)?;
    replace(&access.ident, &ident, runner)?;
    Ok(access)
}

/// Replaces a file atomically.
fn replace(path: &Path, text: &str, runner: &Runner) -> Result<(), Error> {
    if fs::read_to_string(path).is_ok_and(|current| current == text) {
        return Ok(());
    }
    let new = path.with_extension("new");
    match fs::remove_file(&new) {
        Err(err) if err.kind() != std::io::ErrorKind::NotFound => {
            return Err(err).on("remove", &new);
        }
        _ => {}
    }
    let mut options = OpenOptions::new();
    // `create_new` never follows a link, which `create` would.
    let file = options.create_new(true).write(true).mode(0o600).open(&new);
    file.and_then(|mut file| file.write_all(text.as_bytes())).on("write", &new)?;
    // Before the rename, so that the server never finds a file that only root can read.
    runner.give(&new).on("change the owner of", &new)?;
    fs::rename(&new, path).on("rename the new", path)
}
