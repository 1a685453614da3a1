//! `?wait=applied`: the answer comes when every live instance has the change.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use brune::settings;
use serde_json::{Value, json};

use super::{NO_HEARTBEAT, deaf, joined};
use crate::support::{Call, Instance, TestApp, admin, proxy::Proxy, wait::Stopwatch};

const COOLDOWN: &str = "BRUNE_COOLDOWN_MINUTES";
const SETTINGS: &str = "/admin/global-settings";

/// A PATCH of the cooldown, which is at `version`, with `query`.
pub(super) fn patch<'a>(instance: &'a Instance, query: &str, to: i64, version: i64) -> Call<'a> {
    let change = json!({"key": COOLDOWN, "value": to, "version": version});
    let body = json!({"reason": "a test", "changes": [change]});
    let mark = if query.is_empty() { "" } else { "?" };
    let call = instance.patch(&format!("{SETTINGS}{mark}{query}"));
    call.bearer(&admin("ana")).json(&body)
}

fn laggards(applied: &Value) -> Vec<Value> {
    applied["laggards"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_waiting_change_answers_once_every_instance_has_applied_it() {
    let app = TestApp::new().await;
    // No heartbeat: only the acknowledgement that each sends at once can be the reason of the answer.
    let start = async || {
        let builder = Instance::builder(app.db.own_pool().await).pace(NO_HEARTBEAT);
        builder.join_fleet().start().await
    };
    let writer = start().await;
    let others = [start().await, start().await];
    for version in 1..=10 {
        let query = "wait=applied&timeout_ms=4000";
        let reply = patch(&writer, query, 100 + version, version).send().await;
        // Nothing is waited for here: what the answer says is true as it is read.
        for instance in others.iter().chain([&writer]) {
            assert_eq!(instance.settings.revision(), version + 1);
        }
        assert_eq!(reply.header("etag"), format!("\"r{}\"", version + 1));
        assert_eq!(reply.status, StatusCode::OK);
        let body = reply.ok();
        assert_eq!(
            (&body["applied"]["instances"], laggards(&body["applied"])),
            (&json!(3), vec![])
        );
        assert!(body["applied"]["waited_ms"].is_u64());
        assert_eq!(body["changed"][0]["new_value"], 100 + version);
    }
}

#[tokio::test]
async fn every_write_route_can_wait() {
    let mut app = TestApp::new().await;
    app.instance.join_fleet().await;
    let other = joined(&app).await;
    let config = format!("/admin/config/{COOLDOWN}");
    let root = admin("root");
    let put = json!({"value": 50, "reason": "a test", "version": 2});
    let actual_rollback =
        json!({"key": COOLDOWN, "to_version": 1, "version": 4, "reason": "a test"});
    let document = json!({"format_version": 1, "settings": {COOLDOWN: 70}});
    let call = |method: Method, path: &str| app.instance.call(method, path).bearer(&root);
    // The longest timeout: a busy machine takes its time.
    let wait = "wait=applied&timeout_ms=4000";
    let delete = format!("{config}?reason=a+test&version=3&{wait}");
    let writes = [
        patch(&app.instance, wait, 45, 1),
        call(Method::PUT, &format!("{config}?{wait}")).json(&put),
        call(Method::DELETE, &delete),
        call(Method::PATCH, &format!("{SETTINGS}?{wait}")).json(&json!({"reason": "a test",
            "changes": [{"key": "BRUNE_PROMPT_VERSION", "value": "2", "version": 1}]})),
        call(Method::POST, &format!("/admin/config/import?reason=a+test&{wait}")).json(&document),
    ];
    for (write, revision) in writes.into_iter().zip(2..) {
        let body = write.send().await.ok();
        assert_eq!(body["applied"]["instances"], 2, "{body}");
        assert_eq!(other.settings.revision(), revision, "{body}");
    }
    let rollback = format!("{SETTINGS}/rollback?{wait}");
    let mut actual_rollback = actual_rollback;
    actual_rollback["version"] = json!(5);
    let body = call(Method::POST, &rollback).json(&actual_rollback).send().await.ok();
    assert_eq!(
        (&body["applied"]["instances"], other.settings.revision()),
        (&json!(2), 7),
        "{body}"
    );
}

#[tokio::test]
async fn a_write_without_the_wait_parameter_does_not_wait() {
    let app = TestApp::new().await;
    let _deaf = deaf(&app).await;
    let proxy = Proxy::before(&app.db).await;
    let writer = Instance::builder(proxy.pool(5).await).without_listener().start().await;
    let before = proxy.round_trips();
    let body = patch(&writer, "", 45, 1).send().await.ok();
    assert!(body.get("applied").is_none(), "{body}");
    // Nor does a rehearsal of a write that will wait.
    let rehearsed = patch(&writer, "wait=applied&timeout_ms=4000&dry_run=true", 50, 2);
    let reply = rehearsed.send().await;
    assert_eq!(reply.status, StatusCode::OK);
    assert!(reply.body.get("applied").is_none() && reply.body["dry_run"] == true);
    // A wait reads the fleet every 25 ms: over a hundred round trips in four seconds.
    let round_trips = proxy.round_trips() - before;
    assert!(round_trips < 60, "{round_trips} round trips of two writes");
}

#[tokio::test]
async fn a_wait_that_times_out_names_the_laggard() {
    let mut app = TestApp::new().await;
    app.instance.join_fleet().await;
    let _other = joined(&app).await;
    let deaf = deaf(&app).await;
    let stopwatch = Stopwatch::start();
    let reply = patch(&app.instance, "wait=applied&timeout_ms=300", 45, 1).send().await;
    stopwatch.assert_at_least(Duration::from_millis(300));
    assert_eq!((reply.status, reply.header("etag")), (StatusCode::ACCEPTED, "\"r2\""));
    // Stored, and said to be: the answer is the change's own.
    assert_eq!(
        (&reply.body["revision"], &reply.body["changed"][0]["version"]),
        (&json!(2), &json!(2))
    );
    let applied = &reply.body["applied"];
    let names = json!({"id": deaf.fleet.id(), "host": "brune.test", "revision": 1});
    assert_eq!(applied["instances"], 3);
    assert!(laggards(applied).contains(&names), "{applied}");
    assert!(applied["waited_ms"].as_u64().unwrap() >= 300);
    let stored = app.instance.get(SETTINGS).bearer(&admin("ana")).send().await.ok();
    assert_eq!(stored["revision"], 2);
}

#[tokio::test]
async fn the_answering_instance_may_be_the_laggard() {
    let app = TestApp::new().await;
    let _other = joined(&app).await;
    let deaf = deaf(&app).await;
    // On outdated settings; a change on current settings is applied by its own instance at once.
    app.instance.change(&[("BRUNE_COOLDOWN_MINUTES", json!(40), 1)]).await.ok();
    let reply = patch(&deaf, "wait=applied&timeout_ms=200", 45, 2).send().await;
    assert_eq!(reply.status, StatusCode::ACCEPTED);
    // The other instance may lag too, on a machine that is busy.
    let laggards = laggards(&reply.body["applied"]);
    assert!(laggards.iter().any(|laggard| laggard["id"] == json!(deaf.fleet.id())));
}

#[tokio::test]
async fn a_wait_ends_when_the_laggard_catches_up() {
    let mut app = TestApp::new().await;
    app.instance.join_fleet().await;
    // Left to its next heartbeat, it would be in an hour.
    let deaf = Instance::builder(app.db.pool())
        .pace(NO_HEARTBEAT)
        .without_listener()
        .join_fleet()
        .start()
        .await;
    let catches_up = async {
        app.instance.wait_for_revision(2).await;
        settings::refresh(&deaf.pool, &deaf.settings).await.unwrap();
    };
    let waiting = patch(&app.instance, "wait=applied&timeout_ms=4000", 45, 1);
    let (reply, ()) = tokio::join!(waiting.send(), catches_up);
    assert_eq!((reply.status, &reply.body["applied"]["instances"]), (StatusCode::OK, &json!(2)));
}

#[tokio::test]
async fn a_repeat_may_wait_although_the_first_did_not() {
    let mut app = TestApp::new().await;
    app.instance.join_fleet().await;
    let deaf = deaf(&app).await;
    let send =
        |query: &str| patch(&app.instance, query, 45, 1).header("idempotency-key", "k1").send();
    assert_eq!(send("").await.status, StatusCode::OK);
    let lost = send("wait=applied&timeout_ms=100").await;
    assert_eq!((lost.status, &lost.body["revision"]), (StatusCode::ACCEPTED, &json!(2)));
    settings::refresh(&deaf.pool, &deaf.settings).await.unwrap();
    let actual = send("timeout_ms=4000&wait=applied").await;
    assert_eq!((actual.status, &actual.body["revision"]), (StatusCode::OK, &json!(2)));
    assert_eq!(actual.body["applied"]["laggards"], json!([]));
    // What else is asked for still makes it another request.
    send("dry_run=false&wait=applied").await.problem(422, "idempotency_key_reused");
}

#[tokio::test]
async fn a_wait_covers_ten_instances() {
    let mut app = TestApp::new().await;
    app.instance.join_fleet().await;
    let mut others = Vec::new();
    for _ in 0..9 {
        others.push(joined(&app).await);
    }
    for version in 1..=20 {
        let query = "wait=applied&timeout_ms=4000";
        let body = patch(&app.instance, query, 100 + version, version).send().await.ok();
        assert_eq!(
            (&body["applied"]["instances"], laggards(&body["applied"])),
            (&json!(10), vec![])
        );
        assert!(others.iter().all(|instance| instance.settings.revision() == version + 1));
    }
}

#[tokio::test]
async fn concurrent_writers_wait_for_their_own_revisions() {
    let mut app = TestApp::new().await;
    app.instance.join_fleet().await;
    let other = joined(&app).await;
    let change = async |instance: &Instance, key: &str, value: Value| {
        let change = json!({"key": key, "value": value, "version": 1});
        let body = json!({"reason": "a test", "changes": [change]});
        let path = format!("{SETTINGS}?wait=applied&timeout_ms=4000");
        instance.patch(&path).bearer(&admin("ana")).json(&body).send().await
    };
    // Each is answered by its own revision, whoever of them looked.
    let replies = tokio::join!(
        change(&app.instance, COOLDOWN, json!(45)),
        change(&other, "BRUNE_MAX_SESSIONS_PER_DAY", json!(5)),
        change(&app.instance, "BRUNE_SESSION_MAX_MINUTES", json!(25)),
        change(&other, "BRUNE_PROMPT_VERSION", json!("2")),
        change(&app.instance, "BRUNE_PROMPT_ID", json!("pmpt_other")),
    );
    let mut revisions = Vec::new();
    for reply in [replies.0, replies.1, replies.2, replies.3, replies.4] {
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text);
        assert_eq!(reply.body["applied"]["instances"], 2);
        revisions.push(reply.body["revision"].as_i64().unwrap());
    }
    revisions.sort_unstable();
    assert_eq!(revisions, [2, 3, 4, 5, 6]);
}

#[tokio::test]
async fn an_invalid_wait_parameter_is_rejected_before_the_write() {
    let app = TestApp::new().await;
    let cases = [
        ("wait=all", "?wait"),
        ("wait=", "?wait"),
        ("wait=applied&wait=applied", "?wait"),
        ("wait=applied&timeout_ms=99", "?timeout_ms"),
        ("wait=applied&timeout_ms=4001", "?timeout_ms"),
        ("wait=applied&timeout_ms=-1", "?timeout_ms"),
        ("wait=applied&timeout_ms=soon", "?timeout_ms"),
        ("wait=applied&timeout_ms=1e3", "?timeout_ms"),
        ("timeout_ms=1000", "?timeout_ms"),
        ("wait=all&dry_run=true", "?wait"),
        ("wait=applied&until=noon", "?until"),
    ];
    let root = admin("root");
    let config = format!("/admin/config/{COOLDOWN}");
    let body = json!({"value": 50, "reason": "a test", "version": 1});
    let rollback = json!({"key": COOLDOWN, "to_version": 1, "version": 1, "reason": "a test"});
    let document = json!({"format_version": 1, "settings": {COOLDOWN: 70}});
    for (query, at) in cases {
        let call = |method: Method, path: &str| {
            app.instance.call(method, &format!("{path}?{query}")).bearer(&root)
        };
        let reason = format!("{config}?reason=a+test&version=1&{query}");
        for call in [
            patch(&app.instance, query, 50, 1),
            call(Method::PUT, &config).json(&body),
            app.instance.call(Method::DELETE, &reason).bearer(&root),
            call(Method::POST, &format!("{SETTINGS}/rollback")).json(&rollback),
            call(Method::POST, "/admin/config/import").json(&document),
        ] {
            let problem = call.send().await.problem(400, "malformed_request");
            let places: Vec<_> = problem["errors"].as_array().unwrap().iter().collect();
            assert!(places.iter().any(|error| error["pointer"] == at), "{query}: {problem}");
        }
    }
    let stored = app.instance.get(SETTINGS).bearer(&root).send().await.ok();
    assert_eq!(stored["revision"], 1);
}
