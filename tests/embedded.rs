//! The private Postgres: it starts, it stops, it survives, and it never outlives its owner.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]
#![expect(clippy::print_stdout, reason = "how a helper process reports to its test")]

#[path = "embedded/owner.rs"]
mod owner;
#[expect(dead_code, reason = "this suite needs Postgres only")]
#[path = "support/programs.rs"]
mod programs;
#[path = "embedded/roles.rs"]
mod roles;
#[path = "embedded/sandbox.rs"]
mod sandbox;
#[path = "support/wait.rs"]
mod wait;

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
};

use brune::{
    database::{self, Pool, Topology},
    embedded_postgres::{Error, Profile, Server},
};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, PgConnection};

use self::{
    owner::Owner,
    sandbox::{Sandbox, children_of, is_alive, kill},
    wait::{no_hang, wait_until},
};

async fn ask(connection: &mut PgConnection, sql: &'static str) -> String {
    sqlx::query_scalar(sql).fetch_one(connection).await.unwrap()
}

/// Makes a table of numbers and returns a session to write to it.
async fn numbers(options: &sqlx::postgres::PgConnectOptions) -> PgConnection {
    let mut connection = options.connect().await.unwrap();
    connection.execute("create table numbers (n integer primary key)").await.unwrap();
    connection
}

async fn count(server: &Server) -> i64 {
    let mut connection = server.admin_options().connect().await.unwrap();
    sqlx::query_scalar("select count(*) from numbers").fetch_one(&mut connection).await.unwrap()
}

#[tokio::test]
async fn a_server_starts_empty_and_restarts_with_its_data() {
    let sandbox = Sandbox::new();
    let server = Server::start(&sandbox.config(), Profile::Durable).await.unwrap();
    let mut connection = numbers(&server.admin_options()).await;
    connection.execute("insert into numbers values (1)").await.unwrap();
    for (sql, expected) in [
        ("show fsync", "on"),
        ("show listen_addresses", ""),
        ("show data_checksums", "on"),
        ("show server_encoding", "UTF8"),
        ("select lower('ÉÀЖ')", "éàж"),
        ("select current_database()::text", "brune"),
    ] {
        assert_eq!(ask(&mut connection, sql).await, expected, "{sql}");
    }
    connection.close().await.unwrap();
    for private in ["data", "run"] {
        let actual = fs::metadata(server.dir().join(private)).unwrap();
        assert_eq!(actual.permissions().mode() & 0o777, 0o700, "{private}");
    }
    server.stop().await.unwrap();
    assert!(!sandbox.dir().join("data/postmaster.pid").exists());

    let second_server = Server::start(&sandbox.config(), Profile::Durable).await.unwrap();
    assert_eq!(count(&second_server).await, 1);
    second_server.stop().await.unwrap();
}

#[tokio::test]
async fn root_never_runs_the_server_itself() {
    let sandbox = Sandbox::new();
    let server = Server::start(&sandbox.config(), Profile::Throwaway).await.unwrap();
    let of_process = fs::metadata(format!("/proc/{}", server.postmaster().unwrap())).unwrap().uid();
    assert_ne!(of_process, 0);
    assert_eq!(fs::metadata(server.dir().join("data")).unwrap().uid(), of_process);
    let me = rustix::process::geteuid();
    assert!(me.is_root() || of_process == me.as_raw(), "only root changes the account");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn the_url_connects_to_the_server() {
    let sandbox = Sandbox::named("a b+c,d\"e");
    let server = Server::start(&sandbox.config(), Profile::Throwaway).await.unwrap();
    let url = brune::config::Secret::new(server.url());
    let mut connection = database::options_from_url(&url).unwrap().connect().await.unwrap();
    assert_eq!(ask(&mut connection, "select current_database()::text").await, "brune");
    connection.close().await.unwrap();
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_second_owner_is_refused_by_name() {
    let sandbox = Sandbox::new();
    let server = Server::start(&sandbox.config(), Profile::Throwaway).await.unwrap();
    let fault = Server::start(&sandbox.config(), Profile::Throwaway).await.unwrap_err();
    assert!(matches!(fault, Error::Owned { .. }), "{fault:?}");
    let message = fault.to_string();
    assert!(message.contains(&format!("process {} owns", std::process::id())), "{message}");
    assert!(message.contains(&*server.dir().to_string_lossy()), "{message}");
    assert_eq!(ask(&mut server.options().connect().await.unwrap(), "show fsync").await, "off");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_killed_owner_ends_the_server_without_losing_acknowledged_writes() {
    let sandbox = Sandbox::new();
    let mut owner = Owner::start(&sandbox, &[]);
    let mut connection = numbers(&owner.options()).await;
    let mut acknowledged = 0;
    for n in 0..200 {
        sqlx::query("insert into numbers values ($1)")
            .bind(n)
            .execute(&mut connection)
            .await
            .unwrap();
        acknowledged += 1;
    }
    owner.kill();
    wait_until("the server goes", async || !is_alive(owner.postmaster)).await;

    let server = Server::start(&sandbox.config(), Profile::Durable).await.unwrap();
    assert_eq!(count(&server).await, acknowledged);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn owner_and_server_killed_together_recover() {
    let sandbox = Sandbox::new();
    let mut owner = Owner::start(&sandbox, &[]);
    let mut connection = numbers(&owner.options()).await;
    connection.execute("insert into numbers select generate_series(1, 1000)").await.unwrap();
    let shell = owner.shell();
    let backends = children_of(owner.postmaster);
    assert!(backends.len() > 3, "{backends:?}");
    // The server first, before anything can ask it to stop in good order.
    for process in [owner.postmaster, shell].into_iter().chain(backends) {
        kill(process);
    }
    owner.kill();
    assert!(sandbox.dir().join("data/postmaster.pid").exists(), "it stopped in good order");
    let server = Server::start(&sandbox.config(), Profile::Durable).await.unwrap();
    assert_eq!(count(&server).await, 1000);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn an_orphaned_server_is_stopped_by_the_next_owner() {
    let sandbox = Sandbox::new();
    let mut owner = Owner::start(&sandbox, &[]);
    drop(numbers(&owner.options()).await);
    let shell = owner.shell();
    // Also what waits at the pipe for the owner's death: nobody is left to tell the server.
    let watchers = children_of(shell).into_iter().filter(|&process| process != owner.postmaster);
    for process in [shell].into_iter().chain(watchers.collect::<Vec<_>>()) {
        kill(process);
    }
    owner.kill();
    assert!(is_alive(owner.postmaster));
    let server = Server::start(&sandbox.config(), Profile::Durable).await.unwrap();
    assert_ne!(server.postmaster(), Some(owner.postmaster));
    assert_eq!(count(&server).await, 0);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn the_owner_learns_that_the_server_died() {
    let sandbox = Sandbox::new();
    let mut server = Server::start(&sandbox.config(), Profile::Durable).await.unwrap();
    drop(numbers(&server.admin_options()).await);
    kill(server.postmaster().unwrap());
    let fault = no_hang("the server is reported to have ended", server.exited()).await;
    assert!(fault.to_string().contains("exited unexpectedly"), "{fault}");
    drop(server);
    let second_server = Server::start(&sandbox.config(), Profile::Durable).await.unwrap();
    assert_eq!(count(&second_server).await, 0);
    second_server.stop().await.unwrap();
}

#[tokio::test]
async fn an_owner_killed_during_initdb_does_not_block_the_next() {
    // At once, in the middle of the bootstrap, and close to the end.
    for reached in ["", "global/pg_control", "base/4"] {
        let sandbox = killed_during_initdb(reached).await;
        let server = Server::start(&sandbox.config(), Profile::Throwaway).await.unwrap();
        assert_eq!(ask(&mut server.options().connect().await.unwrap(), "select 'up'").await, "up");
        server.stop().await.unwrap();
        assert!(!sandbox.dir().join("data.new").exists());
    }
}

/// Kills an owner whose initdb has made the file `reached`, and returns the sandbox.
async fn killed_during_initdb(reached: &str) -> Sandbox {
    loop {
        let sandbox = Sandbox::new();
        let mut owner = Owner::spawn(&sandbox, &[]);
        let path = sandbox.dir().join("data.new").join(reached);
        let data = sandbox.dir().join("data");
        wait_until("initdb is on its way", async || path.exists() || data.exists()).await;
        owner.kill();
        // On a busy machine initdb may end between two looks, or between the look and the kill.
        if !data.exists() {
            return sandbox;
        }
    }
}

#[tokio::test]
async fn a_stale_ready_file_is_ignored() {
    let sandbox = Sandbox::new();
    Server::start(&sandbox.config(), Profile::Throwaway).await.unwrap().stop().await.unwrap();
    // The number of a process that lives, as after a restart of a container.
    let me = std::process::id();
    let dir = sandbox.dir();
    let data = dir.join("data");
    let run = dir.join("run");
    let note = format!(
        "{me}\n{}\n1700000000\n5432\n{}\n\n  1 2\nready   \n",
        data.display(),
        run.display()
    );
    fs::write(data.join("postmaster.pid"), note).unwrap();
    fs::write(run.join(".s.PGSQL.5432.lock"), format!("{me}\n{}\n", data.display())).unwrap();

    let server = Server::start(&sandbox.config(), Profile::Throwaway).await.unwrap();
    assert_ne!(server.postmaster(), i32::try_from(me).ok());
    assert_eq!(ask(&mut server.options().connect().await.unwrap(), "select 'up'").await, "up");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn an_ordinary_user_can_own_the_server() {
    let sandbox = Sandbox::new();
    let mut owner = Owner::start_as_ordinary_user(&sandbox);
    let uid = fs::metadata(format!("/proc/{}", owner.postmaster)).unwrap().uid();
    assert_ne!(uid, 0);
    assert_eq!(fs::metadata(sandbox.dir()).unwrap().uid(), uid);
    assert_eq!(fs::metadata(sandbox.dir()).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(ask(&mut owner.options().connect().await.unwrap(), "select 'up'").await, "up");
    owner.kill();
    wait_until("the server goes", async || !is_alive(owner.postmaster)).await;
}

#[tokio::test]
async fn libpq_variables_have_no_effect() {
    let sandbox = Sandbox::new();
    let hostile = [
        ("PGHOST", "203.0.113.1"),
        ("PGHOSTADDR", "203.0.113.1"),
        ("PGPORT", "1"),
        ("PGUSER", "stranger"),
        ("PGPASSWORD", "hunter2"),
        ("PGDATABASE", "elsewhere"),
        ("PGSSLMODE", "verify-full"),
        ("PGSSLROOTCERT", "/nowhere"),
        ("PGDATA", "/nowhere"),
        ("PGTZ", "Mars/Olympus"),
        ("LC_ALL", "xx_XX.UTF-8"),
        ("LANG", "xx_XX.UTF-8"),
        ("TZ", "Mars/Olympus"),
        ("DATABASE_URL", "postgres://me:hunter2@203.0.113.1/db"),
    ];
    let owner = Owner::start(&sandbox, &hostile);
    let passed_on = fs::read(format!("/proc/{}/environ", owner.shell())).unwrap();
    let passed_on = String::from_utf8(passed_on).unwrap();
    let mut names: Vec<&str> =
        passed_on.split_terminator('\0').filter_map(|v| Some(v.split_once('=')?.0)).collect();
    names.sort_unstable();
    assert_eq!(names, ["LC_ALL", "PATH"]);
    assert_eq!(
        ask(&mut owner.options().connect().await.unwrap(), "select current_user::text").await,
        "postgres"
    );
}

#[tokio::test]
async fn pgoptions_is_refused() {
    let sandbox = Sandbox::new();
    let output = Owner::spawn(&sandbox, &[("PGOPTIONS", "-c default_transaction_read_only=on")])
        .last_words();
    assert!(output.contains("ForeignOptions"), "{output}");
}

#[tokio::test]
async fn a_path_too_long_for_a_socket_gets_a_short_one() {
    let sandbox = Sandbox::named(&"deep".repeat(30));
    let server = Server::start(&sandbox.config(), Profile::Throwaway).await.unwrap();
    let options = server.options();
    let socket = options.get_socket().unwrap();
    assert!(!socket.starts_with(sandbox.dir()), "{}", socket.display());
    assert_eq!(fs::metadata(socket).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(ask(&mut options.connect().await.unwrap(), "select 'up'").await, "up");
    server.stop().await.unwrap();
    fs::remove_dir(socket).unwrap();
}

#[tokio::test]
async fn an_inaccessible_directory_is_reported_by_name() {
    let sandbox = Sandbox::new();
    let closed = sandbox.root().join("closed");
    fs::create_dir(&closed).unwrap();
    // Root gets in, the server's account does not; an ordinary user does not get in either.
    let mode = if rustix::process::geteuid().is_root() { 0o700 } else { 0o000 };
    fs::set_permissions(&closed, fs::Permissions::from_mode(mode)).unwrap();
    let mut config = sandbox.config();
    config.dir = closed.join("pg");
    let message = Server::start(&config, Profile::Throwaway).await.unwrap_err().to_string();
    assert!(message.contains(&*config.dir.to_string_lossy()), "{message}");
    assert_eq!(message.contains("BRUNE_DATA_DIR"), mode == 0o700, "{message}");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
}

#[tokio::test]
async fn data_of_another_version_is_refused() {
    let sandbox = Sandbox::new();
    fs::create_dir_all(sandbox.dir().join("data")).unwrap();
    fs::write(sandbox.dir().join("data/PG_VERSION"), "13\n").unwrap();
    let message = Server::start(&sandbox.config(), Profile::Durable).await.unwrap_err().to_string();
    for part in [
        "Postgres 13 (the version of the data directory)",
        "apt-get install",
        "DATABASE_URL",
        "docker compose up",
    ] {
        assert!(message.contains(part), "{message}");
    }
    assert_eq!(fs::read_to_string(sandbox.dir().join("data/PG_VERSION")).unwrap(), "13\n");
}

#[tokio::test]
async fn a_configured_directory_without_programs_is_reported() {
    let sandbox = Sandbox::new();
    let mut config = sandbox.config();
    config.bin_dir = Some("/nowhere/bin".into());
    let message = Server::start(&config, Profile::Durable).await.unwrap_err().to_string();
    assert!(
        message.contains("BRUNE_PG_BIN_DIR=/nowhere/bin contains no working postgres"),
        "{message}"
    );
}

#[tokio::test]
async fn a_replica_is_refused() {
    let sandbox = Sandbox::new();
    Server::start(&sandbox.config(), Profile::Throwaway).await.unwrap().stop().await.unwrap();
    fs::write(sandbox.dir().join("data/standby.signal"), "").unwrap();
    let server = Server::start(&sandbox.config(), Profile::Throwaway).await.unwrap();
    let fault = Pool::open(server.options(), Topology::Direct, 1).await.unwrap_err();
    assert!(matches!(fault, database::Error::InRecovery { .. }), "{fault:?}");
    server.stop().await.unwrap();
}
