//! `/admin/environment`.

use serde_json::{Value, json};

use super::{get, seeded, started};

fn control<'v>(report: &'v Value, name: &str) -> &'v Value {
    report["controls"].as_array().unwrap().iter().find(|control| control["name"] == name).unwrap()
}

#[tokio::test]
async fn an_environment_control_has_its_effective_value_and_source() {
    let db = seeded(&[]).await;
    let with_password = "https://brune:a-password-of-ours@talent.test";
    let variables = [("POSTGRES_PORT", "6543"), ("PORTE_TALENT_BASE_URL", with_password)];
    let instance = started(&db, &variables).await;
    let report = get(&instance, "/admin/environment").await.ok();
    let port = control(&report, "POSTGRES_PORT");
    assert_eq!((&port["value"], &port["source"]), (&json!("6543"), &json!("env")));
    assert_eq!(port["restart_required"], true);
    assert_eq!(control(&report, "PORTE_TALENT_BASE_URL")["value"], "***");
    let mode = control(&report, "NODE_ENV");
    assert_eq!((&mode["value"], &mode["source"]), (&json!("development"), &json!("default")));
    assert_eq!(control(&report, "POSTGRES_HOST")["value"], Value::Null);
    let names = report["controls"].as_array().unwrap().iter().map(|control| &control["name"]);
    assert!(
        !names.into_iter().any(|name| name == "OPENAI_API_KEY" || name == "BRUNE_COOLDOWN_MINUTES")
    );
}

#[tokio::test]
async fn settings_still_in_the_environment_are_drift_without_values() {
    let db = seeded(&[]).await;
    let variables = [("BRUNE_COOLDOWN_MINUTES", "17"), ("BRUNE_MAX_SESSIONS_PER_DAY", "3")];
    let instance = started(&db, &variables).await;
    let report = get(&instance, "/admin/environment").await.ok();
    let drift = json!([
        {"key": "BRUNE_COOLDOWN_MINUTES", "differs": true},
        {"key": "BRUNE_MAX_SESSIONS_PER_DAY", "differs": false},
    ]);
    assert_eq!(report["drift"], drift);
}
