//! Keys that are known and never written here: refused, on the trail without a value, or left out.

use serde_json::{Value, json};

use super::{COOLDOWN, PATH, at, entries, faults, one, patch, rollback, stored, value_of};
use crate::support::{TestApp, admin};

/// What nobody may find again, anywhere.
const WORD: &str = "sk-never-to-be-seen";

fn mixed() -> Value {
    json!([
        {"key": COOLDOWN, "value": 45, "version": 1},
        {"key": "OPENAI_API_KEY", "value": WORD, "version": 1},
        {"key": "LOG_LEVEL", "value": {"deep": [WORD]}}])
}

async fn revision(app: &TestApp) -> Value {
    super::read(&app.instance, PATH).await.ok()["revision"].clone()
}

/// Whether any table of the database holds the word.
async fn is_anywhere(app: &TestApp) -> bool {
    let sql = "select bool_or(it.text like '%' || $1 || '%') from (
        select a::text as text from app_global_setting_audit a
        union all select s::text from app_global_settings s
        union all select i::text from app_idempotency_key i) it";
    sqlx::query_scalar(sql).bind(WORD).fetch_one(&app.db.pool()).await.unwrap()
}

#[tokio::test]
async fn a_locked_key_in_a_batch_stores_only_the_audited_attempt() {
    let app = TestApp::new().await;
    let call = patch(&app.instance, &mixed()).header("x-request-id", "attempt-1");
    let reply = call.header("idempotency-key", "once").send().await;
    assert!(!reply.text.contains(WORD), "{}", reply.text);
    let problem = reply.problem(403, "key_locked");
    let expected = at([("/changes/1/key", "key_locked"), ("/changes/2/key", "key_locked")]);
    assert_eq!(faults(&problem), expected);
    assert_eq!(value_of(&app, COOLDOWN).await, (json!(30), 1));
    assert_eq!(revision(&app).await, 1);
    let trail = entries(&app.instance, "action=refused").await;
    let keys: Vec<_> = trail.iter().map(|entry| entry["key"].as_str().unwrap()).collect();
    assert_eq!(keys, ["LOG_LEVEL", "OPENAI_API_KEY"]);
    for entry in &trail {
        assert_eq!(
            (&entry["changed_by"], &entry["request_id"]),
            (&json!("admin-1"), &json!("attempt-1"))
        );
        for nothing in ["old_value", "new_value", "version", "revision"] {
            assert_eq!(entry[nothing], Value::Null, "{nothing}");
        }
    }
    assert!(!is_anywhere(&app).await);
}

#[tokio::test]
async fn lenient_handling_skips_locked_keys_and_applies_the_rest() {
    let app = TestApp::new().await;
    let call = patch(&app.instance, &mixed()).header("prefer", "return=minimal, handling=lenient");
    let reply = call.header("idempotency-key", "once").send().await;
    assert_eq!(reply.header("preference-applied"), "handling=lenient");
    assert_eq!(
        reply.ok(),
        json!({"revision": 2, "dry_run": false, "unchanged": [],
            "changed": [{"key": COOLDOWN, "old_value": 30, "new_value": 45, "version": 2}],
            "ignored": ["OPENAI_API_KEY", "LOG_LEVEL"]})
    );
    assert_eq!(one(&app.instance, COOLDOWN).await["value"], 45);
    assert_eq!(entries(&app.instance, "action=refused").await.len(), 2);
    assert!(!is_anywhere(&app).await);
}

#[tokio::test]
async fn lenient_handling_of_locked_keys_only_changes_nothing() {
    let app = TestApp::new().await;
    let changes = json!([{"key": "JWT_SECRET", "value": WORD, "version": 1}]);
    let reply = patch(&app.instance, &changes).header("prefer", "handling=lenient").send().await;
    let changed = reply.ok();
    assert_eq!((&changed["revision"], &changed["changed"]), (&json!(1), &json!([])));
    assert_eq!(changed["ignored"], json!(["JWT_SECRET"]));
    assert_eq!(entries(&app.instance, "action=refused").await.len(), 1);
    assert!(!is_anywhere(&app).await);
}

#[tokio::test]
async fn lenient_handling_rejects_invalid_values_and_unknown_keys() {
    let app = TestApp::new().await;
    let before = stored(&app).await;
    for wrong in [
        json!({"key": COOLDOWN, "value": 999, "version": 1}),
        json!({"key": "NO_SUCH_KEY", "value": 1, "version": 1}),
    ] {
        let changes = json!([{"key": "JWT_SECRET", "value": WORD, "version": 1}, wrong]);
        let reply =
            patch(&app.instance, &changes).header("prefer", "handling=lenient").send().await;
        reply.problem(400, "validation_failed");
    }
    assert_eq!(stored(&app).await, before);
}

#[tokio::test]
async fn a_lenient_dry_run_has_no_audit_entry() {
    let app = TestApp::new().await;
    let before = stored(&app).await;
    let body = json!({"reason": "a test", "changes": mixed()});
    let dry = app.instance.patch(&format!("{PATH}?dry_run=true")).bearer(&admin("a"));
    let planned = dry.json(&body).header("prefer", "handling=lenient").send().await.ok();
    assert_eq!(planned["ignored"], json!(["OPENAI_API_KEY", "LOG_LEVEL"]));
    assert_eq!(stored(&app).await, before);
}

#[tokio::test]
async fn a_strict_response_has_no_preference_applied() {
    let app = TestApp::new().await;
    let changes = json!([{"key": COOLDOWN, "value": 45, "version": 1}]);
    let reply = patch(&app.instance, &changes).header("prefer", "handling=strict").send().await;
    assert_eq!(reply.header("preference-applied"), "");
    reply.ok();
}

#[tokio::test]
async fn a_rollback_of_a_locked_key_is_refused_and_audited() {
    let app = TestApp::new().await;
    let target = json!({"key": "JWT_SECRET", "to_version": 1, "version": 1});
    let dry = format!("{}?dry_run=true", super::ROLLBACK);
    rollback(&app.instance, &dry, target.clone()).send().await.problem(403, "key_locked");
    assert_eq!(entries(&app.instance, "action=refused").await, Vec::<Value>::new());
    let reply = rollback(&app.instance, super::ROLLBACK, target).send().await;
    reply.problem(403, "key_locked");
    let trail = entries(&app.instance, "action=refused").await;
    assert_eq!((trail.len(), &trail[0]["key"]), (1, &json!("JWT_SECRET")));
}
