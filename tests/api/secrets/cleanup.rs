//! Taking out what is left.

use axum::http::StatusCode;
use brune::{
    audit,
    settings::{self, BRUN_E, Catalog},
};
use serde_json::{Value, json};

use super::{clean_up, get, is_stored, seeded, started};
use crate::support::{TestDb, firewall, psql};

const REASON: &str = "provided by the platform now";

async fn the_trail_verifies(db: &TestDb) {
    let (_, breaks) = audit::verify(&db.pool().into()).await.unwrap();
    assert_eq!(breaks, []);
}

#[tokio::test]
async fn a_provided_secret_is_removed_and_the_audit_chain_still_verifies() {
    let db = seeded(&["OPENAI_API_KEY"]).await;
    assert!(is_stored(&db.pool()).await, "the test would show nothing");
    let instance = started(&db, &[("OPENAI_API_KEY", "sk-from-the-environment")]).await;
    let before = get(&instance, "/admin/global-settings").await.ok()["revision"].clone();
    let body = clean_up(&instance, "", json!({"reason": REASON})).await.ok();
    assert_eq!(body, json!({"removed": ["OPENAI_API_KEY"], "kept": [], "dry_run": false}));
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
async fn a_secret_without_another_source_is_kept_and_reported() {
    let db = seeded(&["OPENAI_API_KEY", "INTERNAL_API_KEY"]).await;
    let instance = started(&db, &[("INTERNAL_API_KEY", "an internal key of the platform")]).await;
    let body = clean_up(&instance, "", json!({"reason": REASON})).await.ok();
    let stored = json!([{"name": "OPENAI_API_KEY", "why": "no_environment_source"}]);
    assert_eq!((&body["removed"], &body["kept"]), (&json!(["INTERNAL_API_KEY"]), &stored));
    let actual_body = get(&instance, "/admin/secrets").await.ok();
    let remaining = actual_body["secrets"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|secret| secret["legacy_residue"] == true);
    assert_eq!(
        remaining.map(|secret| secret["name"].clone()).collect::<Vec<_>>(),
        ["OPENAI_API_KEY"]
    );
}

#[tokio::test]
async fn a_secret_provided_by_the_database_is_kept() {
    let db = seeded(&["OPENAI_API_KEY"]).await;
    let rows = brune::secrets::legacy(&db.pool().into()).await.unwrap();
    let environment = brune::config::Environment::default().with_legacy(rows);
    let instance = crate::support::Instance::builder(db.pool())
        .environment(&environment)
        .without_listener()
        .start()
        .await;
    let body = get(&instance, "/admin/secrets").await.ok();
    let key = body["secrets"]
        .as_array()
        .unwrap()
        .iter()
        .find(|secret| secret["name"] == "OPENAI_API_KEY");
    assert_eq!(key.unwrap()["source"], "legacy_db");
    let actual_body = clean_up(&instance, "", json!({"reason": REASON})).await.ok();
    assert_eq!(actual_body["removed"], json!([]));
    assert!(is_stored(&db.pool()).await);
}

#[tokio::test]
async fn a_cleanup_is_repeatable_and_a_dry_run_removes_nothing() {
    let db = seeded(&["OPENAI_API_KEY"]).await;
    let instance = started(&db, &[("OPENAI_API_KEY", "sk-from-the-environment")]).await;
    let tried = clean_up(&instance, "?dry_run=true", json!({"reason": REASON})).await.ok();
    assert_eq!((&tried["removed"], &tried["dry_run"]), (&json!(["OPENAI_API_KEY"]), &json!(true)));
    assert!(is_stored(&db.pool()).await);
    clean_up(&instance, "", json!({"reason": REASON})).await.ok();
    let repeat = clean_up(&instance, "", json!({"reason": REASON})).await.ok();
    assert_eq!(repeat, json!({"removed": [], "kept": [], "dry_run": false}));
    let path = "/admin/global-settings/history?action=secret_cleanup";
    let page = get(&instance, path).await.ok();
    assert_eq!(page["entries"].as_array().unwrap().len(), 1, "what did nothing is not told");
    // Left again, by an older release that still runs: the next version of its key.
    psql::leave_secret(&db.pool(), "JWT_SECRET", super::MARKER).await;
    let body = get(&instance, "/admin/secrets").await.ok();
    let secrets = body["secrets"].as_array().unwrap();
    let secret = secrets.iter().find(|secret| secret["name"] == "JWT_SECRET").unwrap();
    assert_eq!(secret["legacy_residue"], true);
}

#[tokio::test]
async fn only_named_secrets_are_removed_and_an_unknown_name_removes_nothing() {
    let db = seeded(&["OPENAI_API_KEY", "INTERNAL_API_KEY"]).await;
    let variables = [("OPENAI_API_KEY", "sk-one"), ("INTERNAL_API_KEY", "another-of-16-bytes")];
    let instance = started(&db, &variables).await;
    let body = json!({"reason": REASON, "names": ["OPENAI_API_KEY", "BRUNE_PROMPT_ID"]});
    let reply = clean_up(&instance, "", body).await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
    assert_eq!(reply.body["errors"][0]["key"], "BRUNE_PROMPT_ID");
    let body = json!({"reason": REASON, "names": ["OPENAI_API_KEY"]});
    let actual_body = clean_up(&instance, "", body).await.ok();
    assert_eq!(
        (&actual_body["removed"], &actual_body["kept"]),
        (&json!(["OPENAI_API_KEY"]), &json!([]))
    );
    let body = json!({"names": ["INTERNAL_API_KEY"]});
    let reply = clean_up(&instance, "", body).await;
    assert_eq!(reply.body["code"], "reason_required");
    let body = json!({"reason": format!("it was {}", crate::support::SECRET)});
    assert_eq!(clean_up(&instance, "", body).await.body["code"], "secret_like_value");
}

#[tokio::test]
async fn a_catalog_cannot_drop_a_secret_before_its_cleanup() {
    let db = seeded(&["DISCORD_WEBHOOK_URL"]).await;
    psql::delete(&db.pool(), "DISCORD_WEBHOOK_URL").await;
    let text = BRUN_E.replace("DISCORD_WEBHOOK_URL", "SLACK_WEBHOOK_URL");
    let catalog = Catalog::parse(&text).unwrap();
    let publish = async || {
        settings::publish(&db.owner().into(), &catalog, &|_| None, &firewall(), false).await
    };
    let refusal = publish().await.unwrap_err().to_string();
    assert!(refusal.contains("DISCORD_WEBHOOK_URL: the database still has values"), "{refusal}");
    let instance = started(&db, &[("DISCORD_WEBHOOK_URL", "https://hooks.test/1")]).await;
    clean_up(&instance, "", json!({"reason": REASON})).await.ok();
    publish().await.unwrap();
}

#[tokio::test]
async fn postgres_refuses_any_other_change_of_the_audit_table() {
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
        let actual_refusal = sqlx::query(sql).execute(&db.owner()).await.unwrap_err().to_string();
        assert!(actual_refusal.contains(refusal), "{sql}: {actual_refusal}");
    }
    the_trail_verifies(&db).await;
    psql::delete(&pool, "OPENAI_API_KEY").await;
    the_trail_verifies(&db).await;
}
