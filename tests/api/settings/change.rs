//! Changing settings: a batch, all of it or nothing of it.

use serde_json::{Value, json};

use super::{
    ALLOWLIST, COOLDOWN, MAX_MINUTES, MODEL, PATH, PER_DAY, at, entries, faults, one, patch,
    stored, value_of,
};
use crate::support::{TestApp, admin};

fn change(key: &str, value: impl Into<Value>) -> Value {
    json!({"key": key, "value": value.into(), "version": 1})
}

#[tokio::test]
async fn a_change_is_stored_returned_and_loaded_by_another_instance() {
    let app = TestApp::new().await;
    let other = app.another_instance().await;
    let reply = app.instance.change(&[(COOLDOWN, json!(45), 1)]).await;
    assert_eq!(reply.header("etag"), "\"r2\"");
    assert_eq!(
        reply.ok(),
        json!({"revision": 2, "dry_run": false, "unchanged": [], "ignored": [], "changed": [
            {"key": COOLDOWN, "old_value": 30, "new_value": 45, "version": 2}]})
    );
    other.wait_for_revision(2).await;
    assert_eq!(other.settings.current().get_integer(COOLDOWN), Ok(45));
    let setting = one(&other, COOLDOWN).await;
    assert_eq!((&setting["value"], &setting["version"]), (&json!(45), &json!(2)));
}

#[tokio::test]
async fn a_batch_is_one_revision_with_one_audit_entry_per_key() {
    let app = TestApp::new().await;
    let changes = json!([
        change(COOLDOWN, 45),
        change("BRUNE_ELIGIBILITY_REQUIRE_PLAN", false),
        change("BRUNE_ELIGIBILITY_ALLOWED_LEVELS", json!(["gold", "silver"])),
        change("BRUNE_PROMPT_ID", "pmpt_evening"),
        change(MAX_MINUTES, 30),
    ]);
    let call = patch(&app.instance, &changes).header("x-request-id", "evening-1");
    let change_reply = call.send().await.ok();
    assert_eq!(
        (&change_reply["revision"], &change_reply["unchanged"]),
        (&json!(2), &json!([MAX_MINUTES]))
    );
    let keys: Vec<_> =
        change_reply["changed"].as_array().unwrap().iter().map(|change| &change["key"]).collect();
    assert_eq!(keys.len(), 4);
    let trail = entries(&app.instance, "request_id=evening-1").await;
    assert_eq!(trail.len(), 4);
    for entry in &trail {
        assert_eq!(entry["revision"], 2);
        assert_eq!((&entry["action"], &entry["version"]), (&json!("update"), &json!(2)));
        assert_eq!((&entry["changed_by"], &entry["reason"]), (&json!("admin-1"), &json!("a test")));
        assert_eq!(entry["changed_at"], trail[0]["changed_at"]);
        let value = value_of(&app, entry["key"].as_str().unwrap()).await;
        assert_eq!(value, (entry["new_value"].clone(), 2));
    }
}

#[tokio::test]
async fn the_current_value_in_another_spelling_is_unchanged() {
    let app = TestApp::new().await;
    let before = stored(&app).await;
    for number in ["30", "30.0", "3e1", "300E-1", "30.000"] {
        let body = format!(
            r#"{{"reason":"a test","changes":[{{"key":"{COOLDOWN}","value":{number},"version":1}}]}}"#
        );
        let reply = app.instance.patch(PATH).bearer(&admin("a")).text(body).send().await;
        assert_eq!(reply.header("etag"), "\"r1\"");
        assert_eq!(
            reply.ok(),
            json!({"revision": 1, "dry_run": false, "changed": [], "ignored": [],
                "unchanged": [COOLDOWN]}),
            "{number}"
        );
    }
    assert_eq!(stored(&app).await, before);
}

#[tokio::test]
async fn an_integral_number_is_stored_as_an_integer() {
    let app = TestApp::new().await;
    for (number, version) in [("45.0", 1), ("6e1", 2), ("700e-1", 3)] {
        let body = format!(
            r#"{{"reason":"a test","changes":[{{"key":"{COOLDOWN}","value":{number},"version":{version}}}]}}"#
        );
        app.instance.patch(PATH).bearer(&admin("a")).text(body).send().await.ok();
    }
    let sql = "select string_agg(new_value_json::text, ' ' order by seq)
        from app_global_setting_audit where key = $1";
    let texts: String =
        sqlx::query_scalar(sql).bind(COOLDOWN).fetch_one(&app.db.pool()).await.unwrap();
    assert_eq!(texts, "30 45 60 70");
}

#[tokio::test]
async fn every_error_of_a_batch_has_its_pointer_and_rule() {
    let app = TestApp::new().await;
    let before = stored(&app).await;
    let changes = json!([
        change(COOLDOWN, 241),
        change(PER_DAY, "three"),
        change("BRUNE_PROMPT_VERSION", "2"),
        change("NO_SUCH_KEY", 1),
        change("BRUNE_PROMPT_ID", "x".repeat(129)),
    ]);
    let problem = patch(&app.instance, &changes).send().await.problem(400, "validation_failed");
    insta::assert_json_snapshot!(problem["errors"], @r#"
    [
      {
        "code": "out_of_range",
        "constraint": {
          "max": 240,
          "min": 0
        },
        "detail": "must be between 0 and 240",
        "key": "BRUNE_COOLDOWN_MINUTES",
        "pointer": "/changes/0/value"
      },
      {
        "code": "wrong_type",
        "constraint": {
          "type": "number"
        },
        "detail": "must be an integer",
        "key": "BRUNE_MAX_SESSIONS_PER_DAY",
        "pointer": "/changes/1/value"
      },
      {
        "code": "unknown_key",
        "detail": "the catalog declares no such setting",
        "key": "NO_SUCH_KEY",
        "pointer": "/changes/3/key"
      },
      {
        "code": "too_long",
        "constraint": {
          "max_length": 128
        },
        "detail": "must have at most 128 characters",
        "key": "BRUNE_PROMPT_ID",
        "pointer": "/changes/4/value"
      },
      {
        "code": "pattern_mismatch",
        "constraint": {
          "regex": "^pmpt_[A-Za-z0-9_-]+$"
        },
        "detail": "must match ^pmpt_[A-Za-z0-9_-]+$",
        "key": "BRUNE_PROMPT_ID",
        "pointer": "/changes/4/value"
      }
    ]
    "#);
    assert_eq!(problem["detail"], "5 errors; nothing was stored");
    assert_eq!(stored(&app).await, before);
}

#[tokio::test]
async fn every_error_of_a_body_has_its_pointer() {
    let app = TestApp::new().await;
    let body = json!({"reason": 7, "extra": 1, "changes": [
        {"key": COOLDOWN, "value": 45, "version": 0},
        {"key": 5, "version": 1, "note": "x"},
        [COOLDOWN, 45, 1]]});
    let reply = app.instance.patch(PATH).bearer(&admin("a")).json(&body).send().await;
    let expected = at([
        ("/reason", "wrong_type"),
        ("/changes/0/version", "out_of_range"),
        ("/changes/1/key", "wrong_type"),
        ("/changes/1/value", "required"),
        ("/changes/1/note", "unknown_field"),
        ("/changes/2", "wrong_type"),
        ("/extra", "unknown_field"),
    ]);
    assert_eq!(faults(&reply.problem(400, "malformed_request")), expected);
}

#[tokio::test]
async fn a_dry_run_responds_like_the_write_and_stores_nothing() {
    let app = TestApp::new().await;
    let before = stored(&app).await;
    let changes = json!([change(COOLDOWN, 45), change(MAX_MINUTES, 30)]);
    let body = json!({"reason": "a test", "changes": changes});
    let dry = app.instance.patch(&format!("{PATH}?dry_run=true")).bearer(&admin("admin-1"));
    let mut planned = dry.json(&body).header("idempotency-key", "dry").send().await.ok();
    assert_eq!(stored(&app).await, before);
    assert_eq!(planned["dry_run"], true);
    planned["dry_run"] = json!(false);
    let wet = app.instance.patch(&format!("{PATH}?dry_run=false")).bearer(&admin("admin-1"));
    // The key of a dry run is still free: it had no result to be repeated.
    let actual_body = wet.json(&body).header("idempotency-key", "dry").send().await.ok();
    assert_eq!(planned, actual_body);
    let repeat = app.instance.patch(&format!("{PATH}?dry_run=true")).bearer(&admin("admin-1"));
    let repeat = repeat.json(&body).header("idempotency-key", "dry").send().await;
    repeat.problem(409, "version_conflict");
}

#[tokio::test]
async fn a_dry_run_is_rejected_like_the_write_without_an_audit_entry() {
    let app = TestApp::new().await;
    let before = stored(&app).await;
    let stale = json!({"key": COOLDOWN, "value": 45, "version": 7});
    for (change, status, code) in [
        (change(COOLDOWN, 241), 400, "validation_failed"),
        (change("JWT_SECRET", "x"), 403, "key_locked"),
        (stale, 409, "version_conflict"),
        (json!({"key": COOLDOWN, "value": 45}), 428, "version_required"),
    ] {
        let body = json!({"reason": "a test", "changes": [change]});
        let dry = app.instance.patch(&format!("{PATH}?dry_run=true")).bearer(&admin("a"));
        dry.json(&body).send().await.problem(status, code);
    }
    assert_eq!(stored(&app).await, before);
}

#[tokio::test]
async fn model_and_allowlist_may_change_together_in_either_order() {
    let app = TestApp::new().await;
    let list = change(ALLOWLIST, json!(["gpt-next", "gpt-realtime-2.1-mini"]));
    let changes = json!([change(MODEL, "gpt-next"), list]);
    patch(&app.instance, &changes).send().await.ok();
    let rollback = json!([
        {"key": ALLOWLIST, "value": ["gpt-realtime-2.1"], "version": 2},
        {"key": MODEL, "value": "gpt-realtime-2.1", "version": 2}]);
    patch(&app.instance, &rollback).send().await.ok();
    assert_eq!(value_of(&app, MODEL).await, (json!("gpt-realtime-2.1"), 3));
}

#[tokio::test]
async fn a_rule_between_two_keys_is_checked_for_a_change_of_either() {
    let app = TestApp::new().await;
    let before = stored(&app).await;
    for (changes, pointer) in [
        (json!([change(MODEL, "gpt-unknown")]), "/changes/0/value"),
        (json!([change(ALLOWLIST, json!(["gpt-realtime-2.1-mini"]))]), ""),
        (
            json!([change(ALLOWLIST, json!(["gpt-next"])), change(MODEL, "gpt-realtime-2.1")]),
            "/changes/1/value",
        ),
    ] {
        let problem = patch(&app.instance, &changes).send().await.problem(400, "validation_failed");
        let errors = problem["errors"].as_array().unwrap();
        assert_eq!(errors.len(), 1, "{problem}");
        assert_eq!(errors[0]["key"], MODEL);
        assert_eq!(errors[0]["pointer"].as_str().unwrap_or_default(), pointer);
        assert_eq!(errors[0]["constraint"], json!({"member_of": ALLOWLIST}));
    }
    assert_eq!(stored(&app).await, before);
}

#[tokio::test]
async fn the_reason_is_trimmed() {
    let app = TestApp::new().await;
    let long = "é".repeat(500);
    for (reason, kept, version) in
        [("  ok!  ", "ok!", 1), (&long, &long, 2), ("漢字だ", "漢字だ", 3)]
    {
        let body = json!({"reason": reason, "changes": [
            {"key": COOLDOWN, "value": 100 + version, "version": version}]});
        app.instance.patch(PATH).bearer(&admin("a")).json(&body).send().await.ok();
        let trail = entries(&app.instance, &format!("key={COOLDOWN}")).await;
        assert_eq!(trail[0]["reason"], kept);
    }
}
