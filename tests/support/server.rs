//! One throwaway Postgres for all test processes of this checkout.
//!
//! `cargo test` and `cargo nextest run` need nothing set up: the first process that wants a
//! database starts a supervisor (its own test binary, running the ignored test below), which owns
//! the server. Every test process holds a shared lock on `users` while it lives; when nobody has
//! held it for a while, the supervisor takes it alone, stops the server, deletes the data and goes.
//! The kernel drops the locks of killed processes, so nothing is ever left to tidy up by hand.
//!
//! `TEST_DATABASE_URL` names an existing server instead (of a role that may create databases).

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::{
        fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
        net::UnixStream,
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

use brune::{
    config::{Embedded, Secret},
    database::options_from_url,
    embedded_postgres::{Profile, Server},
};
use sha2::{Digest as _, Sha256};
use sqlx::{ConnectOptions as _, Connection as _, postgres::PgConnectOptions};

use super::{
    database::sweep,
    programs::need_postgres,
    wait::{wait_for, wait_or_give_up},
};

/// How long the server outlives its last user: long enough for the next test binary to be built.
const LINGER: Duration = Duration::from_secs(20);

/// Set for the supervisor by whoever starts it: the server's directory.
const SUPERVISOR: &str = "BRUNE_TEST_SUPERVISOR";

/// The shared server, for whom it is up. Blocks for a second or two when it has to be started.
pub(super) fn server() -> &'static PgConnectOptions {
    static SERVER: OnceLock<(PgConnectOptions, Option<File>)> = OnceLock::new();
    &SERVER.get_or_init(join).0
}

/// A variable of the environment, unless it is empty.
pub(crate) fn variable(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "the harness has no configuration but this")]
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn join() -> (PgConnectOptions, Option<File>) {
    if let Some(url) = variable("TEST_DATABASE_URL") {
        return (options_from_url(&Secret::new(url)).unwrap(), None);
    }
    need_postgres();
    let dir = server_dir();
    let users = lock_file(&dir, "users");
    // Waits for a supervisor that is on its way out.
    users.lock_shared().unwrap();
    let up = ensure_server(&dir);
    (options_from_url(&Secret::new(up.url)).unwrap(), Some(users))
}

/// What the supervisor says of itself once the server answers.
struct Up {
    supervisor: String,
    socket: PathBuf,
    url: String,
}

impl Up {
    fn read(dir: &Path) -> Option<Self> {
        let text = fs::read_to_string(dir.join("ready")).ok()?;
        let mut lines = text.lines().map(str::to_owned);
        Some(Self { supervisor: lines.next()?, socket: lines.next()?.into(), url: lines.next()? })
    }

    /// In one step, so that nobody reads half of it.
    fn write(dir: &Path, server: &Server) {
        let options = server.admin_options();
        let socket = options.get_socket().unwrap().join(format!(".s.PGSQL.{}", options.get_port()));
        let text =
            format!("{}\n{}\n{}\n", std::process::id(), socket.display(), server.admin_url());
        fs::write(dir.join("ready.new"), text).unwrap();
        fs::rename(dir.join("ready.new"), dir.join("ready")).unwrap();
    }
}

/// In memory where there is room: a database is some five hundred files. Containers often have only
/// 64 MB there.
fn server_dir() -> PathBuf {
    let roomy =
        |path: &str| rustix::fs::statvfs(path).is_ok_and(|fs| fs.f_bavail * fs.f_frsize > 2 << 30);
    let memory = cfg!(target_os = "linux") && roomy("/dev/shm");
    let base = if memory { PathBuf::from("/dev/shm") } else { std::env::temp_dir() };
    let uid = rustix::process::geteuid().as_raw();
    let checkout = short(&Sha256::digest(env!("CARGO_MANIFEST_DIR")));
    let dir = base.join(format!("brune-test-{uid}-{checkout}"));
    // The server's account passes through when we are root.
    match DirBuilder::new().mode(0o711).create(&dir) {
        Err(fault) if fault.kind() != io::ErrorKind::AlreadyExists => {
            panic!("{}: {fault}", dir.display())
        }
        _ => {}
    }
    let actual = fs::symlink_metadata(&dir).unwrap();
    assert!(actual.is_dir() && actual.uid() == uid, "{} is not ours", dir.display());
    dir
}

/// Enough of a digest to tell things apart by.
pub(super) fn short(digest: &[u8]) -> String {
    let number = digest.iter().take(8).fold(0_u64, |number, &byte| number << 8 | u64::from(byte));
    format!("{number:016x}")
}

fn lock_file(dir: &Path, name: &str) -> File {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).read(true).write(true).mode(0o600);
    options.open(dir.join(name)).unwrap()
}

fn ensure_server(dir: &Path) -> Up {
    // One starter at a time; the others find a server that is up.
    let start = lock_file(dir, "start");
    start.lock().unwrap();
    let owner = lock_file(dir, "lock");
    // While neither is so, the server has crashed and its supervisor is about to notice.
    let expected = format!("{} has no owner, or its server answers", dir.display());
    let up = wait_for(&expected, || match owner.try_lock_shared() {
        Ok(()) => Some(None),
        Err(TryLockError::Error(fault)) => panic!("{fault}"),
        Err(TryLockError::WouldBlock) => {
            let up = Up::read(dir).filter(|up| UnixStream::connect(&up.socket).is_ok());
            up.map(Some)
        }
    });
    drop(owner);
    up.unwrap_or_else(|| start_supervisor(dir))
}

fn start_supervisor(dir: &Path) -> Up {
    let log = dir.join("supervisor.log");
    let output = File::create(&log).unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", &supervisor_test()])
        .env(SUPERVISOR, dir)
        // Meant for other servers; the private one refuses to inherit this one.
        .env_remove("PGOPTIONS")
        .current_dir("/")
        .stdin(Stdio::null())
        // To a file: a test runner takes a pipe that stays open for a leak.
        .stdout(output.try_clone().unwrap())
        .stderr(output)
        // Neither Ctrl-C nor the time limit of one test is for it.
        .process_group(0)
        .spawn()
        .unwrap();
    supervisor_ready(child, dir, &log)
}

fn supervisor_ready(mut child: Child, dir: &Path, log: &Path) -> Up {
    let supervisor = child.id().to_string();
    let up = wait_or_give_up(|| {
        if let Some(status) = child.try_wait().unwrap() {
            panic!("the test server did not start ({status}):\n{}", read_log(log));
        }
        Up::read(dir).filter(|up| up.supervisor == supervisor)
    });
    up.unwrap_or_else(|| panic!("the test server does not start:\n{}", read_log(log)))
}

fn read_log(log: &Path) -> String {
    fs::read_to_string(log).unwrap_or_default()
}

/// The name of the supervisor's test in this binary.
fn supervisor_test() -> String {
    let (_, module) = module_path!().split_once("::").unwrap();
    format!("{module}::supervisor")
}

/// Not a test: the process that owns the shared server. It does nothing unless the harness starts
/// it, so that `--include-ignored` does no harm.
#[test]
#[ignore = "started by the harness itself"]
fn supervisor() {
    let Some(dir) = variable(SUPERVISOR).map(PathBuf::from) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(supervise(&dir));
}

async fn supervise(dir: &Path) {
    let mut server = start(dir).await;
    let mut connection = server.admin_options().database("postgres").connect().await.unwrap();
    sweep(&mut connection, true).await;
    Up::write(dir, &server);
    let users = lock_file(dir, "users");
    let mut last_use = Instant::now();
    loop {
        tokio::select! {
            fault = server.exited() => panic!("{fault}"),
            () = tokio::time::sleep(Duration::from_millis(500)) => {}
        }
        match users.try_lock() {
            // Kept until this process is gone: who comes now waits, and starts a new server.
            Ok(()) if last_use.elapsed() > LINGER => break,
            Ok(()) => users.unlock().unwrap(),
            Err(_) => last_use = Instant::now(),
        }
        sweep(&mut connection, false).await;
    }
    connection.close().await.unwrap();
    server.stop().await.unwrap();
    // Gives the memory back; a new cluster costs half a second. The lock files stay.
    fs::remove_dir_all(dir.join("data")).unwrap();
    fs::remove_file(dir.join("postgres.log")).unwrap();
}

#[expect(clippy::print_stdout, reason = "its output is the supervisor's log")]
async fn start(dir: &Path) -> Server {
    let config = Embedded {
        dir: dir.to_owned(),
        bin_dir: variable("BRUNE_PG_BIN_DIR").map(PathBuf::from),
        path: variable("PATH").unwrap_or_default().into(),
        account: variable("BRUNE_PG_USER"),
        // The tests download nothing.
        cache_dir: None,
    };
    match Server::start(&config, Profile::Throwaway).await {
        Ok(server) => server,
        Err(fault) => {
            // A throwaway cluster cannot always start: a crash without fsync, another major version.
            println!("{fault:?}\nstarting over");
            let _ = fs::remove_dir_all(dir.join("data"));
            Server::start(&config, Profile::Throwaway).await.unwrap()
        }
    }
}
