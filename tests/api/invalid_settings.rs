//! Settings made invalid behind the service's back: nothing starts under them, nothing falls over, and it
//! mends.

use axum::http::StatusCode;
use serde_json::{Value, json};
use sqlx::Executor as _;

use crate::support::{Instance, Reply, TestApp, admin, psql, user, wait::wait_until};

/// The keys that a refusal for the settings' sake names, sorted.
#[track_caller]
fn named(reply: Reply) -> Vec<String> {
    assert!(!reply.header("retry-after").is_empty(), "{}", reply.text);
    let problem = reply.problem(503, "config_unavailable");
    let errors = problem["errors"].as_array().unwrap();
    let mut keys: Vec<_> =
        errors.iter().map(|error| error["key"].as_str().unwrap().to_owned()).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

async fn ready(instance: &Instance) -> StatusCode {
    instance.get("/readyz").send().await.status
}

async fn accuses(instance: &Instance) {
    let accuses = async || !instance.settings.is_valid();
    wait_until("the fault is seen", accuses).await;
}

async fn is_sound(instance: &Instance) {
    wait_until("it recovers", async || instance.settings.is_valid()).await;
    assert_eq!(ready(instance).await, StatusCode::OK);
}

/// Changes `key` over whatever revision stands.
async fn mend(instance: &Instance, key: &str, value: Value) -> Value {
    let settings = instance.get("/admin/global-settings").bearer(&admin("root")).send().await;
    let tag = settings.header("etag").to_owned();
    let body = json!({"reason": "mend it", "changes": [{"key": key, "value": value}]});
    let call = instance.patch("/admin/global-settings").bearer(&admin("root"));
    call.header("if-match", &tag).json(&body).send().await.ok()
}

#[tokio::test]
async fn starts_name_every_invalid_key_while_readers_keep_the_last_good_snapshot() {
    let app = TestApp::new().await;
    let deaf = Instance::builder(app.db.pool()).without_listener().start().await;
    psql::set(&app.db.pool(), "BRUNE_SESSION_MAX_MINUTES", "999").await;
    psql::set(&app.db.pool(), "BRUNE_PROMPT_ID", r#""prompt""#).await;
    wait_until("both are seen", async || app.instance.settings.violations().len() == 2).await;
    let keys = ["BRUNE_PROMPT_ID", "BRUNE_SESSION_MAX_MINUTES"];
    assert_eq!(named(app.instance.start_session(&user("ana")).await), keys);
    // An instance that has heard nothing finds it out when it is asked.
    assert_eq!(named(deaf.start_session(&user("ana")).await), keys);

    for instance in [&app.instance, &deaf] {
        assert_eq!(ready(instance).await, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(instance.get("/livez").send().await.status, StatusCode::OK);
        let actual_snapshot = instance.settings.snapshot();
        assert_eq!(actual_snapshot.get_integer("BRUNE_SESSION_MAX_MINUTES"), Ok(30));
        assert_eq!(actual_snapshot.get_string("BRUNE_PROMPT_ID"), Ok("pmpt_brune_default"));
    }
    let verbose = app.instance.get("/readyz?verbose").send().await.text;
    assert_eq!(verbose, "[+]database ok\n[-]settings failed\n[+]listener ok\nnot ready\n");
}

#[tokio::test]
async fn a_patch_repairs_an_invalid_value_and_every_instance_recovers() {
    let app = TestApp::new().await;
    let other = app.another_instance().await;
    psql::set(&app.db.pool(), "BRUNE_SESSION_MAX_MINUTES", "999").await;
    accuses(&app.instance).await;
    accuses(&other).await;
    let change_reply = mend(&other, "BRUNE_SESSION_MAX_MINUTES", json!(20)).await;
    let entry = json!({"key": "BRUNE_SESSION_MAX_MINUTES", "old_value": 999, "new_value": 20, "version": 3});
    assert_eq!(change_reply["changed"], json!([entry]));
    for instance in [&app.instance, &other] {
        instance.wait_for_revision(3).await;
        is_sound(instance).await;
    }
    let session = app.instance.start_session(&user("ana")).await.ok();
    assert_eq!(session["config"]["session_max_minutes"], 20);
}

#[tokio::test]
async fn a_repair_by_sql_is_noticed() {
    let app = TestApp::new().await;
    psql::set(&app.db.pool(), "BRUNE_SESSION_MAX_MINUTES", "0").await;
    accuses(&app.instance).await;
    psql::set(&app.db.pool(), "BRUNE_SESSION_MAX_MINUTES", "1").await;
    is_sound(&app.instance).await;
    let session = app.instance.start_session(&user("ana")).await.ok();
    assert_eq!(session["config"]["session_max_minutes"], 1);
}

#[tokio::test]
async fn a_deleted_setting_is_reported_and_can_be_set_again() {
    let app = TestApp::new().await;
    psql::delete(&app.db.pool(), "BRUNE_SESSION_MAX_MINUTES").await;
    accuses(&app.instance).await;
    assert_eq!(
        named(app.instance.start_session(&user("ana")).await),
        ["BRUNE_SESSION_MAX_MINUTES"]
    );
    let change_reply = mend(&app.instance, "BRUNE_SESSION_MAX_MINUTES", json!(25)).await;
    let entry = json!({"key": "BRUNE_SESSION_MAX_MINUTES", "old_value": null, "new_value": 25, "version": 2});
    assert_eq!(change_reply["changed"], json!([entry]));
    is_sound(&app.instance).await;
    app.instance.start_session(&user("ana")).await.ok();
    assert_eq!(brune::audit::verify(&app.db.pool().into()).await.unwrap().1, []);
}

#[tokio::test]
async fn a_violated_rule_between_two_keys_names_both_and_can_be_repaired() {
    let app = TestApp::new().await;
    psql::set(&app.db.pool(), "BRUNE_OPENAI_REALTIME_MODEL_ALLOWLIST", r#"["other"]"#).await;
    accuses(&app.instance).await;
    let keys = named(app.instance.start_session(&user("ana")).await);
    assert!(keys.contains(&"BRUNE_OPENAI_REALTIME_MODEL".to_owned()), "{keys:?}");
    mend(&app.instance, "BRUNE_OPENAI_REALTIME_MODEL", json!("other")).await;
    is_sound(&app.instance).await;
    assert_eq!(app.instance.start_session(&user("ana")).await.ok()["config"]["model"], "other");
}

#[tokio::test]
async fn a_number_out_of_range_is_refused_by_the_database() {
    let app = TestApp::new().await;
    let sql = "update app_global_settings set value_json = '1e400', version = version + 1
        where key = 'BRUNE_COOLDOWN_MINUTES'";
    let refusal = app.db.pool().execute(sql).await.unwrap_err();
    assert!(refusal.to_string().contains("app_global_settings_is_of_its_type"), "{refusal}");
}

#[tokio::test]
async fn numbers_that_break_a_rule_are_reported_and_can_be_repaired() {
    for number in ["1e299", "30.5", "99999999999999999999", "-1"] {
        let app = TestApp::new().await;
        psql::set(&app.db.pool(), "BRUNE_COOLDOWN_MINUTES", number).await;
        accuses(&app.instance).await;
        let refusal = app.instance.start_session(&user("ana")).await;
        assert_eq!(named(refusal), ["BRUNE_COOLDOWN_MINUTES"], "{number}");
        let actual_snapshot = app.instance.settings.snapshot();
        assert_eq!(actual_snapshot.get_integer("BRUNE_COOLDOWN_MINUTES"), Ok(30), "{number}");
        mend(&app.instance, "BRUNE_COOLDOWN_MINUTES", json!(31)).await;
        is_sound(&app.instance).await;
        app.instance.start_session(&user("ana")).await.ok();
    }
}

#[tokio::test]
async fn a_tightened_rule_invalidates_a_stored_value_until_it_fits() {
    let app = TestApp::new().await;
    let rule = |max: u16| {
        format!(
            "update app_global_setting_schema
             set constraints_json = jsonb_set(constraints_json, '{{max}}', '{max}')
             where key = 'BRUNE_COOLDOWN_MINUTES'"
        )
    };
    psql::run(&app.db.owner(), rule(10)).await;
    accuses(&app.instance).await;
    assert_eq!(named(app.instance.start_session(&user("ana")).await), ["BRUNE_COOLDOWN_MINUTES"]);
    psql::run(&app.db.owner(), rule(60)).await;
    is_sound(&app.instance).await;
    app.instance.start_session(&user("ana")).await.ok();
}

#[tokio::test]
async fn an_unreadable_declaration_is_reported_until_it_is_repaired() {
    let app = TestApp::new().await;
    let deaf = Instance::builder(app.db.pool()).without_listener().start().await;
    let rules = |json: &str| {
        format!(
            "update app_global_setting_schema set constraints_json = '{json}'
             where key = 'BRUNE_PROMPT_VERSION'"
        )
    };
    psql::run(&app.db.owner(), rules(r#"{"regex": "("}"#)).await;
    accuses(&app.instance).await;
    assert_eq!(ready(&app.instance).await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(named(app.instance.start_session(&user("ana")).await), ["BRUNE_PROMPT_VERSION"]);
    // What was written before the declaration went bad is still what readers get.
    assert_eq!(deaf.settings.get_string("BRUNE_PROMPT_VERSION").unwrap(), "1");
    psql::run(&app.db.owner(), rules("{}")).await;
    is_sound(&app.instance).await;
    app.instance.start_session(&user("ana")).await.ok();
}
