//! What a command cannot write is an error, and leaves nothing half written.

use std::{
    fs::{self, File},
    os::unix::fs::{PermissionsExt as _, symlink},
    process::{Command, Stdio},
};

use crate::{
    service::{Room, Run, Service, run},
    support::{admin, wait::wait_until},
};

/// The disk is full.
fn full() -> Stdio {
    File::options().write(true).open("/dev/full").unwrap().into()
}

/// Runs `command` with a standard output that takes nothing.
fn run_full(command: &mut Command) -> Run {
    let output = command.stdout(full()).stderr(Stdio::piped()).spawn().unwrap();
    let output = output.wait_with_output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    Run { code: output.status.code().unwrap_or(-1), out: String::new(), err }
}

/// Runs `command` where no file may have more than 512 bytes.
fn run_cramped(command: &Command) -> Run {
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' XFSZ; ulimit -f 1; exec \"$0\" \"$@\""]);
    shell.arg(command.get_program()).args(command.get_args());
    shell.current_dir(command.get_current_dir().unwrap()).env_clear();
    for (name, value) in command.get_envs() {
        shell.envs(value.map(|value| (name, value)));
    }
    run(shell.stdin(Stdio::null()))
}

fn names(room: &Room) -> Vec<String> {
    let entries = fs::read_dir(room.path()).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn unwritable_output_is_an_error_of_every_command() {
    let service = Service::start().await;
    let url = format!("http://{}", service.address);
    let token = admin("ada");
    for arguments in [
        &["config", "list"][..],
        &["config", "list", "-o", "table"],
        &["config", "list", "-o", "json"],
        &["config", "list", "-o", "yaml"],
        &["config", "get", "BRUNE_COOLDOWN_MINUTES"],
        &["config", "history"],
        &["config", "export"],
        &["config", "set", "BRUNE_COOLDOWN_MINUTES", "31", "-r", "a test"],
        &["secrets", "status"],
        &["proposal", "list", "-o", "json"],
        &["freeze", "list", "-o", "json"],
        &["release", "list", "-o", "json"],
        &["starts", "status"],
        &["instances"],
        &["health", "--url", &format!("{url}/readyz?verbose")],
        &["token"],
        &["completions", "bash"],
        &["--help"],
        &["--version"],
        &["config", "--help"],
    ] {
        let mut command = service.room.command(arguments);
        command.env("BRUNE_URL", &url).env("BRUNE_TOKEN", &token);
        let output = run_full(&mut command);
        assert_eq!(output.code, 1, "{arguments:?}: {output:#?}");
        assert!(
            output.err.contains("cannot write to standard output"),
            "{arguments:?}: {output:#?}"
        );
    }
    // What was asked for was done all the same.
    assert_eq!(service.config(&["get", "BRUNE_COOLDOWN_MINUTES"]).out, "31\n");
}

#[tokio::test]
async fn a_watch_ends_when_its_output_is_unwritable() {
    let service = Service::start().await;
    let mut command = service.config_at(&service.address, "ada", &["watch", "--every", "1"]);
    let mut child = command.stdout(full()).stderr(Stdio::piped()).spawn().unwrap();
    // It prints changes that are made after it has started, which nothing tells: so one is made until it has ended.
    let mut values = (31..60).cycle();
    wait_until("the watch ends", async || {
        let value = values.next().unwrap_or_default().to_string();
        service.config(&["set", "BRUNE_COOLDOWN_MINUTES", &value, "-r", "a test"]);
        child.try_wait().unwrap().is_some()
    })
    .await;
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[tokio::test]
async fn a_closed_pipe_is_no_error() {
    let service = Service::start().await;
    for arguments in [&["config", "list"][..], &["completions", "bash"], &["--help"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = service.room.command(arguments);
        command.env("BRUNE_URL", format!("http://{}", service.address));
        command.env("BRUNE_TOKEN", admin("ada"));
        let output = command.stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
        let output = output.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "", "{arguments:?}");
    }
}

#[tokio::test]
async fn an_export_is_written_atomically() {
    let service = Service::start().await;
    let room = &service.room;
    room.write("kept.json", "mine");
    let before = names(room);
    let export = |arguments: &[&str]| {
        let arguments = [&["export"], arguments].concat();
        run_cramped(&service.config_at(&service.address, "ada", &arguments))
    };
    export(&["new.json"]).ends(1, "cannot write new.json: File too large");
    export(&["kept.json", "--force"]).ends(1, "cannot write kept.json: File too large");
    assert_eq!(names(room), before);
    assert_eq!(room.read("kept.json"), "mine");
    // What is no plain file is written to as it is, and stays what it is.
    let device = ["export", "--force", "--format", "json", "/dev/full"];
    service.config(&device).ends(1, "cannot write /dev/full: No space left on device");
    assert!(!fs::metadata("/dev/full").unwrap().is_file());
    assert_eq!(names(room), before);
}

#[tokio::test]
async fn an_export_keeps_mode_and_links_of_an_existing_file() {
    let service = Service::start().await;
    let room = &service.room;
    room.write("real.json", "mine");
    fs::set_permissions(room.path().join("real.json"), fs::Permissions::from_mode(0o640)).unwrap();
    symlink("real.json", room.path().join("link.json")).unwrap();
    service.config(&["export", "link.json"]).ends(2, "already exists; use --force");
    service.config(&["export", "link.json", "--force"]).ends(0, "exported the settings");
    assert!(fs::symlink_metadata(room.path().join("link.json")).unwrap().is_symlink());
    assert!(room.read("real.json").contains("BRUNE_COOLDOWN_MINUTES"));
    let mode = fs::metadata(room.path().join("real.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    // A new one is as private as the process that makes it.
    let arguments = ["config", "export", "private.json"];
    let mut command = Command::new("sh");
    command.args(["-c", "umask 077; exec \"$0\" \"$@\""]).arg(env!("CARGO_BIN_EXE_brune"));
    command.args(arguments).current_dir(room.path());
    command.env("BRUNE_URL", format!("http://{}", service.address));
    run(command.env("BRUNE_TOKEN", admin("ada"))).ends(0, "exported the settings");
    let mode = fs::metadata(room.path().join("private.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // A link to nothing is a name that is taken.
    symlink("nowhere.json", room.path().join("dangling.json")).unwrap();
    service.config(&["export", "dangling.json"]).ends(2, "already exists; use --force");
}
