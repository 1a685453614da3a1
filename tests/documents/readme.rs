//! The README's tour, run as it stands: its commands against the real program, its answers against what
//! the program says.

use std::{
    env,
    fs::{self, DirBuilder, File, Permissions},
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    sync::mpsc,
};

use chrono::DateTime;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use uuid::Uuid;

use crate::{blocks, section, support::realtime_stub::Stub};

const README: &str = include_str!("../../README.md");

/// Where the tour's service answers.
const ADDRESS: &str = "127.0.0.1:8080";

/// Where the tour's realtime provider answers.
const PROVIDER: &str = "127.0.0.1:8090";

/// Where what the tour itself starts answers.
const OTHERS: [&str; 2] = ["127.0.0.1:8081", "127.0.0.1:9000"];

/// Stands between the answers of two steps.
const MARK: &str = "\u{1e}";

#[test]
fn the_tour_answers_what_the_readme_says() {
    let steps = steps();
    assert!(steps.len() > 8, "the tour was not found");
    let [provider, run, rest @ ..] = steps.as_slice() else { panic!("the tour has no beginning") };
    // As the example does that the tour runs.
    assert_eq!(provider.commands, "cargo run --example realtime-stub");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let stub = runtime.block_on(Stub::new());
    let told = |step: &Step, address: &str, place: &str| {
        let (_, announced) = step.answer.as_ref().unwrap();
        announced.replace(place, address)
    };
    let provider_address = stub.address().to_string();
    assert_text(&told(provider, &provider_address, PROVIDER), &stub.announcement());
    let variables = run.commands.strip_suffix(" cargo run").unwrap();
    let service = Service::start(&variables.replace(PROVIDER, &provider_address));
    assert_text(&told(run, &service.address, ADDRESS), &service.announced);
    let rest: Vec<Step> = rest.iter().map(|step| step.speaking_to(&provider_address)).collect();
    let answers = service.walk(&rest);
    for (step, answer) in rest.iter().zip(&answers) {
        match &step.answer {
            None => assert_text("", answer),
            Some(("json", expected)) => assert_json(expected, answer),
            Some((_, expected)) => assert_text(expected, answer),
        }
    }
}

#[test]
fn the_check_of_everything_runs_the_tests_as_the_readme_says() {
    let table = section(README, "## Two commands");
    let row = table.lines().find(|line| line.starts_with("| pass the tests |")).unwrap();
    let command = row.split('`').nth(1).unwrap();
    let runs = fs::read_to_string(".ci/run").unwrap();
    assert!(runs.lines().any(|line| line.starts_with(&format!("{command} "))), "{command}");
}

#[test]
fn every_page_that_is_linked_is_there() {
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for target in text.split("](").skip(1).map(|link| link.split([')', '#']).next().unwrap()) {
            let path = page.with_file_name(target);
            assert!(
                target.contains("://") || path.exists(),
                "{} leads to {target}",
                page.display()
            );
        }
    }
}

/// The README and every page of `docs/`.
fn pages() -> Vec<PathBuf> {
    let docs = fs::read_dir("docs").unwrap().map(|entry| entry.unwrap().path());
    let pages = docs.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    pages.chain([PathBuf::from("README.md")]).collect()
}

#[test]
fn another_answer_than_the_readmes_is_found() {
    let differs =
        |one: &str, other: &str| std::panic::catch_unwind(|| assert_json(one, other)).is_err();
    let id = Uuid::from_u128;
    for (one, other, found) in [
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
        assert_eq!(differs(&one, &other), found, "{one} {other}");
    }
}

/// Commands of the tour, and what they answer.
struct Step {
    commands: String,
    answer: Option<(&'static str, String)>,
}

impl Step {
    /// The same with the realtime provider at `address`.
    fn speaking_to(&self, address: &str) -> Self {
        Self { commands: self.commands.replace(PROVIDER, address), answer: self.answer.clone() }
    }
}

fn steps() -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for (kind, text) in blocks(section(README, "## Five minutes")) {
        match (kind, steps.last_mut()) {
            ("sh", _) => steps.push(Step { commands: text, answer: None }),
            (kind, Some(step)) => step.answer = Some((kind, text)),
            (kind, None) => panic!("a block of {kind} before the first command"),
        }
    }
    steps
}

/// Equal line by line; a line that ends in `…` only begins so.
#[track_caller]
fn assert_text(expected: &str, found: &str) {
    let fits = |(expected, found): (&str, &str)| match expected.strip_suffix('…') {
        Some(start) => found.starts_with(start),
        None => expected == found,
    };
    let (expected, found) = (expected.trim_end(), found.trim_end());
    let same = expected.lines().count() == found.lines().count();
    assert!(same && expected.lines().zip(found.lines()).all(fits), "{expected}\n---\n{found}");
}

/// Equal but for what differs each time: times and ids.
#[track_caller]
fn assert_json(expected: &str, found: &str) {
    let read = |text: &str| {
        let value = serde_json::from_str(text).unwrap_or_else(|err| panic!("{err}: {text}"));
        settled(value)
    };
    assert_eq!(read(expected), read(found));
}

fn settled(value: Value) -> Value {
    match value {
        Value::String(text) if Uuid::parse_str(&text).is_ok() => "<id>".into(),
        Value::String(text) if DateTime::parse_from_rfc3339(&text).is_ok() => "<time>".into(),
        Value::Array(items) => items.into_iter().map(settled).collect(),
        Value::Object(members) => {
            Value::Object(members.into_iter().map(|(name, it)| (name, settled(it))).collect())
        }
        other => other,
    }
}

/// The program, started in a directory of its own with nothing configured but where to be.
struct Service {
    child: Child,
    dir: PathBuf,
    address: String,
    announced: String,
}

impl Service {
    /// Given `variables`, as a shell would read them before the command.
    fn start(variables: &str) -> Self {
        let dir = env::temp_dir().join(format!("brune-tour-{}", std::process::id()));
        // Enterable: as root, another account runs the database inside.
        DirBuilder::new().mode(0o755).create(&dir).unwrap();
        fs::set_permissions(&dir, Permissions::from_mode(0o755)).unwrap();
        let mut child = within(&dir, env!("CARGO_BIN_EXE_brune"))
            .env("BRUNE_LISTEN", "127.0.0.1:0")
            .envs(variables.split(' ').map(|assignment| assignment.split_once('=').unwrap()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(dir.join("log")).unwrap())
            .spawn()
            .unwrap();
        let announced = read(child.stdout.take().unwrap(), 7);
        let mut service = Self { child, dir, address: String::new(), announced };
        let address = service
            .announced
            .lines()
            .find_map(|line| line.strip_prefix("brune answers on http://"));
        service.address =
            address.unwrap_or_else(|| panic!("it did not start:\n{}", service.log())).to_owned();
        service
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    /// Runs `steps` in one shell, and returns what each wrote.
    fn walk(&self, steps: &[Step]) -> Vec<String> {
        let programs = Path::new(env!("CARGO_BIN_EXE_brune")).parent().unwrap();
        let mut script = "set -euo pipefail\n".to_owned();
        let others = OTHERS
            .map(|_| TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string());
        for step in steps {
            let commands = step.commands.replace(ADDRESS, &self.address);
            let commands =
                commands.replace("/tmp/brune-alerts", self.dir.join("alerts").to_str().unwrap());
            let commands = OTHERS
                .iter()
                .zip(&others)
                .fold(commands, |commands, (it, free)| commands.replace(it, free));
            script += &commands.replace("$PWD/target/debug", programs.to_str().unwrap());
            script.extend(["\nprintf '", MARK, "'\n"]);
        }
        let mut shell = within(&self.dir, "bash")
            .env("BRUNE_LISTEN", &self.address)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the tour needs bash and curl");
        shell.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        let output = shell.wait_with_output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let complained = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}\n{complained}\n{}", self.log());
        let answers: Vec<_> = said.split_terminator(MARK).map(str::to_owned).collect();
        assert_eq!(answers.len(), steps.len());
        answers
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

/// `program` in `dir`, knowing nothing of who runs the tests but where programs are.
fn within(dir: &Path, program: &str) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("BRUNE_DATA_DIR", dir.join("data")).current_dir(dir);
    for name in ["PATH", "BRUNE_PG_BIN_DIR", "BRUNE_PG_USER"] {
        #[expect(
            clippy::disallowed_methods,
            reason = "where programs are is for whoever runs the tests to say"
        )]
        let value = env::var_os(name);
        command.envs(value.map(|value| (name, value)));
    }
    command
}

/// The first lines that come, all of `lines` if they come in time.
fn read(stdout: ChildStdout, lines: usize) -> String {
    let (sender, receiver) = mpsc::channel();
    // Reads on to the end: a full pipe would stop the service.
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    let next = || crate::support::wait::receive("a line of the service", &receiver);
    let read: Vec<String> = std::iter::from_fn(next).take(lines).collect();
    read.join("\n")
}
