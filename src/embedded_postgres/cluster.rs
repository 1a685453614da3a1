//! Creating the data directory.

use std::{
    ffi::OsString,
    fs::{self, File},
    process::Stdio,
};

use super::{
    Profile,
    access::SUPERUSER,
    account::Runner,
    error::{Error, On as _},
    layout::{Layout, make_private},
    lifeline,
    programs::Programs,
};

/// Runs `initdb` in a temporary directory and renames the result, so that a killed `initdb` leaves no incomplete cluster.
/// The caller holds `lock`, so no process of an earlier `initdb` is still writing.
pub(super) async fn create(
    layout: &Layout,
    programs: &Programs,
    runner: &Runner,
    profile: Profile,
    lock: &File,
) -> Result<(), Error> {
    let mut output = String::new();
    for locale in locales(programs.major) {
        prepare(layout, runner)?;
        match initdb(layout, programs, runner, profile, lock, locale).await? {
            Ok(()) => return publish(layout),
            Err(failure) => output = failure,
        }
    }
    Err(Error::Initdb { output })
}

/// Returns the locales to try, for the same text behaviour on every machine: the built-in C.UTF-8 (Postgres 17), the C
/// library's, plain C.
fn locales(major: u32) -> &'static [&'static [&'static str]] {
    if major >= 17 {
        &[&["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]]
    } else {
        // Some C libraries have no C.UTF-8, and `initdb` fails then.
        &[&["--locale=C.UTF-8"], &["--locale=C"]]
    }
}

fn prepare(layout: &Layout, runner: &Runner) -> Result<(), Error> {
    let new = layout.data_new();
    if new.exists() {
        fs::remove_dir_all(&new).on("remove", &new)?;
    }
    // The server's account cannot create the directory; `initdb` accepts an empty directory.
    make_private(&new, runner)
}

async fn initdb(
    layout: &Layout,
    programs: &Programs,
    runner: &Runner,
    profile: Profile,
    lock: &File,
    locale: &[&str],
) -> Result<Result<(), String>, Error> {
    let program = programs.dir.join("initdb");
    let mut arguments: Vec<OsString> = vec!["-D".into(), layout.data_new().into()];
    arguments.extend(["-U", SUPERUSER, "-E", "UTF8"].map(OsString::from));
    arguments.extend(
        // The server reads another `hba_file`; the two `auth` options only silence a warning.
        ["--auth-local=trust", "--auth-host=reject", "--data-checksums"].map(OsString::from),
    );
    arguments.extend(locale.iter().map(OsString::from));
    if profile == Profile::Throwaway {
        arguments.push("--no-sync".into());
    }
    let guarded = lifeline::start(runner, &program, &arguments, lock, Stdio::piped())?;
    // Dropping the lifeline stops `initdb`, so it is kept until the end.
    let line = guarded.line;
    let output = guarded.child.wait_with_output().await.on("run", &program)?;
    drop(line);
    if output.status.success() {
        return Ok(Ok(()));
    }
    Ok(Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}

fn publish(layout: &Layout) -> Result<(), Error> {
    fs::rename(layout.data_new(), &layout.data).on("rename the new", &layout.data)?;
    // Syncs the directory, so that the rename survives a power failure.
    File::open(&layout.dir).and_then(|dir| dir.sync_all()).on("sync", &layout.dir)
}
