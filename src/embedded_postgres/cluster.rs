//! Making the data directory.

use std::{
    ffi::OsString,
    fs::{self, File},
    process::Stdio,
};

use super::{
    Profile,
    access::SUPERUSER,
    account::Runner,
    binaries::Programs,
    error::{Error, On as _},
    layout::{Layout, make_private},
    lifeline,
};

/// Makes the cluster in a side directory and then gives it its name, so that a killed `initdb`
/// leaves no half-made one. The caller holds `lock`, so no child of an earlier `initdb` still
/// writes there.
pub(super) async fn make(
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

/// The same behaviour of text on every machine: the built-in C.UTF-8 where there is one, else the C
/// library's, else plain C.
fn locales(major: u32) -> &'static [&'static [&'static str]] {
    if major >= 17 {
        &[&["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]]
    } else {
        &[&["--locale=C.UTF-8"], &["--locale=C"]]
    }
}

fn prepare(layout: &Layout, runner: &Runner) -> Result<(), Error> {
    let new = layout.data_new();
    if new.exists() {
        fs::remove_dir_all(&new).on("remove", &new)?;
    }
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
        ["--auth-local=trust", "--auth-host=reject", "--data-checksums"].map(OsString::from),
    );
    arguments.extend(locale.iter().map(OsString::from));
    if profile == Profile::Throwaway {
        arguments.push("--no-sync".into());
    }
    let guarded = lifeline::start(runner, &program, &arguments, lock, Stdio::piped())?;
    // Held until it has ended: without it, `initdb` is stopped.
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
    // The name itself must survive a power cut, as what `initdb` wrote does.
    File::open(&layout.dir).and_then(|dir| dir.sync_all()).on("sync", &layout.dir)
}
