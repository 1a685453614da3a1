//! The rule reverts, widens and promotes by itself.

use brune::sessions::StepOutcome;
use serde_json::json;

use super::{
    ALLOWLIST, MODEL, PROMPT_ID, PROMPT_VERSION, assert_stays, assert_taken, begin, end, find,
    guard, let_minutes_pass, look, one_guard, short, start, start_many, step, users, with_provider,
};
use crate::support::{TestApp, admin, psql, realtime_stub::Stub};

#[tokio::test]
async fn a_prompt_that_fails_at_the_provider_is_reverted_by_itself() {
    let app = TestApp::new().await;
    let stub = Stub::new().await;
    let instance = with_provider(&app, &stub).await;
    // The provider has no prompt whose name ends like this.
    let number = begin(&instance, &[(PROMPT_ID, json!("pmpt_new_gone"))], one_guard()).await;
    let candidates = users(&app, number, true, 4).await;
    for user in users(&app, number, false, 3).await {
        start(&instance, &user).await.ok();
    }
    for user in &candidates[..2] {
        start(&instance, user).await.problem(502, "realtime_unavailable");
        // A user counts once.
        start(&instance, user).await.problem(502, "realtime_unavailable");
        assert_stays(&look(&instance).await);
    }
    start(&instance, &candidates[2]).await.problem(502, "realtime_unavailable");
    assert_taken(&look(&instance).await, "reverted");
    let rollout = find(&instance, number).await;
    assert_eq!(rollout["state"], "reverted");
    let ended = &rollout["ended"];
    assert_eq!(
        (&ended["outcome"], &ended["cause"], &ended["by"]),
        (&json!("reverted"), &json!("guard"), &json!("brune:rollout"))
    );
    let reason = ended["reason"].as_str().unwrap();
    assert!(reason.starts_with("start_failed: 3 failing candidate users and 0"), "{reason}");
    let entry = guard(&rollout, "start_failed");
    assert_eq!((&entry["candidate"], &entry["zone"]), (&json!(3), &json!("harmful")));
    // No new session gets the prompt.
    let session = start(&instance, &candidates[3]).await.ok();
    assert_eq!(session["config"]["prompt_id"], "pmpt_brune_default");
    assert!(matches!(look(&instance).await, StepOutcome::Idle));
}

#[tokio::test]
async fn an_outage_of_the_provider_for_both_arms_reverts_nothing() {
    let app = TestApp::new().await;
    let stub = Stub::new().await;
    let instance = with_provider(&app, &stub).await;
    let away = [
        (ALLOWLIST, json!(["gpt-realtime-2.1", "stub-quota"]), 1),
        (MODEL, json!("stub-quota"), 1),
    ];
    instance.change(&away).await.ok();
    let number = begin(&instance, &[(PROMPT_VERSION, json!("7"))], one_guard()).await;
    for (is_candidate, count) in [(false, 36), (true, 4)] {
        for user in users(&app, number, is_candidate, count).await {
            start(&instance, &user).await.problem(502, "realtime_unavailable");
        }
    }
    assert_stays(&look(&instance).await);
    let rollout = find(&instance, number).await;
    let entry = guard(&rollout, "start_failed");
    assert_eq!((&entry["candidate"], &entry["control"]), (&json!(4), &json!(36)));
    assert!(entry["evidence"].as_f64().unwrap() < 1.0, "{entry}");
    assert_eq!(entry["zone"], "fine");
}

#[tokio::test]
async fn a_complete_stage_is_widened_and_the_last_one_promotes() {
    let app = TestApp::new().await;
    let number = begin(&app.instance, &[(PROMPT_VERSION, json!("7"))], short()).await;
    start_many(&app, number, true, 2).await;
    start_many(&app, number, false, 3).await;
    // A start counts after a minute: before, a session that is cut short does not show.
    assert_stays(&look(&app.instance).await);
    let rollout = find(&app.instance, number).await;
    assert_eq!(rollout["users"], json!({"candidate": 2, "control": 3, "stage_candidate": 0}));
    assert_eq!(
        rollout["waits_for"],
        json!({"users": 2, "minutes": 0, "guards": [], "unreadable": []})
    );
    let_minutes_pass(&app, 2).await;
    assert_taken(&look(&app.instance).await, "widened");
    let rollout = find(&app.instance, number).await;
    assert_eq!((&rollout["stage"], &rollout["share"]), (&json!(2), &json!(50)));
    assert_eq!(rollout["users"]["stage_candidate"], 0, "users count again in each stage");
    start_many(&app, number, true, 1).await;
    let_minutes_pass(&app, 2).await;
    assert_stays(&look(&app.instance).await);
    start_many(&app, number, true, 1).await;
    let_minutes_pass(&app, 2).await;
    assert_taken(&look(&app.instance).await, "promoted");
    let rollout = find(&app.instance, number).await;
    assert_eq!(
        (&rollout["ended"]["outcome"], &rollout["ended"]["revision"]),
        (&json!("promoted"), &json!(2))
    );
    let session = start(&app.instance, "anybody").await.ok();
    assert_eq!(session["config"]["prompt_version"], "7");
}

#[tokio::test]
async fn sessions_that_users_cut_short_revert() {
    let app = TestApp::new().await;
    let plan =
        json!({"stages": [{"share": 10, "users": 50, "minutes": 0}], "guards": ["cut_short"]});
    let number = begin(&app.instance, &[(PROMPT_VERSION, json!("7"))], plan).await;
    let sessions = start_many(&app, number, true, 3).await;
    for session in &sessions {
        assert_stays(&look(&app.instance).await);
        end(&app.instance, session).await;
    }
    assert_taken(&look(&app.instance).await, "reverted");
    assert_eq!(find(&app.instance, number).await["ended"]["cause"], "guard");
}

#[tokio::test]
async fn an_abandoned_start_is_a_failure() {
    let app = TestApp::new().await;
    let number = begin(&app.instance, &[(PROMPT_VERSION, json!("7"))], one_guard()).await;
    start_many(&app, number, true, 3).await;
    // Like the starts of a process that a candidate has killed.
    let sql = "update brune_session set status = 'starting', starting_until = clock_timestamp() + interval '1 hour'";
    psql::run(&app.db.owner(), sql).await;
    assert_stays(&look(&app.instance).await);
    let sql = "update brune_session set starting_until = clock_timestamp() - interval '1 second'";
    psql::run(&app.db.owner(), sql).await;
    assert_taken(&look(&app.instance).await, "reverted");
    let failed =
        "select count(*) from brune_session where status = 'failed' and ended_at >= started_at";
    assert_eq!(psql::count(&app.db.owner(), failed).await, 3);
}

#[tokio::test]
async fn a_cheap_look_reverts_and_never_widens() {
    let app = TestApp::new().await;
    let number = begin(&app.instance, &[(PROMPT_VERSION, json!("7"))], short()).await;
    let sessions = start_many(&app, number, true, 4).await;
    let_minutes_pass(&app, 2).await;
    let mut worker = app.instance.rollout_worker();
    assert_stays(&worker.look(false).await.unwrap());
    assert_taken(&worker.look(true).await.unwrap(), "widened");
    // A session that its user reports as failed counts after any time.
    for session in &sessions {
        let path = format!("/brun-e/sessions/{}/end", session["session_id"].as_str().unwrap());
        let call = app.instance.post(&path).bearer(&admin("ana"));
        call.json(&json!({"outcome": "failed"})).send().await.ok();
    }
    assert_taken(&worker.look(false).await.unwrap(), "reverted");
    step(
        &app.instance,
        begin(&app.instance, &[(PROMPT_VERSION, json!("8"))], short()).await,
        "hold",
    )
    .await;
}
