//! `/admin/instances`, and what a row of the fleet goes through.

mod wait;
mod wait_failures;

use std::time::Duration;

use axum::http::StatusCode;
use brune::fleet::HeartbeatPolicy;
use serde_json::{Value, json};
use sqlx::postgres::PgPoolOptions;

use crate::support::{
    FAST_PACE, Instance, TestApp, admin, proxy::Proxy, psql, user, wait::wait_until,
};

/// Heartbeats so rare that a row is written only for an applied revision that a writer may wait for.
pub(super) const NO_HEARTBEAT: HeartbeatPolicy = HeartbeatPolicy {
    beat: Duration::from_hours(1),
    live: Duration::from_hours(3),
    forget: Duration::from_hours(4),
    acknowledgement: Duration::from_hours(1),
};

/// The fleet as `instance` tells it.
pub(super) async fn instances(instance: &Instance) -> Value {
    instance.get("/admin/instances").bearer(&admin("root")).send().await.ok()
}

/// The entry of `of` in what `instance` tells.
pub(super) async fn entry(instance: &Instance, of: &Instance) -> Option<Value> {
    let actual_fleet = instances(instance).await;
    let mut entries = actual_fleet["instances"].as_array().unwrap().iter();
    entries.find(|entry| entry["id"] == json!(of.fleet.id())).cloned()
}

/// An instance that follows by notification alone, and is one of the fleet.
pub(super) async fn joined(app: &TestApp) -> Instance {
    let mut instance = app.another_instance().await;
    instance.join_fleet().await;
    instance
}

/// One of the fleet that hears of no change.
pub(super) async fn deaf(app: &TestApp) -> Instance {
    Instance::builder(app.db.pool()).without_listener().join_fleet().start().await
}

#[tokio::test]
async fn the_fleet_lists_each_instance_with_its_applied_revision() {
    let mut app = TestApp::new().await;
    app.instance.join_fleet().await;
    let _deaf = deaf(&app).await;
    app.instance.change(&[("BRUNE_PROMPT_VERSION", json!("2"), 1)]).await.ok();
    app.instance.change(&[("BRUNE_PROMPT_VERSION", json!("3"), 2)]).await.ok();
    let has_it = async || {
        let own = entry(&app.instance, &app.instance).await.unwrap();
        own["applied_revision"] == 3
    };
    wait_until("it is acknowledged", has_it).await;
    let fleet = instances(&app.instance).await;
    assert!(fleet["instances"][1]["seen_ms_ago"].as_i64().unwrap() >= 0);
    insta::assert_json_snapshot!(fleet, {
        ".instances[].id" => "[varies]", ".instances[].started_at" => "[varies]",
        ".instances[].seen_at" => "[varies]", ".instances[].seen_ms_ago" => "[varies]",
        ".instances[].version" => "[varies]",
    }, @r#"
    {
      "instances": [
        {
          "applied_revision": 3,
          "host": "brune.test",
          "id": "[varies]",
          "live": true,
          "revisions_behind": 0,
          "seen_at": "[varies]",
          "seen_ms_ago": "[varies]",
          "self": true,
          "started_at": "[varies]",
          "version": "[varies]"
        },
        {
          "applied_revision": 1,
          "host": "brune.test",
          "id": "[varies]",
          "live": true,
          "revisions_behind": 2,
          "seen_at": "[varies]",
          "seen_ms_ago": "[varies]",
          "self": false,
          "started_at": "[varies]",
          "version": "[varies]"
        }
      ],
      "revision": 3
    }
    "#);
    assert_eq!(fleet["instances"][0]["version"], env!("CARGO_PKG_VERSION"));
}

#[tokio::test]
async fn an_instance_is_listed_from_its_first_heartbeat_until_it_leaves() {
    let mut app = TestApp::new().await;
    app.instance.join_fleet().await;
    let other = Instance::builder(app.db.pool()).without_listener().start().await;
    assert_eq!(entry(&app.instance, &other).await, None);
    other.fleet.join(&other.pool, 1).await.unwrap();
    let fleet_entry = entry(&app.instance, &other).await.unwrap();
    assert_eq!((&fleet_entry["live"], &fleet_entry["self"]), (&json!(true), &json!(false)));
    other.fleet.leave(&other.pool).await.unwrap();
    assert_eq!(entry(&app.instance, &other).await, None);
    assert!(entry(&app.instance, &app.instance).await.is_some());
}

#[tokio::test]
async fn a_silent_instance_becomes_not_live_and_then_is_deleted() {
    let mut app = TestApp::new().await;
    app.instance = Instance::builder(app.db.pool())
        .pace(FAST_PACE)
        .without_listener()
        .join_fleet()
        .start()
        .await;
    let other = Instance::builder(app.db.pool())
        .pace(FAST_PACE)
        .without_listener()
        .join_fleet()
        .start()
        .await;
    assert_eq!(entry(&app.instance, &other).await.unwrap()["live"], true);
    // Its tasks end here, and nobody takes its row out.
    let id = json!(other.fleet.id());
    drop(other);
    let of_it = async || {
        let actual_fleet = instances(&app.instance).await;
        actual_fleet["instances"]
            .as_array()
            .unwrap()
            .iter()
            .find(|instance| instance["id"] == id)
            .cloned()
    };
    let silent = async || of_it().await.is_none_or(|entry| entry["live"] == false);
    wait_until("it is not live", silent).await;
    wait_until("it is forgotten", async || of_it().await.is_none()).await;
    // One that goes on is not, however long that took.
    let goes_on = async || {
        entry(&app.instance, &app.instance).await.is_some_and(|entry| entry["live"] == true)
    };
    wait_until("the other goes on", goes_on).await;
}

#[tokio::test]
async fn a_lost_row_is_written_again() {
    let mut app = TestApp::new().await;
    app.instance = Instance::builder(app.db.pool())
        .pace(FAST_PACE)
        .without_listener()
        .join_fleet()
        .start()
        .await;
    // What a crash of the server leaves of an unlogged table.
    psql::run(&app.db.owner(), "truncate brune_instance").await;
    let is_repeated = async || entry(&app.instance, &app.instance).await.is_some();
    wait_until("it is there again", is_repeated).await;
}

#[tokio::test]
async fn heartbeats_resume_after_an_outage() {
    let app = TestApp::new().await;
    let proxy = Proxy::before(&app.db).await;
    let instance = Instance::builder(proxy.pool(5).await)
        .pace(FAST_PACE)
        .without_listener()
        .join_fleet()
        .start()
        .await;
    proxy.take_away().await;
    let silent =
        async || entry(&app.instance, &instance).await.is_some_and(|entry| entry["live"] == false);
    // Judged by the usual pace of the one that is asked, so its silence is made longer.
    psql::run(&app.db.pool(), "update brune_instance set seen_at = seen_at - interval '7 s'").await;
    wait_until("it falls silent", silent).await;
    let reply = instance.get("/admin/instances").bearer(&admin("root")).send().await;
    assert_ne!(reply.header("retry-after"), "");
    reply.problem(503, "unavailable");
    proxy.bring_back().await;
    let is_back =
        async || entry(&app.instance, &instance).await.is_some_and(|entry| entry["live"] == true);
    wait_until("it is heard again", is_back).await;
}

#[tokio::test]
async fn a_heartbeat_is_an_update_in_place() {
    let app = TestApp::new().await;
    let own = PgPoolOptions::new().max_connections(1).connect_lazy_with(app.db.options());
    for revision in 0..=200 {
        app.instance.fleet.join(&own.clone().into(), revision).await.unwrap();
    }
    // A session tells what it did as it ends.
    own.close().await;
    let counts = async || {
        let sql = "select n_tup_upd, n_tup_hot_upd from pg_stat_user_tables
            where relname = 'brune_instance'";
        sqlx::query_as::<_, (i64, i64)>(sql).fetch_one(&app.db.pool()).await.unwrap()
    };
    wait_until("they are counted", async || counts().await.0 == 200).await;
    let (updates, in_place) = counts().await;
    assert!(9 * updates <= 10 * in_place, "{in_place} of {updates}");
}

#[tokio::test]
async fn concurrent_changes_are_acknowledged_together() {
    let app = TestApp::new().await;
    let proxy = Proxy::before(&app.db).await;
    let mut instance =
        Instance::builder(proxy.pool(5).await).without_listener().join_fleet().start().await;
    // Only heartbeats go through the proxy; what it hears and reads does not.
    instance.pool = app.db.pool().into();
    instance.start_listening().await;
    let mut hold = app.db.pool().begin().await.unwrap();
    let row = "select from brune_instance where id = $1 for update";
    sqlx::query(row).bind(instance.fleet.id()).execute(&mut *hold).await.unwrap();
    for n in 1..=20 {
        app.instance.change(&[("BRUNE_PROMPT_VERSION", json!(format!("v{n}")), n)]).await.ok();
    }
    instance.wait_for_revision(21).await;
    let before = proxy.round_trips();
    hold.rollback().await.unwrap();
    let has_it = async || entry(&app.instance, &instance).await.unwrap()["applied_revision"] == 21;
    wait_until("the last is acknowledged", has_it).await;
    let after = proxy.round_trips() - before;
    assert!(after < 8, "{after} round trips for 20 revisions");
}

#[tokio::test]
async fn changes_without_a_waiting_writer_are_acknowledged_together() {
    let app = TestApp::new().await;
    let proxy = Proxy::before(&app.db).await;
    let builder = Instance::builder(proxy.pool(5).await).pace(NO_HEARTBEAT).without_listener();
    let mut instance = builder.join_fleet().start().await;
    // Only heartbeats go through the proxy.
    instance.pool = app.db.pool().into();
    instance.start_listening().await;
    let before = proxy.round_trips();
    for n in 1..=20 {
        app.instance.change(&[("BRUNE_PROMPT_VERSION", json!(format!("v{n}")), n)]).await.ok();
        instance.wait_for_revision(n + 1).await;
    }
    // At once, although the next heartbeat is an hour away.
    let reply = wait::patch(&app.instance, "wait=applied&timeout_ms=4000", 45, 1).send().await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text);
    assert_eq!(entry(&app.instance, &instance).await.unwrap()["applied_revision"], 22);
    let round_trips = proxy.round_trips() - before;
    assert!(round_trips < 8, "{round_trips} round trips for 21 revisions");
}

#[tokio::test]
async fn the_fleet_requires_an_administrator() {
    let app = TestApp::new().await;
    let reply = app.instance.get("/admin/instances").bearer(&user("ana")).send().await;
    reply.problem(403, "forbidden");
    let reply = app.instance.get("/admin/instances?live=true").bearer(&admin("root")).send();
    reply.await.problem(400, "malformed_request");
}
