//! Every way of writing ends in the same function: a rule that is tightened binds them all, at once.

use serde_json::json;

use super::{document, import, one, put, reset};
use crate::{
    settings::{COOLDOWN, PER_DAY, entries, psql, stored},
    support::{Instance, TestApp},
};

#[tokio::test]
async fn a_tightened_rule_applies_to_put_delete_patch_and_import() {
    let app = TestApp::new().await;
    put(&app.instance, COOLDOWN, json!({"value": 20, "version": 1})).send().await.ok();
    // Nobody has told this one of anything; 25 was fine when it last looked, and so was the default.
    let deaf = Instance::builder(app.db.pool()).without_listener().start().await;
    let tighten = "update app_global_setting_schema
        set constraints_json = constraints_json || '{\"max\": 24}' where key = 'BRUNE_COOLDOWN_MINUTES'";
    psql(&app.db.owner(), tighten).await.unwrap();
    let before = stored(&app).await;
    let reply = put(&deaf, COOLDOWN, json!({"value": 25, "version": 2})).send().await;
    let put_told = reply.problem(422, "validation_failed")["errors"][0].clone();
    let deaf = Instance::builder(app.db.pool()).without_listener().start().await;
    let reply = reset(&deaf, &format!("{COOLDOWN}?reason=a+test&version=2")).send().await;
    let reset_told = reply.problem(422, "validation_failed")["errors"][0].clone();
    let reply = deaf.change(&[(COOLDOWN, json!(25), 2)]).await;
    let patch_told = reply.problem(400, "validation_failed")["errors"][0].clone();
    let text = document(&json!({COOLDOWN: 25}));
    let reply = import(&deaf, "reason=a+test", "application/json", &text).send().await;
    let import_told = reply.problem(400, "validation_failed")["errors"][0].clone();
    for told in [&reset_told, &patch_told, &import_told] {
        for name in ["key", "code", "detail", "constraint"] {
            assert_eq!(told[name], put_told[name], "{name}");
        }
    }
    assert_eq!(put_told["constraint"], json!({"min": 0, "max": 24}));
    assert_eq!(stored(&app).await, before);
}

#[tokio::test]
async fn a_newly_locked_key_is_refused_by_every_write_route() {
    let app = TestApp::new().await;
    let deaf = Instance::builder(app.db.pool()).without_listener().start().await;
    let lock = "update app_global_setting_schema set kind = 'locked', editable = false
        where key = 'BRUNE_COOLDOWN_MINUTES'";
    psql(&app.db.owner(), lock).await.unwrap();
    let before = one(&app.instance, PER_DAY).await;
    put(&deaf, COOLDOWN, json!({"value": 25, "version": 1}))
        .send()
        .await
        .problem(403, "key_locked");
    let deaf = Instance::builder(app.db.pool()).without_listener().start().await;
    let call = reset(&deaf, &format!("{COOLDOWN}?reason=a+test&version=1"));
    call.send().await.problem(403, "key_locked");
    deaf.change(&[(PER_DAY, json!(7), 1), (COOLDOWN, json!(25), 1)])
        .await
        .problem(403, "key_locked");
    assert_eq!(one(&app.instance, PER_DAY).await, before);
    let text = document(&json!({COOLDOWN: 25, PER_DAY: 7}));
    let imported = import(&deaf, "reason=a+test", "application/json", &text).send().await.ok();
    assert_eq!(imported["ignored"], json!([COOLDOWN]));
    assert_eq!(entries(&app.instance, "action=refused").await.len(), 4);
}

#[tokio::test]
async fn a_reset_uses_the_current_default_of_the_catalog() {
    let app = TestApp::new().await;
    let deaf = Instance::builder(app.db.pool()).without_listener().start().await;
    put(&app.instance, COOLDOWN, json!({"value": 20, "version": 1})).send().await.ok();
    let moved = "update app_global_setting_schema set default_json = '15'
        where key = 'BRUNE_COOLDOWN_MINUTES'";
    psql(&app.db.owner(), moved).await.unwrap();
    let body = reset(&deaf, &format!("{COOLDOWN}?reason=a+test&version=2")).send().await.ok();
    assert_eq!((&body["value"], &body["default"]), (&json!(15), &json!(15)));
    assert_eq!(one(&app.instance, COOLDOWN).await["value"], 15);
}
