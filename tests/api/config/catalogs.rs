//! Other products' catalogs: nothing but a file, and the service is theirs.

use brune::settings::{Catalog, Named};
use serde_json::{Value, json};

use super::{CONFIG, export, get, one, plan, put};
use crate::support::{TestApp, user};

const MCP_GATEWAY: &str = include_str!("../../../config/mcp-gateway.toml");
const NEXUS: &str = include_str!("../../../config/nexus.toml");

async fn listed(app: &TestApp) -> Vec<Value> {
    let listing = get(&app.instance, CONFIG).await.ok();
    listing["entries"].as_array().unwrap().clone()
}

async fn holds(text: &str, key: &str, old: Value, new: Value, locked: &[&str]) {
    let app = TestApp::of(text).await;
    let catalog = Catalog::parse(text).unwrap();
    let all = listed(&app).await;
    assert_eq!(all.len(), catalog.schema.all().count());
    for entry in &all {
        let key = entry["key"].as_str().unwrap();
        let is_locked = !matches!(catalog.schema.classify(key), Named::Editable(_));
        assert_eq!(
            (&entry["locked"], entry["value"].is_null()),
            (&json!(is_locked), is_locked),
            "{key}"
        );
    }
    for key in locked {
        let reply = put(&app.instance, key, json!({"value": "x", "version": 1})).send().await;
        reply.problem(403, "key_locked");
        assert_eq!(one(&app.instance, key).await["locked"], true);
    }
    assert_eq!(one(&app.instance, key).await["value"], old);
    let written = put(&app.instance, key, json!({"value": new, "version": 1})).send().await.ok();
    assert_eq!(written["value"], new);
    let exported = export(&app.instance, "json").await;
    let exported: Value = serde_json::from_str(&exported).unwrap();
    assert_eq!((&exported["catalog"], &exported["settings"][key]), (&json!(catalog.name), &new));
    for key in locked {
        assert!(exported["settings"].get(key).is_none(), "{key}");
    }
    for (format, media) in super::FORMATS {
        let told = plan(&app.instance, media, &export(&app.instance, format).await).await;
        let same = catalog.schema.editable().count();
        assert_eq!(told["counts"], json!({"same": same}), "{format}");
    }
}

#[tokio::test]
async fn the_mcp_gateway_runs_on_its_catalog() {
    let locked = ["JWT_SECRET_KEY", "AUTH_REQUIRED", "DATABASE_URL", "REDIS_URL"];
    holds(MCP_GATEWAY, "CACHE_TTL", json!(300), json!(60), &locked).await;
}

#[tokio::test]
async fn nexus_runs_on_its_catalog() {
    let locked =
        ["AI_API_KEY", "DALLE_API_KEY", "GEMINI_API_KEY", "SMTP_PASSWORD", "ANONYMIZATION_SEED"];
    holds(NEXUS, "AI_PROVIDER", json!("openai"), json!("gemini"), &locked).await;
}

#[tokio::test]
async fn a_session_does_not_start_where_its_settings_are_not_declared_and_the_keys_are_named() {
    for text in [MCP_GATEWAY, NEXUS] {
        let app = TestApp::of(text).await;
        let problem = app.instance.start(&user("u-1")).await.problem(503, "config_unavailable");
        let keys: Vec<_> = problem["errors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["key"].as_str().unwrap())
            .collect();
        for key in brune::sessions::KEYS {
            assert!(keys.contains(&key), "{key}: {problem}");
        }
    }
}

#[tokio::test]
async fn a_document_of_another_catalog_is_refused() {
    let app = TestApp::of(NEXUS).await;
    let text = super::document(&json!({"AI_PROVIDER": "gemini"}));
    for query in ["dry_run=true", "reason=a+test"] {
        let call = super::import(&app.instance, query, "application/json", &text);
        let problem = call.send().await.problem(400, "validation_failed");
        let expected = crate::settings::at([("/catalog", "other_catalog")]);
        assert_eq!(crate::settings::faults(&problem), expected);
        assert!(problem["detail"].as_str().unwrap().contains("nexus"), "{problem}");
    }
}
