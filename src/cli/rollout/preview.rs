//! `brune rollout preview`: the expected duration and sensitivity of a rollout.

use serde_json::Value;

use crate::cli::{
    client::{Client, Failure},
    rollout::path_of,
    show::{Output, cell, show as show_rows},
};

pub(super) async fn show(client: &Client, output: Output, number: i64) -> Result<(), Failure> {
    let preview = client.get(&format!("{}/preview", path_of(number))).await?;
    show_rows(output, &["QUESTION", "ANSWER"], &rows(&preview), &preview)
}

/// Formats a preview as rows of a name and a text.
fn rows(preview: &Value) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut add = |name: String, text: String| rows.push(vec![name, text]);
    let list = |name: &str| preview[name].as_array().into_iter().flatten();
    let since = cell(&preview["since"]);
    add("traffic".to_owned(), format!("{} users since {since}", preview["users"]));
    for (index, entry) in list("stages").enumerate() {
        add(format!("stage {}", index + 1), stage(entry));
    }
    let guard = cell(&preview["guard"]);
    for entry in list("rows") {
        add(effect(entry, &guard), result(entry));
    }
    // Without a word, a preview without rows would look complete.
    if list("rows").next().is_none() {
        let reason = if preview["guard"].is_null() {
            "unknown: no session was started in the last week"
        } else {
            "unknown: the stages have too many users to simulate"
        };
        add("outcome".to_owned(), reason.to_owned());
    }
    for warning in list("warnings") {
        add("warning".to_owned(), cell(&warning["detail"]));
    }
    rows
}

fn stage(stage: &Value) -> String {
    let Some(hours) = stage["hours"].as_f64() else {
        return "never ends: too few users".to_owned();
    };
    let end = stage["ends_after_hours"].as_f64().unwrap_or(hours);
    // The rule holds a rollout whose hours have passed.
    let late =
        if stage["is_in_time"] == false { ", after max_hours: the rollout is held" } else { "" };
    format!("takes {hours:.1} hours, ends after {end:.1} hours{late}")
}

/// Describes the effect that a row assumes.
fn effect(row: &Value, guard: &str) -> String {
    let rates = format!("{} → {}", percent(&row["control_rate"]), percent(&row["candidate_rate"]));
    match row["factor"].as_u64() {
        Some(1) => format!("no effect ({guard} {rates})"),
        Some(factor) => format!("{guard} × {factor} ({rates})"),
        None => format!("every candidate user fails ({guard} {rates})"),
    }
}

fn result(row: &Value) -> String {
    let shares =
        ["reverted", "held", "promoted"].map(|name| format!("{name} {}", percent(&row[name])));
    // A change without effect is hardly ever reverted, and then has no median.
    let all = median(&row["users_until_revert"]);
    let candidates = median(&row["candidate_users_until_revert"]);
    let revert = all.zip(candidates).map(|(all, candidates)| {
        format!("; revert after {all} users, of whom {candidates} candidate users (median)")
    });
    shares.join(", ") + &revert.unwrap_or_default()
}

fn median(quantiles: &Value) -> Option<u64> {
    quantiles["median"].as_u64()
}

fn percent(share: &Value) -> String {
    let percent = share.as_f64().unwrap_or_default() * 100.0;
    format!("{percent:.1} %")
}
