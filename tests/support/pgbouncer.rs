//! A pooler (`PgBouncer`) of a test's own, in transaction mode, with fewer sessions than clients.

use std::{
    fs,
    os::unix::{fs::MetadataExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use brune::{
    config::Secret,
    database::{Pool, Topology, options_from_url},
};
use sqlx::{ConnectOptions as _, postgres::PgConnectOptions};
use tokio::net::TcpStream;

use super::{TestDb, port::Port, programs::need, psql::run, wait::wait_until};

/// How many sessions on the server all its clients share.
pub(crate) const SESSIONS: u32 = 4;

/// A pooler in front of one database, until it is killed; gone with the test.
pub(crate) struct PgBouncer {
    dir: PathBuf,
    port: Port,
    upstream: PgConnectOptions,
    owner: PgConnectOptions,
    server: Option<Child>,
}

impl PgBouncer {
    pub(crate) async fn before(db: &TestDb) -> Self {
        Self::ignoring(db, "").await
    }

    /// One that drops the start-up parameters named in `ignored` in silence.
    pub(crate) async fn ignoring(db: &TestDb, ignored: &str) -> Self {
        need("command -v pgbouncer || test -x /usr/sbin/pgbouncer");
        let port = Port::reserve();
        let number = port.number();
        let dir =
            std::env::temp_dir().join(format!("brune-pgbouncer-{}-{number}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        let owner = db.owner_options();
        let mut pooler = Self { dir, port, upstream: db.options(), owner, server: None };
        fs::write(pooler.dir.join("users"), pooler.users()).unwrap();
        fs::write(pooler.dir.join("ini"), pooler.configuration(ignored)).unwrap();
        pooler.again().await;
        pooler
    }

    /// One that nothing gives away as a pooler but that it swallows notifications.
    pub(crate) async fn in_disguise(db: &TestDb) -> Self {
        let sql = "do $$ begin
            execute format('alter database %I set lock_timeout = %L', current_database(), '3s');
        end $$";
        run(&db.admin(), sql).await;
        Self::ignoring(db, "extra_float_digits, options").await
    }

    fn users(&self) -> String {
        let line = |options: &PgConnectOptions| {
            let url = options.to_url_lossy();
            let password = url.password().unwrap_or_default();
            format!("\"{}\" \"{password}\"\n", options.get_username())
        };
        [&self.upstream, &self.owner].map(line).concat()
    }

    fn configuration(&self, ignored: &str) -> String {
        let Self { dir, upstream, .. } = self;
        let port = self.port.number();
        let host = upstream
            .get_socket()
            .map_or(upstream.get_host().into(), |socket| socket.to_string_lossy());
        let dir = dir.display();
        let server = upstream.get_port();
        format!(
            "[databases]\n* = host={host} port={server}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = trust\nauth_file = {dir}/users\n\
             pool_mode = transaction\ndefault_pool_size = {SESSIONS}\nmax_client_conn = 500\n\
             server_login_retry = 1\nignore_startup_parameters = {ignored}\n"
        )
    }

    /// Starts it where it was.
    pub(crate) async fn again(&mut self) {
        let mut command = Command::new("pgbouncer");
        command.arg(self.dir.join("ini")).current_dir(&self.dir);
        // Debian's place for it is not on everybody's path.
        command.env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin");
        // It refuses to run as root; whoever owns the server's socket may use it.
        if let Some(socket) = self.upstream.get_socket().filter(|_| is_root()) {
            let owner = fs::metadata(socket).unwrap();
            command.uid(owner.uid()).gid(owner.gid());
        }
        let log = fs::File::options().create(true).append(true).open(self.dir.join("log")).unwrap();
        let server = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        self.server = Some(server.unwrap());
        let address = self.port.address();
        wait_until("PgBouncer answers", async || TcpStream::connect(&address).await.is_ok()).await;
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill().unwrap();
            server.wait().unwrap();
        }
    }

    /// Its address, for a program of its own.
    pub(crate) fn url(&self) -> String {
        self.url_of(self.upstream.get_username())
    }

    /// The same for the role that migrates.
    pub(crate) fn owner_url(&self) -> String {
        self.url_of(self.owner.get_username())
    }

    fn url_of(&self, user: &str) -> String {
        let address = self.port.address();
        let database = self.upstream.get_database().unwrap();
        format!("postgres://{user}@{address}/{database}?sslmode=disable")
    }

    pub(crate) fn options(&self) -> PgConnectOptions {
        options_from_url(&Secret::new(self.url())).unwrap()
    }

    /// The service's connections through the pooler, twice as many as there are sessions; `direct` where a session
    /// is needed.
    pub(crate) async fn pool(&self, direct: Option<PgConnectOptions>) -> Pool {
        let direct = direct.map(Box::new);
        Pool::open(self.options(), Topology::Pooler { direct }, 2 * SESSIONS).await.unwrap()
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(Path::new(&self.dir));
    }
}
