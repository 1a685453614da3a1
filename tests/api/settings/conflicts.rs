//! Who changes what has moved meanwhile: told three ways, and nothing is stored.

use serde_json::{Value, json};

use super::{
    ALLOWLIST, COOLDOWN, MAX_MINUTES, MODEL, PATH, PER_DAY, at, faults, patch, stored, value_of,
};
use crate::support::{Instance, Reply, TestApp, admin};

const LARGE: &str = "gpt-realtime-2.1";
const MINI: &str = "gpt-realtime-2.1-mini";

#[tokio::test]
async fn a_stale_version_changes_nothing_and_is_told_three_ways() {
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
async fn every_stale_key_of_a_batch_is_told() {
    let app = TestApp::new().await;
    app.instance.change(&[(COOLDOWN, json!(45), 1), (PER_DAY, json!(5), 1)]).await.ok();
    let stale = [(COOLDOWN, json!(60), 1), (MAX_MINUTES, json!(20), 1), (PER_DAY, json!(6), 7)];
    let problem = app.instance.change(&stale).await.problem(409, "version_conflict");
    let conflicts = problem["conflicts"].as_array().unwrap();
    let told: Vec<_> = conflicts.iter().map(|it| (&it["key"], &it["base_value"])).collect();
    // There never was a version 7, so there is no value that it had.
    assert_eq!(told, [(&json!(COOLDOWN), &json!(30)), (&json!(PER_DAY), &Value::Null)]);
}

#[tokio::test]
async fn a_version_of_another_key_is_a_stale_one() {
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
async fn a_stale_version_is_a_conflict_even_where_the_value_already_stands() {
    let app = TestApp::new().await;
    app.instance.change(&[(COOLDOWN, json!(45), 1)]).await.ok();
    app.instance.change(&[(COOLDOWN, json!(45), 1)]).await.problem(409, "version_conflict");
}

#[tokio::test]
async fn a_change_without_a_version_and_without_a_revision_is_refused() {
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
async fn the_current_revision_is_enough() {
    let app = TestApp::new().await;
    let changes = json!([{"key": COOLDOWN, "value": 45}, {"key": PER_DAY, "value": 5}]);
    let changed = if_match(&app.instance, "\"r1\"", &changes).await.ok();
    assert_eq!(changed["revision"], 2);
    let one_of_two = json!([{"key": COOLDOWN, "value": 50, "version": 2}]);
    if_match(&app.instance, "\"r1\", \"r2\"", &one_of_two).await.ok();
}

#[tokio::test]
async fn a_revision_that_is_not_current_is_refused_whatever_the_versions_say() {
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
async fn a_matching_revision_does_not_excuse_a_stale_version() {
    let app = TestApp::new().await;
    let changes = json!([{"key": COOLDOWN, "value": 45, "version": 2}]);
    if_match(&app.instance, "\"r1\"", &changes).await.problem(409, "version_conflict");
}

#[tokio::test]
async fn of_two_writers_of_one_version_exactly_one_wins() {
    let app = TestApp::new().await;
    let other = app.another().await;
    for version in 1..=25 {
        let (one, two) = (json!(100 + version), json!(200 - version));
        let (one, two) = ([(COOLDOWN, one, version)], [(COOLDOWN, two, version)]);
        let (one, two) = tokio::join!(app.instance.change(&one), other.change(&two));
        let mut statuses = [one.status.as_u16(), two.status.as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409], "{} {}", one.text, two.text);
        assert_eq!(value_of(&app, COOLDOWN).await.1, version + 1);
    }
}

/// Each changes one of two keys that a rule ties together, so that no version of either is stale.
#[tokio::test]
async fn two_writers_of_tied_settings_can_never_both_win() {
    let app = TestApp::new().await;
    let other = app.another().await;
    let (mut list, mut model) = (1, 1);
    for _ in 0..25 {
        let (dropped, chosen) =
            ([(ALLOWLIST, json!([LARGE]), list)], [(MODEL, json!(MINI), model)]);
        let (dropped, chosen) = tokio::join!(app.instance.change(&dropped), other.change(&chosen));
        let mut statuses = [dropped.status.as_u16(), chosen.status.as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 400], "{} {}", dropped.text, chosen.text);
        (list, model) = (value_of(&app, ALLOWLIST).await.1, value_of(&app, MODEL).await.1);
        let back = [(ALLOWLIST, json!([LARGE, MINI]), list), (MODEL, json!(LARGE), model)];
        app.instance.change(&back).await.ok();
        (list, model) = (value_of(&app, ALLOWLIST).await.1, value_of(&app, MODEL).await.1);
    }
}

#[tokio::test]
async fn a_rule_that_was_tightened_meanwhile_holds_for_an_instance_that_did_not_hear_of_it() {
    let app = TestApp::new().await;
    let deaf = Instance::deaf(app.db.pool()).await;
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
