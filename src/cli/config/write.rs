//! Commands that write.

use clap::Args;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::cli::{
    client::{Client, Failure, path_of},
    edit::Edit,
    emergency::Emergency,
    output::print,
    show::{Output, cell, confirm, show},
    wait::{self, Wait},
};

/// The options of a change to one key.
pub(super) struct ChangeOptions {
    pub(super) reason: String,
    pub(super) dry_run: bool,
    pub(super) wait: Wait,
    pub(super) emergency: Emergency,
}

impl ChangeOptions {
    fn apply_to(&self, request: RequestBuilder) -> RequestBuilder {
        self.emergency.apply_to(self.wait.apply_to(request))
    }
}

pub(super) async fn set(
    client: &Client,
    output: Output,
    key: &str,
    text: &str,
    options: &ChangeOptions,
) -> Result<(), Failure> {
    let edit = Edit::read(client, key, text).await?;
    let mut body = edit.body();
    body["reason"] = json!(options.reason);
    let request = client.request(Method::PUT, &path_of(key)?)?;
    let request = request.query(&[("dry_run", options.dry_run)]);
    let result = client.send(options.apply_to(request).json(&body)).await?.body;
    report(output, key, &edit.current, &result, options.emergency)
}

fn report(
    output: Output,
    key: &str,
    old: &Value,
    new: &Value,
    emergency: Emergency,
) -> Result<(), Failure> {
    if output.is_for_programs() {
        show(output, &[], &[], new)?;
        return wait::report(new, true);
    }
    let value = cell(&new["value"]);
    // The service creates no version for an equal value.
    if old["version"] == new["version"] {
        print(&format!("{key} is already {value}"));
        return wait::report(new, false);
    }
    let verb = if new["dry_run"] == true { "would be" } else { "is" };
    let old_value = cell(&old["value"]);
    print(&format!("{key} {verb} {value} (was {old_value}), version {}", new["version"]));
    emergency.report(new, 1);
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
    // A locked key has no version: the service rejects and audits the attempt.
    if let Some(version) = current["version"].as_i64() {
        query.push(("version", version.to_string()));
    }
    let request = client.request(Method::DELETE, &path)?.query(&query);
    let result = client.send(options.apply_to(request)).await?.body;
    report(output, key, &current, &result, options.emergency)
}

#[derive(Debug, Args)]
pub(super) struct Rollback {
    /// The key to restore; all keys with --to-revision
    #[arg(requires = "to_version")]
    key: Option<String>,
    /// The version to restore
    #[arg(long, requires = "key", conflicts_with = "to_revision")]
    to_version: Option<i64>,
    /// The revision to restore
    #[arg(long, required_unless_present = "to_version")]
    to_revision: Option<i64>,
    /// Reason for the audit trail
    #[arg(long, short)]
    reason: String,
    /// Show the plan without saving
    #[arg(long)]
    dry_run: bool,
    /// Skip confirmation
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    wait: Wait,
    #[command(flatten)]
    emergency: Emergency,
}

pub(super) async fn roll_back(
    client: &Client,
    output: Output,
    rollback: Rollback,
) -> Result<(), Failure> {
    let body = match (&rollback.key, rollback.to_version, rollback.to_revision) {
        (Some(key), Some(to_version), _) => {
            let current = client.get(&path_of(key)?).await?;
            // The version protects against changes between the plan and the confirmation.
            let version = current["version"].clone();
            json!({"key": key, "to_version": to_version, "version": version, "reason": rollback.reason})
        }
        (_, _, Some(to_revision)) => {
            // The revision protects all keys, as the version protects a single key.
            let revision = client.get("/admin/global-settings").await?["revision"].clone();
            json!({"to_revision": to_revision, "revision": revision, "reason": rollback.reason})
        }
        _ => return Err(Failure::usage("use KEY with --to-version, or --to-revision")),
    };
    // A dry run first, to show the plan before the confirmation.
    let path = "/admin/global-settings/rollback";
    let dry_run = client.request(Method::POST, path)?.query(&[("dry_run", true)]);
    let plan = client.send(rollback.emergency.apply_to(dry_run).json(&body)).await?.body;
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
    // A program gets a result in any case, as its single document.
    if is_unchanged && !output.is_for_programs() {
        return Ok(());
    }
    confirm(rollback.yes, "Restore these values?")?;
    let request = rollback.wait.apply_to(client.request(Method::POST, path)?);
    let result = client.send(rollback.emergency.apply_to(request).json(&body)).await?.body;
    if output.is_for_programs() {
        show(output, &[], &[], &result)?;
        return wait::report(&result, true);
    }
    print(&format!("restored, revision {}", result["revision"]));
    rollback.emergency.report(&result, 1);
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
