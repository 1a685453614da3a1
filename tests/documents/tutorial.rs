//! Runs the commands of `docs/tutorial.md` against the real program and compares the answers with the page.

use std::{
    env,
    fs::{self, DirBuilder, File, Permissions},
    io::{BufRead as _, BufReader, Write as _},
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    sync::mpsc,
};

use chrono::DateTime;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    blocks,
    support::{port::Port, realtime_stub::Stub},
};

const TUTORIAL: &str = include_str!("../../docs/tutorial.md");

/// The address of the service on the page.
const ADDRESS: &str = "127.0.0.1:8080";

/// The address of the realtime provider on the page.
const PROVIDER: &str = "127.0.0.1:8090";

/// The addresses of the programs that the page itself starts.
const BACKGROUND: [&str; 3] = ["127.0.0.1:8081", "127.0.0.1:8082", "127.0.0.1:9000"];

/// Separates the answers of two steps.
const SEPARATOR: &str = "\u{1e}";

#[test]
fn the_commands_of_the_tutorial_have_the_answers_on_the_page() {
    let steps = steps();
    assert!(steps.len() > 8, "no steps in the tutorial");
    let [provider, run, rest @ ..] = steps.as_slice() else { panic!("the tutorial has no start") };
    // The example that the first step starts is this stub.
    assert_eq!(provider.commands, "cargo run --example realtime-stub");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let stub = runtime.block_on(Stub::new());
    let provider_address = stub.address().to_string();
    let expected = provider.expected_text().replace(PROVIDER, &provider_address);
    assert_text(&expected, &stub.announcement());
    let variables = run.commands.strip_suffix(" cargo run").unwrap();
    let service = Service::start(&variables.replace(PROVIDER, &provider_address));
    assert_text(&run.expected_text().replace(ADDRESS, &service.address), &service.announced);
    let rest: Vec<Step> = rest.iter().map(|step| step.with_provider(&provider_address)).collect();
    let answers = service.run_steps(&rest);
    for (step, answer) in rest.iter().zip(&answers) {
        match &step.answer {
            None => assert_text("", answer),
            Some(("json", expected)) => assert_json(expected, answer),
            Some((_, expected)) => assert_text(expected, answer),
        }
    }
}

#[test]
fn a_different_answer_fails_the_comparison() {
    let fails = |expected: &str, actual: &str| {
        std::panic::catch_unwind(|| assert_json(expected, actual)).is_err()
    };
    let id = Uuid::from_u128;
    for (expected, actual, differs) in [
        (r#"{"a": 1}"#.to_owned(), r#"{"a":1}"#.to_owned(), false),
        (r#"{"a": 1}"#.to_owned(), r#"{"a":2}"#.to_owned(), true),
        (r#"{"a": 1}"#.to_owned(), r#"{"a":1,"b":null}"#.to_owned(), true),
        (format!(r#"["{}"]"#, id(1)), format!(r#"["{}"]"#, id(2)), false),
        (format!(r#"["{}"]"#, id(1)), r#"["one"]"#.to_owned(), true),
        (
            r#"["2026-11-22T10:00:00Z"]"#.to_owned(),
            r#"["2027-01-01T00:00:00.5Z"]"#.to_owned(),
            false,
        ),
    ] {
        assert_eq!(fails(&expected, &actual), differs, "{expected} {actual}");
    }
}

/// Commands of the tutorial and the expected answer: the kind of its block, and its text.
struct Step {
    commands: String,
    answer: Option<(&'static str, String)>,
}

impl Step {
    /// Returns the step with the realtime provider at `address`.
    fn with_provider(&self, address: &str) -> Self {
        Self { commands: self.commands.replace(PROVIDER, address), answer: self.answer.clone() }
    }

    fn expected_text(&self) -> &str {
        &self.answer.as_ref().unwrap().1
    }
}

fn steps() -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for (kind, text) in blocks(TUTORIAL) {
        match (kind, steps.last_mut()) {
            ("sh", _) => steps.push(Step { commands: text, answer: None }),
            (kind, Some(step)) => step.answer = Some((kind, text)),
            (kind, None) => panic!("a block of {kind} before the first command"),
        }
    }
    steps
}

/// Compares line by line; of an expected line that ends in `…` only the beginning counts.
#[track_caller]
fn assert_text(expected: &str, actual: &str) {
    let equal = |(expected, actual): (&str, &str)| match expected.strip_suffix('…') {
        Some(start) => actual.starts_with(start),
        None => expected == actual,
    };
    let expected = expected.trim_end();
    let actual = actual.trim_end();
    let same_length = expected.lines().count() == actual.lines().count();
    let same_lines = expected.lines().zip(actual.lines()).all(equal);
    assert!(same_length && same_lines, "{expected}\n---\n{actual}");
}

/// Compares all but ids, times and salted digests, which differ between two runs.
#[track_caller]
fn assert_json(expected: &str, actual: &str) {
    let read = |text: &str| {
        let value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
        without_ids_and_times(value)
    };
    assert_eq!(read(expected), read(actual));
}

fn without_ids_and_times(value: Value) -> Value {
    match value {
        Value::String(text) if Uuid::parse_str(&text).is_ok() => "<id>".into(),
        Value::String(text) if DateTime::parse_from_rfc3339(&text).is_ok() => "<time>".into(),
        Value::String(text) if is_digest(&text) => "<digest>".into(),
        Value::Array(items) => items.into_iter().map(without_ids_and_times).collect(),
        Value::Object(members) => {
            let members = members.into_iter();
            Value::Object(
                members.map(|(name, value)| (name, without_ids_and_times(value))).collect(),
            )
        }
        other => other,
    }
}

fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The program, started in an empty directory with a minimum of configuration.
struct Service {
    child: Child,
    dir: PathBuf,
    address: String,
    announced: String,
}

impl Service {
    /// Starts the program with `variables`, written as before a shell command.
    fn start(variables: &str) -> Self {
        let dir = env::temp_dir().join(format!("brune-tutorial-{}", std::process::id()));
        // Run as root, the database in this directory runs as another account, which has to get in.
        DirBuilder::new().mode(0o755).create(&dir).unwrap();
        fs::set_permissions(&dir, Permissions::from_mode(0o755)).unwrap();
        let mut child = command(&dir, env!("CARGO_BIN_EXE_brune"))
            .env("BRUNE_LISTEN", "127.0.0.1:0")
            .envs(variables.split(' ').map(|variable| variable.split_once('=').unwrap()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(dir.join("log")).unwrap())
            .spawn()
            .unwrap();
        let announced = first_lines(child.stdout.take().unwrap(), 7);
        let mut service = Self { child, dir, address: String::new(), announced };
        let address = service
            .announced
            .lines()
            .find_map(|line| line.strip_prefix("brune listening on http://"));
        service.address = address
            .unwrap_or_else(|| panic!("the service did not start:\n{}", service.log()))
            .to_owned();
        service
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    /// Runs `steps` in one shell, and returns the output of each.
    fn run_steps(&self, steps: &[Step]) -> Vec<String> {
        let mut shell = command(&self.dir, "bash")
            .env("BRUNE_LISTEN", &self.address)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the tutorial needs bash and curl");
        let ports = BACKGROUND.map(|_| Port::reserve());
        shell.stdin.take().unwrap().write_all(self.script(steps, &ports).as_bytes()).unwrap();
        let output = shell.wait_with_output().unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{stdout}\n{stderr}\n{}", self.log());
        let answers: Vec<_> = stdout.split_terminator(SEPARATOR).map(str::to_owned).collect();
        assert_eq!(answers.len(), steps.len());
        answers
    }

    /// Returns `steps` as one script, with the addresses and directories of this run. `ports` are for the programs that
    /// the page starts.
    fn script(&self, steps: &[Step], ports: &[Port]) -> String {
        let programs = Path::new(env!("CARGO_BIN_EXE_brune")).parent().unwrap();
        let alerts = self.dir.join("alerts");
        let mut replacements = vec![
            ("$PWD/target/debug", programs.to_str().unwrap().to_owned()),
            (
                "config/brun-e.toml",
                concat!(env!("CARGO_MANIFEST_DIR"), "/config/brun-e.toml").to_owned(),
            ),
            ("/tmp/brune-proposals", self.dir.join("proposals").to_str().unwrap().to_owned()),
            ("/tmp/brune-alerts", alerts.to_str().unwrap().to_owned()),
            ("/tmp/brune-rollout", self.dir.join("rollout").to_str().unwrap().to_owned()),
            (ADDRESS, self.address.clone()),
            // The time only has to be long enough for the approval.
            ("+1 minute", "+15 seconds".to_owned()),
        ];
        replacements.extend(BACKGROUND.into_iter().zip(ports.iter().map(Port::address)));
        let mut script = "set -euo pipefail\n".to_owned();
        for step in steps {
            let commands = replacements
                .iter()
                .fold(step.commands.clone(), |commands, (from, to)| commands.replace(from, to));
            script += &commands;
            script.extend(["\nprintf '", SEPARATOR, "'\n"]);
        }
        script
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let process = Pid::from_raw(self.child.id().cast_signed());
        let _ = kill_process(process.unwrap(), Signal::TERM);
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Returns a command for `program` in `dir`, with no variable of the caller but those that name programs.
fn command(dir: &Path, program: &str) -> Command {
    let mut command = Command::new(program);
    command.env_clear().current_dir(dir);
    command.env("BRUNE_DATA_DIR", dir.join("data")).env("BRUNE_PG_NO_DOWNLOAD", "true");
    for name in ["PATH", "BRUNE_PG_BIN_DIR", "BRUNE_PG_USER"] {
        #[expect(
            clippy::disallowed_methods,
            reason = "the caller of the tests decides which programs run"
        )]
        let value = env::var_os(name);
        command.envs(value.map(|value| (name, value)));
    }
    command
}

/// Returns the first `count` lines, or those that arrive in two minutes.
fn first_lines(stdout: ChildStdout, count: usize) -> String {
    let (sender, receiver) = mpsc::channel();
    // The thread reads to the end, because a full pipe would stop the service.
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    let next = || crate::support::wait::receive("a line of the service", &receiver);
    let lines: Vec<String> = std::iter::from_fn(next).take(count).collect();
    lines.join("\n")
}
