//! Connections on loan: which are used again, and which never are.

use brune::database::{
    self, Connection, Deadline, OnSuccess, Pool, Topology, Transaction, TransactionError,
};
use futures_util::future::join_all;
use tokio::sync::Barrier;

use crate::support::{
    TestDb, psql,
    wait::{no_hang, wait_until},
};

async fn pool(db: &TestDb, size: u32) -> Pool {
    Pool::open(db.options(), Topology::Direct, size).await.unwrap()
}

/// What the session is called by the server.
async fn pid(pool: &Pool) -> i32 {
    let ask = async |conn: &mut Connection| {
        Ok::<_, TransactionError>(
            sqlx::query_scalar("select pg_backend_pid()").fetch_one(conn).await?,
        )
    };
    database::read_with_retry(pool, ask).await.unwrap()
}

#[tokio::test]
async fn a_released_connection_is_reused_next() {
    let db = TestDb::empty().await;
    let pool = pool(&db, 3).await;
    let first = pid(&pool).await;
    for _ in 0..5 {
        assert_eq!(pid(&pool).await, first);
        let mut work = Transaction::begin(&pool, Deadline::standard()).await.unwrap();
        let request = sqlx::query_scalar("select pg_backend_pid()").fetch_one(work.conn()).await;
        let request = request.map_err(TransactionError::from);
        let actual: i32 = work.finish(request, OnSuccess::Commit).await.unwrap();
        assert_eq!(actual, first);
    }
}

#[tokio::test]
async fn a_cancelled_query_closes_its_connection() {
    let db = TestDb::empty().await;
    // One that may create a table.
    let pool = Pool::open(db.owner_options(), Topology::Direct, 1).await.unwrap();
    let first = pid(&pool).await;
    let lock = "select pg_advisory_lock(1)";
    let other = db.owner();
    let mut holder = other.acquire().await.unwrap();
    sqlx::query(lock).execute(&mut *holder).await.unwrap();
    let waits = async |conn: &mut Connection| {
        Ok::<_, TransactionError>(sqlx::query(lock).execute(conn).await.map(drop)?)
    };
    let blocked = "select count(*) from pg_stat_activity
        where datname = current_database() and wait_event = 'advisory'";
    let is_blocked = async || psql::count(&other, blocked).await == 1;
    tokio::select! {
        _ = database::read_with_retry(&pool, waits) => panic!("it was over before it was given up"),
        () = wait_until("the statement waits for the lock", is_blocked) => (),
    }
    assert_ne!(pid(&pool).await, first);
    // What was begun and never ended is not there for the next one either.
    let mut work = Transaction::begin(&pool, Deadline::standard()).await.unwrap();
    sqlx::query("create table left_over ()").execute(work.conn()).await.unwrap();
    let second: i32 =
        sqlx::query_scalar("select pg_backend_pid()").fetch_one(work.conn()).await.unwrap();
    drop(work);
    assert_ne!(pid(&pool).await, second);
    let actual: Option<String> = sqlx::query_scalar("select to_regclass('left_over')::text")
        .fetch_one(&db.pool())
        .await
        .unwrap();
    assert_eq!(actual, None);
}

#[tokio::test]
async fn a_broken_idle_connection_is_replaced() {
    let db = TestDb::empty().await;
    let pool = pool(&db, 3).await;
    let together = Barrier::new(3);
    let hold = async |conn: &mut Connection| {
        together.wait().await;
        Ok::<_, TransactionError>(sqlx::query("select").execute(conn).await.map(drop)?)
    };
    // All three are open, and wait.
    let connections = join_all((0..3).map(|_| database::read_with_retry(&pool, hold))).await;
    assert!(connections.iter().all(Result::is_ok));
    assert_eq!(psql::end_sessions(&db.pool(), "application_name = 'brune'").await, 3);
    pid(&pool).await;
    let work = Transaction::begin(&pool, Deadline::standard()).await.unwrap();
    work.finish(Ok::<_, TransactionError>(()), OnSuccess::Commit).await.unwrap();
}

#[tokio::test]
async fn two_hundred_queries_share_two_connections_until_the_pool_closes() {
    let db = TestDb::empty().await;
    let pool = pool(&db, 2).await;
    let mut actual = join_all((0..200).map(|_| pid(&pool))).await;
    actual.sort_unstable();
    actual.dedup();
    assert!(actual.len() <= 2, "{actual:?}");
    no_hang("the pool is closed", pool.close()).await;
    let ask = async |_: &mut Connection| Ok::<_, TransactionError>(());
    assert!(matches!(
        database::read_with_retry(&pool, ask).await,
        Err(TransactionError::Unavailable(_))
    ));
    let are_gone = async || psql::end_sessions(&db.pool(), "application_name = 'brune'").await == 0;
    wait_until("nothing is left of them", are_gone).await;
}
