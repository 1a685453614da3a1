//! Who changes what has moved meanwhile: told three ways, and nothing is stored.

use serde_json::{Value, json};

use super::{
    ALLOWLIST, COOLDOWN, MAX_MINUTES, MODEL, PATH, PER_DAY, at, faults, patch, stored, value_of,
};
use crate::support::{Instance, Reply, TestApp, admin};

const LARGE: &str = "gpt-realtime-2.1";
const MINI: &str = "gpt-realtime-2.1-mini";

#[tokio::test]
async fn an_outdated_version_is_rejected_with_base_current_and_requested_value() {
    let app = TestApp::new().await;
    app.instance.change(&[(COOLDOWN, json!(45), 1)]).await.ok();
    app.instance.change(&[(COOLDOWN, json!(50), 2)]).await.ok();
    let before = stored(&app).await;
    let changes = json!([
        {"key": MAX_MINUTES, "value": 20, "version": 1},
        {"key": COOLDOWN, "value": 60, "version": 2}]);
    let reply = patch(&app.instance, &changes).header("x-request-id", "late-1").send().await;
    assert_eq!(reply.header("content-type"), "application/problem+json");
    assert_eq!(stored(&app).await, before);
    insta::assert_json_snapshot!(reply.body, {".conflicts[].updated_at" => "[time]"}, @r#"
    {
      "code": "version_conflict",
      "conflicts": [
        {
          "base_value": 45,
          "current_value": 50,
          "current_version": 3,
          "expected_version": 2,
          "key": "BRUNE_COOLDOWN_MINUTES",
          "updated_at": "[time]",
          "updated_by": "admin-1",
          "your_value": 60
        }
      ],
      "detail": "the settings were changed since they were read",
      "instance": "/admin/global-settings",
      "request_id": "late-1",
      "status": 409,
      "title": "Version conflict",
      "type": "/problems/version-conflict"
    }
    "#);
}

#[tokio::test]
async fn every_outdated_key_of_a_batch_is_reported() {
    let app = TestApp::new().await;
    app.instance.change(&[(COOLDOWN, json!(45), 1), (PER_DAY, json!(5), 1)]).await.ok();
    let stale = [(COOLDOWN, json!(60), 1), (MAX_MINUTES, json!(20), 1), (PER_DAY, json!(6), 7)];
    let problem = app.instance.change(&stale).await.problem(409, "version_conflict");
    let conflicts = problem["conflicts"].as_array().unwrap();
    let actual: Vec<_> =
        conflicts.iter().map(|conflict| (&conflict["key"], &conflict["base_value"])).collect();
    // There never was a version 7, so there is no value that it had.
    assert_eq!(actual, [(&json!(COOLDOWN), &json!(30)), (&json!(PER_DAY), &Value::Null)]);
}

#[tokio::test]
async fn a_version_that_the_key_never_had_is_outdated() {
    let app = TestApp::new().await;
    app.instance.change(&[(COOLDOWN, json!(45), 1)]).await.ok();
    app.instance.change(&[(PER_DAY, json!(5), 2)]).await.problem(409, "version_conflict");
    for version in [i64::from(i32::MAX), i64::from(i32::MAX) + 1, (1 << 53) - 1] {
        let reply = app.instance.change(&[(PER_DAY, json!(5), version)]).await;
        reply.problem(409, "version_conflict");
    }
    assert_eq!(value_of(&app, PER_DAY).await, (json!(3), 1));
}

#[tokio::test]
async fn an_outdated_version_is_a_conflict_even_for_the_current_value() {
    let app = TestApp::new().await;
    app.instance.change(&[(COOLDOWN, json!(45), 1)]).await.ok();
    app.instance.change(&[(COOLDOWN, json!(45), 1)]).await.problem(409, "version_conflict");
}

#[tokio::test]
async fn a_change_without_version_or_revision_is_rejected() {
    let app = TestApp::new().await;
    let before = stored(&app).await;
    let changes = json!([
        {"key": COOLDOWN, "value": 45},
        {"key": PER_DAY, "value": 5, "version": 1},
        {"key": MAX_MINUTES, "value": 20, "version": null}]);
    let problem = patch(&app.instance, &changes).send().await.problem(428, "version_required");
    let expected = at([
        ("/changes/0/version", "version_required"),
        ("/changes/2/version", "version_required"),
    ]);
    assert_eq!(faults(&problem), expected);
    // Any revision would do for `*`, so it protects nobody's change.
    let any = patch(&app.instance, &changes).header("if-match", "*").send().await;
    any.problem(428, "version_required");
    assert_eq!(stored(&app).await, before);
}

async fn if_match(instance: &Instance, tag: &str, changes: &Value) -> Reply {
    patch(instance, changes).header("if-match", tag).send().await
}

#[tokio::test]
async fn the_current_revision_suffices_without_versions() {
    let app = TestApp::new().await;
    let changes = json!([{"key": COOLDOWN, "value": 45}, {"key": PER_DAY, "value": 5}]);
    let change_reply = if_match(&app.instance, "\"r1\"", &changes).await.ok();
    assert_eq!(change_reply["revision"], 2);
    let one_of_two = json!([{"key": COOLDOWN, "value": 50, "version": 2}]);
    if_match(&app.instance, "\"r1\", \"r2\"", &one_of_two).await.ok();
}

#[tokio::test]
async fn an_outdated_revision_is_rejected_in_spite_of_current_versions() {
    let app = TestApp::new().await;
    app.instance.change(&[(PER_DAY, json!(5), 1)]).await.ok();
    let before = stored(&app).await;
    for change in [
        json!([{"key": COOLDOWN, "value": 45}]),
        json!([{"key": COOLDOWN, "value": 45, "version": 1}]),
        json!([{"key": COOLDOWN, "value": 45, "version": 9}]),
        json!([{"key": COOLDOWN, "value": 30}]),
    ] {
        for tag in ["\"r1\"", "\"r3\"", "W/\"r2\"", "\"v2\"", "\"\""] {
            let problem = if_match(&app.instance, tag, &change).await;
            let problem = problem.problem(412, "revision_mismatch");
            assert_eq!(problem["current_revision"], 2, "{tag}");
        }
    }
    assert_eq!(stored(&app).await, before);
}

#[tokio::test]
async fn an_outdated_version_is_rejected_in_spite_of_the_current_revision() {
    let app = TestApp::new().await;
    let changes = json!([{"key": COOLDOWN, "value": 45, "version": 2}]);
    if_match(&app.instance, "\"r1\"", &changes).await.problem(409, "version_conflict");
}

#[tokio::test]
async fn exactly_one_of_two_writers_of_a_version_succeeds() {
    let app = TestApp::new().await;
    let other = app.another_instance().await;
    for version in 1..=25 {
        let one = json!(100 + version);
        let two = json!(200 - version);
        let one = [(COOLDOWN, one, version)];
        let two = [(COOLDOWN, two, version)];
        let (one, two) = tokio::join!(app.instance.change(&one), other.change(&two));
        let mut statuses = [one.status.as_u16(), two.status.as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409], "{} {}", one.text, two.text);
        assert_eq!(value_of(&app, COOLDOWN).await.1, version + 1);
    }
}

/// Each changes one of two keys that a rule ties together, so that no version of either is stale.
#[tokio::test]
async fn two_writers_cannot_together_violate_a_rule_between_keys() {
    let app = TestApp::new().await;
    let other = app.another_instance().await;
    let mut list = 1;
    let mut model = 1;
    for _ in 0..25 {
        let dropped = [(ALLOWLIST, json!([LARGE]), list)];
        let chosen = [(MODEL, json!(MINI), model)];
        let (dropped, chosen) = tokio::join!(app.instance.change(&dropped), other.change(&chosen));
        let mut statuses = [dropped.status.as_u16(), chosen.status.as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 400], "{} {}", dropped.text, chosen.text);
        (list, model) = (value_of(&app, ALLOWLIST).await.1, value_of(&app, MODEL).await.1);
        let rollback = [(ALLOWLIST, json!([LARGE, MINI]), list), (MODEL, json!(LARGE), model)];
        app.instance.change(&rollback).await.ok();
        (list, model) = (value_of(&app, ALLOWLIST).await.1, value_of(&app, MODEL).await.1);
    }
}

#[tokio::test]
async fn a_tightened_rule_is_enforced_by_an_instance_with_an_old_snapshot() {
    let app = TestApp::new().await;
    let deaf = Instance::builder(app.db.pool()).without_listener().start().await;
    let tighten = "update app_global_setting_schema
        set constraints_json = constraints_json || '{\"max\": 60}' where key = 'BRUNE_COOLDOWN_MINUTES'";
    super::psql(&app.db.owner(), tighten).await.unwrap();
    let before = stored(&app).await;
    deaf.change(&[(COOLDOWN, json!(61), 1)]).await.problem(400, "validation_failed");
    assert_eq!(stored(&app).await, before);
    deaf.change(&[(COOLDOWN, json!(60), 1)]).await.ok();
    let reply = deaf.get(&format!("{PATH}/{COOLDOWN}")).bearer(&admin("a")).send().await.ok();
    assert_eq!(reply["constraints"]["max"], 60);
}
