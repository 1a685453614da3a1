//! A database of its own for each test, copied from a template that is named after the migrations.

use std::sync::{Mutex, OnceLock, mpsc};

use brune::database::{
    MIGRATOR, Pool, Topology,
    roles::{self, OWNER, SERVICE, Scope},
    session, unlimited_owner,
};
use sha2::{Digest as _, Sha256};
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use super::server::{server, short, variable};

/// Held while the template is made: "template" in ASCII.
const TEMPLATE_LOCK: i64 = 0x7465_6d70_6c61_7465;

/// Logs in to migrate, as on a private server.
const MIGRATE: &str = "brune_migrate";

/// Logs in to serve, as on a private server.
const SERVE: &str = "brune_serve";

/// What both log in with on a server that is not ours; ours knows them by their account.
const PASSWORD: &str = "for tests only";

/// A database that only this test knows, dropped with it (`KEEP_TEST_DB=1` keeps it and says where
/// it is).
pub(crate) struct TestDb {
    name: String,
    options: PgConnectOptions,
    pool: PgPool,
    admin: PgPool,
}

impl TestDb {
    /// A database with the schema and nothing in it.
    pub(crate) async fn new() -> Self {
        Self::copy_of(template().await).await
    }

    /// A database without even the schema.
    pub(crate) async fn empty() -> Self {
        Self::copy_of("template0").await
    }

    /// Returns a copy of the database. Ends all sessions, because Postgres copies no database in use.
    pub(crate) async fn copy(&self) -> Self {
        let mut connection = server().connect().await.unwrap();
        end_sessions(&mut connection, &self.name).await;
        connection.close().await.unwrap();
        Self::copy_of(&self.name).await
    }

    /// How the service connects to it; without the service's limits on a session.
    pub(crate) fn options(&self) -> PgConnectOptions {
        self.options.clone()
    }

    /// How the role that migrates connects to it.
    pub(crate) fn owner_options(&self) -> PgConnectOptions {
        login(MIGRATE).database(&self.name)
    }

    /// How the superuser connects to it.
    pub(crate) fn admin_options(&self) -> PgConnectOptions {
        server().clone().database(&self.name)
    }

    /// The service's address, for a program of its own.
    pub(crate) fn url(&self) -> String {
        url(&self.options)
    }

    /// The address of the role that migrates.
    pub(crate) fn owner_url(&self) -> String {
        url(&self.owner_options())
    }

    /// The superuser's address.
    pub(crate) fn admin_url(&self) -> String {
        url(&self.admin_options())
    }

    /// A pool as the service opens it, for an instance alone.
    pub(crate) async fn own_pool(&self) -> Pool {
        Pool::open(self.options.clone(), Topology::Direct, 5).await.unwrap()
    }

    /// A small pool on it, of sessions like the service's and as its role.
    pub(crate) fn pool(&self) -> PgPool {
        self.pool.clone()
    }

    /// A small pool of the role that migrates.
    pub(crate) fn owner(&self) -> PgPool {
        PgPoolOptions::new().max_connections(2).connect_lazy_with(session(self.owner_options()))
    }

    /// A small pool of the superuser's, for what the service may not do.
    pub(crate) fn admin(&self) -> PgPool {
        self.admin.clone()
    }

    async fn copy_of(template: &str) -> Self {
        // The number of a process comes round again, and what an earlier one left may still be there.
        let name = format!("t_{}_{}", std::process::id(), uuid::Uuid::new_v4().simple());
        let mut connection = server().connect().await.unwrap();
        // A file copy writes next to nothing to the log; 14 knows nothing else, and not the word.
        let words = connection.server_version_num().is_some_and(|version| version >= 150_000);
        let how = if words { "strategy file_copy" } else { "" };
        let create = format!("create database {name} owner {OWNER} template {template} {how}");
        execute(&mut connection, create).await;
        // The one privilege that a template does not pass on.
        execute(&mut connection, format!("revoke temporary on database {name} from public")).await;
        connection.close().await.unwrap();
        let options = login(SERVE).database(&name);
        // Few, because tests run side by side.
        let pool = |options| PgPoolOptions::new().max_connections(5).connect_lazy_with(options);
        let admin = pool(session(server().clone().database(&name)));
        Self { pool: pool(session(options.clone())), name, options, admin }
    }
}

impl Drop for TestDb {
    fn drop(&mut self) {
        // A drop cannot wait; a thread does it, and the supervisor drops what that leaves.
        static DROPPER: OnceLock<Mutex<mpsc::Sender<String>>> = OnceLock::new();
        if variable("KEEP_TEST_DB").is_some() {
            #[expect(clippy::print_stdout, reason = "whoever asked for it wants to know")]
            let () = println!("kept: {}", self.options.to_url_lossy());
            return;
        }
        let dropper = DROPPER.get_or_init(|| Mutex::new(start_dropper()));
        if let Ok(dropper) = dropper.lock() {
            let _ = dropper.send(self.name.clone());
        }
    }
}

fn start_dropper() -> mpsc::Sender<String> {
    let (sender, names) = mpsc::channel::<String>();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let mut connection = server().connect().await.unwrap();
            while let Ok(name) = names.recv() {
                drop_database(&mut connection, &name).await;
            }
        });
    });
    sender
}

/// How `user` connects to the server.
fn login(user: &str) -> PgConnectOptions {
    let options = server().clone().username(user);
    if options.get_socket().is_some() { options } else { options.password(PASSWORD) }
}

/// `options` as an address.
fn url(options: &PgConnectOptions) -> String {
    let Some(socket) = options.get_socket() else {
        return options.to_url_lossy().to_string();
    };
    let socket = socket.to_str().unwrap();
    let host: String = url::form_urlencoded::byte_serialize(socket.as_bytes()).collect();
    let user = options.get_username();
    let port = options.get_port();
    let name = options.get_database().unwrap();
    format!("postgres://{user}@localhost:{port}/{name}?host={host}&sslmode=disable")
}

/// The migrated database that the tests copy. Made under another name, so that it is never half-made.
async fn template() -> &'static str {
    static TEMPLATE: tokio::sync::OnceCell<String> = tokio::sync::OnceCell::const_new();
    TEMPLATE.get_or_init(make_template).await
}

async fn make_template() -> String {
    let name = template_name();
    let mut connection = server().connect().await.unwrap();
    sqlx::query("select pg_advisory_lock($1)")
        .bind(TEMPLATE_LOCK)
        .execute(&mut connection)
        .await
        .unwrap();
    let there: bool =
        sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
            .bind(&name)
            .fetch_one(&mut connection)
            .await
            .unwrap();
    if !there {
        let new = format!("{name}_new");
        execute(&mut connection, format!("drop database if exists {new} with (force)")).await;
        make_logins(&mut connection).await;
        let create = format!("create database {new} owner {OWNER} template template0");
        execute(&mut connection, create).await;
        let mut inside = server().clone().database(&new).connect().await.unwrap();
        roles::apply(&mut inside, Scope::Whole).await.unwrap();
        inside.close().await.unwrap();
        let pool = Pool::open(login(MIGRATE).database(&new), Topology::Direct, 1).await.unwrap();
        let mut owner = unlimited_owner(&pool).await.unwrap().unwrap();
        MIGRATOR.run_direct(None, &mut owner, false).await.unwrap();
        assert!(roles::apply(&mut owner, Scope::Grants).await.unwrap().rejected.is_empty());
        owner.close().await.unwrap();
        pool.close().await;
        // A session on it would make the copying fail.
        execute(&mut connection, format!("alter database {new} allow_connections false")).await;
        execute(&mut connection, format!("alter database {new} rename to {name}")).await;
    }
    // Gives the lock back, too.
    connection.close().await.unwrap();
    name
}

/// On a server of somebody else's; ours has them.
async fn make_logins(connection: &mut PgConnection) {
    for (login, group) in [(MIGRATE, OWNER), (SERVE, SERVICE)] {
        let sql = format!(
            "do $$ begin
              if to_regrole('{group}') is null then create role {group} nologin; end if;
              if to_regrole('{login}') is null then
                create role {login} login password '{PASSWORD}' in role {group};
              end if;
            end $$"
        );
        execute(connection, sql).await;
    }
}

fn template_name() -> String {
    let mut digest = Sha256::new();
    digest.update(include_str!("../../src/database/roles/list.rs"));
    digest.update(include_str!("../../src/database/roles/plan.rs"));
    for migration in MIGRATOR.iter() {
        digest.update(migration.version.to_be_bytes());
        digest.update(&migration.checksum);
    }
    format!("tpl_{}", short(&digest.finalize()))
}

/// Drops the databases of test processes that are gone; at the start all, and templates that are
/// out of date.
pub(super) async fn sweep(connection: &mut PgConnection, start: bool) {
    let names: Vec<String> =
        sqlx::query_scalar("select datname::text from pg_database where datname ~ '^(t|tpl)_'")
            .fetch_all(&mut *connection)
            .await
            .unwrap_or_default();
    let is_stale = |name: &&String| {
        let maker = name.strip_prefix("t_").and_then(|rest| rest.split('_').next()?.parse().ok());
        match maker {
            Some(process) => start || is_gone(process),
            None => start && **name != template_name(),
        }
    };
    let stale: Vec<&String> = names.iter().filter(is_stale).collect();
    // All of them before any is dropped: a commit that was left hanging keeps every drop of the server waiting,
    // and its own turn would never come.
    for name in &stale {
        end_sessions(connection, name).await;
    }
    for name in stale {
        drop_database(connection, name).await;
    }
}

fn is_gone(process: i32) -> bool {
    rustix::process::Pid::from_raw(process).is_some_and(|process| {
        matches!(rustix::process::test_kill_process(process), Err(rustix::io::Errno::SRCH))
    })
}

/// Ends the sessions on a database. Postgres waits for each to end, but not for long: one may hang in a commit.
async fn end_sessions(connection: &mut PgConnection, name: &str) {
    let sql = "select pg_terminate_backend(pid, 100) from pg_stat_activity where datname = $1";
    let _ = sqlx::query(sql).bind(name).execute(&mut *connection).await;
}

/// FORCE alone waits a tenth of a second when there is a session; these are asked to go first.
async fn drop_database(connection: &mut PgConnection, name: &str) {
    end_sessions(connection, name).await;
    // Given up when another test's hanging commit is in its way; the supervisor comes back for what is left.
    // A process that was killed while it dropped this one may have got further than we know.
    let _ = connection.execute("set statement_timeout = '3s'").await;
    let drop = format!("drop database if exists {name} with (force)");
    let _ = connection.execute(AssertSqlSafe(drop)).await;
}

async fn execute(connection: &mut PgConnection, sql: String) {
    connection.execute(AssertSqlSafe(sql)).await.unwrap();
}
