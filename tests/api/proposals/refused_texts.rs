//! Texts that look like secrets: every route that stores a text of a person refuses and records them.

use axum::http::Method;
use serde_json::{Value, json};

use super::{COOLDOWN, PER_DAY, PROPOSALS, due::in_minutes, post, propose, protected};
use crate::support::{admin, psql};

#[tokio::test]
async fn every_refused_text_is_recorded() {
    let app = protected().await;
    let instance = &app.instance;
    let number = propose(instance, "ana", &[(COOLDOWN, json!(45), 1)]).await;
    let freeze =
        json!({"reason": "holidays", "starts_at": in_minutes(60), "ends_at": in_minutes(90)});
    let freeze = post(instance, "ana", "/admin/freezes", &freeze).await.ok();
    let freeze = freeze["id"].as_str().unwrap();
    post(instance, "ana", "/admin/releases", &json!({"name": "winter", "note": "a test"}))
        .await
        .ok();
    let secret = format!("sk-proj-{}", "ab3def6hij9klm2nop5q".repeat(2));
    let secret = secret.as_str();
    let reason = || json!({"reason": secret});
    let with_reason = |mut body: Value| {
        body["reason"] = json!(secret);
        body
    };
    let change = json!({"changes": [{"key": PER_DAY, "value": 5, "version": 1}]});
    let step = |step: &str| format!("{PROPOSALS}/{number}/{step}");
    let session = "/admin/sessions/01a20245-9692-737c-b998-0151f71dadde/end";
    let writes: Vec<(Method, String, Value, &str)> = vec![
        (
            Method::PATCH,
            "/admin/global-settings".to_owned(),
            with_reason(change.clone()),
            "/reason",
        ),
        (Method::POST, PROPOSALS.to_owned(), with_reason(change.clone()), "/reason"),
        (Method::PUT, format!("{PROPOSALS}/{number}"), with_reason(change), "/reason"),
        (
            Method::POST,
            step("verdicts"),
            json!({"edition": 1, "verdict": "approve", "note": secret}),
            "/note",
        ),
        (
            Method::POST,
            step("verdicts"),
            json!({"edition": 1, "verdict": "object", "note": secret}),
            "/note",
        ),
        (Method::POST, step("apply?emergency=true"), with_reason(json!({"edition": 1})), "/reason"),
        (Method::POST, step("withdraw"), reason(), "/reason"),
        (
            Method::POST,
            "/admin/freezes".to_owned(),
            with_reason(json!({"ends_at": in_minutes(60)})),
            "/reason",
        ),
        (Method::POST, format!("/admin/freezes/{freeze}/end"), reason(), "/reason"),
        (
            Method::POST,
            "/admin/releases".to_owned(),
            json!({"name": secret, "note": "a test"}),
            "/name",
        ),
        (
            Method::POST,
            "/admin/releases".to_owned(),
            json!({"name": "spring", "note": secret}),
            "/note",
        ),
        (Method::POST, "/admin/releases/winter/archive".to_owned(), reason(), "/reason"),
        (
            Method::POST,
            "/admin/starts/stop".to_owned(),
            with_reason(json!({"minutes": 5})),
            "/reason",
        ),
        (Method::POST, "/admin/starts/resume".to_owned(), reason(), "/reason"),
        (Method::POST, session.to_owned(), reason(), "/reason"),
        (Method::POST, "/admin/secrets/cleanup".to_owned(), reason(), "/reason"),
    ];
    let refusals = "select count(*) from app_global_setting_audit where action = 'refused'";
    let mut unrecorded = Vec::new();
    for (method, path, body, pointer) in writes {
        let before = psql::count(&app.db.admin(), refusals).await;
        let call = || {
            let call = instance.call(method.clone(), &path).bearer(&admin("cleo"));
            if method == Method::PUT { call.header("if-match", "\"e1\"") } else { call }
        };
        let problem = call().json(&body).send().await.problem(400, "secret_like_value");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{path}: {problem}");
        if psql::count(&app.db.admin(), refusals).await != before + 1 {
            unrecorded.push(path);
        }
    }
    assert_eq!(unrecorded, Vec::<String>::new());
    let texts =
        format!("select count(*) from app_global_setting_audit where reason like '%{secret}%'");
    assert_eq!(psql::count(&app.db.admin(), &texts).await, 0);
}

#[tokio::test]
async fn a_rehearsal_with_a_refused_text_leaves_no_entry() {
    let app = protected().await;
    let number = propose(&app.instance, "ana", &[(COOLDOWN, json!(45), 1)]).await;
    let secret = format!("sk-proj-{}", "ab3def6hij9klm2nop5q".repeat(2));
    let verdict = json!({"edition": 1, "verdict": "approve", "note": secret});
    for (path, body) in [
        (format!("{PROPOSALS}/{number}/verdicts"), verdict),
        ("/admin/releases".to_owned(), json!({"name": "spring", "note": secret})),
        ("/admin/starts/stop".to_owned(), json!({"minutes": 5, "reason": secret})),
        ("/admin/secrets/cleanup".to_owned(), json!({"reason": secret})),
    ] {
        let reply = post(&app.instance, "cleo", &format!("{path}?dry_run=true"), &body).await;
        reply.problem(400, "secret_like_value");
    }
    let refusals = "select count(*) from app_global_setting_audit where action = 'refused'";
    assert_eq!(psql::count(&app.db.admin(), refusals).await, 0);
}
