//! Reading: what is listed, what is found, and what is told of a locked key.

use serde_json::{Value, json};

use super::{CONFIG, get, one, put};
use crate::{
    settings::{COOLDOWN, at, faults, read},
    support::{TestApp, user},
};

fn keys(listing: &Value) -> Vec<&str> {
    listing["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["key"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn the_list_has_every_key_and_hides_the_values_of_locked_keys() {
    let app = TestApp::new().await;
    let reply = get(&app.instance, CONFIG).await;
    assert_eq!(reply.header("etag"), "\"r1\"");
    let listing = reply.ok();
    assert_eq!(listing["revision"], 1);
    let actual_listing = keys(&listing);
    assert!(actual_listing.is_sorted() && actual_listing.len() == 40, "{actual_listing:?}");
    for entry in listing["entries"].as_array().unwrap() {
        let key = &entry["key"];
        let locked = entry["locked"].as_bool().unwrap();
        assert_eq!(entry["editable"], !locked, "{key}");
        assert_eq!(entry["value"].is_null(), locked, "{key}");
        if locked {
            let source = entry["source"].as_str().unwrap();
            assert!(["default", "none"].contains(&source), "{key} {source}");
            assert_eq!(entry["applies"], "restart");
            assert!(entry.get("default").is_none() && entry.get("version").is_none(), "{key}");
        }
    }
}

#[tokio::test]
async fn search_and_category_filters_are_combined() {
    let app = TestApp::new().await;
    for (query, expected) in [
        ("search=cooldown", vec![COOLDOWN]),
        ("search=CooLDown", vec![COOLDOWN]),
        (
            "search=BRUNE_PROMPT&category=brune_prompt",
            vec!["BRUNE_PROMPT_ID", "BRUNE_PROMPT_VERSION"],
        ),
        ("category=brune_prompt", vec!["BRUNE_PROMPT_ID", "BRUNE_PROMPT_VERSION"]),
        (
            "search=webhook",
            vec![
                "ALERT_EVENTS",
                "ALERT_WEBHOOK_SECRET",
                "ALERT_WEBHOOK_URL",
                "DISCORD_WEBHOOK_URL",
            ],
        ),
        ("search=jwt", vec!["JWT_SECRET"]),
        ("search=webhook+for+alerts", vec!["DISCORD_WEBHOOK_URL"]),
        ("search=cooldown&category=brune_prompt", vec![]),
        ("category=nonsense", vec![]),
        ("search=%25", vec![]),
    ] {
        let listing = get(&app.instance, &format!("{CONFIG}?{query}")).await.ok();
        assert_eq!(keys(&listing), expected, "{query}");
    }
}

#[tokio::test]
async fn one_key_equals_its_entry_in_the_batch_route_and_has_its_own_etag() {
    let app = TestApp::new().await;
    put(&app.instance, COOLDOWN, json!({"value": 45, "version": 1})).send().await.ok();
    let path = format!("{CONFIG}/{COOLDOWN}");
    let reply = get(&app.instance, &path).await;
    assert_eq!(reply.header("etag"), "\"v2\"");
    let mut body = reply.ok();
    assert_eq!(body["locked"], false);
    body.as_object_mut().unwrap().remove("locked");
    let batch = read(&app.instance, &format!("{}/{COOLDOWN}", crate::settings::PATH)).await.ok();
    assert_eq!(body, batch);
    let connections = app.instance.get(&path).bearer(&crate::support::admin("a"));
    let connections = connections.header("if-none-match", "\"v2\"").send().await;
    assert_eq!((connections.status.as_u16(), connections.text.as_str()), (304, ""));
    let secret = one(&app.instance, "OPENAI_API_KEY").await;
    assert_eq!((&secret["locked"], &secret["value"]), (&json!(true), &Value::Null));
    get(&app.instance, &format!("{CONFIG}/NO_SUCH_KEY")).await.problem(404, "unknown_key");
    get(&app.instance, &format!("{CONFIG}/brune_cooldown_minutes"))
        .await
        .problem(404, "unknown_key");
}

#[tokio::test]
async fn an_unknown_query_parameter_is_rejected_on_every_route() {
    let app = TestApp::new().await;
    for path in ["", "/export", "/audit", "/schema", "/BRUNE_COOLDOWN_MINUTES"] {
        let reply = get(&app.instance, &format!("{CONFIG}{path}?nonsense=1")).await;
        let problem = reply.problem(400, "malformed_request");
        assert_eq!(faults(&problem), at([("?nonsense", "unknown_parameter")]), "{path}");
    }
    let odd = format!("{COOLDOWN}?nonsense=1");
    let body = json!({"value": 45, "version": 1});
    put(&app.instance, &odd, body).send().await.problem(400, "malformed_request");
    let odd = format!("{COOLDOWN}?version=1&reason=a+test&nonsense=1");
    super::reset(&app.instance, &odd).send().await.problem(400, "malformed_request");
    let call = super::import(&app.instance, "nonsense=1", "text/plain", "A=1");
    call.send().await.problem(400, "malformed_request");
    let reply = get(&app.instance, &format!("{CONFIG}/export?format=xml")).await;
    reply.problem(400, "malformed_request");
}

#[tokio::test]
async fn the_audit_route_returns_the_history_in_pages() {
    let app = TestApp::new().await;
    put(&app.instance, COOLDOWN, json!({"value": 45, "version": 1})).send().await.ok();
    for query in ["limit=3", "key=BRUNE_COOLDOWN_MINUTES", "action=update&changed_by=admin-1"] {
        let audit = get(&app.instance, &format!("{CONFIG}/audit?{query}")).await.ok();
        let history = format!("{}?{query}", crate::settings::HISTORY);
        assert_eq!(audit, read(&app.instance, &history).await.ok(), "{query}");
    }
    let first = get(&app.instance, &format!("{CONFIG}/audit?limit=3")).await.ok();
    let cursor = first["next_cursor"].as_str().unwrap();
    let next = get(&app.instance, &format!("{CONFIG}/audit?limit=3&cursor={cursor}")).await.ok();
    assert_ne!(first["entries"], next["entries"]);
}

#[tokio::test]
async fn every_route_requires_a_super_administrator() {
    let app = TestApp::new().await;
    for path in ["", "/export", "/audit", "/schema", "/BRUNE_COOLDOWN_MINUTES"] {
        let path = format!("{CONFIG}{path}");
        app.instance.get(&path).send().await.problem(401, "unauthorized");
        app.instance.get(&path).bearer(&user("u-1")).send().await.problem(403, "forbidden");
    }
    let call = app.instance.post(super::IMPORT).bearer(&user("u-1")).text("{}");
    call.send().await.problem(403, "forbidden");
}

#[tokio::test]
async fn exported_settings_satisfy_the_json_schema() {
    let app = TestApp::new().await;
    let reply = get(&app.instance, &format!("{CONFIG}/schema")).await;
    assert_eq!(reply.header("content-type"), "application/schema+json");
    let schema = reply.ok();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema["additionalProperties"], false);
    let exported = get(&app.instance, &format!("{CONFIG}/export")).await.ok();
    let settings = exported["settings"].as_object().unwrap();
    let properties = schema["properties"].as_object().unwrap();
    let required: Vec<_> = schema["required"].as_array().unwrap().iter().collect();
    assert_eq!(settings.keys().collect::<Vec<_>>(), properties.keys().collect::<Vec<_>>());
    assert_eq!(required, settings.keys().collect::<Vec<_>>());
    for (key, value) in settings {
        let kind = match value {
            Value::Bool(_) => "boolean",
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            _ => "array",
        };
        assert_eq!(properties[key]["type"], kind, "{key}");
        assert_eq!(properties[key]["default"], *value, "{key}");
    }
    let cooldown = &properties[COOLDOWN];
    assert_eq!((&cooldown["minimum"], &cooldown["maximum"]), (&json!(0), &json!(240)));
    assert_eq!(properties["BRUNE_PROMPT_ID"]["pattern"], "^pmpt_[A-Za-z0-9_-]+$");
    assert_eq!(properties["BRUNE_ELIGIBILITY_ALLOWED_LEVELS"]["uniqueItems"], true);
}
