//! How a message looks when it arrives.

use brune::config::Secret;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{KEY, alerting, change, messages};
use crate::support::{
    TestApp, psql,
    receiver::{QUICK, Receiver, SIGNING},
    user,
};

/// Another signing secret, without what says that it is one.
const NEWER: &str = "bmV3ZXItc2VjcmV0LW9mLXRoaXJ0eS10d28tYnl0ZXM=";

#[tokio::test]
async fn an_alert_has_actor_change_reason_and_affected_sessions() {
    let app = TestApp::new().await;
    let receiver = Receiver::new().await;
    let mut alerts = receiver.as_discord();
    alerts.public_url = Some("https://settings.test".to_owned());
    let mut instance = alerting(&app, &alerts).await;
    instance.start_session(&user("ana")).await.ok();
    instance.start_session(&user("ben")).await.ok();
    instance
        .change(&[(KEY, json!(45), 1), ("BRUNE_ELIGIBILITY_ALLOWED_LEVELS", json!(["a"]), 1)])
        .await
        .ok();
    instance.start_delivery(QUICK);
    let actual = receiver.takes(1).await.remove(0);
    insta::assert_json_snapshot!(actual, {
        ".embeds[].timestamp" => "[varies]", ".embeds[].url" => "[varies]", ".embeds[].footer.text" => "[varies]",
    }, @r#"
    {
      "allowed_mentions": {
        "parse": []
      },
      "embeds": [
        {
          "color": 3447003,
          "description": "`BRUNE_COOLDOWN_MINUTES` `30` → `45` (v2)\n`BRUNE_ELIGIBILITY_ALLOWED_LEVELS` `[]` → `[\"a\"]` (v2)",
          "fields": [
            {
              "inline": true,
              "name": "By",
              "value": "admin\\-1"
            },
            {
              "inline": true,
              "name": "Why",
              "value": "a test"
            },
            {
              "inline": true,
              "name": "Active sessions on older settings",
              "value": "2"
            }
          ],
          "footer": {
            "text": "[varies]"
          },
          "timestamp": "[varies]",
          "title": "2 settings changed: revision 2",
          "url": "[varies]"
        }
      ]
    }
    "#);
    let request = &receiver.received()[0];
    assert_eq!(request.uri.query(), Some("wait=true"));
    assert!(request.header("user-agent").starts_with("DiscordBot ("));
    let id = messages(&instance, "").await[0]["payload"]["request_id"].as_str().unwrap().to_owned();
    let url = actual["embeds"][0]["url"].as_str().unwrap();
    assert_eq!(url, format!("https://settings.test/admin/#/history?request_id={id}"));
}

#[tokio::test]
async fn markup_in_values_is_escaped_in_an_alert() {
    let app = TestApp::new().await;
    let receiver = Receiver::new().await;
    let mut instance = alerting(&app, &receiver.as_discord()).await;
    let evil = "`@everyone` **<@1>** [x](https://evil.test)";
    let body = json!({"reason": evil, "changes": [
        {"key": "BRUNE_ELIGIBILITY_ALLOWED_LEVELS", "value": [evil], "version": 1}]});
    let path = "/admin/global-settings";
    instance.patch(path).bearer(&crate::support::admin("ada")).json(&body).send().await.ok();
    instance.start_delivery(QUICK);
    let actual = receiver.takes(1).await.remove(0);
    assert_eq!(actual["allowed_mentions"], json!({"parse": []}));
    let embed = &actual["embeds"][0];
    let line = embed["description"].as_str().unwrap();
    // The marks of the code around key, old and new value, and no others.
    assert_eq!(line.matches('`').count(), 6, "{line}");
    assert_eq!(embed["fields"][1]["name"], "Why");
    let why = embed["fields"][1]["value"].as_str().unwrap();
    assert!(why.contains(r"\*\*\<\@1\>\*\*") && !why.contains("https://"), "{why}");
    assert_eq!(embed.get("url"), None, "nobody said where people reach the service");
}

#[tokio::test]
async fn a_webhook_is_a_signed_cloud_event() {
    let app = TestApp::new().await;
    let receiver = Receiver::new().await;
    let mut instance = alerting(&app, &receiver.as_webhook()).await;
    instance.start_session(&user("ana")).await.ok();
    instance.change(&[(KEY, json!(45), 1)]).await.ok();
    instance.start_delivery(QUICK);
    // The start is told of before.
    let actual = receiver.takes(2).await.remove(1);
    insta::assert_json_snapshot!(actual, {
        ".id" => "[varies]", ".time" => "[varies]", ".data.request_id" => "[varies]",
    }, @r#"
    {
      "data": {
        "action": "update",
        "by": "admin-1",
        "changed": [
          {
            "key": "BRUNE_COOLDOWN_MINUTES",
            "new_value": 45,
            "old_value": 30,
            "version": 2
          }
        ],
        "reason": "a test",
        "request_id": "[varies]",
        "revision": 2,
        "sessions_on_older_settings": 1,
        "total": 1,
        "truncated": false
      },
      "datacontenttype": "application/json",
      "id": "[varies]",
      "source": "/brune",
      "specversion": "1.0",
      "subject": "BRUNE_COOLDOWN_MINUTES",
      "time": "[varies]",
      "type": "brune.settings.changed"
    }
    "#);
    let request = &receiver.received()[1];
    assert_eq!(request.header("content-type"), "application/cloudevents+json");
    assert_eq!(request.header("webhook-id"), actual["id"].as_str().unwrap());
    assert!(Uuid::parse_str(request.header("webhook-id")).is_ok());
    let at: i64 = request.header("webhook-timestamp").parse().unwrap();
    let now = brune::clock::Clock::system().now().timestamp();
    assert!((now - 300..=now).contains(&at), "{at}");
    assert!(request.is_signed_with(SIGNING));
    assert!(!request.is_signed_with(NEWER));
}

#[tokio::test]
async fn both_secrets_sign_during_a_rotation() {
    let app = TestApp::new().await;
    let receiver = Receiver::new().await;
    let mut alerts = receiver.as_webhook();
    alerts.signing.insert(0, Secret::new(format!("whsec_{NEWER}")));
    let mut instance = alerting(&app, &alerts).await;
    change(&instance, 1..2).await;
    instance.start_delivery(QUICK);
    receiver.takes(1).await;
    let request = &receiver.received()[0];
    assert!(request.is_signed_with(SIGNING) && request.is_signed_with(NEWER));
    assert_eq!(request.header("webhook-signature").split(' ').count(), 2);
}

#[tokio::test]
async fn running_sessions_are_counted_at_delivery() {
    let app = TestApp::new().await;
    let receiver = Receiver::new().await;
    let mut instance = alerting(&app, &receiver.as_webhook()).await;
    let session = instance.start_session(&user("ana")).await.ok();
    instance.start_session(&user("ben")).await.ok();
    change(&instance, 1..2).await;
    instance.wait_for_revision(2).await;
    instance.start_session(&user("cleo")).await.ok();
    let end = format!("/brun-e/sessions/{}/end", session["session_id"].as_str().unwrap());
    instance.post(&end).bearer(&user("ana")).send().await.ok();
    instance.start_delivery(QUICK);
    // Two starts before the change, one start and one end after it.
    let messages = receiver.takes(5).await;
    assert_eq!(messages[2]["type"], "brune.settings.changed");
    assert_eq!(messages[2]["data"]["sessions_on_older_settings"], 1);
}

#[tokio::test]
async fn each_sink_receives_the_topics_it_subscribes_to() {
    let app = TestApp::new().await;
    let people = Receiver::new().await;
    let service = Receiver::new().await;
    let mut alerts = service.as_webhook();
    alerts.discord = people.as_discord().discord;
    alerts.events = Some(vec!["session.started".to_owned(), "settings.refused".to_owned()]);
    let mut instance = alerting(&app, &alerts).await;
    instance.start_delivery(QUICK);
    let sql = "insert into brune_outbox (id, sink, topic, payload)
        values (gen_random_uuid(), 'webhook', 'session.of_another_release', '{\"a\": 1}')";
    psql::run(&app.db.pool(), sql).await;
    change(&instance, 1..2).await;
    instance.change(&[("JWT_SECRET", json!("x"), 1)]).await.problem(403, "key_locked");
    let types = |told: Vec<Value>| -> Vec<Value> {
        told.iter().map(|message| message["type"].clone()).collect()
    };
    let actual = types(service.takes(2).await);
    assert_eq!(actual, ["brune.session.of_another_release", "brune.settings.refused"]);
    assert_eq!(people.takes(2).await.len(), 2);
    alerts.events = Some(vec!["settings.chnged".to_owned()]);
    let unfit = brune::outbox::sinks(&alerts).unwrap_err().to_string();
    assert!(unfit.contains("settings.chnged") && unfit.contains("settings.changed"), "{unfit}");
}
