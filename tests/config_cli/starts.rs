//! `brune starts`.

use chrono::DateTime;
use serde_json::Value;

use crate::{
    proposals::brune,
    service::{Run, Service},
};

/// Runs `brune starts` as Ada.
fn starts(service: &Service, arguments: &[&str]) -> Run {
    brune(service, "ada", &[&["starts"], arguments].concat())
}

/// Returns the length of the stop in force.
fn minutes(service: &Service) -> Option<i64> {
    let state = starts(service, &["status", "-o", "json"]).json();
    let time = |name: &str| {
        state["stopped"][name].as_str().map(|text| DateTime::parse_from_rfc3339(text).unwrap())
    };
    Some((time("stopped_until")? - time("stopped_at")?).num_minutes())
}

#[tokio::test]
async fn a_stop_lasts_until_its_end_or_a_resumption() {
    let service = Service::start().await;
    starts(&service, &["status"]).ends(0, "sessions can start");
    let stop = |minutes: &str, reason: &str| {
        starts(&service, &["stop", "--minutes", minutes, "-r", reason])
    };
    stop("15", "nonsense since 02:50")
        .ends(0, "no session starts until ")
        .ends(0, ", stopped by ada: nonsense since 02:50; ")
        .ends(0, "brune starts resume");
    starts(&service, &["status"]).ends(0, ", stopped by ada: nonsense since 02:50; ");
    assert_eq!(minutes(&service), Some(15));
    // The second stop replaces the first.
    stop("1440", "still nonsense").ends(0, "ada: still nonsense");
    assert_eq!(minutes(&service), Some(1440));
    let refused = starts(&service, &["stop", "--minutes", "1", "-r", "short", "-o", "yaml"]);
    refused.ends(0, "stopped_by: ada");
    assert_eq!(minutes(&service), Some(1));
    let resume = ["resume", "-r", "the prompt is fixed"];
    starts(&service, &resume).ends(0, "sessions can start");
    let epoch = starts(&service, &["status", "-o", "json"]).json()["epoch"].clone();
    starts(&service, &resume).ends(0, "sessions can start");
    let state = starts(&service, &["status", "-o", "json"]).json();
    assert_eq!((&state["epoch"], &state["stopped"]), (&epoch, &Value::Null));
}

#[tokio::test]
async fn bad_input_stops_nothing() {
    let service = Service::start().await;
    for minutes in ["0", "1441", "-1", "70000", "an hour", "1.5", ""] {
        let stop = format!("--minutes={minutes}");
        starts(&service, &["stop", &stop, "-r", "nonsense"]).ends(2, "--minutes");
    }
    starts(&service, &["stop", "-r", "nonsense"]).ends(2, "--minutes");
    starts(&service, &["stop", "--minutes", "15"]).ends(2, "--reason");
    starts(&service, &["stop", "--minutes", "15", "-r", " x "]).ends(1, "3 to 500 characters");
    // In two parts, so that this file has no text that looks like a secret.
    let secret = ["sk-", "proj-Zq8Rk2LmN4pT6vW9xY1b"].concat();
    let refused = starts(&service, &["stop", "--minutes", "15", "-r", &secret]).ends(1, "reason");
    assert!(!(refused.out + &refused.err).contains(&secret));
    starts(&service, &["resume"]).ends(2, "--reason");
    starts(&service, &["resume", "-r", &secret]).ends(1, "reason");
    starts(&service, &["status"]).ends(0, "sessions can start");
}
