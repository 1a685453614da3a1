//! What is stored, and with what.

use std::time::Duration;

use axum::http::Method;
use brune::fleet::HeartbeatPolicy;
use serde_json::{Value, json};

use super::{KEY, alerting, messages};
use crate::support::{
    FAST_PACE, Instance, TestApp, admin, psql,
    receiver::{QUICK, Receiver},
    wait::wait_until,
};

/// The topics that were stored, oldest first, each with what `of` takes from it.
async fn stored(instance: &Instance) -> Vec<(String, Value)> {
    let mut messages = messages(instance, "").await;
    messages.reverse();
    let topic = |message: &Value| message["topic"].as_str().unwrap().to_owned();
    messages.into_iter().map(|message| (topic(&message), message["payload"].clone())).collect()
}

#[tokio::test]
async fn each_write_route_enqueues_one_message_with_all_keys() {
    let app = TestApp::new().await;
    let instance = alerting(&app, &Receiver::new().await.as_webhook()).await;
    instance.change(&[(KEY, json!(45), 1), ("BRUNE_PROMPT_VERSION", json!("7"), 1)]).await.ok();
    let path = format!("/admin/config/{KEY}");
    let put = json!({"value": 50, "reason": "a test", "version": 2});
    instance.call(Method::PUT, &path).bearer(&admin("ada")).json(&put).send().await.ok();
    let reset = format!("{path}?reason=a+test&version=3");
    instance.call(Method::DELETE, &reset).bearer(&admin("ada")).send().await.ok();
    let rollback = json!({"key": KEY, "to_version": 2, "version": 4, "reason": "a test"});
    let path = "/admin/global-settings/rollback";
    instance.post(path).bearer(&admin("ada")).json(&rollback).send().await.ok();
    let document = json!({"format_version": 1, "catalog": "brun-e", "settings": {KEY: 60}});
    let path = "/admin/config/import?reason=a+test";
    instance.post(path).bearer(&admin("ada")).json(&document).send().await.ok();
    let actual: Vec<_> = stored(&instance)
        .await
        .into_iter()
        .map(|(topic, actual)| (topic, actual["revision"].clone(), actual["total"].clone()))
        .collect();
    let expected = [
        ("settings.changed", 2, 2),
        ("settings.changed", 3, 1),
        ("settings.changed", 4, 1),
        ("settings.rolled_back", 5, 1),
        ("settings.imported", 6, 1),
    ];
    assert_eq!(
        actual,
        expected.map(|(topic, at, keys)| (topic.to_owned(), json!(at), json!(keys)))
    );
}

#[tokio::test]
async fn a_write_that_stores_nothing_enqueues_nothing() {
    let app = TestApp::new().await;
    let instance = alerting(&app, &Receiver::new().await.as_webhook()).await;
    let change = json!({"reason": "a test", "changes": [{"key": KEY, "value": 45, "version": 1}]});
    let patch = |query: &str, key: &str| {
        let call = instance.patch(&format!("/admin/global-settings{query}")).bearer(&admin("ada"));
        call.header("idempotency-key", key).json(&change).send()
    };
    patch("?dry_run=true", "dry").await.ok();
    assert_eq!(stored(&instance).await.len(), 0, "a dry run is told");
    patch("", "one").await.ok();
    patch("", "one").await.ok();
    patch("", "two").await.problem(409, "version_conflict");
    instance.change(&[(KEY, json!(45), 2)]).await.ok();
    let locked = json!({"reason": "a test", "changes": [{"key": "JWT_SECRET", "value": "x"}]});
    let path = "/admin/global-settings?dry_run=true";
    instance
        .patch(path)
        .bearer(&admin("ada"))
        .json(&locked)
        .send()
        .await
        .problem(403, "key_locked");
    assert_eq!(stored(&instance).await.len(), 1);
}

#[tokio::test]
async fn a_refused_attempt_is_enqueued_without_value_and_secret_reason() {
    let app = TestApp::new().await;
    let instance = alerting(&app, &Receiver::new().await.as_webhook()).await;
    instance.change(&[("JWT_SECRET", json!("hunter2hunter2"), 1)]).await.problem(403, "key_locked");
    let key = format!("sk-{}", "proj-Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYmFy");
    let change = json!({"reason": format!("because {key}"), "changes": [{"key": KEY, "value": 45, "version": 1}]});
    let path = "/admin/global-settings";
    let refusal = instance.patch(path).bearer(&admin("ada")).json(&change).send().await;
    refusal.problem(400, "secret_like_value");
    let messages = stored(&instance).await;
    let text = format!("{messages:?}");
    assert!(!text.contains("hunter2") && !text.contains(&key), "{text}");
    assert_eq!(messages.len(), 2);
    assert!(messages.iter().all(|(topic, _)| topic == "settings.refused"), "{text}");
    assert_eq!(messages[0].1["keys"], json!(["JWT_SECRET"]));
    assert_eq!(messages[1].1["keys"], json!([KEY]));
    // What may be written of a lenient write is told, and so is what may not.
    let both = json!({"reason": "a test", "changes": [
        {"key": KEY, "value": 46, "version": 1}, {"key": "JWT_SECRET", "value": "x"}]});
    let call = instance.patch(path).bearer(&admin("ada")).header("prefer", "handling=lenient");
    call.json(&both).send().await.ok();
    let topics: Vec<_> =
        stored(&instance).await.into_iter().skip(2).map(|(topic, _)| topic).collect();
    assert_eq!(topics, ["settings.changed", "settings.refused"]);
}

#[tokio::test]
async fn a_large_change_is_enqueued_within_bounds() {
    let setting = |number: usize| {
        format!(
            "[[setting]]\nkey = \"KEY_{number:03}\"\ncategory = \"all\"\ntype = \"string\"\ndefault = \"a\"\n\
             applies = \"hot\"\ndescription = \"One of many.\"\nconstraints = {{}}\n"
        )
    };
    let many: String = (0..60).map(setting).collect();
    let app =
        TestApp::with_catalog(&format!("catalog = \"many\"\ndescription = \"Many.\"\n{many}"))
            .await;
    let receiver = Receiver::new().await;
    let mut alerts = receiver.as_webhook();
    alerts.discord = receiver.as_discord().discord;
    let mut instance = alerting(&app, &alerts).await;
    let changes: Vec<_> = (0..60)
        .map(|number| json!({"key": format!("KEY_{number:03}"), "value": "é".repeat(1_500), "version": 1}))
        .collect();
    let body = json!({"reason": "a test", "changes": changes});
    let path = "/admin/global-settings";
    instance.patch(path).bearer(&admin("ada")).json(&body).send().await.ok();
    let (_, actual) = stored(&instance).await.remove(0);
    assert_eq!((&actual["total"], &actual["truncated"]), (&json!(60), &json!(true)));
    assert_eq!(actual["changed"].as_array().unwrap().len(), 50);
    assert!(actual["changed"][0]["new_value"].as_str().unwrap().chars().count() < 1_100);
    instance.start_delivery(QUICK);
    let messages = receiver.takes(2).await;
    let embed = messages.iter().find_map(|message| message["embeds"].get(0)).unwrap();
    let description = embed["description"].as_str().unwrap();
    assert!(description.chars().count() <= 4_096 && description.contains("more"), "{description}");
}

#[tokio::test]
async fn an_old_value_that_looks_like_a_secret_is_redacted() {
    let app = TestApp::new().await;
    let instance = alerting(&app, &Receiver::new().await.as_webhook()).await;
    let looks = format!("ghp_{}", "a1B2".repeat(9));
    psql::set(&app.db.pool(), "BRUNE_PROMPT_VERSION", &json!(looks).to_string()).await;
    instance.change(&[("BRUNE_PROMPT_VERSION", json!("7"), 2)]).await.ok();
    let messages = stored(&instance).await;
    assert!(!format!("{messages:?}").contains(&looks), "{messages:?}");
    let old = &messages[0].1["changed"][0]["old_value"];
    assert_eq!(old, "(withheld: it looks like a secret)");
}

#[tokio::test]
async fn a_cleanup_enqueues_the_names_of_the_secrets() {
    let app = TestApp::new().await;
    psql::leave_secret(&app.db.pool(), "OPENAI_API_KEY", "sk-left-behind").await;
    let receiver = Receiver::new().await;
    let instance = Instance::builder(app.db.pool())
        .alerts(&receiver.as_webhook())
        .environment(&brune::config::Environment::from_pairs([("OPENAI_API_KEY", "sk-provided")]))
        .without_listener()
        .start()
        .await;
    let clean = async |query: &str| {
        let path = format!("/admin/secrets/cleanup{query}");
        let body = json!({"reason": "moved out"});
        instance.post(&path).bearer(&admin("ada")).json(&body).send().await.ok()
    };
    clean("?dry_run=true").await;
    assert_eq!(stored(&instance).await.len(), 0);
    clean("").await;
    clean("").await;
    let messages = stored(&instance).await;
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert_eq!(messages[0].0, "secrets.cleaned");
    assert_eq!(messages[0].1["removed"], json!(["OPENAI_API_KEY"]));
    assert!(!format!("{messages:?}").contains("sk-"), "{messages:?}");
}

#[tokio::test]
async fn a_silent_instance_is_reported_once_by_several_instances() {
    let app = TestApp::new().await;
    let receiver = Receiver::new().await;
    let gone = Instance::builder(app.db.pool())
        .alerts(&receiver.as_webhook())
        .pace(FAST_PACE)
        .start()
        .await;
    gone.fleet.join(&gone.pool, 1).await.unwrap();
    let departed = Instance::builder(app.db.pool())
        .alerts(&receiver.as_webhook())
        .pace(FAST_PACE)
        .start()
        .await;
    departed.fleet.join(&departed.pool, 1).await.unwrap();
    departed.fleet.leave(&departed.pool).await.unwrap();
    let sql = "update brune_instance set seen_at = seen_at - interval '1 hour'";
    psql::run(&app.db.pool(), sql).await;
    // On a busy machine a live instance may say nothing for seconds, and must not be reported as well.
    let patient = HeartbeatPolicy {
        live: Duration::from_secs(30),
        forget: Duration::from_mins(1),
        ..FAST_PACE
    };
    let mut lookers = Vec::new();
    for _ in 0..3 {
        let instance = Instance::builder(app.db.pool())
            .alerts(&receiver.as_webhook())
            .pace(patient)
            .join_fleet()
            .start()
            .await;
        lookers.push(instance);
    }
    let is_reported = async || !stored(&lookers[0]).await.is_empty();
    wait_until("it is told", is_reported).await;
    // Between two heartbeats each of them looks.
    for _ in 0..3 {
        let before = seen(&lookers[0]).await;
        let is_repeated = async || {
            let now = seen(&lookers[0]).await;
            now.len() == 3 && now.iter().zip(&before).all(|(now, before)| now != before)
        };
        wait_until("everyone has looked again", is_repeated).await;
    }
    let is_reported = stored(&lookers[0]).await;
    assert_eq!(is_reported.len(), 1, "{is_reported:?}");
    assert_eq!(is_reported[0].0, "instance.unhealthy");
    assert_eq!(is_reported[0].1["what"], "silent");
    assert_eq!(is_reported[0].1["instance"], json!(gone.fleet.id()));
}

/// When each instance was last heard of.
async fn seen(by: &Instance) -> Vec<Value> {
    let body = by.get("/admin/instances").bearer(&admin("root")).send().await.ok();
    body["instances"]
        .as_array()
        .unwrap()
        .iter()
        .map(|instance| instance["seen_at"].clone())
        .collect()
}

#[tokio::test]
async fn invalid_and_recovered_settings_are_reported() {
    let app = TestApp::new().await;
    let mut instance = alerting(&app, &Receiver::new().await.as_webhook()).await;
    instance.join_fleet().await;
    psql::set(&app.db.pool(), KEY, "999").await;
    let is_reported = async |count: usize| stored(&instance).await.len() == count;
    wait_until("it is told", async || is_reported(1).await).await;
    psql::set(&app.db.pool(), KEY, "30").await;
    wait_until("it is told to be well", async || is_reported(2).await).await;
    let is_reported = stored(&instance).await;
    assert_eq!(is_reported[0].1["what"], "settings_invalid");
    assert_eq!(is_reported[0].1["keys"], json!([KEY]));
    assert_eq!(is_reported[1].1["what"], "settings_valid");
}
