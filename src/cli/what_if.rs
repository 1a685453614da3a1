//! `brune what-if`: what a change would have done to recorded session starts, over REST.

use std::process::ExitCode;

use chrono::{SecondsFormat, TimeDelta};
use clap::{Args, value_parser};
use serde_json::{Value, json};

use crate::{
    cli::{
        client::{self, Client, Failure},
        proposal::{read_changes, split},
        show::{Output, cell, show},
        time::parse_time,
    },
    clock::Clock,
    config::Environment,
};

/// The longest period, in minutes: refused starts are kept for 8 days.
const MAX_MINUTES: i64 = 8 * 24 * 60;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The new values; parsed like those of `brune config set`
    #[arg(
        required_unless_present = "proposal",
        conflicts_with = "proposal",
        value_name = "KEY=VALUE"
    )]
    changes: Vec<String>,
    /// Use the current edition of this proposal instead of values
    #[arg(long, value_name = "NUMBER", value_parser = value_parser!(i64).range(1..))]
    proposal: Option<i64>,
    /// Replay the starts of this period before the end: minutes, hours or days, such as 90m, 24h, 8d (the longest)
    #[arg(long, value_name = "PERIOD", default_value = "24h", value_parser = parse_period)]
    since: TimeDelta,
    /// The end of the period, with an offset, such as 2027-01-01T02:00:00Z [default: now]
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    until: Option<String>,
    /// Output format; defaults to a table on a terminal and to tab-separated lines elsewhere
    #[arg(long, short)]
    output: Option<Output>,
}

/// Parses a number with the unit `m`, `h` or `d`.
fn parse_period(text: &str) -> Result<TimeDelta, &'static str> {
    let invalid =
        "must be a number of minutes, hours or days from 1m to 8d, such as 90m, 24h or 7d";
    let unit = text.chars().last().ok_or(invalid)?;
    let number = text.strip_suffix(unit).unwrap_or_default();
    let is_plain = number.bytes().all(|byte| byte.is_ascii_digit());
    let number: i64 = number.parse().ok().filter(|_| is_plain).ok_or(invalid)?;
    let minutes = match unit {
        'm' => Some(number),
        'h' => number.checked_mul(60),
        'd' => number.checked_mul(24 * 60),
        _ => None,
    };
    let minutes = minutes.filter(|minutes| (1..=MAX_MINUTES).contains(minutes));
    minutes.map(TimeDelta::minutes).ok_or(invalid)
}

pub(super) fn run(environment: &Environment, arguments: &Arguments) -> ExitCode {
    let output = Output::or_default(arguments.output);
    client::run(environment, async |client| {
        let report = client.post("/admin/what-if", &body(client, arguments).await?).await?;
        show(output, &["QUESTION", "ANSWER"], &rows(&report), &report)
    })
}

async fn body(client: &Client, arguments: &Arguments) -> Result<Value, Failure> {
    let Arguments { changes, proposal, since, until, .. } = arguments;
    let mut body = match proposal {
        Some(number) => json!({"proposal": number}),
        None => json!({"changes": read_changes(client, &split(changes)?).await?}),
    };
    let end = match until {
        // `parse_time` accepts only times that can be parsed.
        Some(text) => text.parse().map_err(|_| Failure::usage("--until is not a time"))?,
        None => Clock::system().now(),
    };
    body["since"] = json!((end - *since).to_rfc3339_opts(SecondsFormat::Micros, true));
    body["until"] = json!(until);
    Ok(body)
}

/// Formats the report as rows of a name and a text.
fn rows(report: &Value) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut add = |name: &str, text: String| rows.push(vec![name.to_owned(), text]);
    let list = |name: &str| report[name].as_array().into_iter().flatten();
    for change in list("changed") {
        let [key, old, new] = ["key", "old_value", "new_value"].map(|field| cell(&change[field]));
        add("change", format!("{key}: {old} → {new}"));
    }
    add("window", format!("{} to {}", cell(&report["since"]), cell(&report["until"])));
    add("attempts", reproduced(report));
    for (name, field) in [("newly refused", "newly_refused"), ("newly admitted", "newly_admitted")]
    {
        let decisions = &report[field];
        add(name, range(&decisions["attempts"]));
        for (group, field) in [("reason", "by_reason"), ("plan", "by_plan"), ("level", "by_level")]
        {
            if let Some(text) = groups(&decisions[field]) {
                add(&format!("- by {group}"), text);
            }
        }
    }
    let cut = &report["cut_shorter"];
    let minutes = range(&cut["minutes"]);
    add("cut shorter", format!("{} sessions, by {minutes} minutes", range(&cut["sessions"])));
    for (name, before, after) in [
        ("minutes", "minutes_before", "minutes_after"),
        ("at one time", "peak_before", "peak_after"),
    ] {
        add(name, format!("{} → {}", report[before], range(&report[after])));
    }
    list("examples").for_each(|entry| add("example", example(entry)));
    list("unknown").for_each(|sentence| add("unknown", cell(sentence)));
    list("warnings").for_each(|sentence| add("warning", cell(sentence)));
    rows
}

fn reproduced(report: &Value) -> String {
    match report["reproduced"].as_f64() {
        Some(share) => {
            // Rounded down: 99.99 % must not look like all.
            let percent = (share * 1_000.0).floor() / 10.0;
            format!("{}, of which the recorded settings explain {percent} %", report["attempts"])
        }
        None => report["attempts"].to_string(),
    }
}

/// Formats a number, or the least and the greatest.
fn range(range: &Value) -> String {
    let (minimum, maximum) = (&range["least"], &range["most"]);
    if minimum == maximum { minimum.to_string() } else { format!("{minimum} to {maximum}") }
}

fn groups(groups: &Value) -> Option<String> {
    let group = |group: &Value| {
        let name = if group["name"].is_null() { "(none)".to_owned() } else { cell(&group["name"]) };
        format!("{name} {}", range(&group["attempts"]))
    };
    let texts: Vec<_> = groups.as_array()?.iter().map(group).collect();
    (!texts.is_empty()).then(|| texts.join(", "))
}

fn example(entry: &Value) -> String {
    let text = |name: &str| cell(&entry[name]);
    let detail = if let Some(minutes) = entry["minutes"].as_i64() {
        format!("by {minutes} minutes")
    } else {
        let reasons = entry["reasons"].as_array().into_iter().flatten().map(cell);
        reasons.collect::<Vec<_>>().join(", ")
    };
    let difference = text("difference").replace('_', " ");
    format!(
        "{} at {}: {difference} ({detail}); plan {}, level {}",
        text("user_id"),
        text("at"),
        text("plan"),
        text("level"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_a_number_with_a_unit() {
        assert_eq!(parse_period("90m"), Ok(TimeDelta::minutes(90)));
        assert_eq!(parse_period("24h"), Ok(TimeDelta::days(1)));
        assert_eq!(parse_period("8d"), Ok(TimeDelta::days(8)));
        for invalid in [
            "",
            "h",
            "24",
            "0m",
            "9d",
            "193h",
            "-1h",
            "+1h",
            "1.5h",
            "1 h",
            "1w",
            "99999999999999999999d",
            "1µ",
        ] {
            assert!(parse_period(invalid).is_err(), "{invalid}");
        }
    }

    #[test]
    fn a_report_is_told_in_rows() {
        let group = |name: Value, minimum, maximum| json!({"name": name, "attempts": {"least": minimum, "most": maximum}});
        let unchanged = json!({"attempts": {"least": 0, "most": 0}, "by_reason": [], "by_plan": [], "by_level": []});
        let report = json!({
            "since": "a", "until": "b", "attempts": 1000, "reproduced": 0.99999,
            "changed": [{"key": "K", "old_value": 30, "new_value": null}],
            "newly_refused": {
                "attempts": {"least": 3, "most": 5}, "by_reason": [group(json!("cooldown"), 3, 5)],
                "by_plan": [group(Value::Null, 3, 3)], "by_level": []
            },
            "newly_admitted": unchanged,
            "cut_shorter": {"sessions": {"least": 1, "most": 1}, "minutes": {"least": 20, "most": 20}},
            "minutes_before": 10, "minutes_after": {"least": 8, "most": 9},
            "peak_before": 4, "peak_after": {"least": 4, "most": 4},
            "examples": [
                {"difference": "newly_refused", "user_id": "ana\u{1b}", "at": "t", "plan": null, "level": "x",
                 "reasons": ["cooldown", "daily_limit"], "minutes": null},
                {"difference": "cut_shorter", "user_id": "ben", "at": "t", "plan": "pro", "level": null,
                 "reasons": [], "minutes": 20}
            ],
            "unknown": ["u"], "warnings": ["w"],
        });
        let lines: Vec<_> = rows(&report).iter().map(|row| row.join(": ")).collect();
        assert_eq!(
            lines,
            [
                "change: K: 30 → -",
                "window: a to b",
                "attempts: 1000, of which the recorded settings explain 99.9 %",
                "newly refused: 3 to 5",
                "- by reason: cooldown 3 to 5",
                "- by plan: (none) 3",
                "newly admitted: 0",
                "cut shorter: 1 sessions, by 20 minutes",
                "minutes: 10 → 8 to 9",
                "at one time: 4 → 4",
                "example: ana\\u{1b} at t: newly refused (cooldown, daily_limit); plan -, level x",
                "example: ben at t: cut shorter (by 20 minutes); plan pro, level -",
                "unknown: u",
                "warning: w",
            ]
        );
    }
}
