//! The acceptance scenarios of the configuration epic, user stories 1 to 4, each a test named after it.

use brune::{
    app,
    config::Environment,
    secret_scanner::SecretScanner,
    settings::{BRUN_E, Catalog, PublishPlan},
};
use serde_json::{Value, json};
use sqlx::PgPool;

use super::{CONFIG, FORMATS, WORD, classes, export, get, import, one, plan, put};
use crate::{
    settings::{COOLDOWN, MAX_MINUTES, PER_DAY, entries, stored},
    support::{Instance, TestApp, TestDb},
};

/// What the service does with its database when it starts where `.env` stands.
async fn start(db: &TestDb, dotenv: &str) -> Result<PublishPlan, app::Error> {
    let nothing: [(&str, &str); 0] = [];
    let environment = Environment::from_pairs(nothing).with_dotenv(dotenv);
    app::migrate(
        &db.owner().into(),
        &Catalog::parse(BRUN_E).unwrap(),
        &environment,
        &SecretScanner::default(),
    )
    .await
    .map(|(published, _)| published)
}

async fn head(pool: &PgPool) -> (Option<String>, i64) {
    let sql = "select catalog, revision from app_global_setting_head";
    sqlx::query_as(sql).fetch_one(pool).await.unwrap()
}

#[tokio::test]
async fn story_1_first_startup_with_an_existing_dotenv_file() {
    let db = TestDb::new().await;
    assert_eq!(head(&db.pool()).await, (None, 0));
    let dotenv = format!(
        "# ours\nexport {COOLDOWN}=45\nBRUNE_PROMPT_ID=\"pmpt_ours\"\nJWT_SECRET={WORD}\n\
         BRUNE_ELIGIBILITY_ALLOWED_LEVELS=gold, silver\nBRUNE_ELIGIBILITY_REQUIRE_PLAN=false\nOTHER=1\n"
    );
    start(&db, &dotenv).await.unwrap();
    // Marked as initialised: the catalog has its name, and the settings their first revision.
    assert_eq!(head(&db.pool()).await, (Some("brun-e".to_owned()), 1));
    let instance = Instance::builder(db.pool()).start().await;
    for (key, value) in [
        (COOLDOWN, json!(45)),
        ("BRUNE_PROMPT_ID", json!("pmpt_ours")),
        ("BRUNE_ELIGIBILITY_ALLOWED_LEVELS", json!(["gold", "silver"])),
        ("BRUNE_ELIGIBILITY_REQUIRE_PLAN", json!(false)),
        (MAX_MINUTES, json!(30)),
    ] {
        let setting = one(&instance, key).await;
        assert_eq!((&setting["value"], &setting["source"]), (&value, &json!("db")), "{key}");
    }
    let trail = entries(&instance, "action=seed").await;
    let of = |key: &str| trail.iter().find(|entry| entry["key"] == key).unwrap()["reason"].clone();
    assert_eq!(of(COOLDOWN), "env_import: initial value, from .env");
    assert_eq!(of(MAX_MINUTES), "initial value, from the catalog default");
    // A secret among the lines stays where it is.
    let all = format!("{trail:?}{}", get(&instance, CONFIG).await.text);
    assert!(!all.contains(WORD));
    assert_eq!(instance.settings.get_number(COOLDOWN).unwrap().to_string(), "45");
}

#[tokio::test]
async fn story_1_invalid_values_stop_the_first_start_all_of_them_named() {
    let db = TestDb::new().await;
    let dotenv = format!(
        "{COOLDOWN}=soon\n{PER_DAY}=0\n{MAX_MINUTES}=-\nBRUNE_ELIGIBILITY_REQUIRE_PLAN=no\nBRUNE_PROMPT_ID={WORD}\n"
    );
    let text = start(&db, &dotenv).await.unwrap_err().to_string();
    for key in [COOLDOWN, PER_DAY, MAX_MINUTES, "BRUNE_ELIGIBILITY_REQUIRE_PLAN", "BRUNE_PROMPT_ID"]
    {
        assert!(text.contains(&format!("{key} (.env): ")), "{key}: {text}");
    }
    assert!(!text.contains(WORD), "{text}");
    assert_eq!(head(&db.pool()).await, (None, 0));
}

#[tokio::test]
async fn story_1_startup_with_an_existing_configuration_database() {
    let db = TestDb::new().await;
    start(&db, &format!("{COOLDOWN}=45\n")).await.unwrap();
    let instance = Instance::builder(db.pool()).start().await;
    instance.change(&[(COOLDOWN, json!(50), 1)]).await.ok();
    let before = head(&db.pool()).await;
    let repeat = start(&db, &format!("{COOLDOWN}=99\n{PER_DAY}=7\n")).await.unwrap();
    assert!(repeat.is_empty(), "{repeat:?}");
    // Not even an invalid one is looked at.
    assert!(start(&db, &format!("{COOLDOWN}=nonsense\n")).await.unwrap().is_empty());
    assert_eq!(head(&db.pool()).await, before);
    let fresh = Instance::builder(db.pool()).start().await;
    assert_eq!(one(&fresh, COOLDOWN).await["value"], 50);
    assert_eq!(one(&fresh, PER_DAY).await["value"], 3);
}

#[tokio::test]
async fn story_2_update_configuration_via_api() {
    let app = TestApp::new().await;
    let other = app.another_instance().await;
    let reply = put(&app.instance, COOLDOWN, json!({"value": 45, "version": 1})).send().await;
    assert_eq!(reply.header("etag"), "\"v2\"");
    let updated = reply.ok();
    assert_eq!((&updated["value"], &updated["version"]), (&json!(45), &json!(2)));
    // Persisted, and on every instance within 30 seconds: by notification, since these do not poll.
    other.wait_for_revision(2).await;
    assert_eq!(other.reloads("poll", "taken").await, 0);
    assert_eq!(other.settings.get_number(COOLDOWN).unwrap().to_string(), "45");
    assert_eq!(one(&other, COOLDOWN).await["value"], 45);
    let audit = get(&other, &format!("{CONFIG}/audit?key={COOLDOWN}&limit=1")).await.ok();
    let entry = &audit["entries"][0];
    for (name, value) in [
        ("action", json!("update")),
        ("old_value", json!(30)),
        ("new_value", json!(45)),
        ("version", json!(2)),
        ("changed_by", json!("admin-1")),
        ("reason", json!("a test")),
        ("revision", json!(2)),
    ] {
        assert_eq!(entry[name], value, "{name}");
    }
}

#[tokio::test]
async fn story_3_attempt_to_modify_locked_configuration() {
    let app = TestApp::new().await;
    let before = stored_settings(&app).await;
    for key in ["JWT_SECRET", "LOG_LEVEL"] {
        let call = put(&app.instance, key, json!({"value": WORD, "version": 1}));
        let reply = call.header("x-request-id", "attempt-1").send().await;
        assert!(!reply.text.contains(WORD), "{}", reply.text);
        reply.problem(403, "key_locked");
    }
    assert_eq!(stored_settings(&app).await, before);
    let trail = entries(&app.instance, "action=refused").await;
    assert_eq!(trail.len(), 2);
    for (entry, key) in trail.iter().zip(["LOG_LEVEL", "JWT_SECRET"]) {
        assert_eq!((&entry["key"], &entry["changed_by"]), (&json!(key), &json!("admin-1")));
        assert_eq!(entry["request_id"], "attempt-1");
        assert_eq!((&entry["old_value"], &entry["new_value"]), (&Value::Null, &Value::Null));
    }
}

async fn stored_settings(app: &TestApp) -> Value {
    get(&app.instance, CONFIG).await.ok()
}

#[tokio::test]
async fn story_3_configuration_type_validation() {
    let app = TestApp::new().await;
    let before = stored(&app).await;
    for (key, value, expected, constraint) in [
        (COOLDOWN, json!("45"), "an integer", json!({"type": "number"})),
        (COOLDOWN, json!(241), "240", json!({"min": 0, "max": 240})),
        (
            "BRUNE_ELIGIBILITY_REQUIRE_PLAN",
            json!("no"),
            "true or false",
            json!({"type": "boolean"}),
        ),
        (
            "BRUNE_ELIGIBILITY_ALLOWED_LEVELS",
            json!("a"),
            "a list of strings",
            json!({"type": "string_array"}),
        ),
    ] {
        let reply = put(&app.instance, key, json!({"value": value, "version": 1})).send().await;
        let problem = reply.problem(422, "validation_failed");
        let fault = &problem["errors"][0];
        let detail = fault["detail"].as_str().unwrap();
        assert!(detail.contains(expected), "{key} {value}: {detail}");
        assert_eq!((&fault["pointer"], &fault["key"]), (&json!("/value"), &json!(key)));
        assert_eq!(fault["constraint"], constraint, "{key} {value}");
    }
    assert_eq!(stored(&app).await, before);
}

#[tokio::test]
async fn story_4_export_current_configuration() {
    let app = TestApp::new().await;
    app.instance.change(&[(COOLDOWN, json!(45), 1)]).await.ok();
    let reply = get(&app.instance, &format!("{CONFIG}/export")).await;
    assert_eq!(reply.header("content-type"), "application/json");
    assert_eq!(reply.header("content-disposition"), "attachment; filename=\"brun-e-r2.json\"");
    let document = reply.ok();
    let names: Vec<_> = document.as_object().unwrap().keys().collect();
    assert_eq!(
        names,
        ["catalog", "exported_at", "format_version", "revision", "settings", "source"]
    );
    assert_eq!(document["format_version"], 1);
    assert_eq!((&document["catalog"], &document["revision"]), (&json!("brun-e"), &json!(2)));
    let at = document["exported_at"].as_str().unwrap();
    assert!(chrono::DateTime::parse_from_rfc3339(at).is_ok(), "{at}");
    let settings = document["settings"].as_object().unwrap();
    assert_eq!((settings.len(), &settings[COOLDOWN]), (9, &json!(45)));
    assert!(!settings.contains_key("JWT_SECRET") && !settings.contains_key("LOG_LEVEL"));
}

#[tokio::test]
async fn story_4_import_configuration_set() {
    for (format, media) in FORMATS {
        let origin = TestApp::new().await;
        let target = TestApp::new().await;
        origin.instance.change(&[(COOLDOWN, json!(45), 1), (PER_DAY, json!(7), 1)]).await.ok();
        // Revision 1 of the target is revision 1 of the document; what came after is a conflict.
        target.instance.change(&[(PER_DAY, json!(9), 1)]).await.ok();
        let mut text = export(&origin.instance, format).await;
        for spelt in ["\"revision\": ", "revision: ", "revision="] {
            text = text.replacen(&format!("{spelt}2"), &format!("{spelt}1"), 1);
        }
        let before = stored(&target).await;
        let import_plan = plan(&target.instance, media, &text).await;
        assert!(classes(&import_plan).contains(&(COOLDOWN, "change")), "{import_plan}");
        assert!(classes(&import_plan).contains(&(PER_DAY, "conflict")), "{import_plan}");
        let counts = json!({"change": 1, "conflict": 1, "same": 7});
        assert_eq!(import_plan["counts"], counts, "{format}");
        assert_eq!(stored(&target).await, before, "a dry run stores nothing");
        let call = import(&target.instance, "reason=from+staging", media, &text);
        let problem = call.send().await.problem(409, "version_conflict");
        assert_eq!(problem["conflicts"][0]["key"], PER_DAY);
        assert_eq!(
            stored(&target).await,
            before,
            "conflicts are reported before anything is applied"
        );
        let query = "reason=from+staging&on_conflict=overwrite";
        import(&target.instance, query, media, &text).send().await.ok();
        assert_eq!(one(&target.instance, COOLDOWN).await["value"], 45);
        assert_eq!(one(&target.instance, PER_DAY).await["value"], 7);
    }
}
