//! `/admin/outbox` and what it refuses.

use axum::http::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{alerting, change, messages, outbox};
use crate::support::{
    TestApp, admin, psql,
    receiver::{QUICK, Receiver},
    user,
    wait::wait_until,
};

#[tokio::test]
async fn the_outbox_requires_an_administrator() {
    let app = TestApp::new().await;
    let retry = format!("/admin/outbox/{}/retry", Uuid::nil());
    for (method, path) in [(Method::GET, "/admin/outbox"), (Method::POST, retry.as_str())] {
        let call = || app.instance.call(method.clone(), path);
        call().send().await.problem(401, "unauthorized");
        call().bearer(&user("ana")).send().await.problem(403, "forbidden");
    }
}

#[tokio::test]
async fn messages_are_paged_newest_first_and_filtered() {
    let app = TestApp::new().await;
    let receiver = Receiver::new().await;
    let mut alerts = receiver.as_webhook();
    alerts.discord = receiver.as_discord().discord;
    let instance = alerting(&app, &alerts).await;
    change(&instance, 1..6).await;
    instance.change(&[("JWT_SECRET", json!("x"), 1)]).await.problem(403, "key_locked");
    assert_eq!(messages(&instance, "?topic=settings.refused").await.len(), 2);
    let mut revisions = Vec::new();
    let mut next = String::new();
    let filter = "?sink=discord&topic=settings.changed&status=waiting&limit=2";
    loop {
        let page = outbox(&instance, &format!("{filter}{next}")).await;
        let actual_messages = page["messages"].as_array().unwrap();
        revisions.extend(
            actual_messages.iter().map(|message| message["payload"]["revision"].as_i64().unwrap()),
        );
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        next = format!("&cursor={cursor}");
    }
    assert_eq!(revisions, [6, 5, 4, 3, 2]);
    let other = format!("/admin/outbox?limit=2{next}");
    instance.get(&other).bearer(&admin("root")).send().await.problem(400, "malformed_request");
    let state = &outbox(&instance, "").await["sinks"];
    let actual_messages =
        |at: usize| (&state[at]["sink"], &state[at]["waiting"], &state[at]["dead"]);
    assert_eq!(actual_messages(0), (&json!("discord"), &json!(6), &json!(0)));
    assert_eq!(actual_messages(1), (&json!("webhook"), &json!(6), &json!(0)));
    assert_eq!(state[0]["topics"].as_array().unwrap().len(), 12);
    assert!(0.0 <= state[0]["oldest_waiting_seconds"].as_f64().unwrap());
}

#[tokio::test]
async fn an_unknown_or_delivered_message_cannot_be_retried() {
    let app = TestApp::new().await;
    let receiver = Receiver::new().await;
    let mut instance = alerting(&app, &receiver.as_webhook()).await;
    change(&instance, 1..2).await;
    instance.start_delivery(QUICK);
    receiver.takes(1).await;
    let taken = async || !messages(&instance, "?status=delivered").await.is_empty();
    wait_until("it is marked", taken).await;
    let id = messages(&instance, "").await[0]["id"].as_str().unwrap().to_owned();
    let retry = async |id: &str, query: &str| {
        let path = format!("/admin/outbox/{id}/retry{query}");
        instance.post(&path).bearer(&admin("root")).send().await
    };
    retry(&id, "").await.problem(409, "nothing_to_retry");
    retry(&id, "?sink=discord").await.problem(404, "not_found");
    retry(&Uuid::nil().to_string(), "").await.problem(404, "not_found");
    retry("1", "").await.problem(404, "not_found");
    retry(&id, "?sinks=webhook").await.problem(400, "malformed_request");
    for query in ["?status=gone", "?topic=x", "?limit=0", "?cursor=AAAA", "?id=1"] {
        let reply =
            instance.get(&format!("/admin/outbox{query}")).bearer(&admin("root")).send().await;
        reply.problem(400, "malformed_request");
    }
    assert_eq!(outbox(&instance, "?status=waiting").await["messages"], Value::Array(Vec::new()));
}

#[tokio::test]
async fn old_messages_are_deleted_and_undelivered_ones_expire() {
    let app = TestApp::new().await;
    let receiver = Receiver::new().await;
    let mut instance = alerting(&app, &receiver.as_webhook()).await;
    for (status, days) in [
        ("delivered", 6),
        ("delivered", 8),
        ("dead", 29),
        ("dead", 31),
        ("waiting", 29),
        ("waiting", 31),
    ] {
        let settled = if status == "waiting" { "null" } else { "created" };
        let sql = format!(
            "insert into brune_outbox (id, sink, topic, payload, status, created_at, settled_at)
             select gen_random_uuid(), 'webhook', '{status}.{days}', '{{}}', '{status}', created, {settled}
             from (select now() - interval '{days} days' as created) it"
        );
        psql::run(&app.db.pool(), sql).await;
    }
    instance.watch_outbox();
    let query = "select count(*) from brune_outbox";
    let tidied = async || psql::count(&app.db.pool(), query).await == 4;
    wait_until("what is old is gone", tidied).await;
    let mut actual = messages(&instance, "").await;
    actual.reverse();
    let actual: Vec<_> = actual
        .iter()
        .map(|message| (message["topic"].clone(), message["status"].clone()))
        .collect();
    let expected = [
        ("delivered.6", "delivered"),
        ("dead.29", "dead"),
        ("waiting.29", "waiting"),
        ("waiting.31", "dead"),
    ];
    assert_eq!(actual, expected.map(|(topic, status)| (json!(topic), json!(status))));
    let text = instance.get("/metrics").send().await.text;
    let line = "brune_outbox_oldest_waiting_seconds{sink=\"webhook\"} 2";
    assert!(text.contains(line), "{text}");
}
