//! `list`, `get`, `history`, `diff`, `watch`.

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use serde_json::json;

use crate::service::{Service, lines};

use crate::support::wait::wait_for;

const COOLDOWN: &str = "BRUNE_COOLDOWN_MINUTES";

#[tokio::test]
async fn the_list_has_every_key_and_no_values_of_locked_keys() {
    let service = Service::start().await;
    let output = service.config(&["list"]).ends(0, "");
    let rows = output.rows();
    assert_eq!(rows.len(), 40);
    assert!(rows.contains(&vec![COOLDOWN, "brune_business", "1", "30"]), "{rows:?}");
    assert!(rows.contains(&vec!["JWT_SECRET", "secret", "-", "(env)"]), "{rows:?}");
    let actual_output =
        service.config(&["list", "--search", "PROMPT", "--category", "brune_prompt"]);
    assert_eq!(actual_output.rows().len(), 2);
    let none = service.config(&["list", "--category", "elsewhere"]).ends(0, "");
    assert_eq!(none.out, "");
}

#[tokio::test]
async fn a_value_is_printed_alone_or_as_json() {
    let service = Service::start().await;
    assert_eq!(service.config(&["get", COOLDOWN]).out, "30\n");
    let entry = service.config(&["get", COOLDOWN, "--output", "json"]).json();
    assert_eq!((&entry["value"], &entry["version"]), (&json!(30), &json!(1)));
    service.config(&["get", COOLDOWN, "-o", "yaml"]).ends(0, "value: 30\n");
    service.config(&["get", COOLDOWN, "-o", "table"]).ends(0, "30");
    service.config(&["list", "-o", "table"]).ends(0, "KEY").ends(0, "VERSION");
    let output = service.config(&["list", "-o", "json"]).json();
    assert_eq!(output.as_array().unwrap().len(), 40);
}

#[tokio::test]
async fn a_secret_is_not_printed_and_an_unknown_key_is_reported() {
    let service = Service::start().await;
    service
        .config(&["get", "JWT_SECRET"])
        .ends(1, "is locked; its value is not shown (source: env)");
    service.config(&["get", "NOPE"]).ends(1, "the catalog declares no key NOPE");
    service.config(&["get", "audit?limit=1"]).ends(2, "is not a key");
}

#[tokio::test]
async fn history_and_diff_show_changes() {
    let service = Service::start().await;
    service
        .config(&["set", COOLDOWN, "45", "--reason", "calmer evenings"])
        .ends(0, "is 45 (was 30)");
    let output = service.config(&["history", COOLDOWN, "--limit", "1"]).ends(0, "");
    let rows = output.rows();
    assert_eq!(rows[0][0], "2");
    assert_eq!(rows[0][2..], ["ada", "update", COOLDOWN, "30 → 45", "calmer evenings"]);
    let entries = service.config(&["history", "-o", "json"]).json();
    assert_eq!(entries[0]["reason"], "calmer evenings");
    let differing = service.config(&["diff", "1", "2"]).ends(0, "");
    assert_eq!(differing.rows(), [[COOLDOWN, "30", "45"]]);
    let same = service.config(&["diff", "2", "-o", "json"]).json();
    assert_eq!(same, json!([]));
    service.config(&["diff", "99"]).ends(1, "revisions go from 1 to 2");
    service
        .room
        .write("wanted.yaml", "format_version: 1\nsettings:\n  BRUNE_COOLDOWN_MINUTES: 50\n");
    let actual_output = service.config(&["diff", "wanted.yaml"]).ends(0, "");
    assert_eq!(actual_output.rows()[0][..4], [COOLDOWN, "change", "45", "50"]);
}

#[tokio::test]
async fn watch_prints_each_change_once_and_ends_with_its_reader() {
    let service = Service::start().await;
    let mut command = service.config_at(&service.address, "ada", &["watch", "-o", "json"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let lines = lines(&mut child);
    // It prints what is changed after it has started, which cannot be observed: change until it prints.
    let mut values = (31..50).cycle();
    let first = wait_for("a change is printed", || {
        let value = values.next().unwrap().to_string();
        service.config(&["set", COOLDOWN, &value, "--reason", "to be seen"]).ends(0, "");
        lines.try_recv().ok()
    });
    let actual_json: serde_json::Value = serde_json::from_str(&first).unwrap();
    assert_eq!(
        (&actual_json["reason"], &actual_json["key"]),
        (&json!("to be seen"), &json!(COOLDOWN))
    );
    child.kill().unwrap();
    child.wait().unwrap();
    let repeat: Vec<_> = lines.iter().collect();
    assert!(!repeat.contains(&first), "{repeat:?}");
}

#[tokio::test]
async fn watch_survives_a_restart_without_missing_a_change() {
    let mut service = Service::start().await;
    let mut command = service.config_at(&service.address, "ada", &["watch", "-o", "json"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = lines(&mut child);
    let mut complaints = BufReader::new(child.stderr.take().unwrap()).lines();
    // It is connected before it can lose its connection.
    let mut values = (31..50).cycle();
    wait_for("a change is printed", || {
        let value = values.next().unwrap().to_string();
        service.config(&["set", COOLDOWN, &value, "-r", "first"]).ends(0, "");
        lines.try_recv().ok()
    });
    service.stop();
    let complaint = complaints.next().unwrap().unwrap();
    service.start_again();
    assert!(complaint.contains("does not answer") && complaint.contains("retrying"), "{complaint}");
    service.config(&["set", COOLDOWN, "77", "-r", "after the restart"]).ends(0, "");
    let actual = lines.iter().find(|line| line.contains("after the restart")).unwrap();
    let actual: serde_json::Value = serde_json::from_str(&actual).unwrap();
    assert_eq!(actual["new_value"], 77);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[tokio::test]
async fn the_history_of_an_unknown_key_is_refused() {
    let service = Service::start().await;
    let output = service.config(&["history", "BRUNE_COOLDOWN_MINUTE"]);
    output
        .ends(1, "unknown setting BRUNE_COOLDOWN_MINUTE: not declared and not in the audit trail");
    service.config(&["history", "LOG_LEVEL"]).ends(0, "");
}
