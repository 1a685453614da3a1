//! What an import would do, told before anything is done.

use serde_json::{Value, json};

use super::{WORD, classes, document, import, plan};
use crate::{
    settings::{ALLOWLIST, COOLDOWN, MAX_MINUTES, MODEL, PER_DAY, entries, stored},
    support::{Instance, TestApp, psql as sql},
};

const JSON: &str = "application/json";

fn entry<'p>(plan: &'p Value, key: &str) -> &'p Value {
    plan["entries"].as_array().unwrap().iter().find(|entry| entry["key"] == key).unwrap()
}

#[tokio::test]
async fn a_plan_classifies_every_entry_and_counts_the_classes() {
    let app = TestApp::new().await;
    app.instance.change(&[(PER_DAY, json!(9), 1)]).await.ok();
    let mut text: Value = serde_json::from_str(&document(&json!({
        COOLDOWN: 45, MAX_MINUTES: 30, PER_DAY: 7, "JWT_SECRET": WORD, "LOG_LEVEL": WORD,
        "NO_SUCH_KEY": WORD, "BRUNE_PROMPT_ID": WORD,
    })))
    .unwrap();
    text["revision"] = json!(1);
    let before = stored(&app).await;
    let import_plan = plan(&app.instance, JSON, &text.to_string()).await;
    assert_eq!(
        classes(&import_plan),
        [
            (COOLDOWN, "change"),
            (PER_DAY, "conflict"),
            ("BRUNE_PROMPT_ID", "invalid"),
            (MAX_MINUTES, "same"),
            ("JWT_SECRET", "locked"),
            ("LOG_LEVEL", "locked"),
            ("NO_SUCH_KEY", "unknown"),
        ]
    );
    let counts =
        json!({"change": 1, "same": 1, "conflict": 1, "locked": 2, "unknown": 1, "invalid": 1});
    assert_eq!((&import_plan["counts"], &import_plan["base_revision"]), (&counts, &json!(2)));
    let change = entry(&import_plan, COOLDOWN);
    assert_eq!((&change["current"], &change["imported"]), (&json!(30), &json!(45)));
    let detail = entry(&import_plan, PER_DAY)["detail"].as_str().unwrap();
    assert!(detail.starts_with("changed here by admin-1 at "), "{detail}");
    assert!(!import_plan.to_string().contains(WORD), "{import_plan}");
    assert_eq!(stored(&app).await, before, "not even a trace of the locked ones");
}

#[tokio::test]
async fn a_document_without_a_revision_has_no_conflicts() {
    let app = TestApp::new().await;
    app.instance.change(&[(PER_DAY, json!(9), 1)]).await.ok();
    let text = document(&json!({PER_DAY: 7}));
    assert_eq!(classes(&plan(&app.instance, JSON, &text).await), [(PER_DAY, "change")]);
}

#[tokio::test]
async fn a_plan_compares_with_changes_that_the_instance_has_not_heard_of() {
    let app = TestApp::new().await;
    let deaf = Instance::builder(app.db.pool()).without_listener().start().await;
    let text = document(&json!({COOLDOWN: 30, PER_DAY: 9}));
    let text = text.replacen('{', "{\"revision\": 1, ", 1);
    app.instance.change(&[(COOLDOWN, json!(45), 1), (PER_DAY, json!(9), 1)]).await.ok();
    let import_plan = plan(&deaf, JSON, &text).await;
    assert_eq!(classes(&import_plan), [(COOLDOWN, "conflict"), (PER_DAY, "same")]);
    assert_eq!(entry(&import_plan, COOLDOWN)["current"], 45);
    assert_eq!(import_plan["base_revision"], 2);
}

#[tokio::test]
async fn a_deleted_setting_conflicts_with_a_document_from_before_its_last_value() {
    let app = TestApp::new().await;
    app.instance.change(&[(PER_DAY, json!(9), 1)]).await.ok();
    sql::delete(&app.db.owner(), PER_DAY).await;
    for (revision, class) in [(1, "conflict"), (2, "change")] {
        let text = document(&json!({COOLDOWN: 30, PER_DAY: 7}));
        let text = text.replacen('{', &format!("{{\"revision\": {revision}, "), 1);
        let import_plan = plan(&app.instance, JSON, &text).await;
        assert_eq!(classes(&import_plan), [(COOLDOWN, "same"), (PER_DAY, class)], "{revision}");
        assert_eq!(entry(&import_plan, PER_DAY)["current"], Value::Null);
    }
}

#[tokio::test]
async fn a_rule_between_two_keys_is_checked_on_the_result_of_the_import() {
    let app = TestApp::new().await;
    let mini = "gpt-realtime-2.1-mini";
    for (settings, expected) in [
        // The model of the document is on no list.
        (json!({MODEL: "other"}), vec![(MODEL, "invalid")]),
        // The list leaves out the model that stands, and the document says nothing of that.
        (json!({ALLOWLIST: [mini]}), vec![(ALLOWLIST, "invalid")]),
        (
            json!({ALLOWLIST: [mini], MODEL: "other"}),
            vec![(MODEL, "invalid"), (ALLOWLIST, "change")],
        ),
        (json!({ALLOWLIST: [mini], MODEL: mini}), vec![(MODEL, "change"), (ALLOWLIST, "change")]),
    ] {
        let text = document(&settings);
        let import_plan = plan(&app.instance, JSON, &text).await;
        assert_eq!(classes(&import_plan), expected, "{settings}");
        let invalid = expected.iter().any(|(_, class)| *class == "invalid");
        let applied = import(&app.instance, "reason=a+test", JSON, &text).send().await;
        if invalid {
            applied.problem(400, "validation_failed");
        } else {
            applied.ok();
        }
    }
}

#[tokio::test]
async fn equal_plans_have_equal_ids() {
    let app = TestApp::new().await;
    let id = async |text: &str| plan(&app.instance, JSON, text).await["plan_id"].clone();
    let one = document(&json!({COOLDOWN: 45}));
    let other = document(&json!({COOLDOWN: 46}));
    let first = id(&one).await;
    assert_eq!(id(&one).await, first);
    assert_ne!(id(&other).await, first);
    app.instance.change(&[(PER_DAY, json!(9), 1)]).await.ok();
    assert_ne!(id(&one).await, first);
    assert_eq!(entries(&app.instance, "action=import").await, Vec::<Value>::new());
}
