//! Counts that cannot be read are not zero: nothing is widened, and after a while a person decides.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    PROMPT_VERSION, assert_stays, assert_taken, begin, end, find, guard, let_minutes_pass, look,
    look_again, post, run_as_superuser, short, start_many, step,
};
use crate::support::TestApp;

/// A rollout whose stage is complete; the service cannot read `table` any more.
async fn unreadable(app: &TestApp, table: &str) -> i64 {
    let number = begin(&app.instance, &[(PROMPT_VERSION, json!("7"))], short()).await;
    start_many(app, number, true, 2).await;
    let_minutes_pass(app, 2).await;
    run_as_superuser(app, &format!("revoke select on {table} from brune_service")).await;
    number
}

async fn grant(app: &TestApp, table: &str) {
    run_as_superuser(app, &format!("grant select on {table} to brune_service")).await;
}

const FAILURES: &str = "brune_rollout_failure";

#[tokio::test]
async fn unreadable_counts_widen_nothing_and_hold_after_minutes() {
    let app = TestApp::new().await;
    let number = unreadable(&app, FAILURES).await;
    let mut worker = app.instance.rollout_worker();
    assert_stays(&look_again(&mut worker).await);
    assert_stays(&look_again(&mut worker).await);
    let rollout = find(&app.instance, number).await;
    let entry = guard(&rollout, "cut_short");
    assert_eq!(
        (&entry["candidate"], &entry["evidence"], &entry["zone"], &rollout["users"]),
        (&Value::Null, &Value::Null, &Value::Null, &Value::Null)
    );
    assert_eq!(rollout["waits_for"]["unreadable"], json!(["start_failed", "cut_short"]));
    let mut worker = app.instance.rollout_worker().with_unreadable_patience(Duration::ZERO);
    assert_taken(&look_again(&mut worker).await, "held");
    assert_eq!(find(&app.instance, number).await["held"]["reason"], "unreadable");
    grant(&app, FAILURES).await;
    // Held until a person decides.
    assert_stays(&look_again(&mut worker).await);
    step(&app.instance, number, "resume").await;
    assert_stays(&look_again(&mut worker).await);
    start_many(&app, number, true, 2).await;
    let_minutes_pass(&app, 2).await;
    assert_taken(&look_again(&mut worker).await, "widened");
}

#[tokio::test]
async fn counts_that_are_readable_again_go_on() {
    let app = TestApp::new().await;
    let number = unreadable(&app, FAILURES).await;
    let mut worker = app.instance.rollout_worker();
    assert_stays(&look_again(&mut worker).await);
    let gauge = "brune_rollout_unreadable_seconds";
    let text = app.instance.get("/metrics").send().await.text;
    assert!(!text.contains(&format!("{gauge} 0.0\n")) && text.contains(gauge), "{text}");
    grant(&app, FAILURES).await;
    assert_taken(&look_again(&mut worker).await, "widened");
    let text = app.instance.get("/metrics").send().await.text;
    assert!(text.contains(&format!("{gauge} 0.0\n")), "{text}");
    assert_eq!(find(&app.instance, number).await["stage"], 2);
}

#[tokio::test]
async fn a_failure_that_this_release_cannot_read_widens_nothing() {
    let app = TestApp::new().await;
    let number = begin(&app.instance, &[(PROMPT_VERSION, json!("7"))], short()).await;
    start_many(&app, number, true, 2).await;
    let_minutes_pass(&app, 2).await;
    // The users are readable, and the stage is complete.
    let sql = "insert into brune_rollout_failure (proposal, guard, user_id, candidate, share_bp)
        select id, 'cut_short', 'anybody', false, 0 from brune_proposal";
    run_as_superuser(&app, sql).await;
    let mut worker = app.instance.rollout_worker();
    assert_stays(&look_again(&mut worker).await);
    let rollout = find(&app.instance, number).await;
    assert_eq!((&rollout["stage"], &rollout["users"]["candidate"]), (&json!(1), &json!(2)));
    assert_eq!(rollout["waits_for"]["unreadable"], json!(["start_failed", "cut_short"]));
    let sql = "begin; set local session_replication_role = replica;
        delete from brune_rollout_failure where share_bp = 0; commit";
    run_as_superuser(&app, sql).await;
    assert_taken(&look_again(&mut worker).await, "widened");
}

#[tokio::test]
async fn a_person_reverts_what_cannot_be_read() {
    let app = TestApp::new().await;
    let number = unreadable(&app, FAILURES).await;
    let rollout = step(&app.instance, number, "revert").await;
    assert_eq!((&rollout["ended"]["cause"], &rollout["users"]), (&json!("person"), &Value::Null));
}

#[tokio::test]
async fn failures_revert_although_users_cannot_be_counted() {
    let app = TestApp::new().await;
    let plan =
        json!({"stages": [{"share": 10, "users": 3, "minutes": 0}], "guards": ["cut_short"]});
    let number = begin(&app.instance, &[(PROMPT_VERSION, json!("7"))], plan).await;
    let sessions = start_many(&app, number, true, 3).await;
    for session in &sessions {
        end(&app.instance, session).await;
    }
    let_minutes_pass(&app, 2).await;
    // Without the privilege, counting the users fails.
    run_as_superuser(
        &app,
        "revoke select on brune_session from brune_service;
         grant select (id, status, proposal, starting_until, started_at, expires_at) on brune_session to brune_service",
    )
    .await;
    assert_taken(&look(&app.instance).await, "reverted");
    run_as_superuser(&app, "grant select on brune_session to brune_service").await;
    assert_eq!(find(&app.instance, number).await["ended"]["cause"], "guard");
    post(
        &app.instance,
        "/admin/proposals/99/rollout",
        &json!({"action": "hold", "reason": "as agreed"}),
    )
    .await
    .problem(404, "proposal_not_found");
}

#[tokio::test]
async fn abandoned_starts_that_cannot_be_marked_widen_nothing() {
    let app = TestApp::new().await;
    let number = begin(&app.instance, &[(PROMPT_VERSION, json!("7"))], short()).await;
    start_many(&app, number, true, 2).await;
    let_minutes_pass(&app, 2).await;
    run_as_superuser(&app, "revoke update on brune_session from brune_service").await;
    assert_stays(&look(&app.instance).await);
    run_as_superuser(&app, "grant update on brune_session to brune_service").await;
    assert_eq!(find(&app.instance, number).await["stage"], 1);
}
