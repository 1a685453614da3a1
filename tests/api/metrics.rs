//! What is counted.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use brune::fleet::HeartbeatPolicy;
use serde_json::json;

use crate::support::{
    Instance, TestApp, user,
    wait::{Stopwatch, wait_until},
};

/// What `/metrics` says.
async fn text(instance: &Instance) -> String {
    let call = instance.get("/metrics").header("accept", OPEN_METRICS);
    let reply = call.send().await;
    assert_eq!(reply.status, StatusCode::OK);
    assert!(reply.header("content-type").starts_with("application/openmetrics-text"));
    reply.text
}

const OPEN_METRICS: &str = "application/openmetrics-text";
const OPEN: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";

#[tokio::test]
async fn metrics_use_the_negotiated_format() {
    let app = TestApp::new().await;
    // Prometheus 2.48 and 3.5, and others.
    let old = "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
    let new = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
    for (accept, expected) in [
        (None, PLAIN),
        (Some(""), PLAIN),
        (Some("*/*"), PLAIN),
        (Some("text/plain"), PLAIN),
        (Some("text/plain;version=0.0.4"), PLAIN),
        (Some("text/plain;version=0.0.4;q=0.9, application/openmetrics-text;q=0.8"), PLAIN),
        (Some("text/html, */*;q=0.8"), PLAIN),
        (Some("application/openmetrics-text;q=0, */*"), PLAIN),
        (Some("application/openmetrics-text;version=\"2.0.0\", text/plain;q=0.1"), PLAIN),
        (Some("application/json"), PLAIN),
        (Some("nonsense;;q=x,,"), PLAIN),
        (Some("application/openmetrics-text"), OPEN),
        (Some("Application/OpenMetrics-Text; Version=\"1.0.0\""), OPEN),
        (Some("text/plain;q=0.5, application/*"), OPEN),
        (Some("text/plain, application/openmetrics-text"), OPEN),
        (Some(old), OPEN),
        (Some(new), OPEN),
    ] {
        for method in [Method::GET, Method::HEAD] {
            let call = app.instance.call(method, "/metrics");
            let call = accept.into_iter().fold(call, |call, it| call.header("accept", it));
            let reply = call.send().await;
            assert_eq!(reply.status, StatusCode::OK, "{accept:?}");
            assert_eq!(reply.header("content-type"), expected, "{accept:?}");
            assert_eq!(reply.header("vary"), "accept", "{accept:?}");
        }
    }
    let plain = app.instance.get("/metrics").send().await.text;
    assert!(plain.contains("# TYPE brune_build_info gauge\n"), "{plain}");
    assert!(plain.contains("# TYPE brune_session_starts_total counter\n"), "{plain}");
    assert!(!plain.contains("# EOF") && !plain.contains("# UNIT"), "{plain}");
    // Both forms have the same series.
    let samples = |text: &str| {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let names: Vec<_> = lines.map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect();
        names
    };
    assert_eq!(samples(&plain), samples(&text(&app.instance).await));
}

/// The value of `series`, as it stands in the text.
async fn value(instance: &Instance, series: &str) -> f64 {
    let text = text(instance).await;
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{series} is not in {text}")).parse().unwrap()
}

#[tokio::test]
async fn known_series_start_at_zero() {
    let app = TestApp::new().await;
    for series in [
        r#"brune_settings_writes_total{outcome="version_conflict"}"#,
        "brune_settings_write_conflicts_total",
        r#"brune_session_starts_total{outcome="not_eligible"}"#,
        r#"brune_settings_reloads_total{source="redis",outcome="failed"}"#,
        "brune_settings_notifications_missed_total",
        "brune_settings_notifications_applied_total",
        "brune_secret_residue",
    ] {
        assert_eq!(value(&app.instance, series).await.to_string(), "0", "{series}");
    }
    let text = text(&app.instance).await;
    assert!(text.contains(r#"brune_build_info{version=""#) && text.ends_with("# EOF\n"), "{text}");
}

#[tokio::test]
async fn writes_and_starts_are_counted_by_outcome() {
    let app = TestApp::new().await;
    let key = "BRUNE_COOLDOWN_MINUTES";
    app.instance.change(&[(key, json!(31), 1)]).await.ok();
    app.instance.change(&[(key, json!(32), 1)]).await.problem(409, "version_conflict");
    app.instance.start_session(&user("ana")).await.ok();
    app.instance.start_session(&user("ana")).await.problem(409, "session_active");
    app.instance.wait_for_revision(2).await;
    for (series, expected) in [
        (r#"brune_settings_writes_total{outcome="done"}"#, 1.0),
        (r#"brune_settings_writes_total{outcome="version_conflict"}"#, 1.0),
        ("brune_settings_write_conflicts_total", 1.0),
        (r#"brune_session_starts_total{outcome="done"}"#, 1.0),
        (r#"brune_session_starts_total{outcome="session_active"}"#, 1.0),
        ("brune_settings_revision", 2.0),
        ("brune_settings_listener_connected", 1.0),
        ("brune_settings_apply_delay_seconds_count", 1.0),
    ] {
        assert!((value(&app.instance, series).await - expected).abs() < 0.5, "{series}");
    }
    let text = text(&app.instance).await;
    let expected_text = r#"http_server_request_duration_seconds_count{http_request_method="PATCH",http_route="/admin/global-settings",http_response_status_code="409",error_type="version_conflict"} 1"#;
    assert!(text.contains(expected_text), "{text}");
}

#[tokio::test]
async fn a_change_without_notification_is_counted_as_missed() {
    let app = TestApp::new().await;
    let stopwatch = Stopwatch::start();
    let mut late = Instance::builder(app.db.pool()).without_listener().start().await;
    app.instance.change(&[("BRUNE_COOLDOWN_MINUTES", json!(31), 1)]).await.ok();
    late.start_listening().await;
    late.wait_for_revision(2).await;
    let missed = "brune_settings_notifications_missed_total";
    wait_until("it is counted", async || value(&late, missed).await > 0.5).await;
    assert!(value(&app.instance, missed).await < 0.5);
    let age = value(&late, "brune_settings_age_seconds").await;
    stopwatch.assert_at_least(Duration::from_secs_f64(age));
}

#[tokio::test]
async fn each_instance_counts_the_live_fleet() {
    let app = TestApp::new().await;
    let pace = HeartbeatPolicy { beat: Duration::from_millis(50), ..HeartbeatPolicy::default() };
    let mut instances = Vec::new();
    for _ in 0..3 {
        let instance = Instance::builder(app.db.pool())
            .pace(pace)
            .without_listener()
            .join_fleet()
            .start()
            .await;
        instances.push(instance);
    }
    for instance in &instances {
        let is_counted = async || (value(instance, "brune_instances").await - 3.0).abs() < 0.5;
        wait_until("it sees three", is_counted).await;
    }
}

#[tokio::test]
async fn no_label_is_chosen_by_a_caller() {
    let app = TestApp::new().await;
    let made_up = Method::from_bytes(b"BREW").unwrap();
    app.instance.call(made_up, "/no/such/path").send().await;
    app.instance.get("/admin/config/some-made-up-key").send().await;
    let text = text(&app.instance).await;
    assert!(
        !text.contains("made-up") && !text.contains("such") && !text.contains("BREW"),
        "{text}"
    );
    assert!(text.contains(r#"http_request_method="_OTHER",http_route="none""#), "{text}");
}
