//! Other products' catalogs: nothing but a file, and the service is theirs.

use brune::settings::{BRUN_E, Catalog, KeyClass};
use serde_json::{Value, json};

use super::{CONFIG, export, get, one, plan, put};
use crate::settings::COOLDOWN;
use crate::support::{
    FAST_PACE, Instance, Reply, TestApp, admin, psql,
    receiver::{QUICK, Receiver},
    user,
};

const MCP_GATEWAY: &str = include_str!("../../../config/mcp-gateway.toml");
const NEXUS: &str = include_str!("../../../config/nexus.toml");

async fn listed(app: &TestApp) -> Vec<Value> {
    let listing = get(&app.instance, CONFIG).await.ok();
    listing["entries"].as_array().unwrap().clone()
}

async fn holds(text: &str, key: &str, old: Value, new: Value, locked: &[&str]) {
    let app = TestApp::with_catalog(text).await;
    let catalog = Catalog::parse(text).unwrap();
    let all = listed(&app).await;
    assert_eq!(all.len(), catalog.schema.all().count());
    for entry in &all {
        let key = entry["key"].as_str().unwrap();
        let is_locked = !matches!(catalog.schema.classify(key), KeyClass::Editable(_));
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
        let import_plan = plan(&app.instance, media, &export(&app.instance, format).await).await;
        let same = catalog.schema.editable().count();
        assert_eq!(import_plan["counts"], json!({"same": same}), "{format}");
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
async fn a_catalog_without_session_settings_disables_the_session_routes() {
    for (text, name, key, value) in [
        (MCP_GATEWAY, "mcp-gateway", "CACHE_TTL", json!(60)),
        (NEXUS, "nexus", "AI_PROVIDER", json!("gemini")),
    ] {
        let receiver = Receiver::new().await;
        let mut app = TestApp::with_catalog(text).await;
        app.instance = Instance::builder(app.db.own_pool().await)
            .alerts(&receiver.as_webhook())
            .pace(FAST_PACE)
            .start()
            .await;
        let instance = &app.instance;
        let no_sessions = |reply: Reply| {
            let problem = reply.problem(404, "not_found");
            let detail = problem["detail"].as_str().unwrap();
            assert!(detail.contains(name) && detail.contains("sessions"), "{detail}");
        };
        no_sessions(instance.start_session(&user("u-1")).await);
        let id = "0198e5a0-0000-7000-8000-000000000000";
        for path in [
            format!("/brun-e/sessions/{id}"),
            "/admin/sessions".to_owned(),
            "/admin/sessions/pins".to_owned(),
            format!("/admin/sessions/{id}"),
        ] {
            no_sessions(get(instance, &path).await);
        }
        for path in [
            format!("/brun-e/sessions/{id}/end"),
            format!("/admin/sessions/{id}/end"),
            "/admin/proposals/1/rollout/end-sessions".to_owned(),
        ] {
            no_sessions(instance.post(&path).bearer(&admin("ada")).send().await);
        }
        let me = get(instance, "/admin/me").await.ok();
        assert_eq!((&me["catalog"], &me["sessions"]), (&json!(name), &json!(false)));
        let metrics = instance.get("/metrics").send().await.text;
        // The requests of this test are counted by their routes all the same.
        let series = metrics.lines().filter(|line| !line.contains("http_route="));
        let speaking: Vec<_> = series.filter(|line| speaks_of_sessions(line)).collect();
        assert!(speaking.is_empty(), "{speaking:?}");
        assert!(!metrics.contains("realtime"), "{metrics}");
        let document = instance.get("/openapi.json").send().await.ok();
        let paths: Vec<_> = document["paths"].as_object().unwrap().keys().collect();
        assert!(
            !paths.iter().any(|path| path.contains("session") || path.contains("brun-e")),
            "{paths:?}"
        );
        let schemas = document["components"]["schemas"].as_object().unwrap();
        let remaining: Vec<_> = schemas.keys().filter(|key| speaks_of_sessions(key)).collect();
        assert!(remaining.is_empty(), "{remaining:?}");
        assert!(schemas.contains_key("Problem"), "{document}");
        let tags = document["tags"].as_array().unwrap();
        assert!(tags.iter().all(|tag| tag["name"] != "sessions"), "{tags:?}");
        app.instance.change(&[(key, value, 1)]).await.ok();
        app.instance.start_delivery(QUICK);
        let event = receiver.takes(1).await.remove(0);
        assert_eq!(event["data"]["revision"], 2);
        assert!(event["data"].get("sessions_on_older_settings").is_none(), "{event}");
    }
}

fn speaks_of_sessions(text: &str) -> bool {
    text.to_lowercase().contains("session")
}

#[tokio::test]
async fn session_routes_follow_the_declarations_in_the_database() {
    let app = TestApp::new().await;
    app.instance.start_session(&user("u-1")).await.ok();
    let me = get(&app.instance, "/admin/me").await.ok();
    assert_eq!(me["sessions"], true);
    // Another release's catalog calls one of the nine settings otherwise.
    psql::delete(&app.db.pool(), COOLDOWN).await;
    app.publish(&BRUN_E.replace(COOLDOWN, "BRUNE_PAUSE_MINUTES")).await;
    // What is read for an administrator is read with the declarations of the database.
    get(&app.instance, "/admin/global-settings").await.ok();
    let problem = get(&app.instance, "/admin/sessions").await.problem(404, "not_found");
    assert!(problem["detail"].as_str().unwrap().contains("1 of the 9"), "{problem}");
    psql::delete(&app.db.pool(), "BRUNE_PAUSE_MINUTES").await;
    app.publish(BRUN_E).await;
    get(&app.instance, "/admin/global-settings").await.ok();
    let listing = get(&app.instance, "/admin/sessions").await.ok();
    assert_eq!(listing["sessions"].as_array().unwrap().len(), 1);
}
