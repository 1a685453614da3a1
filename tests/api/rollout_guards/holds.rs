//! The rule holds, and the guards judge on.

use brune::sessions::StepOutcome;
use chrono::TimeDelta;
use serde_json::{Value, json};

use super::{
    ALLOWLIST, MODEL, PROMPT_VERSION, assert_stays, assert_taken, begin, end, find,
    let_minutes_pass, look, post, run_as_superuser, short, start, start_many, step,
};
use crate::support::{TestApp, psql, wait::wait_until};

fn change() -> [(&'static str, Value); 1] {
    [(PROMPT_VERSION, json!("7"))]
}

/// Expects the rollout to be held by the rule for `reason`.
async fn assert_held(app: &TestApp, number: i64, reason: &str) {
    assert_taken(&look(&app.instance).await, "held");
    let held = find(&app.instance, number).await["held"].clone();
    assert_eq!((&held["reason"], &held["by"]), (&json!(reason), &json!("brune:rollout")), "{held}");
    assert!(held["note"].as_str().unwrap().len() > 20, "{held}");
    assert_stays(&look(&app.instance).await);
}

#[tokio::test]
async fn without_traffic_nothing_happens_until_the_hours_have_passed() {
    let app = TestApp::new().await;
    let number = begin(&app.instance, &change(), short()).await;
    let_minutes_pass(&app, 71 * 60).await;
    assert_stays(&look(&app.instance).await);
    let_minutes_pass(&app, 60).await;
    assert_held(&app, number, "max_hours").await;
    // The hours begin again with a resumption.
    assert_eq!(step(&app.instance, number, "resume").await["held"], Value::Null);
    assert_stays(&look(&app.instance).await);
}

#[tokio::test]
async fn a_held_rollout_is_not_widened_and_can_be_reverted() {
    let app = TestApp::new().await;
    let number = begin(&app.instance, &change(), short()).await;
    let sessions = start_many(&app, number, true, 4).await;
    step(&app.instance, number, "hold").await;
    let_minutes_pass(&app, 2).await;
    assert_stays(&look(&app.instance).await);
    assert_eq!(find(&app.instance, number).await["held"]["by"], "ana");
    // Within a minute of the start, which is two minutes ago for the rows.
    let sql = "begin; set local session_replication_role = replica;
        update brune_session set started_at = clock_timestamp(); commit";
    run_as_superuser(&app, sql).await;
    for session in &sessions {
        end(&app.instance, session).await;
    }
    assert_taken(&look(&app.instance).await, "reverted");
}

#[tokio::test]
async fn users_and_minutes_count_from_the_resumption() {
    let app = TestApp::new().await;
    let number = begin(&app.instance, &change(), short()).await;
    start_many(&app, number, true, 2).await;
    let_minutes_pass(&app, 2).await;
    step(&app.instance, number, "hold").await;
    step(&app.instance, number, "resume").await;
    assert_stays(&look(&app.instance).await);
    let rollout = find(&app.instance, number).await;
    assert_eq!(
        (&rollout["waits_for"]["users"], &rollout["users"]["candidate"]),
        (&json!(2), &json!(2))
    );
    start_many(&app, number, true, 2).await;
    let_minutes_pass(&app, 2).await;
    assert_taken(&look(&app.instance).await, "widened");
}

#[tokio::test]
async fn a_rollout_of_a_restored_database_is_held() {
    let app = TestApp::new().await;
    let number = begin(&app.instance, &change(), short()).await;
    start_many(&app, number, true, 2).await;
    let_minutes_pass(&app, 2).await;
    let sql = "begin; set local session_replication_role = replica;
        update brune_proposal set origin = '1/00000001/5'; commit";
    run_as_superuser(&app, sql).await;
    assert_held(&app, number, "restored").await;
    // A resumption accepts the new database.
    step(&app.instance, number, "resume").await;
    assert_stays(&look(&app.instance).await);
}

#[tokio::test]
async fn settings_that_are_invalid_without_the_change_hold() {
    let app = TestApp::new().await;
    let number = begin(&app.instance, &change(), short()).await;
    start_many(&app, number, true, 2).await;
    let_minutes_pass(&app, 2).await;
    psql::set(&app.db.owner(), MODEL, "\"unlisted\"").await;
    wait_until("the settings are invalid", async || !app.instance.settings.is_valid()).await;
    assert_held(&app, number, "invalid").await;
    start(&app.instance, "anybody").await.problem(503, "config_unavailable");
}

#[tokio::test]
async fn settings_that_are_invalid_with_the_change_revert() {
    let app = TestApp::new().await;
    let mini = "gpt-realtime-2.1-mini";
    let number = begin(&app.instance, &[(MODEL, json!(mini))], short()).await;
    assert_stays(&look(&app.instance).await);
    psql::set(&app.db.owner(), ALLOWLIST, "[\"gpt-realtime-2.1\"]").await;
    app.instance.wait_for_revision(2).await;
    assert_taken(&look(&app.instance).await, "reverted");
    assert_eq!(find(&app.instance, number).await["ended"]["cause"], "invalid");
}

#[tokio::test]
async fn an_instance_that_knows_neither_change_reverts_nothing_valid() {
    let app = TestApp::new().await;
    let blind = crate::support::Instance::builder(app.db.own_pool().await).without_listener();
    let blind = blind.start().await;
    begin(&app.instance, &change(), short()).await;
    assert_stays(&look(&blind).await);
}

#[tokio::test]
async fn a_freeze_delays_a_stage_and_no_revert() {
    let app = TestApp::new().await;
    let number = begin(&app.instance, &change(), short()).await;
    start_many(&app, number, true, 2).await;
    let_minutes_pass(&app, 2).await;
    let body = json!({"reason": "the fair", "ends_at": brune::clock::Clock::system().now() + TimeDelta::days(1)});
    let freeze = post(&app.instance, "/admin/freezes", &body).await.ok();
    let mut worker = app.instance.rollout_worker();
    let outcome = worker.look(true).await.unwrap();
    assert!(matches!(outcome, StepOutcome::Frozen), "{outcome:?}");
    // Each try takes the lock of all writes, so the next one follows later.
    assert_stays(&worker.look(true).await.unwrap());
    assert_eq!(find(&app.instance, number).await["stage"], 1);
    let path = format!("/admin/freezes/{}/end", freeze["id"].as_str().unwrap());
    post(&app.instance, &path, &json!({"reason": "it is over"})).await.ok();
    assert_taken(&look(&app.instance).await, "widened");
}

#[tokio::test]
async fn a_plan_may_leave_the_promotion_to_a_person() {
    let app = TestApp::new().await;
    let plan = json!({"stages": [{"share": 10, "users": 1, "minutes": 0}], "then": "hold"});
    let number = begin(&app.instance, &change(), plan).await;
    start_many(&app, number, true, 1).await;
    let_minutes_pass(&app, 2).await;
    assert_held(&app, number, "completed").await;
    assert_eq!(step(&app.instance, number, "promote").await["ended"]["outcome"], "promoted");
}
