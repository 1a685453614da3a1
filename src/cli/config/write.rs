//! Changing.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    cli::{
        client::{Client, Failure, path_of},
        config::wait::{self, Wait},
        output::say,
        show::{Output, cell, confirmed, show},
    },
    text::forbidden,
};

/// How one key is changed.
pub(super) struct How {
    pub(super) reason: String,
    pub(super) dry_run: bool,
    pub(super) wait: Wait,
}

pub(super) async fn set(
    client: &Client,
    output: Output,
    key: &str,
    text: &str,
    how: &How,
) -> Result<(), Failure> {
    let path = path_of(key)?;
    let current = client.get(&path).await?;
    // A locked key has no version, and any text will do: the service refuses it, and leaves a trace.
    let locked = current["locked"] == true;
    let value_type = current["value_type"].as_str().filter(|_| !locked).unwrap_or_default();
    let value = read(value_type, text)?;
    let mut body = json!({"value": value, "reason": how.reason});
    if current["version"].is_number() {
        body["version"] = current["version"].clone();
    }
    let request = client.request(Method::PUT, &path)?.query(&[("dry_run", how.dry_run)]);
    let changed = client.send(how.wait.ask(request).json(&body)).await?.body;
    report(output, key, &current, &changed)
}

/// The value that `text` spells, which no fault repeats: JSON for numbers and booleans, JSON or commas for lists.
fn read(value_type: &str, text: &str) -> Result<Value, Failure> {
    let json = || serde_json::from_str(text.trim());
    let unfit = |wanted: &str| Failure::usage(format!("the value is not {wanted}"));
    // Before white space is trimmed, which a line end would pass for.
    if let Some(what) = text.chars().find_map(forbidden) {
        return Err(Failure::refused(format!("the value must not contain {what}")));
    }
    match value_type {
        "number" => json().ok().filter(Value::is_number).ok_or_else(|| unfit("a number")),
        "boolean" => json().ok().filter(Value::is_boolean).ok_or_else(|| unfit("true or false")),
        "string_array" if text.trim_start().starts_with('[') => {
            json().ok().filter(Value::is_array).ok_or_else(|| unfit("a JSON array"))
        }
        "string_array" => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            Ok(items.collect())
        }
        _ => Ok(text.into()),
    }
}

fn report(output: Output, key: &str, before: &Value, after: &Value) -> Result<(), Failure> {
    if output.is_for_programs() {
        show(output, &[], &[], after)?;
        return wait::report(after, true);
    }
    let how = if after["dry_run"] == true { "would be" } else { "is" };
    if before["version"] == after["version"] {
        say(&format!("{key} is {} already", cell(&after["value"])));
        return wait::report(after, false);
    }
    let (old, new) = (cell(&before["value"]), cell(&after["value"]));
    say(&format!("{key} {how} {new} (was {old}), version {}", after["version"]));
    wait::report(after, false)
}

pub(super) async fn reset(
    client: &Client,
    output: Output,
    key: &str,
    how: &How,
) -> Result<(), Failure> {
    let path = path_of(key)?;
    let current = client.get(&path).await?;
    let mut query = vec![("reason", how.reason.clone()), ("dry_run", how.dry_run.to_string())];
    if let Some(version) = current["version"].as_i64() {
        query.push(("version", version.to_string()));
    }
    let request = client.request(Method::DELETE, &path)?.query(&query);
    let changed = client.send(how.wait.ask(request)).await?.body;
    report(output, key, &current, &changed)
}

/// How to go back.
pub(super) struct Back {
    pub(super) key: Option<String>,
    pub(super) to_version: Option<i64>,
    pub(super) to_revision: Option<i64>,
    pub(super) reason: String,
    pub(super) dry_run: bool,
    pub(super) yes: bool,
    pub(super) wait: Wait,
}

pub(super) async fn roll_back(client: &Client, output: Output, back: Back) -> Result<(), Failure> {
    let body = match (&back.key, back.to_version, back.to_revision) {
        (Some(key), Some(to_version), _) => {
            let current = client.get(&path_of(key)?).await?;
            let version = current["version"].clone();
            json!({"key": key, "to_version": to_version, "version": version, "reason": back.reason})
        }
        (_, _, Some(to_revision)) => {
            let revision = client.get("/admin/global-settings").await?["revision"].clone();
            json!({"to_revision": to_revision, "revision": revision, "reason": back.reason})
        }
        _ => return Err(Failure::usage("say KEY with --to-version, or --to-revision")),
    };
    let path = "/admin/global-settings/rollback";
    let dry = client.request(Method::POST, path)?.query(&[("dry_run", true)]).json(&body);
    let plan = client.send(dry).await?.body;
    let apply = !back.dry_run;
    if !(apply && back.yes && output.is_for_programs()) {
        show_plan(output, &plan)?;
    }
    let refused = plan["refused"].as_array().is_some_and(|it| !it.is_empty());
    if refused {
        return Err(Failure::refused("today's rules refuse it; nothing was done"));
    }
    if !apply {
        return Ok(());
    }
    let nothing = plan["changed"].as_array().is_some_and(Vec::is_empty);
    if nothing && !output.is_for_programs() {
        return Ok(());
    }
    confirmed(back.yes, "Restore these values?")?;
    let request = back.wait.ask(client.request(Method::POST, path)?).json(&body);
    let done = client.send(request).await?.body;
    if output.is_for_programs() {
        show(output, &[], &[], &done)?;
        return wait::report(&done, true);
    }
    say(&format!("restored, revision {}", done["revision"]));
    wait::report(&done, false)
}

fn show_plan(output: Output, plan: &Value) -> Result<(), Failure> {
    let list = |name: &str| plan[name].as_array().cloned().unwrap_or_default();
    let changed = list("changed").into_iter().map(|it| {
        vec![cell(&it["key"]), cell(&it["old_value"]), cell(&it["new_value"]), "change".to_owned()]
    });
    let refused = list("refused").into_iter().map(|it| {
        vec![
            cell(&it["key"]),
            "-".to_owned(),
            "-".to_owned(),
            format!("refused: {}", cell(&it["detail"])),
        ]
    });
    let rows: Vec<_> = changed.chain(refused).collect();
    if rows.is_empty() && matches!(output, Output::Table | Output::Tsv) {
        say("nothing would change");
        return Ok(());
    }
    show(output, &["KEY", "NOW", "THEN", "PLAN"], &rows, plan)
}
