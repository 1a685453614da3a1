//! The database under the service, and the harness that gives each test its own.

use brune::{
    config::Secret,
    database::{self, MIGRATOR, Parts, Pool, Topology},
};
use sqlx::{ConnectOptions as _, Executor as _, PgPool};

use crate::support::{TestDb, psql, wait::wait_until};

async fn tables(pool: &PgPool) -> Vec<String> {
    let sql = "select tablename::text from pg_tables where schemaname = 'public' order by 1";
    sqlx::query_scalar(sql).fetch_all(pool).await.unwrap()
}

#[tokio::test]
async fn each_test_has_its_own_migrated_database() {
    let one = TestDb::new().await;
    let other = TestDb::new().await;
    one.owner().execute("create table only_here ()").await.unwrap();
    assert!(tables(&one.pool()).await.contains(&"only_here".to_owned()));
    let actual = tables(&other.pool()).await;
    assert!(actual.contains(&"_sqlx_migrations".to_owned()), "{actual:?}");
    assert!(!actual.contains(&"only_here".to_owned()), "{actual:?}");
}

#[tokio::test]
async fn an_empty_database_has_no_schema() {
    let db = TestDb::empty().await;
    assert_eq!(tables(&db.pool()).await, Vec::<String>::new());
}

#[tokio::test]
async fn repeated_migrations_run_once() {
    let db = TestDb::empty().await;
    MIGRATOR.run(&db.owner()).await.unwrap();
    let after_one = tables(&db.pool()).await;
    MIGRATOR.run(&db.owner()).await.unwrap();
    assert_eq!(tables(&db.pool()).await, after_one);
    let applied: i64 = sqlx::query_scalar("select count(*) from _sqlx_migrations")
        .fetch_one(&db.owner())
        .await
        .unwrap();
    assert_eq!(usize::try_from(applied).unwrap(), MIGRATOR.iter().count());
}

#[tokio::test]
async fn a_database_session_has_the_name_and_limits_of_the_service() {
    let db = TestDb::empty().await;
    let pool = Pool::open(db.options(), Topology::Direct, 2).await.unwrap();
    for (name, expected) in [
        ("application_name", "brune"),
        ("lock_timeout", "3s"),
        ("statement_timeout", "5s"),
        ("idle_in_transaction_session_timeout", "10s"),
    ] {
        let actual: String = sqlx::query_scalar("select current_setting($1)")
            .bind(name)
            .fetch_one(pool.connections())
            .await
            .unwrap();
        assert_eq!(actual, expected, "{name}");
    }
}

#[tokio::test]
async fn an_unreachable_server_is_reported_by_name() {
    // Nobody can listen on port 1 of a directory that does not exist.
    let parts = Parts {
        host: "/nowhere".to_owned(),
        port: 1,
        user: "me".to_owned(),
        password: Some(Secret::new("hunter2".to_owned())),
        database: "db".to_owned(),
    };
    let fault =
        Pool::open(database::options_from_parts(&parts), Topology::Direct, 1).await.unwrap_err();
    let message = format!("{fault} {fault:?}");
    assert!(
        message.contains("cannot connect to the database at /nowhere (database db)"),
        "{message}"
    );
    assert!(!message.contains("hunter2"), "{message}");
}

#[tokio::test]
async fn a_silent_server_is_reported() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("postgres://me@{}/db?sslmode=disable", silent.local_addr().unwrap());
    let options = database::options_from_url(&Secret::new(url)).unwrap();
    let fault = Pool::open(options, Topology::Direct, 1).await.unwrap_err();
    assert!(matches!(fault, database::Error::Silent { .. }), "{fault:?}");
}

#[tokio::test]
async fn a_commit_waits_for_a_missing_standby() {
    let db = TestDb::empty().await;
    let sql = "do $$ begin
        execute format('alter database %I set synchronous_commit = on', current_database());
    end $$";
    db.owner().execute(sql).await.unwrap();
    let mut connection = db.owner_options().connect().await.unwrap();
    let waiting = "select count(*) from pg_stat_activity
        where datname = current_database() and wait_event = 'SyncRep'";
    let observer = db.owner();
    let is_waiting = async || psql::count(&observer, waiting).await == 1;
    tokio::select! {
        committed = connection.execute("create table t ()") => panic!("committed: {committed:?}"),
        () = wait_until("the commit waits for a standby", is_waiting) => (),
    }
}
