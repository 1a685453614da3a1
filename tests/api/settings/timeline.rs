//! The trail counted by time, as a chart shows it.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::{COOLDOWN, HISTORY, at, entries, faults, patch, psql, read};
use crate::support::TestApp;

async fn timeline(app: &TestApp, query: &str) -> Value {
    read(&app.instance, &format!("{HISTORY}/timeline?{query}")).await.ok()
}

fn time(value: &Value) -> DateTime<Utc> {
    value.as_str().unwrap().parse().unwrap()
}

/// A trail of years: its nine seeds in 2020, and of five changes one every 40 minutes, and the last a day later.
async fn lived_in() -> TestApp {
    let app = TestApp::new().await;
    for version in 1..=5 {
        let change = json!([{"key": COOLDOWN, "value": version, "version": version}]);
        patch(&app.instance, &change).send().await.ok();
    }
    let refusal = json!([{"key": "JWT_SECRET", "value": "x"}]);
    patch(&app.instance, &refusal).send().await.problem(403, "key_locked");
    // Only somebody who switches the triggers off can write what is past.
    psql(
        &app.db.admin(),
        "alter table app_global_setting_audit disable trigger all;
        update app_global_setting_audit set changed_at = case
          when action = 'seed' then timestamptz '2020-01-01 00:00:00Z'
          when action = 'refused' then timestamptz '2024-05-07 10:00:00Z'
          else timestamptz '2024-05-06 10:00:00Z' + (version - 2) * interval '40 min' end",
    )
    .await
    .unwrap();
    app
}

#[tokio::test]
async fn entries_are_counted_in_buckets_of_a_round_length() {
    let app = lived_in().await;
    let day = timeline(&app, "since=2024-05-06T00:00:00Z&until=2024-05-07T12:00:00Z").await;
    assert_eq!(
        day,
        json!({
            "since": "2024-05-06T00:00:00Z", "until": "2024-05-07T12:00:00Z", "step_seconds": 3600,
            "buckets": [
                {"start": "2024-05-06T10:00:00Z", "counts": {"update": 2}},
                {"start": "2024-05-06T11:00:00Z", "counts": {"update": 1}},
                {"start": "2024-05-06T12:00:00Z", "counts": {"update": 2}},
                {"start": "2024-05-07T10:00:00Z", "counts": {"refused": 1}},
            ],
        })
    );
    let hour = timeline(&app, "since=2024-05-06T10:00:00Z&until=2024-05-06T10:40:00Z").await;
    let buckets = json!([
        {"start": "2024-05-06T10:00:00Z", "counts": {"update": 1}},
        {"start": "2024-05-06T10:40:00Z", "counts": {"update": 1}},
    ]);
    assert_eq!((&hour["step_seconds"], &hour["buckets"]), (&json!(60), &buckets));
    // Two kinds in one step.
    let both = timeline(&app, "since=2024-05-01T00:00:00Z&until=2026-05-07T12:00:00Z").await;
    let expected =
        json!([{"start": "2024-05-02T00:00:00Z", "counts": {"refused": 1, "update": 5}}]);
    assert_eq!((&both["step_seconds"], &both["buckets"]), (&json!(604_800), &expected));
}

#[tokio::test]
async fn without_bounds_the_timeline_reaches_from_the_oldest_match_to_now() {
    let app = lived_in().await;
    let whole = timeline(&app, "").await;
    assert_eq!(whole["since"], "2020-01-01T00:00:00Z");
    let now: DateTime<Utc> =
        sqlx::query_scalar("select clock_timestamp()").fetch_one(&app.db.pool()).await.unwrap();
    let until = time(&whole["until"]);
    assert!(now - TimeDelta::minutes(5) < until && until <= now, "{until} {now}");
    let counts: i64 = whole["buckets"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|bucket| bucket["counts"].as_object().unwrap().values())
        .map(|count| count.as_i64().unwrap())
        .sum();
    assert_eq!(counts, 15);
    let refusal = timeline(&app, "action=refused").await;
    assert_eq!(refusal["since"], "2024-05-07T10:00:00Z");
    assert_eq!(refusal["buckets"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn the_timeline_counts_what_the_history_lists_for_every_filter() {
    let app = lived_in().await;
    let id = entries(&app.instance, "action=update").await[2]["request_id"].clone();
    let id = format!("request_id={}", id.as_str().unwrap());
    for filter in [
        "key=BRUNE_COOLDOWN_MINUTES",
        "changed_by=admin-1",
        "changed_by=brune:migrate",
        "action=seed",
        "revision=3",
        &id,
        "key=BRUNE_COOLDOWN_MINUTES&action=update&since=2024-05-06T10:40:00Z",
        "until=2024-05-06T10:40:00Z",
    ] {
        let listing = entries(&app.instance, filter).await.len();
        assert!(0 < listing && listing < 15, "{filter}: {listing}");
        let actual = timeline(&app, filter).await;
        let buckets = actual["buckets"].as_array().unwrap().iter();
        let counts = buckets.flat_map(|bucket| bucket["counts"].as_object().unwrap().values());
        let actual_count: i64 = counts.map(|count| count.as_i64().unwrap()).sum();
        assert_eq!(usize::try_from(actual_count), Ok(listing), "{filter}");
    }
}

#[tokio::test]
async fn without_matches_there_are_no_buckets() {
    let app = lived_in().await;
    for query in ["key=LOG_LEVEL", "action=import", "revision=99"] {
        let actual = timeline(&app, query).await;
        assert_eq!(actual["buckets"], json!([]), "{query}");
        assert_eq!(actual["since"], actual["until"], "{query}");
    }
    let backwards = "since=2024-05-07T00:00:00Z&until=2024-05-06T00:00:00Z";
    assert_eq!(timeline(&app, backwards).await["buckets"], json!([]));
    let ages = "since=0001-01-01T00:00:00Z&until=9999-12-31T23:59:59Z";
    assert_eq!(timeline(&app, ages).await["step_seconds"], 31_536_000);
    for (query, place, code) in [
        ("limit=5", "?limit", "unknown_parameter"),
        ("cursor=AAAA", "?cursor", "unknown_parameter"),
        ("since=monday", "?since", "not_a_time"),
    ] {
        let problem = read(&app.instance, &format!("{HISTORY}/timeline?{query}")).await;
        let problem = problem.problem(400, "malformed_request");
        assert_eq!(faults(&problem), at([(place, code)]), "{query}");
    }
}
