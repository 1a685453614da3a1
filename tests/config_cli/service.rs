//! A service in a process of its own over a database of its own, and the program that speaks to it.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use sqlx::ConnectOptions as _;

use crate::support::{SECRET, TestDb, admin, port::Port, programs::need_postgres, wait::receive};

const BRUNE: &str = env!("CARGO_BIN_EXE_brune");

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Run {
    /// Holds it to `code`, and to saying `part` of what it says.
    #[track_caller]
    pub(crate) fn ends(self, code: i32, part: &str) -> Self {
        assert!(self.code == code && (self.out.clone() + &self.err).contains(part), "{self:#?}");
        self
    }

    /// What it printed for a program.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{self:#?}");
        serde_json::from_str(&self.out).unwrap()
    }

    /// Its lines, each split where tabs are.
    pub(crate) fn rows(&self) -> Vec<Vec<&str>> {
        self.out.lines().map(|line| line.split('\t').collect()).collect()
    }
}

/// A directory, and nothing running in it.
pub(crate) struct Room {
    dir: PathBuf,
}

impl Room {
    pub(crate) fn new() -> Self {
        need_postgres();
        let dir = std::env::temp_dir().join(format!("brune-cli-{}", uuid::Uuid::new_v4()));
        fs::create_dir(&dir).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
        Self { dir }
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.dir.join(name), text).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.dir.join(name)).unwrap()
    }

    pub(crate) fn path(&self) -> &Path {
        &self.dir
    }

    /// `brune` in it, knowing nothing of whoever runs the tests but where programs are.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(BRUNE);
        command.env_clear().current_dir(&self.dir).args(arguments).stdin(Stdio::null());
        command.env("BRUNE_DATA_DIR", self.dir.join("data")).env("BRUNE_PG_NO_DOWNLOAD", "true");
        for name in ["PATH", "BRUNE_PG_BIN_DIR", "BRUNE_PG_USER"] {
            #[expect(
                clippy::disallowed_methods,
                reason = "where programs are is for others to say"
            )]
            let value = std::env::var_os(name);
            command.envs(value.map(|value| (name, value)));
        }
        command
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Runs to the end.
pub(crate) fn run(command: &mut Command) -> Run {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Run {
        code: output.status.code().unwrap_or(-1),
        out: text(output.stdout),
        err: text(output.stderr),
    }
}

/// `brune serve`, stopped with the test.
pub(crate) struct Service {
    child: Child,
    pub(crate) address: String,
    /// Reserved, so that the service can be started again at the same address.
    port: Port,
    pub(crate) room: Room,
    database: Option<(String, TestDb)>,
}

impl Service {
    /// A service whose settings stand at their defaults, at revision 1.
    pub(crate) async fn start() -> Self {
        let db = TestDb::new().await;
        Self::start_on(Room::new(), db)
    }

    /// One that is started in `room`, with what stands in its `.env`.
    pub(crate) fn start_on(room: Room, db: TestDb) -> Self {
        let database = db.options().to_url_lossy().to_string();
        let owner = db.owner_options().to_url_lossy().to_string();
        let migrated = run(with_database(&mut room.command(&["migrate"]), &owner));
        assert_eq!(migrated.code, 0, "{migrated:#?}");
        let port = Port::reserve();
        let (child, address) = serve(&room, Some(&database), &port);
        Self { child, address, port, room, database: Some((database, db)) }
    }

    /// One that is told nothing, and brings a database of its own.
    pub(crate) fn start_alone(room: Room) -> Self {
        let port = Port::reserve();
        let (child, address) = serve(&room, None, &port);
        Self { child, address, port, room, database: None }
    }

    /// The same service, stopped and started again where it was.
    pub(crate) fn again(&mut self) {
        self.stop();
        self.start_again();
    }

    /// A stopped service, started where it was.
    pub(crate) fn start_again(&mut self) {
        let database = self.database.as_ref().map(|(url, _)| url.as_str());
        (self.child, self.address) = serve(&self.room, database, &self.port);
    }

    pub(crate) fn stop(&mut self) {
        let process = Pid::from_raw(self.child.id().cast_signed());
        let _ = kill_process(process.unwrap(), Signal::TERM);
        let _ = self.child.wait();
    }

    /// The database it was started on.
    pub(crate) fn pool(&self) -> sqlx::PgPool {
        self.database.as_ref().unwrap().1.pool()
    }

    /// The database as its superuser sees it.
    pub(crate) fn admin_pool(&self) -> sqlx::PgPool {
        self.database.as_ref().unwrap().1.admin()
    }

    /// What it has logged since it was started last.
    pub(crate) fn log(&self) -> String {
        self.room.read("log")
    }

    /// `brune config` as `sub`, through `address`.
    pub(crate) fn config_at(&self, address: &str, sub: &str, arguments: &[&str]) -> Command {
        let mut command = self.room.command(&[&["config"], arguments].concat());
        command.env("BRUNE_URL", format!("http://{address}")).env("BRUNE_TOKEN", admin(sub));
        command
    }

    /// Runs `brune config` as Ada.
    pub(crate) fn config(&self, arguments: &[&str]) -> Run {
        run(&mut self.config_at(&self.address, "ada", arguments))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop();
    }
}

pub(crate) fn with_database<'c>(command: &'c mut Command, database: &str) -> &'c mut Command {
    command.env("DATABASE_URL", database).env("JWT_SECRET", SECRET)
}

fn serve(room: &Room, database: Option<&str>, port: &Port) -> (Child, String) {
    let mut command = room.command(&["serve"]);
    if let Some(database) = database {
        with_database(&mut command, database);
    }
    let mut child = command
        .env("BRUNE_LISTEN", port.address())
        .env("ADMIN_WRITE_RATE_LIMIT_PER_MINUTE", "60000")
        .stdout(Stdio::piped())
        .stderr(File::create(room.path().join("log")).unwrap())
        .spawn()
        .unwrap();
    let lines = lines(&mut child);
    let line = receive("the service announces its address", &lines).unwrap_or_default();
    let address = line.strip_prefix("brune listening on http://").map(str::to_owned);
    (child, address.unwrap_or_else(|| panic!("it did not start: {}", room.read("log"))))
}

/// The lines of a process as they come; read on to the end, since a full pipe would stop it.
pub(crate) fn lines(child: &mut Child) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    let stdout = child.stdout.take().unwrap();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    receiver
}
