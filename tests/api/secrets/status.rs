//! Whether secrets are provided.

use axum::http::StatusCode;
use serde_json::Value;

use super::{MARKER, get, seeded, started};
use crate::support::{TestApp, user};

/// The status of `name`.
fn of<'v>(secrets: &'v Value, name: &str) -> &'v Value {
    let all = secrets["secrets"].as_array().unwrap();
    all.iter().find(|secret| secret["name"] == name).unwrap()
}

#[tokio::test]
async fn each_secret_has_presence_source_and_a_hint() {
    let db = seeded(&[]).await;
    let file = std::env::temp_dir().join(format!("brune-secret-{}", uuid::Uuid::new_v4()));
    std::fs::write(&file, format!("{MARKER}-in-a-file\n")).unwrap();
    let path = file.to_str().unwrap();
    let variables = [("OPENAI_API_KEY", MARKER), ("INTERNAL_API_KEY_FILE", path)];
    let instance = started(&db, &variables).await;
    std::fs::remove_file(&file).unwrap();
    let reply = get(&instance, "/admin/secrets").await;
    assert!(!reply.text.contains(MARKER), "{}", reply.text);
    let body = reply.ok();
    let names: Vec<_> = body["secrets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|secret| secret["name"].as_str().unwrap())
        .collect();
    let all = [
        "ALERT_WEBHOOK_SECRET",
        "ALERT_WEBHOOK_URL",
        "DISCORD_WEBHOOK_URL",
        "INTERNAL_API_KEY",
        "JWT_SECRET",
        "OPENAI_API_KEY",
        "POSTGRES_PASSWORD",
    ];
    assert_eq!(names, all);
    let key = of(&body, "OPENAI_API_KEY");
    assert_eq!((&key["present"], &key["source"]), (&true.into(), &"env".into()));
    assert_eq!(
        (&key["variable"], &key["file_variable"]),
        (&"OPENAI_API_KEY".into(), &"OPENAI_API_KEY_FILE".into())
    );
    assert_eq!((&key["required"], &key["restart_required"]), (&false.into(), &true.into()));
    assert_eq!(key["legacy_residue"], false);
    assert!(key["how_to"].as_str().unwrap().contains("OPENAI_API_KEY_FILE"), "{key}");
    assert!(key["used_for"].as_str().unwrap().contains("realtime provider"), "{key}");
    assert_eq!(of(&body, "INTERNAL_API_KEY")["source"], "file");
    let none = of(&body, "DISCORD_WEBHOOK_URL");
    assert_eq!((&none["present"], &none["source"]), (&false.into(), &"none".into()));
}

#[tokio::test]
async fn a_secret_is_required_as_the_catalog_declares() {
    let db = seeded(&[]).await;
    let instance = started(&db, &[("NODE_ENV", "production")]).await;
    let body = get(&instance, "/admin/secrets").await.ok();
    assert_eq!(of(&body, "JWT_SECRET")["required"], true);
    assert_eq!(of(&body, "DISCORD_WEBHOOK_URL")["required"], false);
}

#[tokio::test]
async fn a_secret_left_in_the_database_is_reported_and_never_shown() {
    let db = seeded(&["OPENAI_API_KEY"]).await;
    let instance = started(&db, &[]).await;
    let body = get(&instance, "/admin/secrets").await.ok();
    let key = of(&body, "OPENAI_API_KEY");
    assert_eq!(key["legacy_residue"], true);
    assert!(key["how_to"].as_str().unwrap().contains("brune secrets cleanup"), "{key}");
    assert_eq!(of(&body, "JWT_SECRET")["legacy_residue"], false);
    let history = "/admin/global-settings/history";
    let page = get(&instance, &format!("{history}?key=OPENAI_API_KEY")).await.ok();
    let entries = page["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 2, "the changes are told");
    for entry in entries {
        assert_eq!((&entry["old_value"], &entry["new_value"]), (&Value::Null, &Value::Null));
    }
    for path in [
        "/admin/secrets",
        "/admin/environment",
        "/admin/global-settings",
        "/admin/global-settings?revision=2",
        "/admin/global-settings/history",
        "/admin/config",
        "/admin/config/OPENAI_API_KEY",
        "/admin/config/audit",
        "/admin/config/schema",
        "/admin/config/export?format=json",
        "/admin/config/export?format=yaml",
        "/admin/config/export?format=env",
        "/metrics",
    ] {
        let text = get(&instance, path).await.text;
        assert!(!text.contains(MARKER), "{path}: {text}");
    }
    assert!(instance.settings.snapshot().find("OPENAI_API_KEY").is_none(), "kept in memory");
}

#[tokio::test]
async fn the_secret_status_requires_a_super_admin() {
    let app = TestApp::new().await;
    for path in ["/admin/secrets", "/admin/environment"] {
        let reply = app.instance.get(path).bearer(&user("ana")).send().await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN);
        let reply = app.instance.get(path).send().await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
    }
}
