//! The dashboard and the alerts ask only for what `/metrics` has from the start, and Prometheus's own tool reads all.

use std::{
    collections::BTreeSet,
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::support::{TestApp, programs::need};

/// A selector of series: its metric, and the labels that must have or match a value.
type Selector = (String, Vec<(String, String)>);

/// The selectors in `text`, the files' expressions: names of ours, and what stands in braces after them.
fn selectors(text: &str) -> BTreeSet<Selector> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut selectors = BTreeSet::new();
    let mut rest = text;
    while let Some(at) = rest.find(is_name) {
        let name: String = rest[at..].chars().take_while(|c| is_name(*c)).collect();
        rest = &rest[at + name.len()..];
        if !(name.starts_with("brune_") || name.starts_with("http_server_")) {
            continue;
        }
        let braces = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
        let matchers = braces.map_or("", |(matchers, _)| matchers).replace('\\', "");
        let matchers = matchers.split(',').filter_map(|matcher| {
            let (label, value) = matcher.split_once("=~").or_else(|| matcher.split_once('='))?;
            Some((label.trim().to_owned(), value.trim().trim_matches('"').to_owned()))
        });
        let matchers: Vec<_> = matchers.collect();
        selectors.insert((name, matchers));
    }
    selectors
}

/// Whether `text`, an answer of `/metrics`, has a series for each alternative of each matcher of `selector`.
fn has(text: &str, (name, matchers): &Selector) -> bool {
    let series: Vec<&str> = text
        .lines()
        .filter(|line| {
            line.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with(['{', ' ']))
        })
        .collect();
    let labelled = |label: &str, value: &str| {
        series.iter().any(|sample| sample.contains(&format!("{label}=\"{value}\"")))
    };
    let all = matchers
        .iter()
        .all(|(label, values)| values.split('|').all(|value| labelled(label, value)));
    !series.is_empty() && all
}

#[tokio::test]
async fn every_metric_of_dashboard_and_alerts_exists_from_the_start() {
    let app = TestApp::new().await;
    // The very first request, of a service that sends no messages.
    let served = app.instance.get("/metrics").send().await.text;
    let dashboard = fs::read_to_string("docs/grafana-dashboard.json").unwrap();
    let panels: Value = serde_json::from_str(&dashboard).unwrap();
    assert!(panels["panels"].as_array().unwrap().len() > 8);
    let alerts = fs::read_to_string("docs/prometheus-alerts.yaml").unwrap();
    let rules: Value = serde_saphyr::from_str(&alerts).unwrap();
    assert!(rules["groups"][0]["rules"].as_array().unwrap().len() > 4);
    for (file, text) in [("dashboard", dashboard), ("alerts", alerts)] {
        let request = selectors(&text);
        assert!(request.len() > 4, "{file}: {request:?}");
        let missing: Vec<_> = request.iter().filter(|query| !has(&served, query)).collect();
        assert!(missing.is_empty(), "{file} asks for {missing:?}, not in\n{served}");
    }
}

/// Runs `promtool check` with `arguments`, given `input`, and holds it to find nothing wrong.
fn promtool(arguments: &[&str], input: &str) {
    need("command -v promtool");
    let mut command = Command::new("promtool");
    command.arg("check").args(arguments).stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let actual_output =
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "promtool check {arguments:?}: {actual_output}\n{input}");
}

#[tokio::test]
async fn promtool_accepts_metrics_and_rules() {
    let app = TestApp::new().await;
    app.instance.get("/admin/global-settings").send().await;
    app.instance.start_session("nobody").await;
    let text = app.instance.get("/metrics").header("accept", "text/plain").send().await.text;
    promtool(&["metrics"], &text);
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/prometheus-alerts.yaml");
    promtool(&["rules", rules.to_str().unwrap()], "");
}
