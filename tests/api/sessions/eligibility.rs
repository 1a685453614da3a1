//! Who may start, and when.

use brune::http::Grant;
use chrono::{DateTime, Days, NaiveTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::{end, find, id, time};
use crate::support::{Instance, TestApp, token, user};

/// A token of a user on `plan` at `level`.
fn member(sub: &str, plan: &str, level: &str) -> String {
    let plan = Some(plan.to_owned());
    let level = Some(level.to_owned());
    token(&Grant { sub: sub.to_owned(), plan, level, ..Grant::default() })
}

/// Moves the clock to ten in the morning of the next day, so that no test meets midnight by chance.
async fn to_ten(instance: &Instance) {
    let now = time(&instance.start_session(&user("the-clock")).await.ok()["started_at"]);
    instance.shift.advance(next_day(now) + TimeDelta::hours(10) - now);
}

fn next_day(now: DateTime<Utc>) -> DateTime<Utc> {
    now.date_naive().and_time(NaiveTime::MIN).and_utc() + Days::new(1)
}

/// The only reason why a start was refused.
#[track_caller]
fn only_reason(problem: &Value) -> &Value {
    assert_eq!(problem["reasons"].as_array().unwrap().len(), 1, "{problem}");
    &problem["reasons"][0]
}

#[tokio::test]
async fn every_ineligibility_reason_is_returned_at_once() {
    let app = TestApp::new().await;
    to_ten(&app.instance).await;
    let changes = [
        ("BRUNE_MAX_SESSIONS_PER_DAY", json!(1), 1),
        ("BRUNE_ELIGIBILITY_ALLOWED_LEVELS", json!(["senior", "lead"]), 1),
    ];
    app.instance.change(&changes).await.ok();
    let session = app.instance.start_session(&member("ana", "pro", "senior")).await.ok();
    let ended = end(&app.instance, &session, &user("ana")).await.ok();
    let refusal = app.instance.start_session(&member("ana", " ", "junior")).await;
    let cooled = time(&ended["ended_at"]) + TimeDelta::minutes(30);
    let problem = refusal.problem(403, "not_eligible");
    let reasons = problem["reasons"].as_array().unwrap();
    let codes: Vec<_> = reasons.iter().map(|reason| reason["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["plan_required", "level_not_allowed", "cooldown", "daily_limit"]);
    assert_eq!(time(&reasons[2]["retry_at"]), cooled);
    assert_eq!(time(&reasons[3]["retry_at"]), next_day(time(&session["started_at"])));
}

#[tokio::test]
async fn plan_and_level_are_required_as_the_settings_say() {
    let app = TestApp::new().await;
    let nobody = |sub: &str| token(&Grant { sub: sub.to_owned(), ..Grant::default() });
    let problem = app.instance.start_session(&nobody("ana")).await.problem(403, "not_eligible");
    assert_eq!(problem["reasons"], json!([{"code": "plan_required"}]));
    app.instance.change(&[("BRUNE_ELIGIBILITY_REQUIRE_PLAN", json!(false), 1)]).await.ok();
    app.instance.start_session(&nobody("ana")).await.ok();

    app.instance.change(&[("BRUNE_ELIGIBILITY_ALLOWED_LEVELS", json!(["senior"]), 1)]).await.ok();
    for level in ["junior", "seniors", "Senior", ""] {
        let refusal = app.instance.start_session(&member("bob", "pro", level)).await;
        let problem = refusal.problem(403, "not_eligible");
        assert_eq!(problem["reasons"], json!([{"code": "level_not_allowed"}]), "{level}");
    }
    app.instance.start_session(&member("bob", "pro", "senior")).await.ok();
}

#[tokio::test]
async fn a_second_start_names_the_running_session() {
    let app = TestApp::new().await;
    let other = app.another_instance().await;
    let session = app.instance.start_session(&user("ana")).await.ok();
    let problem = other.start_session(&user("ana")).await.problem(409, "session_active");
    assert_eq!(problem["session_id"], id(&session));
    other.start_session(&user("bob")).await.ok();
}

#[tokio::test]
async fn the_cooldown_starts_at_a_requested_end() {
    let app = TestApp::new().await;
    to_ten(&app.instance).await;
    let session = app.instance.start_session(&user("ana")).await.ok();
    app.instance.shift.advance(TimeDelta::minutes(5));
    let ended = end(&app.instance, &session, &user("ana")).await.ok();
    let retry_at = time(&ended["ended_at"]) + TimeDelta::minutes(30);
    // A minute is left for the test itself.
    app.instance.shift.advance(TimeDelta::minutes(29));
    let problem = app.instance.start_session(&user("ana")).await.problem(403, "not_eligible");
    assert_eq!(only_reason(&problem)["code"], "cooldown");
    assert_eq!(time(&only_reason(&problem)["retry_at"]), retry_at);
    app.instance.shift.advance(TimeDelta::minutes(1));
    app.instance.start_session(&user("ana")).await.ok();
}

#[tokio::test]
async fn the_cooldown_of_an_expired_session_starts_at_its_expiry() {
    let app = TestApp::new().await;
    to_ten(&app.instance).await;
    let session = app.instance.start_session(&user("ana")).await.ok();
    app.instance.shift.advance(TimeDelta::minutes(29));
    app.instance.start_session(&user("ana")).await.problem(409, "session_active");
    app.instance.shift.advance(TimeDelta::minutes(1));
    let problem = app.instance.start_session(&user("ana")).await.problem(403, "not_eligible");
    let retry_at = time(&session["expires_at"]) + TimeDelta::minutes(30);
    assert_eq!(*only_reason(&problem), json!({"code": "cooldown", "retry_at": retry_at}));
    app.instance.shift.advance(TimeDelta::minutes(30));
    let next = app.instance.start_session(&user("ana")).await.ok();
    let first = find(&app.instance, &session, &user("ana")).await.ok();
    assert_eq!((&first["status"], &first["ended_at"]), (&json!("expired"), &session["expires_at"]));
    assert_eq!(find(&app.instance, &next, &user("ana")).await.ok()["status"], "active");
}

#[tokio::test]
async fn a_shortened_cooldown_applies_at_once() {
    let app = TestApp::new().await;
    let session = app.instance.start_session(&user("ana")).await.ok();
    end(&app.instance, &session, &user("ana")).await.ok();
    app.instance.start_session(&user("ana")).await.problem(403, "not_eligible");
    app.instance.change(&[("BRUNE_COOLDOWN_MINUTES", json!(0), 1)]).await.ok();
    app.instance.start_session(&user("ana")).await.ok();
}

#[tokio::test]
async fn the_daily_maximum_counts_starts_of_the_utc_day() {
    let app = TestApp::new().await;
    to_ten(&app.instance).await;
    app.instance.change(&[("BRUNE_COOLDOWN_MINUTES", json!(0), 1)]).await.ok();
    let mut last = Value::Null;
    for _ in 0..3 {
        last = app.instance.start_session(&user("ana")).await.ok();
        end(&app.instance, &last, &user("ana")).await.ok();
    }
    let problem = app.instance.start_session(&user("ana")).await.problem(403, "not_eligible");
    let midnight = next_day(time(&last["started_at"]));
    assert_eq!(*only_reason(&problem), json!({"code": "daily_limit", "retry_at": midnight}));
    app.instance.start_session(&user("bob")).await.ok();

    // A minute before midnight it is still this day; a minute after, the next.
    let now = time(&last["started_at"]);
    app.instance.shift.advance(midnight - TimeDelta::minutes(1) - now);
    app.instance.start_session(&user("ana")).await.problem(403, "not_eligible");
    app.instance.shift.advance(TimeDelta::minutes(1));
    app.instance.start_session(&user("ana")).await.ok();
}

#[tokio::test]
async fn refused_starts_do_not_count() {
    let app = TestApp::new().await;
    to_ten(&app.instance).await;
    let changes =
        [("BRUNE_COOLDOWN_MINUTES", json!(0), 1), ("BRUNE_MAX_SESSIONS_PER_DAY", json!(2), 1)];
    app.instance.change(&changes).await.ok();
    let session = app.instance.start_session(&user("ana")).await.ok();
    for _ in 0..5 {
        app.instance.start_session(&user("ana")).await.problem(409, "session_active");
    }
    end(&app.instance, &session, &user("ana")).await.ok();
    app.instance.start_session(&user("ana")).await.ok();
}
