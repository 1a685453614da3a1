//! An owner in a process of its own, which can be killed: this test binary, running the ignored
//! test below.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use brune::{
    config::Secret,
    database::options_from_url,
    embedded_postgres::{Profile, Server},
};
use sqlx::postgres::PgConnectOptions;

use super::sandbox::{Sandbox, config, parent_of};

/// Set for the owner: the directory of its server.
const OWNER: &str = "BRUNE_TEST_OWNER";

/// The account that root becomes to be an ordinary user: `nobody` nearly everywhere.
const NOBODY: u32 = 65_534;

/// A process that owns a private server; killed with the test.
pub(crate) struct Owner {
    child: Child,
    /// The server's process.
    pub(crate) postmaster: i32,
    url: String,
}

impl Owner {
    /// Starts an owner with the variables `env` and waits until its server is up.
    pub(crate) fn start(sandbox: &Sandbox, env: &[(&str, &str)]) -> Self {
        Self::spawn(sandbox, env).up()
    }

    /// The same as somebody who is not root, from a copy of the binary that they can read.
    pub(crate) fn start_as_ordinary_user(sandbox: &Sandbox) -> Self {
        let exe = sandbox.root().join("owner");
        fs::copy(std::env::current_exe().unwrap(), &exe).unwrap();
        fs::set_permissions(&exe, fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = Self::command(&exe, sandbox);
        if rustix::process::geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        Self::of(command.spawn().unwrap()).up()
    }

    /// Starts an owner and does not wait.
    pub(crate) fn spawn(sandbox: &Sandbox, env: &[(&str, &str)]) -> Self {
        let mut command = Self::command(&std::env::current_exe().unwrap(), sandbox);
        Self::of(command.envs(env.iter().copied()).spawn().unwrap())
    }

    /// How the superuser connects.
    pub(crate) fn options(&self) -> PgConnectOptions {
        options_from_url(&Secret::new(self.url.clone())).unwrap()
    }

    /// The shell that holds the server's life line.
    pub(crate) fn shell(&self) -> i32 {
        parent_of(self.postmaster)
    }

    /// `kill -9`, as from outside.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// What it said before it ended by itself.
    pub(crate) fn last_words(mut self) -> String {
        let mut output = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut output).unwrap();
        output
    }

    fn command(exe: &Path, sandbox: &Sandbox) -> Command {
        let mut command = Command::new(exe);
        command
            .args(["--ignored", "--exact", "--nocapture", "owner::owner"])
            .env(OWNER, sandbox.dir())
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        command
    }

    fn of(child: Child) -> Self {
        Self { child, postmaster: 0, url: String::new() }
    }

    fn up(mut self) -> Self {
        let output = BufReader::new(self.child.stdout.take().unwrap());
        let line = output.lines().map_while(Result::ok).find(|line| line.contains("UP ")).unwrap();
        let mut words = line.split("UP ").nth(1).unwrap().split(' ');
        self.postmaster = words.next().unwrap().parse().unwrap();
        words.next().unwrap().clone_into(&mut self.url);
        self
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Not a test: owns a server until its standard input ends. It does nothing unless a test starts it.
#[test]
#[ignore = "started by the tests themselves"]
fn owner() {
    #[expect(clippy::disallowed_methods, reason = "how a test tells its helper what to do")]
    let Some(dir) = std::env::var_os(OWNER).map(PathBuf::from) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        match Server::start(&config(&dir), Profile::Durable).await {
            Ok(server) => {
                println!("UP {} {}", server.postmaster().unwrap(), server.admin_url());
                let _ = std::io::stdin().read_to_end(&mut Vec::new());
                server.stop().await.unwrap();
            }
            Err(fault) => println!("{fault:?}"),
        }
    });
}
