//! Going back, forward: an earlier value becomes a new version under today's rules.

use serde_json::{Value, json};

use super::{
    ALLOWLIST, COOLDOWN, MODEL, PER_DAY, ROLLBACK, at, entries, faults, psql, rollback, set_by_sql,
    stored, value_of,
};
use crate::support::{Reply, TestApp};

async fn to(app: &TestApp, target: Value) -> Reply {
    rollback(&app.instance, ROLLBACK, target).send().await
}

/// `COOLDOWN` was 30, 45 and is 60; `PER_DAY` was 3 and is 5; revision 4.
async fn lived_in() -> TestApp {
    let app = TestApp::new().await;
    app.instance.change(&[(COOLDOWN, json!(45), 1)]).await.ok();
    app.instance.change(&[(COOLDOWN, json!(60), 2)]).await.ok();
    app.instance.change(&[(PER_DAY, json!(5), 1)]).await.ok();
    app
}

async fn tighten(app: &TestApp) {
    let sql = "update app_global_setting_schema
        set constraints_json = constraints_json || '{\"min\": 40}' where key = 'BRUNE_COOLDOWN_MINUTES'";
    psql(&app.db.owner(), sql).await.unwrap();
}

#[tokio::test]
async fn a_rollback_of_a_key_creates_a_new_version() {
    let app = lived_in().await;
    let reply = to(&app, json!({"key": COOLDOWN, "to_version": 1, "version": 3})).await;
    assert_eq!(reply.header("etag"), "\"r5\"");
    assert_eq!(
        reply.ok(),
        json!({"revision": 5, "dry_run": false, "unchanged": [], "ignored": [], "changed": [
            {"key": COOLDOWN, "old_value": 60, "new_value": 30, "version": 4}]})
    );
    let newest = &entries(&app.instance, "").await[0];
    assert_eq!((&newest["action"], &newest["reason"]), (&json!("rollback"), &json!("back again")));
    assert_eq!((&newest["old_value"], &newest["new_value"]), (&json!(60), &json!(30)));
    assert_eq!((&newest["revision"], &newest["version"]), (&json!(5), &json!(4)));
}

#[tokio::test]
async fn an_audit_entry_is_undone_by_its_id() {
    let app = lived_in().await;
    let trail = entries(&app.instance, &format!("key={COOLDOWN}")).await;
    let to_60 = trail[0]["id"].clone();
    let to_45 = trail[1]["id"].clone();
    to(&app, json!({"audit_id": to_60, "version": 3})).await.ok();
    assert_eq!(value_of(&app, COOLDOWN).await, (json!(45), 4));
    to(&app, json!({"audit_id": to_45, "version": 4})).await.ok();
    assert_eq!(value_of(&app, COOLDOWN).await, (json!(30), 5));
}

#[tokio::test]
async fn a_rollback_to_a_revision_is_one_change_set() {
    let app = lived_in().await;
    let change_reply = to(&app, json!({"to_revision": 2, "revision": 4})).await.ok();
    assert_eq!(
        change_reply["changed"],
        json!([
            {"key": COOLDOWN, "old_value": 60, "new_value": 45, "version": 4},
            {"key": PER_DAY, "old_value": 5, "new_value": 3, "version": 3}])
    );
    assert_eq!(change_reply["revision"], 5);
    assert_eq!(change_reply["unchanged"].as_array().unwrap().len(), 7);
    let listed = |query: &'static str| super::read(&app.instance, query);
    let then = listed("/admin/global-settings?revision=2").await.ok();
    let now = listed("/admin/global-settings").await.ok();
    let values = |listing: &Value| -> Vec<Value> {
        listing["settings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|setting| setting["value"].clone())
            .collect()
    };
    assert_eq!(values(&then), values(&now));
    assert_eq!(entries(&app.instance, "action=rollback").await.len(), 2);
}

#[tokio::test]
async fn a_rollback_to_equal_values_changes_nothing() {
    let app = lived_in().await;
    let before = stored(&app).await;
    let change_reply = to(&app, json!({"to_revision": 4, "revision": 4})).await.ok();
    assert_eq!((&change_reply["revision"], &change_reply["changed"]), (&json!(4), &json!([])));
    to(&app, json!({"key": COOLDOWN, "to_version": 3, "version": 3})).await.ok();
    assert_eq!(stored(&app).await, before);
}

#[tokio::test]
async fn a_rollback_is_checked_against_the_current_rules() {
    let app = lived_in().await;
    tighten(&app).await;
    let before = stored(&app).await;
    let seed = entries(&app.instance, &format!("key={COOLDOWN}&action=update")).await[1].clone();
    for target in [
        json!({"key": COOLDOWN, "to_version": 1, "version": 3}),
        json!({"audit_id": seed["id"], "version": 3}),
        json!({"to_revision": 1, "revision": 4}),
    ] {
        let problem = to(&app, target).await.problem(400, "validation_failed");
        let errors = problem["errors"].as_array().unwrap();
        assert_eq!((errors.len(), &errors[0]["key"]), (1, &json!(COOLDOWN)));
        assert_eq!(errors[0]["constraint"], json!({"min": 40, "max": 240}));
    }
    assert_eq!(stored(&app).await, before);
    to(&app, json!({"key": COOLDOWN, "to_version": 2, "version": 3})).await.ok();
}

#[tokio::test]
async fn a_rollback_is_checked_against_rules_between_keys() {
    let app = TestApp::new().await;
    let mini = "gpt-realtime-2.1-mini";
    app.instance.change(&[(MODEL, json!(mini), 1), (ALLOWLIST, json!([mini]), 1)]).await.ok();
    let target = json!({"key": MODEL, "to_version": 1, "version": 2});
    let problem = to(&app, target).await.problem(400, "validation_failed");
    assert_eq!(problem["errors"][0]["constraint"], json!({"member_of": ALLOWLIST}));
    // Both together may go back.
    to(&app, json!({"to_revision": 1, "revision": 2})).await.ok();
    assert_eq!(value_of(&app, MODEL).await.0, "gpt-realtime-2.1");
}

#[tokio::test]
async fn a_rollback_repairs_an_invalid_value() {
    let app = lived_in().await;
    set_by_sql(&app.db.pool(), COOLDOWN, &json!(999)).await.unwrap();
    to(&app, json!({"key": COOLDOWN, "to_version": 3, "version": 4})).await.ok();
    assert_eq!(value_of(&app, COOLDOWN).await, (json!(60), 5));
    set_by_sql(&app.db.pool(), COOLDOWN, &json!(-1)).await.unwrap();
    to(&app, json!({"to_revision": 2, "revision": 7})).await.ok();
    assert_eq!(value_of(&app, COOLDOWN).await, (json!(45), 7));
    app.instance.wait_for_revision(8).await;
    assert!(app.instance.settings.is_valid());
}

#[tokio::test]
async fn a_rollback_to_an_unknown_version_is_404() {
    let app = lived_in().await;
    let before = stored(&app).await;
    to(&app, json!({"key": "JWT_SECRET", "to_version": 1, "version": 1}))
        .await
        .problem(403, "key_locked");
    let refusal = entries(&app.instance, "action=refused").await[0]["id"].clone();
    let seeded =
        entries(&app.instance, &format!("key={COOLDOWN}&action=seed")).await[0]["id"].clone();
    assert_ne!(stored(&app).await, before);
    let before = stored(&app).await;
    for target in [
        json!({"key": COOLDOWN, "to_version": 4, "version": 3}),
        json!({"key": COOLDOWN, "to_version": 9_007_199_254_740_991_i64, "version": 3}),
        json!({"audit_id": "00000000-0000-4000-8000-000000000000", "version": 3}),
        json!({"audit_id": refusal, "version": 3}),
        json!({"audit_id": seeded, "version": 3}),
        json!({"to_revision": 5, "revision": 4}),
    ] {
        to(&app, target).await.problem(404, "version_not_found");
    }
    assert_eq!(stored(&app).await, before);
}

#[tokio::test]
async fn a_rollback_with_an_outdated_version_or_revision_is_a_conflict() {
    let app = lived_in().await;
    let before = stored(&app).await;
    let newest = entries(&app.instance, &format!("key={COOLDOWN}")).await[0].clone();
    for target in [
        json!({"key": COOLDOWN, "to_version": 1, "version": 2}),
        json!({"audit_id": newest["id"], "version": 2}),
        json!({"to_revision": 1, "revision": 2}),
    ] {
        let problem = to(&app, target).await.problem(409, "version_conflict");
        let conflict = &problem["conflicts"][0];
        assert_eq!((&conflict["key"], &conflict["base_value"]), (&json!(COOLDOWN), &json!(45)));
        assert_eq!(
            (&conflict["current_value"], &conflict["current_version"]),
            (&json!(60), &json!(3))
        );
        assert_eq!(conflict["expected_version"], 2);
    }
    let problem =
        to(&app, json!({"to_revision": 1, "revision": 2})).await.problem(409, "version_conflict");
    assert_eq!(problem["conflicts"].as_array().unwrap().len(), 2);
    assert_eq!(stored(&app).await, before);
}

#[tokio::test]
async fn a_rollback_requires_the_current_version_or_revision() {
    let app = lived_in().await;
    let before = stored(&app).await;
    let newest = entries(&app.instance, &format!("key={COOLDOWN}")).await[0].clone();
    for (target, member) in [
        (json!({"key": COOLDOWN, "to_version": 1}), "/version"),
        (json!({"audit_id": newest["id"]}), "/version"),
        (json!({"to_revision": 1}), "/revision"),
    ] {
        let problem = to(&app, target.clone()).await.problem(428, "version_required");
        assert_eq!(faults(&problem), at([(member, "version_required")]), "{target}");
        let stale = rollback(&app.instance, ROLLBACK, target.clone()).header("if-match", "\"r3\"");
        stale.send().await.problem(412, "revision_mismatch");
    }
    assert_eq!(stored(&app).await, before);
    let target = json!({"key": COOLDOWN, "to_version": 1});
    rollback(&app.instance, ROLLBACK, target).header("if-match", "\"r4\"").send().await.ok();
}

#[tokio::test]
async fn a_rollback_requires_exactly_one_target() {
    let app = lived_in().await;
    let before = stored(&app).await;
    for target in [
        json!({}),
        json!({"key": COOLDOWN, "version": 3}),
        json!({"to_version": 1, "version": 3}),
        json!({"key": COOLDOWN, "to_version": 1, "to_revision": 1, "version": 3}),
        json!({"key": COOLDOWN, "to_version": "1", "version": 3}),
        json!({"key": COOLDOWN, "to_version": 1.5, "version": 3}),
        json!({"key": COOLDOWN, "to_version": -1, "version": 3}),
        json!({"audit_id": "not-an-id", "version": 3}),
        json!({"audit_id": 7, "version": 3}),
        json!({"to_revision": 1, "revision": 4, "version": 3}),
        json!({"to_revision": 1, "revision": 4, "key": COOLDOWN}),
        json!({"to_revision": null, "revision": 4}),
    ] {
        to(&app, target).await.problem(400, "malformed_request");
    }
    let target = json!({"key": "NO_SUCH_KEY", "to_version": 1, "version": 1});
    let problem = to(&app, target).await.problem(400, "validation_failed");
    assert_eq!(faults(&problem), at([("/key", "unknown_key")]));
    assert_eq!(stored(&app).await, before);
}

#[tokio::test]
async fn a_rollback_restores_a_deleted_key_with_the_next_version() {
    let app = lived_in().await;
    let delete = "begin;
        delete from app_global_settings where key = 'BRUNE_COOLDOWN_MINUTES';
        insert into app_global_setting_audit (key, action, old_value_json, changed_by, reason, changed_at)
          values ('BRUNE_COOLDOWN_MINUTES', 'update', '60', 'psql', 'by hand', now());
        commit";
    psql(&app.db.pool(), delete).await.unwrap();
    to(&app, json!({"to_revision": 4, "revision": 5})).await.ok();
    assert_eq!(value_of(&app, COOLDOWN).await, (json!(60), 4));
    psql(&app.db.pool(), delete).await.unwrap();
    app.instance.change(&[(COOLDOWN, json!(45), 4)]).await.ok();
    assert_eq!(value_of(&app, COOLDOWN).await, (json!(45), 5));
}
