//! What is stored, and with what.

use axum::http::Method;
use serde_json::{Value, json};

use super::{KEY, alerting, messages};
use crate::support::{
    Instance, TestApp, admin, by_hand,
    receiver::{QUICK, Receiver},
};

/// The topics that were stored, oldest first, each with what `of` takes from it.
async fn stored(instance: &Instance) -> Vec<(String, Value)> {
    let mut messages = messages(instance, "").await;
    messages.reverse();
    let topic = |it: &Value| it["topic"].as_str().unwrap().to_owned();
    messages.into_iter().map(|it| (topic(&it), it["payload"].clone())).collect()
}

#[tokio::test]
async fn each_way_to_change_settings_is_told_once_with_all_of_its_keys() {
    let app = TestApp::new().await;
    let it = alerting(&app, &Receiver::new().await.as_webhook()).await;
    it.change(&[(KEY, json!(45), 1), ("BRUNE_PROMPT_VERSION", json!("7"), 1)]).await.ok();
    let path = format!("/admin/config/{KEY}");
    let put = json!({"value": 50, "reason": "a test", "version": 2});
    it.call(Method::PUT, &path).bearer(&admin("ada")).json(&put).send().await.ok();
    let reset = format!("{path}?reason=a+test&version=3");
    it.call(Method::DELETE, &reset).bearer(&admin("ada")).send().await.ok();
    let back = json!({"key": KEY, "to_version": 2, "version": 4, "reason": "a test"});
    let path = "/admin/global-settings/rollback";
    it.post(path).bearer(&admin("ada")).json(&back).send().await.ok();
    let document = json!({"format_version": 1, "catalog": "brun-e", "settings": {KEY: 60}});
    let path = "/admin/config/import?reason=a+test";
    it.post(path).bearer(&admin("ada")).json(&document).send().await.ok();
    let told: Vec<_> = stored(&it)
        .await
        .into_iter()
        .map(|(topic, told)| (topic, told["revision"].clone(), told["total"].clone()))
        .collect();
    let expected = [
        ("settings.changed", 2, 2),
        ("settings.changed", 3, 1),
        ("settings.changed", 4, 1),
        ("settings.rolled_back", 5, 1),
        ("settings.imported", 6, 1),
    ];
    assert_eq!(told, expected.map(|(topic, at, keys)| (topic.to_owned(), json!(at), json!(keys))));
}

#[tokio::test]
async fn what_stores_nothing_leaves_no_word() {
    let app = TestApp::new().await;
    let it = alerting(&app, &Receiver::new().await.as_webhook()).await;
    let change = json!({"reason": "a test", "changes": [{"key": KEY, "value": 45, "version": 1}]});
    let patch = |query: &str, key: &str| {
        let call = it.patch(&format!("/admin/global-settings{query}")).bearer(&admin("ada"));
        call.header("idempotency-key", key).json(&change).send()
    };
    patch("?dry_run=true", "dry").await.ok();
    assert_eq!(stored(&it).await.len(), 0, "a dry run is told");
    patch("", "one").await.ok();
    patch("", "one").await.ok();
    patch("", "two").await.problem(409, "version_conflict");
    it.change(&[(KEY, json!(45), 2)]).await.ok();
    let locked = json!({"reason": "a test", "changes": [{"key": "JWT_SECRET", "value": "x"}]});
    let path = "/admin/global-settings?dry_run=true";
    it.patch(path).bearer(&admin("ada")).json(&locked).send().await.problem(403, "key_locked");
    assert_eq!(stored(&it).await.len(), 1);
}

#[tokio::test]
async fn a_refused_attempt_is_told_without_its_value_and_without_a_reason_that_is_a_secret() {
    let app = TestApp::new().await;
    let it = alerting(&app, &Receiver::new().await.as_webhook()).await;
    it.change(&[("JWT_SECRET", json!("hunter2hunter2"), 1)]).await.problem(403, "key_locked");
    let key = format!("sk-{}", "proj-Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYmFy");
    let change = json!({"reason": format!("because {key}"), "changes": [{"key": KEY, "value": 45, "version": 1}]});
    let path = "/admin/global-settings";
    let refused = it.patch(path).bearer(&admin("ada")).json(&change).send().await;
    refused.problem(400, "secret_like_value");
    let told = stored(&it).await;
    let text = format!("{told:?}");
    assert!(!text.contains("hunter2") && !text.contains(&key), "{text}");
    assert_eq!(told.len(), 2);
    assert!(told.iter().all(|(topic, _)| topic == "settings.refused"), "{text}");
    assert_eq!(told[0].1["keys"], json!(["JWT_SECRET"]));
    assert_eq!(told[1].1["keys"], json!([KEY]));
    // What may be written of a lenient write is told, and so is what may not.
    let both = json!({"reason": "a test", "changes": [
        {"key": KEY, "value": 46, "version": 1}, {"key": "JWT_SECRET", "value": "x"}]});
    let call = it.patch(path).bearer(&admin("ada")).header("prefer", "handling=lenient");
    call.json(&both).send().await.ok();
    let topics: Vec<_> = stored(&it).await.into_iter().skip(2).map(|(topic, _)| topic).collect();
    assert_eq!(topics, ["settings.changed", "settings.refused"]);
}

#[tokio::test]
async fn a_large_change_is_told_within_bounds() {
    let setting = |number: usize| {
        format!(
            "[[setting]]\nkey = \"KEY_{number:03}\"\ncategory = \"all\"\ntype = \"string\"\ndefault = \"a\"\n\
             applies = \"hot\"\ndescription = \"One of many.\"\nconstraints = {{}}\n"
        )
    };
    let many: String = (0..60).map(setting).collect();
    let app = TestApp::of(&format!("catalog = \"many\"\ndescription = \"Many.\"\n{many}")).await;
    let receiver = Receiver::new().await;
    let mut alerts = receiver.as_webhook();
    alerts.discord = receiver.as_discord().discord;
    let mut it = alerting(&app, &alerts).await;
    let changes: Vec<_> = (0..60)
        .map(|number| json!({"key": format!("KEY_{number:03}"), "value": "é".repeat(1_500), "version": 1}))
        .collect();
    let body = json!({"reason": "a test", "changes": changes});
    let path = "/admin/global-settings";
    it.patch(path).bearer(&admin("ada")).json(&body).send().await.ok();
    let (_, told) = stored(&it).await.remove(0);
    assert_eq!((&told["total"], &told["truncated"]), (&json!(60), &json!(true)));
    assert_eq!(told["changed"].as_array().unwrap().len(), 50);
    assert!(told["changed"][0]["new_value"].as_str().unwrap().chars().count() < 1_100);
    it.deliver(QUICK);
    let taken = receiver.takes(2).await;
    let embed = taken.iter().find_map(|it| it["embeds"].get(0)).unwrap();
    let description = embed["description"].as_str().unwrap();
    assert!(description.chars().count() <= 4_096 && description.contains("more"), "{description}");
}

#[tokio::test]
async fn an_old_value_that_looks_like_a_secret_is_withheld() {
    let app = TestApp::new().await;
    let it = alerting(&app, &Receiver::new().await.as_webhook()).await;
    let looks = format!("ghp_{}", "a1B2".repeat(9));
    by_hand::set(&app.db.pool(), "BRUNE_PROMPT_VERSION", &json!(looks).to_string()).await;
    it.change(&[("BRUNE_PROMPT_VERSION", json!("7"), 2)]).await.ok();
    let told = stored(&it).await;
    assert!(!format!("{told:?}").contains(&looks), "{told:?}");
    let old = &told[0].1["changed"][0]["old_value"];
    assert_eq!(old, "(withheld: it looks like a secret)");
}

#[tokio::test]
async fn removed_secrets_are_told_by_name() {
    let app = TestApp::new().await;
    by_hand::leave_secret(&app.db.pool(), "OPENAI_API_KEY", "sk-left-behind").await;
    let receiver = Receiver::new().await;
    let it = Instance::alerting_provided(
        &receiver.as_webhook(),
        app.db.pool(),
        &brune::config::Environment::from_pairs([("OPENAI_API_KEY", "sk-provided")]),
    )
    .await;
    let clean = async |query: &str| {
        let path = format!("/admin/secrets/cleanup{query}");
        let body = json!({"reason": "moved out"});
        it.post(&path).bearer(&admin("ada")).json(&body).send().await.ok()
    };
    clean("?dry_run=true").await;
    assert_eq!(stored(&it).await.len(), 0);
    clean("").await;
    clean("").await;
    let told = stored(&it).await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].0, "secrets.cleaned");
    assert_eq!(told[0].1["removed"], json!(["OPENAI_API_KEY"]));
    assert!(!format!("{told:?}").contains("sk-"), "{told:?}");
}

#[tokio::test]
async fn an_instance_that_fell_silent_is_told_once_however_many_look() {
    let app = TestApp::new().await;
    let receiver = Receiver::new().await;
    let gone = Instance::alerting(&receiver.as_webhook(), app.db.pool()).await;
    gone.fleet.join(&gone.pool, 1).await.unwrap();
    let left = Instance::alerting(&receiver.as_webhook(), app.db.pool()).await;
    left.fleet.join(&left.pool, 1).await.unwrap();
    left.fleet.leave(&left.pool).await.unwrap();
    let sql = "update brune_instance set seen_at = seen_at - interval '1 hour'";
    by_hand::run(&app.db.pool(), sql).await;
    let mut lookers = Vec::new();
    for _ in 0..3 {
        let mut it = Instance::alerting(&receiver.as_webhook(), app.db.pool()).await;
        it.join().await;
        lookers.push(it);
    }
    let told = async || !stored(&lookers[0]).await.is_empty();
    by_hand::eventually("it is told", told).await;
    // Between two heartbeats each of them looks.
    for _ in 0..3 {
        let before = seen(&lookers[0]).await;
        let again = async || {
            let now = seen(&lookers[0]).await;
            now.len() == 3 && now.iter().zip(&before).all(|(now, before)| now != before)
        };
        by_hand::eventually("everyone has looked again", again).await;
    }
    let told = stored(&lookers[0]).await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].0, "instance.unhealthy");
    assert_eq!(told[0].1["what"], "silent");
    assert_eq!(told[0].1["instance"], json!(gone.fleet.id()));
}

/// When each instance was last heard of.
async fn seen(by: &Instance) -> Vec<Value> {
    let told = by.get("/admin/instances").bearer(&admin("root")).send().await.ok();
    told["instances"].as_array().unwrap().iter().map(|it| it["seen_at"].clone()).collect()
}

#[tokio::test]
async fn settings_that_become_invalid_are_told_and_that_they_are_well_again() {
    let app = TestApp::new().await;
    let mut it = alerting(&app, &Receiver::new().await.as_webhook()).await;
    it.join().await;
    by_hand::set(&app.db.pool(), KEY, "999").await;
    let told = async |count: usize| stored(&it).await.len() == count;
    by_hand::eventually("it is told", async || told(1).await).await;
    by_hand::set(&app.db.pool(), KEY, "30").await;
    by_hand::eventually("it is told to be well", async || told(2).await).await;
    let told = stored(&it).await;
    assert_eq!(told[0].1["what"], "settings_invalid");
    assert_eq!(told[0].1["keys"], json!([KEY]));
    assert_eq!(told[1].1["what"], "settings_valid");
}
