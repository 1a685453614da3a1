//! A database that is away: reading goes on, everything else says when to come back, and nobody need mend anything.

use std::time::Duration;

use axum::http::Method;
use brune::{
    http::{Limits, StreamBounds},
    settings::ChangeSignal,
};
use futures_util::future::join_all;
use serde_json::json;

use crate::support::{
    Call, Instance, TestApp, admin, proxy::Proxy, sse::Served, user, wait::wait_until,
};

const FLAGS: &str = "/ofrep/v1/evaluate/flags";
const POLL: Duration = Duration::from_millis(500);
const KEY: &str = "BRUNE_PROMPT_VERSION";

async fn is_stale(instance: &Instance) -> bool {
    let flag = instance.post(&format!("{FLAGS}/{KEY}")).bearer(&user("ana")).send().await.ok();
    flag["metadata"]["stale"] == true
}

#[tokio::test]
async fn writes_and_starts_during_an_outage_answer_503_with_retry_after() {
    let app = TestApp::new().await;
    let proxy = Proxy::before(&app.db).await;
    let instance = Instance::builder(proxy.pool(5).await).poll_every(POLL).start().await;
    proxy.take_away().await;
    let root = admin("root");
    let one = format!("/admin/config/{KEY}");
    let change = json!({"key": KEY, "value": "2", "version": 1});
    let rollback = json!({"key": KEY, "to_version": 1, "version": 1, "reason": "a test"});
    let document = json!({"format_version": 1, "settings": {KEY: "2"}});
    let call = |method: Method, path: &str| instance.call(method, path).bearer(&root);
    let settings = "/admin/global-settings";
    let calls = [
        call(Method::PATCH, settings).json(&json!({"reason": "a test", "changes": [change]})),
        call(Method::PUT, &one).json(&json!({"value": "2", "reason": "a test", "version": 1})),
        call(Method::DELETE, &format!("{one}?reason=a+test&version=1")),
        call(Method::POST, &format!("{settings}/rollback")).json(&rollback),
        call(Method::POST, "/admin/config/import?reason=a+test").json(&document),
        instance.post("/brun-e/start").bearer(&user("ana")),
    ];
    for reply in join_all(calls.map(Call::send)).await {
        assert_ne!(reply.header("retry-after"), "");
        reply.problem(503, "unavailable");
    }
}

#[tokio::test]
async fn flags_and_streams_survive_an_outage_and_the_poll_recovers() {
    let app = TestApp::new().await;
    let proxy = Proxy::before(&app.db).await;
    let bounds = StreamBounds { heartbeat: Duration::from_millis(50), ..StreamBounds::default() };
    let instance = Instance::builder(proxy.pool(5).await)
        .stream_bounds(bounds)
        .change_signal(ChangeSignal::None)
        .poll_every(POLL)
        .start()
        .await;
    let served = Served::of(&instance, Limits::default()).await;
    let token = format!("Bearer {}", admin("ada"));
    let admins = [("authorization", token.as_str())];
    let mut changes = served.stream("/admin/global-settings/stream", &admins).await;
    let page = instance.post(FLAGS).bearer(&user("ana")).send().await.ok();
    let at = page["eventStreams"][0]["endpoint"]["requestUri"].as_str().unwrap().to_owned();
    let mut refetches = served.stream(&at, &[]).await;

    proxy.take_away().await;
    wait_until("it is told", async || is_stale(&instance).await).await;
    let stale = instance.post(FLAGS).bearer(&user("ana")).send().await.ok();
    assert_eq!((&stale["flags"], &stale["metadata"]["stale"]), (&page["flags"], &json!(true)));
    assert_eq!(instance.settings.get_string(KEY).unwrap(), "1");
    for stream in [&mut changes, &mut refetches] {
        while stream.block().await.as_deref() != Some(": alive") {}
    }
    drop(served.stream(&at, &[]).await);
    app.instance.change(&[(KEY, json!("2"), 1)]).await.ok();

    proxy.bring_back().await;
    instance.wait_for_revision(2).await;
    assert!(!is_stale(&instance).await);
    assert_eq!(instance.reloads("poll", "taken").await, 1);
    assert_eq!(changes.event().await.id, 2);
    while refetches.event().await.id != 2 {}
    instance.start_session(&user("ana")).await.ok();
}
