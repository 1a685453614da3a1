//! What-ifs: recorded starts under changed settings.

mod input;
mod scale;

use brune::http::Grant;
use chrono::{DateTime, Days, NaiveTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::{
    settings::{COOLDOWN, PER_DAY},
    support::{Instance, Reply, TestApp, admin, psql, token, user, wait::wait_until},
};

const WHAT_IF: &str = "/admin/what-if";
const MAX_MINUTES: &str = "BRUNE_SESSION_MAX_MINUTES";
const REQUIRE_PLAN: &str = "BRUNE_ELIGIBILITY_REQUIRE_PLAN";
const LEVELS: &str = "BRUNE_ELIGIBILITY_ALLOWED_LEVELS";

async fn ask(instance: &Instance, body: &Value) -> Reply {
    instance.post(WHAT_IF).bearer(&admin("ada")).json(body).send().await
}

/// Asks about `changes`, each a key and a value.
async fn what_if(instance: &Instance, changes: &[(&str, Value)]) -> Value {
    let change = |(key, value): &(&str, Value)| json!({"key": key, "value": value});
    let changes: Vec<_> = changes.iter().map(change).collect();
    ask(instance, &json!({"changes": changes})).await.ok()
}

/// Moves the clock of the service to 9 o'clock, so that no test meets midnight.
async fn to_nine(app: &TestApp) {
    move_to_nine(app, &app.instance).await;
}

/// Moves the clock of `instance` to 9 o'clock.
async fn move_to_nine(app: &TestApp, instance: &Instance) {
    let session = instance.start_session(&user("the-clock")).await.ok();
    let now: DateTime<Utc> = session["started_at"].as_str().unwrap().parse().unwrap();
    let midnight = now.date_naive().and_time(NaiveTime::MIN).and_utc();
    let nine = midnight + Days::new(1) + TimeDelta::hours(9);
    instance.shift.advance(nine - now);
    psql::run(&app.db.owner(), "delete from brune_session").await;
}

/// Starts a session of `minutes`.
async fn session(app: &TestApp, token: &str, minutes: i64) {
    let session = app.instance.start_session(token).await.ok();
    app.instance.shift.advance(TimeDelta::minutes(minutes));
    let path = format!("/brun-e/sessions/{}/end", session["session_id"].as_str().unwrap());
    app.instance.post(&path).bearer(token).send().await.ok();
}

fn wait(app: &TestApp, minutes: i64) {
    app.instance.shift.advance(TimeDelta::minutes(minutes));
}

fn exactly(number: i64) -> Value {
    json!({"least": number, "most": number})
}

/// A token of a user at `level`, on plan `pro` or without a plan.
fn member(sub: &str, level: &str, has_plan: bool) -> String {
    let plan = has_plan.then(|| "pro".to_owned());
    token(&Grant { sub: sub.to_owned(), plan, level: Some(level.to_owned()), ..Grant::default() })
}

#[tokio::test]
async fn a_longer_cooldown_refuses_and_says_whom() {
    let app = TestApp::new().await;
    to_nine(&app).await;
    session(&app, &user("ana"), 10).await;
    wait(&app, 40);
    session(&app, &user("ana"), 10).await;
    // 100 minutes after the first session: the second one, which the cooldown refuses, does not delay the third.
    wait(&app, 50);
    session(&app, &user("ana"), 10).await;
    session(&app, &user("ben"), 20).await;
    let report = what_if(&app.instance, &[(COOLDOWN, json!(60))]).await;
    assert_eq!((&report["attempts"], &report["reproduced"]), (&json!(4), &json!(1.0)));
    let refused = &report["newly_refused"];
    assert_eq!(refused["attempts"], exactly(1));
    assert_eq!(refused["by_reason"], json!([{"name": "cooldown", "attempts": exactly(1)}]));
    assert_eq!(refused["by_plan"], json!([{"name": "pro", "attempts": exactly(1)}]));
    assert_eq!(refused["by_level"], json!([{"name": null, "attempts": exactly(1)}]));
    assert_eq!(report["newly_admitted"]["attempts"], exactly(0));
    assert_eq!((&report["minutes_before"], &report["minutes_after"]), (&json!(50), &exactly(40)));
    let examples = report["examples"].as_array().unwrap();
    let [example] = examples.as_slice() else { panic!("{report}") };
    assert_eq!(
        (&example["user_id"], &example["difference"]),
        (&json!("ana"), &json!("newly_refused"))
    );
    assert_eq!((&example["reasons"], &example["revision"]), (&json!(["cooldown"]), &json!(1)));
    let change = json!([{"key": COOLDOWN, "old_value": 30, "new_value": 60}]);
    assert_eq!((&report["changed"], &report["warnings"]), (&change, &json!([])));
}

#[tokio::test]
async fn the_history_from_before_the_window_counts() {
    let app = TestApp::new().await;
    to_nine(&app).await;
    session(&app, &user("ana"), 10).await;
    wait(&app, 40);
    session(&app, &user("ana"), 10).await;
    let now = app.instance.start_session(&user("ben")).await.ok()["started_at"].clone();
    let now: DateTime<Utc> = now.as_str().unwrap().parse().unwrap();
    // Only the second session of Ana began in the window.
    let since = now - TimeDelta::minutes(15);
    for (key, value, reason) in [(COOLDOWN, 60, "cooldown"), (PER_DAY, 1, "daily_limit")] {
        let body = json!({"changes": [{"key": key, "value": value}], "since": since, "until": now});
        let report = ask(&app.instance, &body).await.ok();
        assert_eq!((&report["attempts"], &report["reproduced"]), (&json!(1), &json!(1.0)), "{key}");
        let reasons = json!([{"name": reason, "attempts": exactly(1)}]);
        assert_eq!(report["newly_refused"]["by_reason"], reasons);
    }
}

#[tokio::test]
async fn a_looser_rule_admits_and_gives_a_range() {
    let app = TestApp::new().await;
    to_nine(&app).await;
    let ben = member("ben", "senior", false);
    app.instance.start_session(&ben).await.problem(403, "not_eligible");
    session(&app, &user("ana"), 10).await;
    let report = what_if(&app.instance, &[(REQUIRE_PLAN, json!(false))]).await;
    assert_eq!((&report["attempts"], &report["reproduced"]), (&json!(2), &json!(1.0)));
    let admitted = &report["newly_admitted"];
    assert_eq!(admitted["by_reason"], json!([{"name": "plan_required", "attempts": exactly(1)}]));
    assert_eq!(admitted["by_plan"], json!([{"name": null, "attempts": exactly(1)}]));
    assert_eq!(admitted["by_level"], json!([{"name": "senior", "attempts": exactly(1)}]));
    assert_eq!(report["minutes_before"], 10);
    assert_eq!(report["minutes_after"], json!({"least": 10, "most": 40}));
    assert_eq!(
        (&report["peak_before"], &report["peak_after"]),
        (&json!(1), &json!({"least": 1, "most": 2}))
    );
    assert!(
        report["unknown"].to_string().contains("How long the newly admitted sessions"),
        "{report}"
    );
    assert_eq!(report["newly_refused"]["attempts"], exactly(0));
}

#[tokio::test]
async fn a_shorter_maximum_cuts_sessions_and_a_level_lowers_the_peak() {
    let app = TestApp::new().await;
    to_nine(&app).await;
    app.instance.start_session(&member("ben", "junior", true)).await.ok();
    session(&app, &member("ana", "senior", true), 25).await;
    let changes = [(MAX_MINUTES, json!(10)), (LEVELS, json!(["senior"]))];
    let report = what_if(&app.instance, &changes[..1]).await;
    // The session of Ben still runs, and counts until now.
    assert_eq!(report["cut_shorter"], json!({"sessions": exactly(2), "minutes": exactly(30)}));
    assert_eq!((&report["minutes_before"], &report["minutes_after"]), (&json!(50), &exactly(20)));
    assert_eq!((&report["peak_before"], &report["peak_after"]), (&json!(2), &exactly(2)));
    let report = what_if(&app.instance, &changes).await;
    assert_eq!(
        report["newly_refused"]["by_level"],
        json!([{"name": "junior", "attempts": exactly(1)}])
    );
    assert_eq!((&report["peak_before"], &report["peak_after"]), (&json!(2), &exactly(1)));
    assert_eq!(report["minutes_after"], exactly(10));
    let differences: Vec<_> =
        report["examples"].as_array().unwrap().iter().map(|e| e["difference"].clone()).collect();
    assert_eq!(differences, ["newly_refused", "cut_shorter"]);
}

#[tokio::test]
async fn earlier_settings_judge_earlier_attempts() {
    let app = TestApp::new().await;
    to_nine(&app).await;
    session(&app, &user("ana"), 10).await;
    app.instance.change(&[(PER_DAY, json!(1), 1)]).await.ok();
    wait(&app, 60);
    app.instance.start_session(&user("ana")).await.problem(403, "not_eligible");
    app.instance.change(&[(PER_DAY, json!(3), 2)]).await.ok();
    session(&app, &user("ana"), 10).await;
    let report = what_if(&app.instance, &[(COOLDOWN, json!(20))]).await;
    assert_eq!((&report["attempts"], &report["reproduced"]), (&json!(3), &json!(1.0)));
    // The refusal was due to a value that is no longer current, so the current settings admit the attempt.
    assert_eq!(report["newly_admitted"]["attempts"]["most"], 1);
    assert!(report["warnings"].to_string().contains(PER_DAY), "{report}");
    let report = what_if(&app.instance, &[(PER_DAY, json!(1))]).await;
    assert_eq!(report["warnings"], json!([]));
    assert_eq!(report["newly_refused"]["attempts"], exactly(1));
}

#[tokio::test]
async fn failed_starts_are_decisions_without_a_session() {
    let app = TestApp::new().await;
    to_nine(&app).await;
    session(&app, &user("ana"), 10).await;
    let sql = "insert into brune_session (id, user_id, status, plan, started_at, expires_at, ended_at, settings_revision,
        prompt_id, prompt_version, model, session_max_minutes)
      select gen_random_uuid(), 'ana', 'failed', 'pro', ended_at + n * interval '35 minutes',
        ended_at + interval '3 hours', ended_at + interval '3 hours', settings_revision, 'p', '1', 'm', 30
      from brune_session, generate_series(1, 3) n";
    psql::run(&app.db.pool(), sql).await;
    wait(&app, 200);
    session(&app, &user("ana"), 10).await;
    let report = what_if(&app.instance, &[(COOLDOWN, json!(36))]).await;
    // Failed starts count towards no cooldown, so only the first of them is too early.
    assert_eq!((&report["attempts"], &report["reproduced"]), (&json!(5), &json!(1.0)));
    assert_eq!(report["newly_refused"]["attempts"], exactly(1));
    assert_eq!((&report["minutes_before"], &report["minutes_after"]), (&json!(20), &exactly(20)));
}

#[tokio::test]
async fn a_proposal_is_asked_with_its_open_predecessor() {
    let app = TestApp::new().await;
    to_nine(&app).await;
    session(&app, &user("ana"), 10).await;
    wait(&app, 40);
    session(&app, &member("ana", "junior", true), 10).await;
    let propose = async |changes: Value, plan: Value| {
        let body = json!({"reason": "reads better", "changes": changes, "plan": plan});
        let reply = app.instance.post("/admin/proposals").bearer(&admin("eve")).json(&body).send();
        reply.await.body["number"].as_i64().unwrap()
    };
    let first = propose(json!([{"key": COOLDOWN, "value": 60, "version": 1}]), Value::Null).await;
    let changes = json!([{"key": MAX_MINUTES, "value": 5, "version": 1}]);
    let second = propose(changes, json!({"after": first})).await;
    let reasons = async |number: i64| {
        let report = ask(&app.instance, &json!({"proposal": number})).await.ok();
        let groups = report["newly_refused"]["by_reason"].as_array().unwrap().clone();
        groups.iter().map(|group| group["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(reasons(first).await, ["cooldown"]);
    assert_eq!(reasons(second).await, ["cooldown"]);
    app.instance
        .post(&format!("/admin/proposals/{first}/withdraw"))
        .bearer(&admin("eve"))
        .json(&json!({"reason": "not any more"}))
        .send()
        .await
        .ok();
    // A withdrawn predecessor will not be applied.
    assert!(reasons(second).await.is_empty());
    let unknown = ask(&app.instance, &json!({"proposal": 999})).await;
    unknown.problem(404, "proposal_not_found");
}

#[tokio::test]
async fn nothing_is_stored_and_a_freeze_does_not_matter() {
    let app = TestApp::new().await;
    session(&app, &user("ana"), 10).await;
    let freeze = json!({"reason": "the night before", "ends_at": "2126-12-01T00:00:00Z"});
    app.instance.post("/admin/freezes").bearer(&admin("ada")).json(&freeze).send().await;
    let state = async || {
        let sql = "select (select max(seq) from app_global_setting_audit) + (select revision from app_global_setting_head)
          + (select count(*) from brune_session) + (select count(*) from brune_start_refused)";
        psql::count(&app.db.pool(), sql).await
    };
    let before = state().await;
    let report =
        what_if(&app.instance, &[(COOLDOWN, json!(240)), (REQUIRE_PLAN, json!(false))]).await;
    assert_eq!(report["revision"], 1);
    ask(&app.instance, &json!({"changes": [{"key": COOLDOWN, "value": -1}]}))
        .await
        .problem(400, "validation_failed");
    assert_eq!(state().await, before);
}

#[tokio::test]
async fn one_what_if_at_a_time() {
    let app = TestApp::new().await;
    let body = json!({"changes": [{"key": COOLDOWN, "value": 45}]});
    let mut lock = app.db.owner().begin().await.unwrap();
    sqlx::query("lock table brune_start_refused").execute(&mut *lock).await.unwrap();
    let first = ask(&app.instance, &body);
    let second = async {
        let sql = "select count(*) from pg_locks where not granted";
        wait_until("the first what-if waits", async || psql::count(&app.db.admin(), sql).await > 0)
            .await;
        let reply = ask(&app.instance, &body).await;
        lock.rollback().await.unwrap();
        reply
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!(second.header("retry-after"), "2");
    second.problem(429, "what_if_busy");
    first.ok();
    ask(&app.instance, &body).await.ok();
    // Another instance has its own.
    app.another_instance().await.post(WHAT_IF).bearer(&admin("ada")).json(&body).send().await.ok();
}
