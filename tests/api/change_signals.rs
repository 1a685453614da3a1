//! Changes are taken on without Postgres's notifications, too: by Redis, and by the timer alone.

use std::time::Duration;

use brune::{config::Secret, settings::ChangeSignal};
use serde_json::json;

use crate::support::{Instance, TestApp, redis::Redis, wait::wait_until};

/// So slow that only a hint can explain what is taken on.
const NEVER: Duration = Duration::from_hours(1);
const POLL: Duration = Duration::from_millis(200);

async fn following(app: &TestApp, hints: &ChangeSignal, poll: Duration) -> Instance {
    Instance::builder(app.db.pool()).change_signal(hints.clone()).poll_every(poll).start().await
}

/// Changes the prompt's version through `instance`, which must be at `version`.
async fn change(instance: &Instance, version: i64) -> i64 {
    let changes = [("BRUNE_PROMPT_VERSION", json!(format!("v{version}")), version)];
    instance.change(&changes).await.ok()["revision"].as_i64().unwrap()
}

async fn hears(instance: &Instance) -> bool {
    let text = instance.get("/metrics").send().await.text;
    text.contains("brune_settings_listener_connected 1")
}

#[tokio::test]
async fn redis_announces_changes_to_all_instances() {
    let app = TestApp::new().await;
    let redis = Redis::start().await;
    let hints = ChangeSignal::Redis(redis.url());
    let one = following(&app, &hints, NEVER).await;
    let other = following(&app, &hints, NEVER).await;
    for instance in [&one, &other] {
        wait_until("it hears", async || hears(instance).await).await;
    }
    for n in 1..=20 {
        let writer = if n % 2 == 0 { &one } else { &other };
        let revision = change(writer, n).await;
        one.wait_for_revision(revision).await;
        other.wait_for_revision(revision).await;
    }
}

#[tokio::test]
async fn without_redis_changes_are_found_by_the_poll() {
    let app = TestApp::new().await;
    let mut redis = Redis::start().await;
    let hints = ChangeSignal::Redis(redis.url());
    let one = following(&app, &hints, POLL).await;
    let other = following(&app, &hints, POLL).await;
    for round in 0..3 {
        for instance in [&one, &other] {
            wait_until("it hears", async || hears(instance).await).await;
        }
        redis.kill();
        let revision = change(&one, 2 * round + 1).await;
        other.wait_for_revision(revision).await;
        assert!(other.get("/readyz").send().await.status.is_success(), "it is ready all the same");
        redis.again().await;
        let revision = change(&other, 2 * round + 2).await;
        one.wait_for_revision(revision).await;
    }
}

#[tokio::test]
async fn a_change_during_a_redis_outage_is_found_afterwards() {
    let app = TestApp::new().await;
    let mut redis = Redis::start().await;
    let hints = ChangeSignal::Redis(redis.url());
    let one = following(&app, &hints, NEVER).await;
    let other = following(&app, &hints, NEVER).await;
    for instance in [&one, &other] {
        wait_until("it hears", async || hears(instance).await).await;
    }
    redis.kill();
    let revision = change(&one, 1).await;
    one.wait_for_revision(revision).await;
    assert_eq!(other.settings.revision(), 1, "nobody could tell it");
    redis.again().await;
    other.wait_for_revision(revision).await;
}

#[tokio::test]
async fn the_poll_suffices_and_own_changes_are_read_at_once() {
    let app = TestApp::new().await;
    let writer = following(&app, &ChangeSignal::None, NEVER).await;
    let other = following(&app, &ChangeSignal::None, POLL).await;
    for n in 1..=3 {
        let revision = change(&writer, n).await;
        writer.wait_for_revision(revision).await;
        other.wait_for_revision(revision).await;
    }
    assert!(writer.get("/readyz").send().await.status.is_success());
}

#[tokio::test]
async fn an_invalid_redis_url_leaves_the_poll() {
    let app = TestApp::new().await;
    let hints = ChangeSignal::Redis(Secret::new("not an address".to_owned()));
    let other = following(&app, &hints, POLL).await;
    let revision = change(&app.instance, 1).await;
    other.wait_for_revision(revision).await;
}
