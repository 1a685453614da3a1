//! What a refusal says, and what else a request may hold beside the secret.

use serde_json::{Value, json};

use super::{LEVELS, core, places, refusals_of, refused, tells_nothing_of};
use crate::{
    config::{CONFIG, document, import, put, reset},
    settings::{COOLDOWN, PATH, ROLLBACK, at, faults, patch, rollback, stored, value_of},
    support::{TestApp, admin},
};

const NOBODYS: &str = "(no declared key)";

fn key_of(core: &str) -> String {
    ["sk", "-ant-", core].concat()
}

fn keys(trail: &[Value]) -> Vec<&str> {
    trail.iter().map(|entry| entry["key"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn every_location_of_a_secret_is_reported_without_its_value() {
    let app = TestApp::new().await;
    let core = core();
    let secret = key_of(&core);
    let changes = json!([
        {"key": COOLDOWN, "value": 999, "version": 1},
        {"key": LEVELS, "value": [secret], "version": 1},
        {"key": "BRUNE_PROMPT_VERSION", "value": {"deep": [{"er": secret}]}, "version": 1},
        {"key": "BRUNE_PROMPT_ID", "value": {secret.clone(): 1}, "version": 1}]);
    let body = json!({"reason": format!("because of {secret}"), "changes": changes});
    let call = app.instance.patch(PATH).bearer(&admin("admin-1")).json(&body);
    let reply = call.header("x-request-id", "attempt-1").send().await;
    tells_nothing_of(&reply, &core);
    let problem = reply.problem(400, "secret_like_value");
    let code = "secret_like_value";
    let expected = at([
        ("/reason", code),
        ("/changes/1/value", code),
        ("/changes/2/value", code),
        ("/changes/3/value", code),
    ]);
    assert_eq!(faults(&problem), expected);
    assert_eq!(problem["detail"], "4 possible secrets; nothing was stored");
    let trail = refused(&app.instance).await;
    assert_eq!(keys(&trail), ["BRUNE_PROMPT_ID", "BRUNE_PROMPT_VERSION", LEVELS, COOLDOWN]);
    for entry in &trail {
        assert_eq!(entry["reason"], "(withheld: the reason looked like a secret)");
        assert_eq!(
            (&entry["changed_by"], &entry["request_id"]),
            (&json!("admin-1"), &json!("attempt-1"))
        );
    }
    assert!(places(&app.db.pool(), &core).await.is_empty());
}

#[tokio::test]
async fn a_secret_under_an_undeclared_key_is_refused_and_audited() {
    let app = TestApp::new().await;
    let core = core();
    let secret = key_of(&core);
    for (key, value) in [
        ("NO_SUCH_KEY", json!(secret)),
        ("no such key", json!([1, {"a": secret}])),
        (&secret, json!(1)),
        (&*format!("{}/{secret}", "x".repeat(300)), json!(null)),
    ] {
        let changes = json!([{"key": key, "value": value, "version": 1}]);
        let reply = patch(&app.instance, &changes).send().await;
        tells_nothing_of(&reply, &core);
        let problem = reply.problem(400, "secret_like_value");
        let names = if key == "NO_SUCH_KEY" { key } else { NOBODYS };
        assert_eq!(problem["errors"][0]["key"], names);
        let text = document(&json!({key: value}));
        let reply = import(&app.instance, "reason=a+test", "application/json", &text).send().await;
        tells_nothing_of(&reply, &core);
        reply.problem(400, "secret_like_value");
    }
    let body = json!({"value": secret, "version": 1});
    let reply = put(&app.instance, "NO_SUCH_KEY", body).send().await;
    tells_nothing_of(&reply, &core);
    reply.problem(422, "secret_like_value");
    let target = json!({"key": secret, "to_version": 1, "version": 1});
    let reply = rollback(&app.instance, ROLLBACK, target).send().await;
    tells_nothing_of(&reply, &core);
    reply.problem(400, "secret_like_value");
    assert_eq!(refusals_of(&app.db.pool(), NOBODYS).await, 10);
    assert!(places(&app.db.pool(), &core).await.is_empty());
    assert!(places(&app.db.pool(), "NO_SUCH_KEY").await.is_empty());
}

#[tokio::test]
async fn a_secret_in_the_reason_is_refused_before_other_errors() {
    let app = TestApp::new().await;
    let core = core();
    let pool = app.db.pool();
    let reason = key_of(&core);
    for target in [
        json!({"to_revision": 1, "revision": 1, "reason": reason}),
        json!({"to_revision": 99, "revision": 1, "reason": reason}),
        json!({"audit_id": "00000000-0000-4000-8000-000000000000", "version": 1, "reason": reason}),
        json!({"key": "NO_SUCH_KEY", "to_version": 1, "version": 1, "reason": reason}),
    ] {
        let call = app.instance.post(ROLLBACK).bearer(&admin("admin-1")).json(&target);
        call.send().await.problem(400, "secret_like_value");
    }
    assert_eq!(refusals_of(&pool, NOBODYS).await, 4);
    let query = format!("reason={reason}");
    let text = document(&json!({COOLDOWN: 999, "NO_SUCH_KEY": 1}));
    let call =
        import(&app.instance, &format!("{query}&plan_id=outdated"), "application/json", &text);
    call.send().await.problem(400, "secret_like_value");
    assert_eq!(refusals_of(&pool, COOLDOWN).await, 1);
    reset(&app.instance, &format!("NO_SUCH_KEY?{query}"))
        .send()
        .await
        .problem(400, "secret_like_value");
    // What is locked stays locked; its trace has no such reason either.
    reset(&app.instance, &format!("JWT_SECRET?{query}")).send().await.problem(403, "key_locked");
    let body = json!({"key": "JWT_SECRET", "to_version": 1, "version": 1, "reason": reason});
    let call = app.instance.post(ROLLBACK).bearer(&admin("admin-1")).json(&body);
    call.send().await.problem(400, "secret_like_value");
    assert_eq!(refusals_of(&pool, "JWT_SECRET").await, 2);
    assert!(places(&pool, &core).await.is_empty());
}

#[tokio::test]
async fn a_secret_for_a_locked_key_is_refused_as_locked_and_audited_as_both() {
    let app = TestApp::new().await;
    let core = core();
    let secret = key_of(&core);
    let locked = json!({"key": "OPENAI_API_KEY", "value": secret, "version": 1});
    let changes = json!([locked]);
    patch(&app.instance, &changes).send().await.problem(403, "key_locked");
    let changes = json!([locked, {"key": LEVELS, "value": [secret], "version": 1},
        {"key": "openai_api_key", "value": 1}]);
    let reply = patch(&app.instance, &changes).send().await;
    tells_nothing_of(&reply, &core);
    let problem = reply.problem(403, "key_locked");
    assert_eq!(faults(&problem), at([("/changes/0/key", "key_locked")]));
    assert_eq!(keys(&refused(&app.instance).await[..2]), [LEVELS, "OPENAI_API_KEY"]);
    // Lenient handling forgives the locked key and not the secret.
    let reply = patch(&app.instance, &changes).header("prefer", "handling=lenient").send().await;
    tells_nothing_of(&reply, &core);
    let problem = reply.problem(400, "secret_like_value");
    assert_eq!(faults(&problem), at([("/changes/1/value", "secret_like_value")]));
    assert_eq!(
        keys(&refused(&app.instance).await),
        [LEVELS, "OPENAI_API_KEY", LEVELS, "OPENAI_API_KEY", "OPENAI_API_KEY"]
    );
    assert!(places(&app.db.pool(), &core).await.is_empty());
    assert_eq!(value_of(&app, LEVELS).await, (json!([]), 1));
}

#[tokio::test]
async fn a_dry_run_refuses_secrets_without_an_audit_entry() {
    let app = TestApp::new().await;
    let core = core();
    let secret = key_of(&core);
    let before = stored(&app).await;
    let path = format!("{PATH}?dry_run=true");
    for (reason, value) in [("a test", secret.as_str()), (secret.as_str(), "mid")] {
        let changes = json!([{"key": LEVELS, "value": [value], "version": 1}]);
        let body = json!({"reason": reason, "changes": changes});
        let reply = app.instance.patch(&path).bearer(&admin("admin-1")).json(&body).send().await;
        tells_nothing_of(&reply, &core);
        reply.problem(400, "secret_like_value");
        let body = json!({"key": COOLDOWN, "to_version": 1, "version": 1, "reason": secret});
        let dry = app.instance.post(&format!("{ROLLBACK}?dry_run=true")).bearer(&admin("admin-1"));
        dry.json(&body).send().await.problem(400, "secret_like_value");
    }
    let body = json!({"value": [secret], "version": 1});
    let dry = put(&app.instance, &format!("{LEVELS}?dry_run=true"), body);
    dry.send().await.problem(422, "secret_like_value");
    assert_eq!(stored(&app).await, before);
}

#[tokio::test]
async fn a_secret_as_catalog_name_is_not_repeated() {
    let app = TestApp::new().await;
    let core = core();
    let text = json!({"format_version": 1, "catalog": key_of(&core), "settings": {COOLDOWN: 45}});
    for query in ["dry_run=true", "reason=a+test"] {
        let call = import(&app.instance, query, "application/json", &text.to_string());
        let reply = call.send().await;
        tells_nothing_of(&reply, &core);
        reply.problem(400, "validation_failed");
    }
}

#[tokio::test]
async fn invisible_or_lookalike_characters_do_not_hide_a_secret() {
    let app = TestApp::new().await;
    let core = core();
    let secret = key_of(&core);
    let wide = |c: char| char::from_u32(u32::from(c) + 0xFEE0).unwrap();
    let (first, last) = core.split_at(8);
    for text in [
        secret.chars().map(wide).collect(),
        ["sk", "-a\u{200B}nt-", first, "\u{2060}", last].concat(),
        format!("\u{3000}{secret}\u{3000}"),
        format!("schlüssel={secret}"),
    ] {
        let changes = json!([{"key": LEVELS, "value": [text], "version": 1}]);
        let reply = patch(&app.instance, &changes).send().await;
        tells_nothing_of(&reply, last);
        reply.problem(400, "secret_like_value");
    }
    assert!(places(&app.db.pool(), last).await.is_empty());
    let path = format!("{CONFIG}/{LEVELS}");
    assert_eq!(crate::config::get(&app.instance, &path).await.ok()["value"], json!([]));
}
