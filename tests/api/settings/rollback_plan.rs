//! `dry_run` of a rollback is a plan: what would change, what was changed since, what would be refused.

use serde_json::{Value, json};

use super::{COOLDOWN, MAX_MINUTES, PER_DAY, ROLLBACK, psql, rollback, stored};
use crate::support::{Instance, Reply, TestApp, admin};

async fn plan(app: &TestApp, target: Value) -> Reply {
    rollback(&app.instance, &format!("{ROLLBACK}?dry_run=true"), target).send().await
}

/// `COOLDOWN` was 30, 45 and is 60, by `bob`; `PER_DAY` was 3 and is 5; revision 4.
async fn lived_in() -> TestApp {
    let app = TestApp::new().await;
    app.instance.change(&[(COOLDOWN, json!(45), 1)]).await.ok();
    app.instance.change(&[(PER_DAY, json!(5), 1)]).await.ok();
    let body =
        json!({"reason": "longer", "changes": [{"key": COOLDOWN, "value": 60, "version": 2}]});
    app.instance.patch(super::PATH).bearer(&admin("bob")).json(&body).send().await.ok();
    app
}

#[tokio::test]
async fn a_rollback_plan_lists_changes_and_later_changes() {
    let app = lived_in().await;
    let before = stored(&app).await;
    let plan = plan(&app, json!({"to_revision": 1, "revision": 4})).await.ok();
    assert_eq!(stored(&app).await, before);
    insta::assert_json_snapshot!(plan, {
        ".changed_since[].changed_at" => "[time]",
        ".unchanged" => "[the seven others]",
    }, @r#"
    {
      "changed": [
        {
          "key": "BRUNE_COOLDOWN_MINUTES",
          "new_value": 30,
          "old_value": 60,
          "version": 4
        },
        {
          "key": "BRUNE_MAX_SESSIONS_PER_DAY",
          "new_value": 3,
          "old_value": 5,
          "version": 3
        }
      ],
      "changed_since": [
        {
          "changed_at": "[time]",
          "changed_by": "bob",
          "key": "BRUNE_COOLDOWN_MINUTES",
          "version": 3
        },
        {
          "changed_at": "[time]",
          "changed_by": "admin-1",
          "key": "BRUNE_MAX_SESSIONS_PER_DAY",
          "version": 2
        }
      ],
      "dry_run": true,
      "ignored": [],
      "refused": [],
      "revision": 5,
      "unchanged": "[the seven others]"
    }
    "#);
}

#[tokio::test]
async fn a_rollback_plan_predicts_the_rollback() {
    let app = lived_in().await;
    let trail = super::entries(&app.instance, &format!("key={COOLDOWN}")).await;
    for target in [
        json!({"key": COOLDOWN, "to_version": 1, "version": 3}),
        json!({"audit_id": trail[0]["id"], "version": 4}),
        json!({"to_revision": 1, "revision": 6}),
    ] {
        let mut planned = plan(&app, target.clone()).await.ok();
        let body = rollback(&app.instance, ROLLBACK, target).send().await.ok();
        assert_eq!(planned["dry_run"], true);
        assert_eq!(planned["refused"], json!([]));
        for member in ["changed_since", "refused"] {
            planned.as_object_mut().unwrap().remove(member);
        }
        planned["dry_run"] = json!(false);
        assert_eq!(planned, body);
    }
}

#[tokio::test]
async fn a_rollback_plan_of_one_key_has_only_that_key() {
    let app = lived_in().await;
    let newest = super::entries(&app.instance, &format!("key={COOLDOWN}")).await[0]["id"].clone();
    for target in [
        json!({"key": COOLDOWN, "to_version": 1, "version": 3}),
        // The change that is undone is one that happened since.
        json!({"audit_id": newest, "version": 3}),
    ] {
        let plan = plan(&app, target).await.ok();
        assert_eq!(plan["changed"].as_array().unwrap().len(), 1);
        let since = plan["changed_since"].as_array().unwrap();
        assert_eq!((since.len(), &since[0]["changed_by"]), (1, &json!("bob")));
        assert_eq!((&since[0]["key"], &since[0]["version"]), (&json!(COOLDOWN), &json!(3)));
    }
}

#[tokio::test]
async fn a_rollback_plan_lists_violations_of_the_current_rules() {
    let app = lived_in().await;
    app.instance.change(&[(MAX_MINUTES, json!(20), 1)]).await.ok();
    let tighten = "update app_global_setting_schema
        set constraints_json = constraints_json || '{\"min\": 4}' where key = 'BRUNE_MAX_SESSIONS_PER_DAY';
        update app_global_setting_schema
        set constraints_json = constraints_json || '{\"min\": 40}' where key = 'BRUNE_COOLDOWN_MINUTES'";
    psql(&app.db.owner(), tighten).await.unwrap();
    let before = stored(&app).await;
    let plan = plan(&app, json!({"to_revision": 1, "revision": 5})).await.ok();
    assert_eq!(stored(&app).await, before);
    assert_eq!((&plan["dry_run"], &plan["revision"]), (&json!(true), &json!(5)));
    assert_eq!(
        plan["refused"],
        json!([
            {"key": COOLDOWN, "code": "out_of_range", "detail": "must be between 40 and 240",
             "constraint": {"min": 40, "max": 240}},
            {"key": PER_DAY, "code": "out_of_range", "detail": "must be between 4 and 20",
             "constraint": {"min": 4, "max": 20}}])
    );
    let since: Vec<_> =
        plan["changed_since"].as_array().unwrap().iter().map(|change| &change["key"]).collect();
    assert_eq!(since, [COOLDOWN, PER_DAY]);
}

#[tokio::test]
async fn a_rollback_plan_has_the_requirements_of_the_rollback() {
    let app = lived_in().await;
    for (target, status, code) in [
        (json!({"to_revision": 1, "revision": 3}), 409, "version_conflict"),
        (json!({"key": COOLDOWN, "to_version": 1, "version": 1}), 409, "version_conflict"),
        (json!({"to_revision": 1}), 428, "version_required"),
        (json!({"to_revision": 9, "revision": 4}), 404, "version_not_found"),
        (json!({"key": "NO_SUCH_KEY", "to_version": 1, "version": 1}), 400, "validation_failed"),
    ] {
        plan(&app, target).await.problem(status, code);
    }
}

#[tokio::test]
async fn a_rejected_rollback_plan_names_the_revision_of_the_database() {
    let app = TestApp::new().await;
    let deaf = Instance::builder(app.db.pool()).without_listener().start().await;
    app.instance.change(&[(COOLDOWN, json!(45), 1)]).await.ok();
    let tighten = "update app_global_setting_schema
        set constraints_json = constraints_json || '{\"min\": 40}' where key = 'BRUNE_COOLDOWN_MINUTES'";
    psql(&app.db.owner(), tighten).await.unwrap();
    // Taken on once, so that the next change is the only one it does not know.
    deaf.change(&[(COOLDOWN, json!(50), 2)]).await.ok();
    app.instance.change(&[(PER_DAY, json!(5), 1)]).await.ok();
    let target = json!({"key": COOLDOWN, "to_version": 1, "version": 3});
    let plan = rollback(&deaf, &format!("{ROLLBACK}?dry_run=true"), target).send().await.ok();
    assert_eq!((plan["refused"].as_array().unwrap().len(), &plan["revision"]), (1, &json!(4)));
}
