//! The real program, in a home of its own: what a user of the command line meets.

use std::{
    fs::{self, File, Permissions},
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use reqwest::{Client, Method, RequestBuilder};
use rustix::process::{Pid, Signal};
use serde_json::{Value, json};

use super::{
    TestDb,
    programs::need_postgres,
    server::variable,
    wait::{wait_or_give_up, wait_until},
};

/// The variables that hold secrets.
const SECRETS: [&str; 7] = [
    "JWT_SECRET",
    "INTERNAL_API_KEY",
    "OPENAI_API_KEY",
    "DISCORD_WEBHOOK_URL",
    "ALERT_WEBHOOK_URL",
    "ALERT_WEBHOOK_SECRET",
    "BRUNE_TOKEN",
];

/// Everything, of every library.
const TRACE: &str = "trace,sqlx=trace,hyper=trace,reqwest=trace,rustls=trace,tower=trace";

/// A directory that the program works in and keeps its data under, and the variables it is given: nothing
/// of whoever runs the tests reaches it. Removed with the test.
pub(crate) struct Home {
    root: PathBuf,
    variables: Vec<(String, String)>,
}

impl Home {
    /// A fresh machine: no database, no secret.
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        need_postgres();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let root = base().join(format!("brune-home-{}-{number}", std::process::id()));
        fs::create_dir(&root).unwrap();
        // The private server may run under another account.
        fs::set_permissions(&root, Permissions::from_mode(0o777)).unwrap();
        let data = root.join("data").display().to_string();
        let home = Self { root, variables: Vec::new() };
        let home = home.with("BRUNE_DATA_DIR", &data).with("BRUNE_PG_NO_DOWNLOAD", "true");
        let home = home.with("BRUNE_LISTEN", "127.0.0.1:0").with("LOG_LEVEL", TRACE);
        // What is tested of a storm of writes is the storm.
        let home = home.with("ADMIN_WRITE_RATE_LIMIT_PER_MINUTE", "60000");
        ["PATH", "BRUNE_PG_BIN_DIR", "BRUNE_PG_USER"].into_iter().fold(home, |home, name| {
            match variable(name) {
                Some(value) => home.with(name, &value),
                None => home,
            }
        })
    }

    /// One whose database is `db`.
    pub(crate) fn on(db: &TestDb) -> Self {
        let home = Self::new().with("DATABASE_URL", &db.url());
        home.with("DATABASE_MIGRATE_URL", &db.owner_url())
    }

    /// The same with one more variable, or another value of it.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.set(name, value);
        self
    }

    /// Sets a variable for what is started from now on.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// Writes a file into the working directory.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        self.write_bytes(name, text.as_bytes())
    }

    /// The same with bytes that need not be text.
    pub(crate) fn write_bytes(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.root.join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// Where the private server and the development secret are.
    pub(crate) fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    /// What the services of this home have logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.root.join("log")).unwrap_or_default()
    }

    /// The process of the private server, while it runs.
    pub(crate) fn postmaster(&self) -> Option<i32> {
        let note = fs::read_to_string(self.data().join("data/postmaster.pid")).ok()?;
        note.lines().next()?.trim().parse().ok().filter(|&process| is_alive(process))
    }

    /// The secrets of this home that its services' log holds: none, whatever a test is about.
    fn gave_away(&self) -> Vec<&str> {
        let log = self.log();
        let created = fs::read_to_string(self.data().join("jwt_secret")).unwrap_or_default();
        let created =
            Some(("the made-up secret", created.trim())).filter(|(_, text)| !text.is_empty());
        let input = self.variables.iter().filter(|(name, _)| SECRETS.contains(&name.as_str()));
        let input = input.map(|(name, text)| (name.as_str(), text.as_str()));
        let actual =
            input.chain(created).filter(|(_, text)| text.lines().any(|line| log.contains(line)));
        actual.map(|(name, _)| name).collect()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_brune"));
        command.args(arguments).env_clear().envs(self.variables.iter().cloned());
        command.current_dir(&self.root).stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Outcome {
        let out = self.root.join("out");
        let err = self.root.join("err");
        let mut command = self.command(arguments);
        command.stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap());
        let mut child = command.spawn().unwrap();
        let Some(status) = wait_or_give_up(|| child.try_wait().unwrap()) else {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("{arguments:?} did not end: {}", fs::read_to_string(&err).unwrap());
        };
        let text = |path| fs::read_to_string(path).unwrap();
        Outcome { code: status.code(), out: text(&out), err: text(&err) }
    }

    /// Starts the service and waits until it answers.
    pub(crate) fn serve(&self) -> Service {
        self.serve_by("exec \"$0\" serve")
    }

    /// Starts what the shell's `script` makes of the program, which is its `$0`.
    pub(crate) fn spawn(&self, script: &str, stdout: Stdio) -> Child {
        let log = File::options().create(true).append(true).open(self.root.join("log")).unwrap();
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script, env!("CARGO_BIN_EXE_brune")]).env_clear();
        command.envs(self.variables.iter().cloned()).current_dir(&self.root);
        command.stdin(Stdio::null()).stdout(stdout).stderr(log).spawn().unwrap()
    }

    /// The same, started by the shell's `script`.
    pub(crate) fn serve_by(&self, script: &str) -> Service {
        let mut child = self.spawn(script, Stdio::piped());
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut output = Vec::new();
        // In production, and under a secret that it was given, it gives out no token.
        let is_set = |(name, value): &(String, String)| match name.as_str() {
            "NODE_ENV" => value == "production",
            name => name == "JWT_SECRET",
        };
        let last = if self.variables.iter().any(is_set) { "listening on" } else { "curl" };
        while !output.iter().any(|line: &String| line.contains(last)) {
            match lines.next() {
                Some(line) => output.push(line.unwrap()),
                None => panic!("the service did not start: {}\n{}", output.join("\n"), self.log()),
            }
        }
        let after = |words: &str| output.iter().find_map(|line| line.split_once(words));
        let base = after("listening on ").unwrap().1.to_owned();
        let token = after("BRUNE_TOKEN=").map_or(String::new(), |(_, token)| token.to_owned());
        Service { child, base, token, client: Client::new() }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // A server that a failed test left behind is on its way out.
        wait_or_give_up(|| self.postmaster().is_none().then_some(()));
        let gave_away = self.gave_away();
        let _ = fs::remove_dir_all(&self.root);
        assert!(gave_away.is_empty() || std::thread::panicking(), "the log holds {gave_away:?}");
    }
}

/// In memory where there is room: what is tested is who dies, and not the disk.
fn base() -> PathBuf {
    let memory = Path::new("/dev/shm");
    let roomy = rustix::fs::statvfs(memory).is_ok_and(|fs| fs.f_bavail * fs.f_frsize > 2 << 30);
    if roomy { memory.to_owned() } else { std::env::temp_dir() }
}

/// How a command ended, and what it said.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Outcome {
    /// What a command that succeeded said.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{}{}", self.out, self.err);
        self.out
    }

    /// What a command that was refused said on standard error, which must hold each of `told`.
    #[track_caller]
    pub(crate) fn refused(self, told: &[&str]) -> String {
        assert_eq!(self.code, Some(1), "{}{}", self.out, self.err);
        let output = format!("{}{}", self.out, self.err);
        for part in told {
            assert!(output.contains(part), "{part} is not in: {output}");
        }
        output
    }
}

/// A service that runs; killed with the test.
pub(crate) struct Service {
    child: Child,
    base: String,
    /// The administrator's, as the service printed it.
    pub(crate) token: String,
    client: Client,
}

impl Service {
    /// A request by the administrator.
    pub(crate) fn call(&self, method: Method, path: &str) -> RequestBuilder {
        self.anonymous(method, path).bearer_auth(&self.token)
    }

    /// A request of nobody in particular.
    pub(crate) fn anonymous(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base))
    }

    /// What `path` answers; it must be a success.
    pub(crate) async fn get(&self, path: &str) -> Value {
        let reply = self.call(Method::GET, path).send().await.unwrap();
        reply.error_for_status().unwrap().json().await.unwrap()
    }

    /// A change of one key.
    pub(crate) fn change(&self, key: &str, value: &Value, version: i64) -> RequestBuilder {
        let change = json!({"key": key, "value": value, "version": version});
        let body = json!({"reason": "a test", "changes": [change]});
        self.call(Method::PATCH, "/admin/global-settings").json(&body)
    }

    /// The same with another token.
    pub(crate) fn with_token(mut self, token: &str) -> Self {
        token.clone_into(&mut self.token);
        self
    }

    /// The address, without the scheme.
    pub(crate) fn address(&self) -> &str {
        self.base.trim_start_matches("http://")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        rustix::process::kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// How it ended; it must do so by itself now.
    pub(crate) async fn ended(mut self) -> ExitStatus {
        let mut status = None;
        let has_ended = async || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        };
        wait_until("the service ends", has_ended).await;
        status.unwrap()
    }

    /// Asks it to end, and holds it to have done so in good order.
    pub(crate) async fn stop(self) {
        self.signal(Signal::TERM);
        assert_eq!(self.ended().await.code(), Some(0));
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until no process of the private server is left.
pub(crate) async fn gone(process: i32) {
    wait_until("Postgres is gone", async || !is_alive(process)).await;
}

/// `kill -9`.
pub(crate) fn kill(process: i32) {
    rustix::process::kill_process(Pid::from_raw(process).unwrap(), Signal::KILL).unwrap();
}

fn is_alive(process: i32) -> bool {
    Pid::from_raw(process).is_some_and(|process| {
        !matches!(rustix::process::test_kill_process(process), Err(rustix::io::Errno::SRCH))
    })
}
