//! Work is bounded by what was sent: a list that is too long is one fault, whatever stands in it, and what is allowed
//! is carried out whole.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{ALLOWLIST, PATH, ROLLBACK, at, faults, patch, read, rollback, stored};
use crate::{
    config::{export, import},
    support::{TestApp, admin},
};

/// Most changes of one PATCH, as the OpenAPI document states it.
const MOST_CHANGES: usize = 1_000;

/// A catalog of so many whole numbers.
fn catalog(settings: usize) -> String {
    let mut text = "catalog = \"many\"\ndescription = \"For a test.\"\n".to_owned();
    for number in 0..settings {
        let written = write!(
            text,
            "[[setting]]\nkey = \"K_{number:05}\"\ncategory = \"test\"\ntype = \"number\"\ndefault = 1\n\
             applies = \"hot\"\ndescription = \"A number.\"\nconstraints = {{ integer = true }}\n"
        );
        written.unwrap();
    }
    text
}

fn changes(count: usize, value: i64) -> Value {
    (0..count)
        .map(|at| json!({"key": format!("K_{at:05}"), "value": value, "version": 1}))
        .collect()
}

#[tokio::test]
async fn a_patch_with_too_many_changes_is_one_error() {
    let app = TestApp::new().await;
    let before = stored(&app).await;
    let many: Vec<Value> =
        (0..30_000).map(|at| json!({"key": format!("A{at}"), "value": 1})).collect();
    let same = vec![json!({"key": "A1", "value": 1}); 40_000];
    for changes in [many, same, vec![json!(7); MOST_CHANGES + 1]] {
        let problem = patch(&app.instance, &json!(changes)).send().await;
        let problem = problem.problem(400, "malformed_request");
        assert_eq!(faults(&problem), at([("/changes", "too_many_items")]));
        assert_eq!(problem["errors"][0]["constraint"], json!({"max_items": MOST_CHANGES}));
    }
    assert_eq!(stored(&app).await, before);
}

#[tokio::test]
async fn a_patch_with_the_maximum_of_changes_is_stored_or_reports_each_conflict() {
    let app = TestApp::with_catalog(&catalog(MOST_CHANGES)).await;
    let change_reply = patch(&app.instance, &changes(MOST_CHANGES, 2)).send().await.ok();
    assert_eq!(change_reply["changed"].as_array().unwrap().len(), MOST_CHANGES);
    // Every version is stale now.
    let problem = patch(&app.instance, &changes(MOST_CHANGES, 3)).send().await;
    let problem = problem.problem(409, "version_conflict");
    let conflicts = problem["conflicts"].as_array().unwrap();
    assert_eq!(conflicts.len(), MOST_CHANGES);
    for conflict in conflicts {
        let actual = [&conflict["base_value"], &conflict["current_value"], &conflict["your_value"]];
        assert_eq!(actual, [1, 2, 3], "{conflict}");
    }
}

#[tokio::test]
async fn a_duplicate_key_is_reported_at_any_position() {
    let app = TestApp::new().await;
    let change = |key: &str| json!({"key": key, "value": 1, "version": 1});
    let batch = json!([change("A"), change("B"), change("C"), change("B"), change("A")]);
    let problem = patch(&app.instance, &batch).send().await.problem(400, "malformed_request");
    let repeated = ("/changes", "repeated_key");
    assert_eq!(faults(&problem), at([repeated, repeated]));
}

#[tokio::test]
async fn a_list_that_is_too_long_is_one_error() {
    let app = TestApp::new().await;
    let change = json!([{"key": ALLOWLIST, "value": vec![""; 200_000], "version": 1}]);
    let problem = patch(&app.instance, &change).send().await.problem(400, "validation_failed");
    assert_eq!(faults(&problem), at([("/changes/0/value", "wrong_count")]));
}

#[tokio::test]
async fn a_document_with_too_many_settings_is_one_error() {
    let app = TestApp::new().await;
    let lines = |ends: fn(usize) -> String| (0..20_001).map(ends).collect::<String>();
    let yaml = lines(|at| format!("\n  A{at}: 1"));
    let env = lines(|at| format!("A{at}=1\n"));
    let json: serde_json::Map<_, _> = (0..20_001).map(|at| (format!("A{at}"), json!(1))).collect();
    let json = json!({"format_version": 1, "settings": json}).to_string();
    for (media, text) in [
        ("application/json", json),
        ("application/yaml", format!("format_version: 1\nsettings:{yaml}")),
        ("text/plain", env),
    ] {
        let problem = import(&app.instance, "dry_run=true", media, &text).send().await;
        let problem = problem.problem(400, "malformed_request");
        assert_eq!(faults(&problem), at([("/settings", "too_many_items")]), "{media}");
    }
}

#[tokio::test]
async fn a_catalog_larger_than_a_patch_is_exported_imported_and_rolled_back() {
    const SETTINGS: usize = 2_000;
    let app = TestApp::with_catalog(&catalog(SETTINGS)).await;
    let document = export(&app.instance, "json").await;
    let other: Value = serde_json::from_str(&document).unwrap();
    let settings = other["settings"].as_object().unwrap().keys();
    let settings: serde_json::Map<_, _> = settings.map(|key| (key.clone(), json!(2))).collect();
    assert_eq!(settings.len(), SETTINGS);
    let other = json!({"format_version": 1, "catalog": "many", "settings": settings}).to_string();
    let imported = import(&app.instance, "reason=a+test", "application/json", &other).send().await;
    assert_eq!(imported.ok()["changed"].as_array().unwrap().len(), SETTINGS);
    let actual_rollback = json!({"to_revision": 1, "revision": 2});
    let actual_rollback = rollback(&app.instance, ROLLBACK, actual_rollback).send().await.ok();
    assert_eq!(actual_rollback["changed"].as_array().unwrap().len(), SETTINGS);
    let listing = read(&app.instance, PATH).await.ok();
    assert!(listing["settings"].as_array().unwrap().iter().all(|setting| setting["value"] == 1));
}

#[tokio::test]
async fn a_query_with_too_many_parameters_is_one_error() {
    let app = TestApp::new().await;
    let query: Vec<String> = (0..2_000).map(|at| format!("a{at}")).collect();
    let path = format!("{PATH}?{}", query.join("&"));
    let reply = app.instance.get(&path).bearer(&admin("admin-1")).send().await;
    let problem = reply.problem(400, "malformed_request");
    assert_eq!(faults(&problem), at([("?", "too_many_parameters")]));
}
