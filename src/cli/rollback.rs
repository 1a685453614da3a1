//! Restoring earlier values: shows the plan, asks for confirmation, then writes or proposes the values.

use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};

use crate::cli::{
    client::{Client, Failure},
    emergency::Emergency,
    output::print,
    proposal::{Propose, propose},
    show::{Output, cell, confirm, show},
    wait::{self, Wait},
};

const PATH: &str = "/admin/global-settings/rollback";

#[derive(Debug, Args)]
pub(super) struct Options {
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
    #[command(flatten)]
    propose: Propose,
}

/// Returns the current revision. As a part of the target it protects all keys against changes after the plan.
pub(super) async fn current_revision(client: &Client) -> Result<Value, Failure> {
    Ok(client.get("/admin/global-settings").await?["revision"].clone())
}

/// Restores the values of `target`, a body of the route without its reason.
pub(super) async fn roll_back(
    client: &Client,
    output: Output,
    mut target: Value,
    options: Options,
) -> Result<(), Failure> {
    let Options { reason, dry_run, yes, wait, emergency, propose: proposal } = options;
    let content = proposal.content(&reason, dry_run)?;
    target["reason"] = json!(reason);
    // A proposal needs no approvals yet, so the plan of a proposal is checked like an emergency.
    let plan = match &content {
        Some(_) => plan(client, &target, Emergency::for_plan()).await?,
        None => plan(client, &target, emergency).await?,
    };
    let is_unchanged = plan["changed"].as_array().is_some_and(Vec::is_empty);
    // A write without a change has a result for a program; a proposal without a change is refused.
    let is_plan_only =
        dry_run || (is_unchanged && (content.is_some() || !output.is_for_programs()));
    // A program gets a single document: the result, or the plan if nothing is applied.
    if is_plan_only || !yes || !output.is_for_programs() {
        show_plan(output, &plan)?;
    }
    if plan["refused"].as_array().is_some_and(|violations| !violations.is_empty()) {
        let message = "the current rules reject these values; nothing was changed";
        return Err(Failure::rejected(message));
    }
    if is_plan_only {
        return Ok(());
    }
    if let Some(content) = content {
        confirm(yes, "Propose these values?")?;
        return propose(client, output, &changes(&plan), &content).await;
    }
    confirm(yes, "Restore these values?")?;
    let request = wait.apply_to(client.request(Method::POST, PATH)?);
    let result = client.send(emergency.apply_to(request).json(&target)).await?.body;
    if output.is_for_programs() {
        show(output, &[], &[], &result)?;
        return wait::report(&result, true);
    }
    print(&format!("restored, revision {}", result["revision"]));
    emergency.report(&result, 1);
    wait::report(&result, false)
}

/// Requests the plan: a dry run.
async fn plan(client: &Client, target: &Value, emergency: Emergency) -> Result<Value, Failure> {
    let request = client.request(Method::POST, PATH)?.query(&[("dry_run", true)]);
    Ok(client.send(emergency.apply_to(request).json(target)).await?.body)
}

/// Returns the changes of a plan as changes of a proposal.
fn changes(plan: &Value) -> Vec<Value> {
    let changes = plan["changed"].as_array().into_iter().flatten();
    let change = |change: &Value| {
        let version = change["version"].as_i64().map(|version| version - 1);
        json!({"key": change["key"], "value": change["new_value"], "version": version})
    };
    changes.map(change).collect()
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
