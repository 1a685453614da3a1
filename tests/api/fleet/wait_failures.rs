//! Waiting while instances come and go, and while the database is in trouble: what is stored is never said
//! to have failed.

use std::time::Duration;

use axum::http::StatusCode;
use brune::fleet::{Applied, HeartbeatPolicy};
use serde_json::json;
use tokio::task::JoinSet;

use super::{deaf, joined, wait::patch};
use crate::support::{
    FAST_PACE, Instance, TestApp,
    proxy::Proxy,
    psql,
    wait::{deadline_after, let_time_pass, wait_until},
};

/// More round trips than it takes to connect and to look once.
const ENOUGH: usize = 12;

/// What a wait of `instance` for `revision` finds.
async fn waited(instance: &Instance, revision: i64, wait: Duration) -> Applied {
    let fleet = &instance.fleet;
    fleet.wait(&instance.pool, &instance.settings, revision, deadline_after(wait)).await
}

#[tokio::test]
async fn a_wait_ends_when_an_instance_dies() {
    let mut app = TestApp::new().await;
    // Not because its row is gone, but because it says nothing any more.
    let pace = HeartbeatPolicy { forget: Duration::from_mins(1), ..FAST_PACE };
    app.instance = Instance::builder(app.db.pool()).pace(pace).join_fleet().start().await;
    let other = Instance::builder(app.db.pool())
        .pace(FAST_PACE)
        .without_listener()
        .join_fleet()
        .start()
        .await;
    let dies = async {
        app.instance.wait_for_revision(2).await;
        drop(other);
    };
    let waiting = patch(&app.instance, "wait=applied&timeout_ms=4000", 45, 1);
    let (reply, ()) = tokio::join!(waiting.send(), dies);
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text);
    assert_eq!(reply.body["applied"]["instances"], 2);
}

#[tokio::test]
async fn a_wait_ignores_an_instance_that_is_not_live() {
    let mut app = TestApp::new().await;
    app.instance.join_fleet().await;
    let other = Instance::builder(app.db.pool()).without_listener().start().await;
    other.fleet.join(&other.pool, 1).await.unwrap();
    let older = "update brune_instance set seen_at = seen_at - interval '7 s' where id = $1";
    sqlx::query(older).bind(other.fleet.id()).execute(&app.db.pool()).await.unwrap();
    let body = patch(&app.instance, "wait=applied", 45, 1).send().await.ok();
    assert_eq!(body["applied"]["instances"], 1);
}

#[tokio::test]
async fn a_wait_ignores_instances_that_join_later() {
    let app = TestApp::new().await;
    let _laggard = deaf(&app).await;
    let late = Instance::builder(app.db.pool()).without_listener().start().await;
    patch(&app.instance, "", 45, 1).send().await.ok();
    let proxy = Proxy::before(&app.db).await;
    let writer = Instance::builder(proxy.pool(5).await).without_listener().start().await;
    let before = proxy.round_trips();
    let comes = async {
        let looked = async || proxy.round_trips() > before + ENOUGH;
        wait_until("who is live was looked at", looked).await;
        // It says itself that it has not got it.
        late.fleet.join(&late.pool, 1).await.unwrap();
    };
    let (applied, ()) = tokio::join!(waited(&writer, 2, Duration::from_millis(1500)), comes);
    assert_eq!((applied.instances, applied.laggards.len()), (Some(2), 1), "{applied:?}");
    assert_ne!(applied.laggards[0].id, late.fleet.id());
    // The next one waits for it.
    let applied = waited(&writer, 2, Duration::from_millis(100)).await;
    assert_eq!((applied.instances, applied.laggards.len()), (Some(3), 2), "{applied:?}");
}

#[tokio::test]
async fn concurrent_waits_share_their_reads_of_the_fleet() {
    let app = TestApp::new().await;
    let _laggard = deaf(&app).await;
    patch(&app.instance, "", 45, 1).send().await.ok();
    let proxy = Proxy::before(&app.db).await;
    let writer = Instance::builder(proxy.pool(5).await).without_listener().start().await;
    let looks = async |waiters: usize| {
        let before = proxy.round_trips();
        let mut all = JoinSet::new();
        for _ in 0..waiters {
            let fleet = writer.fleet.clone();
            let pool = writer.pool.clone();
            let settings = writer.settings.clone();
            let deadline = deadline_after(Duration::from_secs(1));
            all.spawn(async move { fleet.wait(&pool, &settings, 2, deadline).await });
        }
        let all = all.join_all().await;
        assert!(all.iter().all(|applied| applied.laggards.len() == 1 && !applied.is_everywhere()));
        proxy.round_trips() - before
    };
    let one = looks(1).await;
    let crowd = looks(40).await;
    assert!(crowd < 5 * one, "{one} looks of one, {crowd} of forty");
}

#[tokio::test]
async fn an_outage_during_a_wait_answers_202_with_the_last_known_laggards() {
    let app = TestApp::new().await;
    let laggard = deaf(&app).await;
    let proxy = Proxy::before(&app.db).await;
    let writer = Instance::builder(proxy.pool(5).await).join_fleet().start().await;
    let goes = async {
        writer.wait_for_revision(2).await;
        let before = proxy.round_trips();
        let looked = async || proxy.round_trips() > before + ENOUGH;
        wait_until("it looks", looked).await;
        proxy.take_away().await;
    };
    let waiting = patch(&writer, "wait=applied&timeout_ms=1500", 45, 1);
    let (reply, ()) = tokio::join!(waiting.send(), goes);
    // What was last known: who had it not.
    assert_eq!(reply.status, StatusCode::ACCEPTED, "{}", reply.text);
    assert_eq!(reply.body["applied"]["instances"], 2);
    assert_eq!(reply.body["applied"]["laggards"][0]["id"], json!(laggard.fleet.id()));
    assert_eq!(reply.body["applied"]["laggards"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_wait_retries_after_a_failed_read() {
    let app = TestApp::new().await;
    let _other = joined(&app).await;
    patch(&app.instance, "", 45, 1).send().await.ok();
    let proxy = Proxy::before(&app.db).await;
    let writer = Instance::builder(proxy.pool(5).await).without_listener().start().await;
    let pool = app.db.owner();
    psql::run(&pool, "alter table brune_instance rename to out_of_sight").await;
    let before = proxy.round_trips();
    let is_back = async {
        let failed = async || proxy.round_trips() > before + ENOUGH;
        wait_until("it looked and failed", failed).await;
        psql::run(&pool, "alter table out_of_sight rename to brune_instance").await;
    };
    let (applied, ()) = tokio::join!(waited(&writer, 2, Duration::from_secs(15)), is_back);
    assert!(applied.is_everywhere() && applied.instances == Some(2), "{applied:?}");
}

#[tokio::test]
async fn an_unreadable_fleet_answers_202_with_null_instances() {
    let app = TestApp::new().await;
    psql::run(&app.db.owner(), "drop table brune_instance").await;
    let reply = patch(&app.instance, "wait=applied&timeout_ms=200", 45, 1).send().await;
    assert_eq!((reply.status, &reply.body["revision"]), (StatusCode::ACCEPTED, &json!(2)));
    let applied = &reply.body["applied"];
    assert_eq!((&applied["instances"], &applied["laggards"]), (&json!(null), &json!([])));
}

#[tokio::test]
async fn a_wait_after_a_slow_write_ends_before_the_request_deadline() {
    let mut app = TestApp::new().await;
    app.instance.join_fleet().await;
    let _laggard = deaf(&app).await;
    let mut other_writer = app.db.pool().begin().await.unwrap();
    let lock = "select from app_global_setting_head for update";
    sqlx::query(lock).execute(&mut *other_writer).await.unwrap();
    let holds = async {
        let_time_pass(Duration::from_secs(2), "the write takes two of the request's five seconds")
            .await;
        other_writer.rollback().await.unwrap();
    };
    let waiting = patch(&app.instance, "wait=applied&timeout_ms=4000", 45, 1);
    let (reply, ()) = tokio::join!(waiting.send(), holds);
    // A wait of four more seconds would have met the request's deadline: a 504.
    assert_eq!(reply.status, StatusCode::ACCEPTED, "{}", reply.text);
}
