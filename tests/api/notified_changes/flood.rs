//! Floods: every login may send any number of notifications.

use serde_json::json;
use sqlx::{AssertSqlSafe, Executor as _};

use super::{NEVER, VERSION, applied, assert_as_loaded, payload::notify, set_version};
use crate::support::{Instance, TestApp, proxy::Proxy, psql, wait::wait_until};

/// Sends `count` notifications with an unreadable content at once.
async fn flood(app: &TestApp, count: i32) {
    let sql = "select count(pg_notify('brune_settings', n || ' ' || repeat('A', 7000))) from generate_series(1, $1) n";
    sqlx::query(sql).bind(count).execute(&app.db.pool()).await.unwrap();
}

#[tokio::test]
async fn a_flood_of_unreadable_notifications_costs_few_queries() {
    let app = TestApp::new().await;
    let proxy = Proxy::before(&app.db).await;
    let other = Instance::builder(proxy.pool(5).await).poll_every(NEVER).start().await;
    let before = proxy.round_trips();
    flood(&app, 3_000).await;
    psql::set(&app.db.pool(), VERSION, &json!("2").to_string()).await;
    other.wait_for_revision(2).await;
    let is_applied = async || {
        let revision = app.instance.settings.revision() + 1;
        set_version(&app, &revision.to_string(), revision).await;
        other.wait_for_revision(revision).await;
        applied(&other).await > 0
    };
    wait_until("changes are applied again", is_applied).await;
    let round_trips = proxy.round_trips() - before;
    // The number of batches depends on the machine; one query for each notification would be 3,000.
    assert!(round_trips < 1_000, "{round_trips} round trips");
    assert_as_loaded(&app).await;
}

#[tokio::test]
async fn a_key_that_returns_is_read_again() {
    let app = TestApp::new().await;
    let refresh = async |with: &str| {
        let sql = format!("refresh materialized view brune_notification_key {with}");
        app.db.owner().execute(AssertSqlSafe(sql)).await.unwrap();
    };
    refresh("with no data").await;
    // The key is read in vain.
    notify(&app.db.pool(), "1 AAAA").await;
    set_version(&app, "2", 2).await;
    refresh("with data").await;
    let before = applied(&app.instance).await;
    let is_applied = async || {
        let revision = app.instance.settings.revision() + 1;
        set_version(&app, &revision.to_string(), revision).await;
        applied(&app.instance).await > before
    };
    wait_until("changes are applied again", is_applied).await;
    assert_as_loaded(&app).await;
}
