//! What a change costs the database, whatever the age of plans and statistics.

use sqlx::{Connection as _, Executor as _, PgConnection};

use super::{COOLDOWN, psql};
use crate::support::{TestApp, psql as sql};

/// The scans of the whole trail and the entries read by index, by the session of `conn`.
async fn trail_reads(conn: &mut PgConnection) -> (i64, i64) {
    let query = "select seq_scan, idx_tup_fetch from pg_stat_xact_user_tables
        where relname = 'app_global_setting_audit'";
    sqlx::query_as(query).fetch_one(conn).await.unwrap()
}

#[tokio::test]
async fn plans_of_an_empty_trail_do_not_read_the_whole_trail_later() {
    let app = TestApp::new().await;
    // The statistics of a table of one page, with which a scan of the whole table is the cheapest plan.
    psql(&app.db.owner(), "analyze app_global_setting_audit").await.unwrap();
    let mut conn = app.db.owner().acquire().await.unwrap();
    // After five executions, Postgres keeps the plans of the trigger functions.
    for minutes in 1..=10 {
        sql::set(&mut *conn, COOLDOWN, &minutes.to_string()).await;
    }
    conn.execute("begin").await.unwrap();
    let before = trail_reads(&mut conn).await;
    sql::set(&mut *conn, COOLDOWN, "20").await;
    conn.execute("set constraints all immediate").await.unwrap();
    let after = trail_reads(&mut conn).await;
    conn.execute("commit").await.unwrap();
    let (scans, entries) = (after.0 - before.0, after.1 - before.1);
    assert_eq!(scans, 0);
    assert!((1..20).contains(&entries), "{entries} entries were read");
}

#[tokio::test]
async fn a_change_of_a_setting_changes_no_index_of_the_settings() {
    let app = TestApp::new().await;
    let mut conn = app.db.owner().acquire().await.unwrap();
    let in_place =
        "select n_tup_hot_upd from pg_stat_xact_user_tables where relname = 'app_global_settings'";
    let mut count = 0_i64;
    for minutes in 1..=50 {
        let mut tx = conn.begin().await.unwrap();
        let before: i64 = sqlx::query_scalar(in_place).fetch_one(&mut *tx).await.unwrap();
        sql::set(&mut *tx, COOLDOWN, &minutes.to_string()).await;
        let after: i64 = sqlx::query_scalar(in_place).fetch_one(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
        count += after - before;
    }
    // Old rows stay on the page while another session may read them, and the page may be full for a moment.
    assert!(count >= 40, "{count} of 50 changes were in place");
}
