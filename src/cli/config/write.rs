//! Commands that write.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    cli::{
        client::{Client, Failure, path_of},
        config::wait::{self, Wait},
        output::print,
        show::{Output, cell, confirm, show},
    },
    text::forbidden,
};

/// The options of a change to one key.
pub(super) struct ChangeOptions {
    pub(super) reason: String,
    pub(super) dry_run: bool,
    pub(super) wait: Wait,
}

pub(super) async fn set(
    client: &Client,
    output: Output,
    key: &str,
    text: &str,
    options: &ChangeOptions,
) -> Result<(), Failure> {
    let path = path_of(key)?;
    let current = client.get(&path).await?;
    // A locked key has no type, so any text is sent: the service rejects and audits the attempt.
    let is_locked = current["locked"] == true;
    let value_type = current["value_type"].as_str().filter(|_| !is_locked).unwrap_or_default();
    let value = parse_value(value_type, text)?;
    let mut body = json!({"value": value, "reason": options.reason});
    // The service requires the version that the change replaces.
    if current["version"].is_number() {
        body["version"] = current["version"].clone();
    }
    let request = client.request(Method::PUT, &path)?.query(&[("dry_run", options.dry_run)]);
    let result = client.send(options.wait.apply_to(request).json(&body)).await?.body;
    report(output, key, &current, &result)
}

/// Parses a value: JSON for numbers and booleans, JSON or comma-separated items for lists. No error repeats the value.
fn parse_value(value_type: &str, text: &str) -> Result<Value, Failure> {
    let json = || serde_json::from_str(text.trim());
    let mismatch = |expected: &str| Failure::usage(format!("the value must be {expected}"));
    // Trimming would hide a line end.
    if let Some(character) = text.chars().find_map(forbidden) {
        return Err(Failure::rejected(format!("the value must not contain {character}")));
    }
    match value_type {
        "number" => json().ok().filter(Value::is_number).ok_or_else(|| mismatch("a number")),
        "boolean" => json().ok().filter(Value::is_boolean).ok_or_else(|| mismatch("true or false")),
        "string_array" if text.trim_start().starts_with('[') => {
            json().ok().filter(Value::is_array).ok_or_else(|| mismatch("a JSON array"))
        }
        "string_array" => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            Ok(items.collect())
        }
        _ => Ok(text.into()),
    }
}

fn report(output: Output, key: &str, old: &Value, new: &Value) -> Result<(), Failure> {
    if output.is_for_programs() {
        show(output, &[], &[], new)?;
        return wait::report(new, true);
    }
    let value = cell(&new["value"]);
    if old["version"] == new["version"] {
        print(&format!("{key} is already {value}"));
        return wait::report(new, false);
    }
    let verb = if new["dry_run"] == true { "would be" } else { "is" };
    let old_value = cell(&old["value"]);
    print(&format!("{key} {verb} {value} (was {old_value}), version {}", new["version"]));
    wait::report(new, false)
}

pub(super) async fn reset(
    client: &Client,
    output: Output,
    key: &str,
    options: &ChangeOptions,
) -> Result<(), Failure> {
    let path = path_of(key)?;
    let current = client.get(&path).await?;
    let mut query =
        vec![("reason", options.reason.clone()), ("dry_run", options.dry_run.to_string())];
    if let Some(version) = current["version"].as_i64() {
        query.push(("version", version.to_string()));
    }
    let request = client.request(Method::DELETE, &path)?.query(&query);
    let result = client.send(options.wait.apply_to(request)).await?.body;
    report(output, key, &current, &result)
}

/// The arguments of a rollback.
pub(super) struct Rollback {
    pub(super) key: Option<String>,
    pub(super) to_version: Option<i64>,
    pub(super) to_revision: Option<i64>,
    pub(super) reason: String,
    pub(super) dry_run: bool,
    pub(super) yes: bool,
    pub(super) wait: Wait,
}

pub(super) async fn roll_back(
    client: &Client,
    output: Output,
    rollback: Rollback,
) -> Result<(), Failure> {
    let body = match (&rollback.key, rollback.to_version, rollback.to_revision) {
        (Some(key), Some(to_version), _) => {
            let current = client.get(&path_of(key)?).await?;
            let version = current["version"].clone();
            json!({"key": key, "to_version": to_version, "version": version, "reason": rollback.reason})
        }
        (_, _, Some(to_revision)) => {
            let revision = client.get("/admin/global-settings").await?["revision"].clone();
            json!({"to_revision": to_revision, "revision": revision, "reason": rollback.reason})
        }
        _ => return Err(Failure::usage("use KEY with --to-version, or --to-revision")),
    };
    // A dry run first, to show the plan before the confirmation.
    let path = "/admin/global-settings/rollback";
    let dry_run = client.request(Method::POST, path)?.query(&[("dry_run", true)]).json(&body);
    let plan = client.send(dry_run).await?.body;
    // A program gets a single document: the result, or the plan if nothing is applied.
    if rollback.dry_run || !rollback.yes || !output.is_for_programs() {
        show_plan(output, &plan)?;
    }
    if plan["refused"].as_array().is_some_and(|violations| !violations.is_empty()) {
        let message = "the current rules reject these values; nothing was changed";
        return Err(Failure::rejected(message));
    }
    if rollback.dry_run {
        return Ok(());
    }
    let is_unchanged = plan["changed"].as_array().is_some_and(Vec::is_empty);
    if is_unchanged && !output.is_for_programs() {
        return Ok(());
    }
    confirm(rollback.yes, "Restore these values?")?;
    let request = rollback.wait.apply_to(client.request(Method::POST, path)?).json(&body);
    let result = client.send(request).await?.body;
    if output.is_for_programs() {
        show(output, &[], &[], &result)?;
        return wait::report(&result, true);
    }
    print(&format!("restored, revision {}", result["revision"]));
    wait::report(&result, false)
}

fn show_plan(output: Output, plan: &Value) -> Result<(), Failure> {
    let list = |name: &str| plan[name].as_array().cloned().unwrap_or_default();
    let changed_rows = list("changed").into_iter().map(|change| {
        let values = ["key", "old_value", "new_value"].map(|name| cell(&change[name]));
        values.into_iter().chain(["change".to_owned()]).collect()
    });
    let rejected_rows = list("refused").into_iter().map(|violation| {
        let detail = format!("rejected: {}", cell(&violation["detail"]));
        vec![cell(&violation["key"]), "-".to_owned(), "-".to_owned(), detail]
    });
    let rows: Vec<Vec<String>> = changed_rows.chain(rejected_rows).collect();
    if rows.is_empty() && matches!(output, Output::Table | Output::Tsv) {
        print("no changes");
        return Ok(());
    }
    show(output, &["KEY", "CURRENT", "NEW", "PLAN"], &rows, plan)
}
