//! `/brun-e`: starting, looking up and ending.

mod admin;
mod database;
mod eligibility;
mod expiry;
mod group_races;
mod groups;
mod history_rules;
mod idempotency;
mod limit;
mod pins;
mod plans;

mod realtime;
mod refusals;
mod stop;

use axum::http::StatusCode;
use brune::http::{Grant, SUPER_ADMIN};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::support::{INTERNAL_KEY, Instance, Reply, TestApp, admin, token, user};

/// The id of a session that was told.
#[track_caller]
fn id(session: &Value) -> &str {
    session["session_id"].as_str().unwrap()
}

fn path(session: &Value) -> String {
    format!("/brun-e/sessions/{}", id(session))
}

#[track_caller]
fn time(text: &Value) -> DateTime<Utc> {
    text.as_str().unwrap().parse().unwrap()
}

async fn find(instance: &Instance, session: &Value, token: &str) -> Reply {
    instance.get(&path(session)).bearer(token).send().await
}

async fn end(instance: &Instance, session: &Value, token: &str) -> Reply {
    instance.post(&format!("{}/end", path(session))).bearer(token).send().await
}

async fn start_for(instance: &Instance, body: &Value) -> Reply {
    instance
        .post("/brun-e/start")
        .header("x-internal-api-key", INTERNAL_KEY)
        .json(body)
        .send()
        .await
}

#[tokio::test]
async fn a_start_returns_the_session_and_its_location() {
    let app = TestApp::new().await;
    let reply = app.instance.start_session(&user("ana")).await;
    assert_eq!(reply.status, StatusCode::CREATED);
    assert_eq!(reply.header("idempotent-replayed"), "");
    let location = reply.header("location").to_owned();
    let session = reply.ok();
    assert_eq!(location, path(&session));
    assert_eq!(time(&session["expires_at"]) - time(&session["started_at"]), TimeDelta::minutes(30));
    insta::assert_json_snapshot!(session, {".session_id" => "[varies]", ".started_at" => "[varies]", ".expires_at" => "[varies]"}, @r#"
    {
      "config": {
        "model": "gpt-realtime-2.1",
        "prompt_id": "pmpt_brune_default",
        "prompt_version": "1",
        "proposal": null,
        "revision": 1,
        "session_max_minutes": 30
      },
      "ended_at": null,
      "expires_at": "[varies]",
      "outcome": null,
      "realtime": null,
      "rollout": null,
      "session_id": "[varies]",
      "started_at": "[varies]",
      "status": "active",
      "user_id": "ana"
    }
    "#);
}

#[tokio::test]
async fn a_session_keeps_the_settings_it_started_with() {
    let app = TestApp::new().await;
    let session = app.instance.start_session(&user("ana")).await.ok();
    app.instance.change(&[("BRUNE_PROMPT_VERSION", json!("2"), 1)]).await.ok();
    let body = find(&app.instance, &session, &user("ana")).await.ok();
    assert_eq!(body["config"], session["config"]);
    let ended = end(&app.instance, &session, &user("ana")).await.ok();
    assert_eq!(ended["config"], session["config"]);
    let next = app.instance.start_session(&user("bob")).await.ok();
    assert_eq!(next["config"]["prompt_version"], "2");
    assert_eq!(next["config"]["revision"], 2);
}

#[tokio::test]
async fn a_session_is_visible_to_owner_administrator_and_service_only() {
    let app = TestApp::new().await;
    let session = app.instance.start_session(&user("ana")).await.ok();
    assert_eq!(find(&app.instance, &session, &user("ana")).await.ok(), session);
    assert_eq!(find(&app.instance, &session, &admin("root")).await.ok(), session);
    let call = app.instance.get(&path(&session)).header("x-internal-api-key", INTERNAL_KEY);
    assert_eq!(call.send().await.ok(), session);
    let strange = find(&app.instance, &session, &user("bob")).await.problem(404, "not_found");
    app.instance.get(&path(&session)).send().await.problem(401, "unauthorized");
    let call = app.instance.get(&path(&session)).header("x-internal-api-key", "a guess");
    call.send().await.problem(401, "unauthorized");

    // A stranger cannot tell another's session from none.
    let none = json!({"session_id": "0198aaaa-0000-7000-8000-000000000000"});
    let absent = find(&app.instance, &none, &user("bob")).await.problem(404, "not_found");
    let told =
        |problem: &Value| problem["detail"].as_str().unwrap().replace(id(&session), id(&none));
    assert_eq!(told(&strange), told(&absent));
    let odd = app.instance.get("/brun-e/sessions/1%20or%201").bearer(&user("ana")).send().await;
    odd.problem(404, "not_found");
}

#[tokio::test]
async fn a_repeated_end_keeps_the_first() {
    let app = TestApp::new().await;
    let session = app.instance.start_session(&user("ana")).await.ok();
    end(&app.instance, &session, &user("bob")).await.problem(404, "not_found");
    app.instance.shift.advance(TimeDelta::minutes(3));
    let ended = end(&app.instance, &session, &user("ana")).await.ok();
    assert_eq!(ended["status"], "ended");
    let lasted = time(&ended["ended_at"]) - time(&session["started_at"]);
    assert!((3..4).contains(&lasted.num_minutes()), "{ended}");
    app.instance.shift.advance(TimeDelta::hours(2));
    assert_eq!(end(&app.instance, &session, &admin("root")).await.ok(), ended);
    assert_eq!(find(&app.instance, &session, &user("ana")).await.ok(), ended);
}

#[tokio::test]
async fn ending_an_expired_session_leaves_it_expired() {
    let app = TestApp::new().await;
    let session = app.instance.start_session(&user("ana")).await.ok();
    app.instance.shift.advance(TimeDelta::minutes(31));
    let body = find(&app.instance, &session, &user("ana")).await.ok();
    assert_eq!((&body["status"], &body["ended_at"]), (&json!("expired"), &session["expires_at"]));
    assert_eq!(end(&app.instance, &session, &user("ana")).await.ok(), body);
}

#[tokio::test]
async fn a_service_starts_a_session_for_the_named_user() {
    let app = TestApp::new().await;
    app.instance.change(&[("BRUNE_ELIGIBILITY_ALLOWED_LEVELS", json!(["senior"]), 1)]).await.ok();
    let body = json!({"user_id": "ana", "plan": "pro", "level": "senior"});
    let session = start_for(&app.instance, &body).await.ok();
    assert_eq!(session["user_id"], "ana");
    assert_eq!(find(&app.instance, &session, &user("ana")).await.ok(), session);

    // Plan and level are what the body says, and absent where it says nothing.
    let refusal = start_for(&app.instance, &json!({"user_id": "bob"})).await;
    let reasons = &refusal.problem(403, "not_eligible")["reasons"];
    assert_eq!(*reasons, json!([{"code": "plan_required"}, {"code": "level_not_allowed"}]));
}

#[tokio::test]
async fn a_service_start_without_a_user_is_rejected() {
    let app = TestApp::new().await;
    for body in [
        json!({}),
        json!({"plan": "pro"}),
        json!({"user_id": ""}),
        json!({"user_id": " "}),
        json!({"user_id": "a\u{7}"}),
        json!({"user_id": "x".repeat(257)}),
        json!({"user_id": 7}),
        json!({"user_id": "ana", "plan": 1}),
        json!({"user_id": "ana", "role": "SUPER_ADMIN"}),
        json!(["ana", "pro", "senior"]),
    ] {
        let problem = start_for(&app.instance, &body).await.problem(400, "malformed_request");
        assert!(!problem["errors"].as_array().unwrap().is_empty(), "{body}: {problem}");
    }
    let none = app.instance.post("/brun-e/start").header("x-internal-api-key", INTERNAL_KEY);
    none.send().await.problem(400, "malformed_request");
}

#[tokio::test]
async fn a_user_start_rejects_a_user_id_in_the_body() {
    let app = TestApp::new().await;
    let call = app.instance.post("/brun-e/start").bearer(&user("ana"));
    let body = json!({"user_id": "bob", "plan": "pro", "level": "senior"});
    let problem = call.json(&body).send().await.problem(400, "malformed_request");
    assert_eq!(problem["errors"].as_array().unwrap().len(), 3);
    let call = app.instance.post("/brun-e/start").bearer(&user("ana"));
    assert_eq!(call.json(&json!({})).send().await.ok()["user_id"], "ana");
}

#[tokio::test]
async fn two_credentials_are_rejected() {
    let app = TestApp::new().await;
    for path in ["/brun-e/start", "/brun-e/sessions/0198aaaa-0000-7000-8000-000000000000/end"] {
        let call = app.instance.post(path).bearer(&user("ana"));
        let call = call.header("x-internal-api-key", INTERNAL_KEY);
        let problem = call.json(&json!({"user_id": "ana"})).send().await;
        let problem = problem.problem(400, "malformed_request");
        assert_eq!(problem["errors"][0]["code"], "two_credentials");
    }
}

#[tokio::test]
async fn a_token_without_subject_or_signature_is_rejected() {
    let app = TestApp::new().await;
    app.instance.post("/brun-e/start").send().await.problem(401, "unauthorized");
    app.instance.start_session("not.a.token").await.problem(401, "unauthorized");
    let nameless = Grant { plan: Some("pro".to_owned()), ..Grant::default() };
    app.instance.start_session(&token(&nameless)).await.problem(401, "unauthorized");
    let call = app.instance.post("/brun-e/start").header("x-internal-api-key", "a guess");
    call.json(&json!({"user_id": "ana"})).send().await.problem(401, "unauthorized");
}

#[tokio::test]
async fn an_administrator_starts_a_session_like_any_user() {
    let app = TestApp::new().await;
    let grant =
        Grant { sub: "root".to_owned(), role: Some(SUPER_ADMIN.to_owned()), ..Grant::default() };
    let problem = app.instance.start_session(&token(&grant)).await.problem(403, "not_eligible");
    assert_eq!(problem["reasons"], json!([{"code": "plan_required"}]));
}
