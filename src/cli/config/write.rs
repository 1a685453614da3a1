//! Commands that write.

use clap::Args;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::cli::{
    client::{Client, Failure, path_of},
    edit::Edit,
    emergency::Emergency,
    output::print,
    proposal::{Propose, propose},
    rollback,
    show::{Output, cell, show},
    wait::{self, Wait},
};

/// The options of a change to one key.
#[derive(Debug, Args)]
pub(super) struct ChangeOptions {
    /// Reason for the audit trail
    #[arg(long, short)]
    reason: String,
    /// Validate without saving
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    wait: Wait,
    #[command(flatten)]
    emergency: Emergency,
    #[command(flatten)]
    propose: Propose,
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
    let content = options.propose.content(&options.reason, options.dry_run)?;
    let edit = Edit::read(client, key, text).await?;
    if let Some(content) = content {
        return propose(client, output, &[edit.member()], &content).await;
    }
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
    let content = options.propose.content(&options.reason, options.dry_run)?;
    let path = path_of(key)?;
    let current = client.get(&path).await?;
    if let Some(content) = content {
        let (default, version) = (&current["default"], &current["version"]);
        let change = json!({"key": key, "value": default, "version": version});
        return propose(client, output, &[change], &content).await;
    }
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
    #[command(flatten)]
    options: rollback::Options,
}

pub(super) async fn roll_back(
    client: &Client,
    output: Output,
    rollback: Rollback,
) -> Result<(), Failure> {
    let target = match (&rollback.key, rollback.to_version, rollback.to_revision) {
        (Some(key), Some(to_version), _) => {
            let current = client.get(&path_of(key)?).await?;
            // The version protects against changes between the plan and the confirmation.
            json!({"key": key, "to_version": to_version, "version": current["version"]})
        }
        (_, _, Some(to_revision)) => {
            let revision = rollback::current_revision(client).await?;
            json!({"to_revision": to_revision, "revision": revision})
        }
        _ => return Err(Failure::usage("use KEY with --to-version, or --to-revision")),
    };
    rollback::roll_back(client, output, target, rollback.options).await
}
