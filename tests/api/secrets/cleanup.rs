//! Taking out what is left.

use axum::http::StatusCode;
use brune::{
    audit,
    settings::{self, BRUN_E, Catalog},
};
use serde_json::{Value, json};

use super::{clean_up, get, is_stored, seeded, started};
use crate::support::{TestDb, by_hand, firewall};

const REASON: &str = "provided by the platform now";

async fn the_trail_verifies(db: &TestDb) {
    let (_, breaks) = audit::verify(&db.pool().into()).await.unwrap();
    assert_eq!(breaks, []);
}

#[tokio::test]
async fn what_has_another_source_is_removed_from_settings_and_trail_which_still_verifies() {
    let db = seeded(&["OPENAI_API_KEY"]).await;
    assert!(is_stored(&db.pool()).await, "the test would show nothing");
    let instance = started(&db, &[("OPENAI_API_KEY", "sk-from-the-environment")]).await;
    let before = get(&instance, "/admin/global-settings").await.ok()["revision"].clone();
    let done = clean_up(&instance, "", json!({"reason": REASON})).await.ok();
    assert_eq!(done, json!({"removed": ["OPENAI_API_KEY"], "kept": [], "dry_run": false}));
    assert!(!is_stored(&db.pool()).await);
    the_trail_verifies(&db).await;
    let path = "/admin/global-settings/history?action=secret_cleanup";
    let page = get(&instance, path).await.ok();
    let [entry] = page["entries"].as_array().unwrap().as_slice() else { panic!("{page}") };
    assert_eq!((&entry["key"], &entry["reason"]), (&json!("OPENAI_API_KEY"), &json!(REASON)));
    assert_eq!((&entry["old_value"], &entry["new_value"]), (&Value::Null, &Value::Null));
    let after = get(&instance, "/admin/global-settings").await.ok()["revision"].clone();
    assert_eq!(before, after, "no setting was changed");
    // Others go on being changed, and their entries are chained to the redacted ones.
    instance.change(&[("BRUNE_COOLDOWN_MINUTES", json!(31), 1)]).await.ok();
    the_trail_verifies(&db).await;
}

#[tokio::test]
async fn what_has_no_other_source_is_kept_and_named() {
    let db = seeded(&["OPENAI_API_KEY", "INTERNAL_API_KEY"]).await;
    let instance = started(&db, &[("INTERNAL_API_KEY", "an internal key of the platform")]).await;
    let done = clean_up(&instance, "", json!({"reason": REASON})).await.ok();
    let kept = json!([{"name": "OPENAI_API_KEY", "why": "no_environment_source"}]);
    assert_eq!((&done["removed"], &done["kept"]), (&json!(["INTERNAL_API_KEY"]), &kept));
    let told = get(&instance, "/admin/secrets").await.ok();
    let left = told["secrets"].as_array().unwrap().iter().filter(|it| it["legacy_residue"] == true);
    assert_eq!(left.map(|it| it["name"].clone()).collect::<Vec<_>>(), ["OPENAI_API_KEY"]);
}

#[tokio::test]
async fn a_secret_that_comes_from_the_database_itself_is_kept() {
    let db = seeded(&["OPENAI_API_KEY"]).await;
    let rows = brune::secrets::legacy(&db.pool().into()).await.unwrap();
    let environment = brune::config::Environment::default().with_legacy(rows);
    let instance = crate::support::Instance::provided(db.pool(), &environment).await;
    let told = get(&instance, "/admin/secrets").await.ok();
    let key = told["secrets"].as_array().unwrap().iter().find(|it| it["name"] == "OPENAI_API_KEY");
    assert_eq!(key.unwrap()["source"], "legacy_db");
    let done = clean_up(&instance, "", json!({"reason": REASON})).await.ok();
    assert_eq!(done["removed"], json!([]));
    assert!(is_stored(&db.pool()).await);
}

#[tokio::test]
async fn it_is_safe_to_repeat_and_a_dry_run_removes_nothing() {
    let db = seeded(&["OPENAI_API_KEY"]).await;
    let instance = started(&db, &[("OPENAI_API_KEY", "sk-from-the-environment")]).await;
    let tried = clean_up(&instance, "?dry_run=true", json!({"reason": REASON})).await.ok();
    assert_eq!((&tried["removed"], &tried["dry_run"]), (&json!(["OPENAI_API_KEY"]), &json!(true)));
    assert!(is_stored(&db.pool()).await);
    clean_up(&instance, "", json!({"reason": REASON})).await.ok();
    let again = clean_up(&instance, "", json!({"reason": REASON})).await.ok();
    assert_eq!(again, json!({"removed": [], "kept": [], "dry_run": false}));
    let path = "/admin/global-settings/history?action=secret_cleanup";
    let page = get(&instance, path).await.ok();
    assert_eq!(page["entries"].as_array().unwrap().len(), 1, "what did nothing is not told");
    // Left again, by an older release that still runs: the next version of its key.
    by_hand::leave_secret(&db.pool(), "JWT_SECRET", super::MARKER).await;
    let told = get(&instance, "/admin/secrets").await.ok();
    let secrets = told["secrets"].as_array().unwrap();
    let secret = secrets.iter().find(|it| it["name"] == "JWT_SECRET").unwrap();
    assert_eq!(secret["legacy_residue"], true);
}

#[tokio::test]
async fn only_what_is_named_is_removed_and_a_name_that_is_no_secret_removes_nothing() {
    let db = seeded(&["OPENAI_API_KEY", "INTERNAL_API_KEY"]).await;
    let variables = [("OPENAI_API_KEY", "sk-one"), ("INTERNAL_API_KEY", "another-of-16-bytes")];
    let instance = started(&db, &variables).await;
    let body = json!({"reason": REASON, "names": ["OPENAI_API_KEY", "BRUNE_PROMPT_ID"]});
    let reply = clean_up(&instance, "", body).await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
    assert_eq!(reply.body["errors"][0]["key"], "BRUNE_PROMPT_ID");
    let body = json!({"reason": REASON, "names": ["OPENAI_API_KEY"]});
    let done = clean_up(&instance, "", body).await.ok();
    assert_eq!((&done["removed"], &done["kept"]), (&json!(["OPENAI_API_KEY"]), &json!([])));
    let body = json!({"names": ["INTERNAL_API_KEY"]});
    let reply = clean_up(&instance, "", body).await;
    assert_eq!(reply.body["code"], "reason_required");
    let body = json!({"reason": format!("it was {}", crate::support::SECRET)});
    assert_eq!(clean_up(&instance, "", body).await.body["code"], "secret_like_value");
}

#[tokio::test]
async fn a_catalog_that_forgets_a_secret_waits_for_its_cleanup() {
    let db = seeded(&["DISCORD_WEBHOOK_URL"]).await;
    by_hand::delete(&db.pool(), "DISCORD_WEBHOOK_URL").await;
    let text = BRUN_E.replace("DISCORD_WEBHOOK_URL", "SLACK_WEBHOOK_URL");
    let catalog = Catalog::parse(&text).unwrap();
    let publish = async || {
        settings::publish(&db.owner().into(), &catalog, &|_| None, &firewall(), false).await
    };
    let refused = publish().await.unwrap_err().to_string();
    assert!(refused.contains("DISCORD_WEBHOOK_URL: the audit trail still has values"), "{refused}");
    let instance = started(&db, &[("DISCORD_WEBHOOK_URL", "https://hooks.test/1")]).await;
    clean_up(&instance, "", json!({"reason": REASON})).await.ok();
    publish().await.unwrap();
}

#[tokio::test]
async fn postgres_takes_no_other_change_of_the_trail() {
    let db = seeded(&["OPENAI_API_KEY"]).await;
    let pool = db.pool();
    for (sql, refusal) in [
        (
            "update app_global_setting_audit set old_value_json = null, new_value_json = null, salt = null
             where key = 'OPENAI_API_KEY'",
            "has no audit row",
        ),
        (
            "update app_global_setting_audit set new_value_json = null, salt = null
             where key = 'BRUNE_COOLDOWN_MINUTES'",
            "append-only",
        ),
        (
            "update app_global_setting_audit set new_value_json = null, salt = null, reason = 'another'
             where key = 'OPENAI_API_KEY'",
            "append-only",
        ),
        ("delete from app_global_setting_audit where key = 'OPENAI_API_KEY'", "append-only"),
    ] {
        let refused = sqlx::query(sql).execute(&db.owner()).await.unwrap_err().to_string();
        assert!(refused.contains(refusal), "{sql}: {refused}");
    }
    the_trail_verifies(&db).await;
    by_hand::delete(&pool, "OPENAI_API_KEY").await;
    the_trail_verifies(&db).await;
}
