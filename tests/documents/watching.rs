//! The dashboard and the alerts ask only for what `/metrics` has.

use std::{collections::BTreeSet, fs};

use serde_json::Value;

use crate::support::{Instance, TestApp, receiver::Receiver};

/// The names of metrics in `text`, without what `OpenMetrics` adds to a name for its parts.
fn metrics(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let ours = words.filter(|it| it.starts_with("brune_") || it.starts_with("http_server_"));
    let parts = ["_total", "_bucket", "_count", "_sum"];
    let plain =
        |it: &str| parts.iter().find_map(|part| it.strip_suffix(part)).unwrap_or(it).to_owned();
    ours.map(plain).collect()
}

#[tokio::test]
async fn dashboard_and_alerts_ask_for_what_is_there() {
    let app = TestApp::new().await;
    // Messages are counted where they go somewhere.
    let receiver = Receiver::new().await;
    let instance = Instance::alerting(&receiver.as_webhook(), app.db.pool()).await;
    // Requests are counted once there was one.
    instance.get("/livez").send().await;
    let served = metrics(&instance.get("/metrics").send().await.text);
    assert!(served.len() > 12, "{served:?}");
    let dashboard = fs::read_to_string("docs/grafana-dashboard.json").unwrap();
    let panels: Value = serde_json::from_str(&dashboard).unwrap();
    assert!(panels["panels"].as_array().unwrap().len() > 8);
    let alerts = fs::read_to_string("docs/prometheus-alerts.yaml").unwrap();
    let rules: Value = serde_saphyr::from_str(&alerts).unwrap();
    assert!(rules["groups"][0]["rules"].as_array().unwrap().len() > 4);
    for (file, text) in [("dashboard", dashboard), ("alerts", alerts)] {
        let asked = metrics(&text);
        assert!(asked.len() > 4, "{file}: {asked:?}");
        let unknown: Vec<_> = asked.difference(&served).collect();
        assert!(unknown.is_empty(), "{file} asks for {unknown:?}");
    }
}
