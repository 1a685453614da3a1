//! Writes of administrators that change no setting: repeated and rehearsed like the writes of settings.

use brune::clock::Clock;
use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::{
    outbox::{alerting, messages},
    support::{Instance, Reply, TestApp, admin, psql, receiver::Receiver},
};

/// Changes with every row that one of the writes stores.
const STORED: &str = "select sum(rows)::bigint from (
    select count(*) as rows from app_global_setting_audit union all select count(*) from brune_freeze
    union all select count(*) from brune_freeze where ended_at is not null
    union all select count(*) from brune_release union all select count(*) from brune_release where archived_at is not null
    union all select epoch from app_global_setting_head union all select count(*) from app_idempotency_key) counts";

/// A write: the path, the body, and another valid body.
type Write = (String, Value, Value);

fn in_hours(hours: i64) -> String {
    (Clock::system().now() + TimeDelta::hours(hours)).to_rfc3339()
}

/// The writes, in an order in which each is possible after the writes before. `freeze` is the id of a freeze.
fn writes(freeze: &str) -> Vec<Write> {
    let reason = |reason: &str| json!({"reason": reason});
    let ends_at = in_hours(2);
    let holidays = |reason: &str| json!({"reason": reason, "ends_at": ends_at});
    let stop = |minutes: i64| json!({"reason": "too expensive", "minutes": minutes});
    let release = |name: &str| json!({"name": name, "note": "calm evenings"});
    vec![
        ("/admin/freezes".to_owned(), holidays("holidays"), holidays("a long weekend")),
        (format!("/admin/freezes/{freeze}/end"), reason("all are back"), reason("a mistake")),
        ("/admin/releases".to_owned(), release("summer"), release("autumn")),
        ("/admin/releases/winter/archive".to_owned(), reason("it is spring"), reason("a mistake")),
        ("/admin/starts/stop".to_owned(), stop(15), stop(16)),
        ("/admin/starts/resume".to_owned(), reason("cheap again"), reason("a mistake")),
    ]
}

async fn send(instance: &Instance, path: &str, query: &str, key: &str, body: &Value) -> Reply {
    let call = instance.post(&format!("{path}{query}")).bearer(&admin("ana"));
    call.header("idempotency-key", key).json(body).send().await
}

/// A service with the release `winter` and a freeze, whose id is returned.
async fn prepared() -> (TestApp, String) {
    let app = TestApp::new().await;
    let ends_at = in_hours(1);
    let freeze = json!({"reason": "holidays", "ends_at": ends_at});
    let freeze = send(&app.instance, "/admin/freezes", "", "first", &freeze).await;
    let id = freeze.body["id"].as_str().unwrap().to_owned();
    let release = json!({"name": "winter", "note": "calm evenings"});
    send(&app.instance, "/admin/releases", "", "second", &release).await.ok();
    (app, id)
}

async fn stored(app: &TestApp) -> i64 {
    psql::count(&app.db.admin(), STORED).await
}

#[tokio::test]
async fn a_repeated_write_has_the_first_response_and_stores_nothing() {
    let (app, freeze) = prepared().await;
    let second = app.another_instance().await;
    let writes = writes(&freeze);
    for (index, (path, body, other_body)) in writes.iter().enumerate() {
        let key = format!("key-{index}");
        let first = send(&app.instance, path, "", &key, body).await;
        assert!(first.status.is_success(), "{path}: {}", first.text);
        let before = stored(&app).await;
        let repeat = send(&second, path, "", &key, body).await;
        assert_eq!((repeat.status, &repeat.text), (first.status, &first.text), "{path}");
        let reused = send(&second, path, "", &key, other_body).await;
        assert_eq!(reused.body["code"], "idempotency_key_reused", "{path}: {}", reused.text);
        assert_eq!(stored(&app).await, before, "{path}");
    }
    // The stop is over, and its repeat is no new stop.
    let (path, body, _) = &writes[4];
    let repeat = send(&app.instance, path, "", "key-4", body).await.ok();
    assert_eq!(repeat["epoch"], 1, "{repeat}");
    assert_eq!(app.instance.metric("brune_starts_stopped").await, 0);
}

#[tokio::test]
async fn concurrent_writes_with_one_key_are_one_write() {
    let (app, freeze) = prepared().await;
    let second = app.another_instance().await;
    for (index, (path, body, _)) in writes(&freeze).into_iter().enumerate() {
        let key = format!("key-{index}");
        let sends = [&app.instance, &second, &app.instance, &second]
            .map(|instance| send(instance, &path, "", &key, &body));
        let replies = futures_util::future::join_all(sends).await;
        for reply in &replies {
            assert_eq!(
                (reply.status, &reply.text),
                (replies[0].status, &replies[0].text),
                "{path}"
            );
        }
        assert!(replies[0].status.is_success(), "{path}: {}", replies[0].text);
    }
    let epoch = "select epoch from app_global_setting_head";
    assert_eq!(psql::count(&app.db.admin(), epoch).await, 2);
    assert_eq!(psql::count(&app.db.admin(), "select count(*) from brune_freeze").await, 2);
}

#[tokio::test]
async fn a_rehearsed_write_stores_nothing() {
    let (app, freeze) = prepared().await;
    for (path, body, _) in writes(&freeze) {
        let before = stored(&app).await;
        let reply =
            send(&app.instance, &path, "?dry_run=true", &path.replace('/', "-"), &body).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text);
        assert_eq!(reply.body["dry_run"], true, "{path}: {}", reply.text);
        assert!(!reply.headers.contains_key("location"), "{path}");
        assert_eq!(stored(&app).await, before, "{path}");
        let gauge = u64::from(path.ends_with("/resume"));
        assert_eq!(app.instance.metric("brune_starts_stopped").await, gauge, "{path}");
        // The write itself has no mark, and is the first with the key.
        let reply = send(&app.instance, &path, "", &path.replace('/', "-"), &body).await;
        assert!(reply.status.is_success(), "{path}: {}", reply.text);
        assert!(reply.body["dry_run"].is_null(), "{path}: {}", reply.text);
        assert_ne!(stored(&app).await, before, "{path}");
    }
    // A rehearsal is refused as the write.
    let body = json!({"name": "winter", "note": "again"});
    send(&app.instance, "/admin/releases", "?dry_run=true", "k", &body)
        .await
        .problem(409, "release_exists");
}

#[tokio::test]
async fn a_stop_and_a_resumption_enqueue_a_message_each() {
    let app = TestApp::new().await;
    let receiver = Receiver::new().await;
    let instance = alerting(&app, &receiver.as_webhook()).await;
    let stop = json!({"reason": "too expensive", "minutes": 15});
    send(&instance, "/admin/starts/stop", "?dry_run=true", "k", &stop).await.ok();
    let stopped = send(&instance, "/admin/starts/stop", "", "k-1", &stop).await.ok();
    send(&instance, "/admin/starts/stop", "", "k-1", &stop).await.ok();
    let resume = json!({"reason": "cheap again"});
    send(&instance, "/admin/starts/resume", "", "k-2", &resume).await.ok();
    // Nothing is resumed, so nobody is notified.
    send(&instance, "/admin/starts/resume", "", "k-3", &resume).await.ok();
    let messages = messages(&instance, "?topic=starts.stopped").await;
    let mut payloads: Vec<Value> =
        messages.iter().rev().map(|message| message["payload"].clone()).collect();
    for payload in &mut payloads {
        assert!(payload.as_object_mut().unwrap().remove("request_id").unwrap().is_string());
    }
    let until = &stopped["stopped"]["stopped_until"];
    assert_eq!(
        payloads,
        [
            json!({"event": "stopped", "epoch": 1, "until": until, "by": "ana", "reason": "too expensive"}),
            json!({"event": "resumed", "epoch": 2, "until": null, "by": "ana", "reason": "cheap again"}),
        ]
    );
}

/// A new write of administrators takes both, or has a reason here.
#[tokio::test]
async fn every_write_of_administrators_can_be_repeated_and_rehearsed() {
    let app = TestApp::new().await;
    let document = app.instance.get("/openapi.json").send().await.ok();
    // Each of these stores the same result twice as once, and shows beforehand what it will do by other routes.
    let exceptions = [
        "/admin/outbox/{id}/retry",
        "/admin/proposals/{number}/rollout/end-sessions",
        "/admin/secrets/cleanup",
        "/admin/sessions/{id}/end",
        "/admin/sign-in",
        "/admin/sign-out",
        // Stores nothing.
        "/admin/what-if",
    ];
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            if method == "get"
                || !path.starts_with("/admin/")
                || exceptions.contains(&path.as_str())
            {
                continue;
            }
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            let names: Vec<_> = parameters.map(|parameter| parameter["name"].clone()).collect();
            for name in ["dry_run", "Idempotency-Key"] {
                assert!(names.contains(&json!(name)), "{method} {path}: {name}");
            }
        }
    }
}
