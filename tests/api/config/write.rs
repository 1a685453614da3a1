//! Writing one key: PUT, and DELETE back to the default.

use serde_json::json;

use super::{one, put, reset};
use crate::{
    settings::{COOLDOWN, MAX_MINUTES, MODEL, at, entries, faults, stored},
    support::TestApp,
};

#[tokio::test]
async fn put_returns_the_updated_setting() {
    let app = TestApp::new().await;
    let written =
        put(&app.instance, COOLDOWN, json!({"value": 45.0, "version": 1})).send().await.ok();
    let mut actual = one(&app.instance, COOLDOWN).await;
    actual["dry_run"] = json!(false);
    assert_eq!(written, actual);
    for (name, value) in [
        ("value", json!(45)),
        ("version", json!(2)),
        ("default", json!(30)),
        ("locked", json!(false)),
        ("source", json!("db")),
        ("updated_by", json!("admin-1")),
    ] {
        assert_eq!(written[name], value, "{name}");
    }
}

#[tokio::test]
async fn putting_the_current_value_creates_no_version() {
    let app = TestApp::new().await;
    let before = stored(&app).await;
    let written =
        put(&app.instance, COOLDOWN, json!({"value": 30, "version": 1})).send().await.ok();
    assert_eq!((&written["value"], &written["version"]), (&json!(30), &json!(1)));
    reset(&app.instance, &format!("{COOLDOWN}?reason=a+test&version=1")).send().await.ok();
    assert_eq!(stored(&app).await, before);
}

#[tokio::test]
async fn an_outdated_if_match_is_rejected_with_412() {
    let app = TestApp::new().await;
    let put = |value: i64| put(&app.instance, COOLDOWN, json!({"value": value}));
    put(45).header("if-match", "\"v1\"").send().await.ok();
    let before = stored(&app).await;
    for stale in ["\"v1\"", "\"v9\"", "\"r2\"", "W/\"v2\""] {
        let reply = put(50).header("if-match", stale).send().await;
        let problem = reply.problem(412, "revision_mismatch");
        let conflict = &problem["conflicts"][0];
        assert_eq!(
            (&conflict["current_version"], &conflict["current_value"]),
            (&json!(2), &json!(45))
        );
        let call = reset(&app.instance, &format!("{COOLDOWN}?reason=a+test"));
        call.header("if-match", stale).send().await.problem(412, "revision_mismatch");
    }
    assert_eq!(stored(&app).await, before);
    let call = reset(&app.instance, &format!("{COOLDOWN}?reason=a+test"));
    let actual_reply = call.header("if-match", "\"v2\"").send().await;
    assert_eq!(actual_reply.header("etag"), "\"v3\"");
    assert_eq!(actual_reply.ok()["value"], 30);
}

#[tokio::test]
async fn if_match_and_version_must_agree() {
    let app = TestApp::new().await;
    let call = put(&app.instance, COOLDOWN, json!({"value": 45, "version": 1}));
    let problem = call.header("if-match", "\"v2\"").send().await.problem(400, "malformed_request");
    assert_eq!(faults(&problem), at([("/version", "ambiguous")]));
    let call = reset(&app.instance, &format!("{COOLDOWN}?reason=a+test&version=1"));
    let problem = call.header("if-match", "\"v2\"").send().await.problem(400, "malformed_request");
    assert_eq!(faults(&problem), at([("?version", "ambiguous")]));
    let call = put(&app.instance, COOLDOWN, json!({"value": 45, "version": 1}));
    call.header("if-match", "\"v1\"").send().await.ok();
}

#[tokio::test]
async fn lenient_handling_does_not_skip_the_only_key() {
    let app = TestApp::new().await;
    let call = put(&app.instance, "JWT_SECRET", json!({"value": "x", "version": 1}));
    call.header("prefer", "handling=lenient").send().await.problem(403, "key_locked");
    let call = reset(&app.instance, "JWT_SECRET?reason=a+test&version=1");
    call.header("prefer", "handling=lenient").send().await.problem(403, "key_locked");
    assert_eq!(entries(&app.instance, "action=refused").await.len(), 2);
}

#[tokio::test]
async fn an_outdated_version_is_rejected_with_409_and_a_missing_one_with_428() {
    let app = TestApp::new().await;
    put(&app.instance, COOLDOWN, json!({"value": 45, "version": 1})).send().await.ok();
    let before = stored(&app).await;
    let reply = put(&app.instance, COOLDOWN, json!({"value": 50, "version": 1})).send().await;
    let conflict = &reply.problem(409, "version_conflict")["conflicts"][0];
    assert_eq!((&conflict["base_value"], &conflict["your_value"]), (&json!(30), &json!(50)));
    let reply = put(&app.instance, COOLDOWN, json!({"value": 50})).send().await;
    reply.problem(428, "version_required");
    let call = reset(&app.instance, &format!("{COOLDOWN}?reason=a+test&version=1"));
    call.send().await.problem(409, "version_conflict");
    let call = reset(&app.instance, &format!("{COOLDOWN}?reason=a+test"));
    call.send().await.problem(428, "version_required");
    assert_eq!(stored(&app).await, before);
}

#[tokio::test]
async fn delete_resets_a_key_to_its_default_and_audits_it() {
    let app = TestApp::new().await;
    put(&app.instance, COOLDOWN, json!({"value": 45, "version": 1})).send().await.ok();
    let call = reset(&app.instance, &format!("{COOLDOWN}?reason=too+long&version=2"));
    let body = call.send().await.ok();
    assert_eq!((&body["value"], &body["version"]), (&json!(30), &json!(3)));
    let entry = &entries(&app.instance, "action=reset").await[0];
    assert_eq!((&entry["old_value"], &entry["new_value"]), (&json!(45), &json!(30)));
    assert_eq!((&entry["reason"], &entry["key"]), (&json!("too long"), &json!(COOLDOWN)));
}

#[tokio::test]
async fn delete_is_rejected_for_the_same_reasons_as_put() {
    let app = TestApp::new().await;
    let refused = async |path: &str, status, code| {
        reset(&app.instance, path).send().await.problem(status, code);
    };
    refused("NO_SUCH_KEY?reason=a+test&version=1", 404, "unknown_key").await;
    refused("BRUNE_COOLDOWN_MINUTES?version=1", 400, "reason_required").await;
    refused("BRUNE_COOLDOWN_MINUTES?reason=a+test&version=x", 400, "malformed_request").await;
    let before = entries(&app.instance, "").await.len();
    refused("JWT_SECRET?reason=a+test&version=1", 403, "key_locked").await;
    refused("LOG_LEVEL?reason=a+test", 403, "key_locked").await;
    let trail = entries(&app.instance, "action=refused").await;
    assert_eq!((trail.len(), entries(&app.instance, "").await.len()), (2, before + 2));
}

#[tokio::test]
async fn a_default_that_violates_a_rule_between_keys_is_rejected_with_422() {
    let app = TestApp::new().await;
    let mini = "gpt-realtime-2.1-mini";
    let both = [(crate::settings::ALLOWLIST, json!([mini]), 1), (MODEL, json!(mini), 1)];
    app.instance.change(&both).await.ok();
    let call = reset(&app.instance, &format!("{MODEL}?reason=a+test&version=2"));
    call.send().await.problem(422, "validation_failed");
    assert_eq!(one(&app.instance, MODEL).await["value"], mini);
}

#[tokio::test]
async fn an_unknown_key_is_rejected_with_404_and_an_invalid_body_with_400() {
    let app = TestApp::new().await;
    let before = stored(&app).await;
    let reply = put(&app.instance, "NO_SUCH_KEY", json!({"value": 1, "version": 1})).send().await;
    reply.problem(404, "unknown_key");
    for (body, pointer, code) in [
        (json!({"version": 1}), "/value", "required"),
        (json!({"value": 1, "version": "1"}), "/version", "wrong_type"),
        (json!({"value": 1, "version": 1, "key": "X"}), "/key", "unknown_field"),
    ] {
        let problem = put(&app.instance, COOLDOWN, body.clone()).send().await;
        let problem = problem.problem(400, "malformed_request");
        assert_eq!(faults(&problem), at([(pointer, code)]), "{body}");
    }
    let path = format!("{}/{COOLDOWN}", super::CONFIG);
    let bare = |text: &str| {
        let call = app.instance.call(axum::http::Method::PUT, &path);
        call.bearer(&crate::support::admin("admin-1")).text(text)
    };
    bare(r#"{"value": 45, "version": 1}"#).send().await.problem(400, "reason_required");
    bare("[]").send().await.problem(400, "malformed_request");
    bare("").send().await.problem(400, "malformed_request");
    assert_eq!(stored(&app).await, before);
}

#[tokio::test]
async fn a_dry_run_returns_the_response_of_the_write_and_stores_nothing() {
    let app = TestApp::new().await;
    put(&app.instance, COOLDOWN, json!({"value": 45, "version": 1})).send().await.ok();
    let before = stored(&app).await;
    let dry = format!("{COOLDOWN}?dry_run=true");
    let would = put(&app.instance, &dry, json!({"value": 50, "version": 2})).send().await.ok();
    assert_eq!((&would["value"], &would["version"]), (&json!(50), &json!(3)));
    assert_eq!(would["dry_run"], true);
    let dry_reset = format!("{dry}&reason=a+test&version=2");
    let would = reset(&app.instance, &dry_reset).send().await.ok();
    assert_eq!((&would["value"], &would["dry_run"]), (&json!(30), &json!(true)));
    put(&app.instance, &dry, json!({"value": 999, "version": 2}))
        .send()
        .await
        .problem(422, "validation_failed");
    put(&app.instance, "JWT_SECRET?dry_run=true", json!({"value": "x", "version": 2}))
        .send()
        .await
        .problem(403, "key_locked");
    assert_eq!(stored(&app).await, before);
}

#[tokio::test]
async fn a_repeat_replays_the_first_response_after_later_changes() {
    let app = TestApp::new().await;
    let body = json!({"value": 45, "version": 1});
    let once =
        || put(&app.instance, COOLDOWN, body.clone()).header("idempotency-key", "once").send();
    let first = once().await.ok();
    put(&app.instance, COOLDOWN, json!({"value": 50, "version": 2})).send().await.ok();
    let before = stored(&app).await;
    assert_eq!(once().await.ok(), first);
    assert_eq!(stored(&app).await, before);
    let other = put(&app.instance, COOLDOWN, json!({"value": 46, "version": 1}));
    let other = other.header("idempotency-key", "once").send().await;
    other.problem(422, "idempotency_key_reused");
}

#[tokio::test]
async fn a_repeat_with_another_if_match_is_rejected() {
    let app = TestApp::new().await;
    let call = |tag: &str| {
        let call = put(&app.instance, MAX_MINUTES, json!({"value": 45}));
        call.header("idempotency-key", "once").header("if-match", tag).send()
    };
    let first = call("\"v1\"").await.ok();
    assert_eq!(call("\"v1\"").await.ok(), first);
    call("\"v2\"").await.problem(422, "idempotency_key_reused");
}
