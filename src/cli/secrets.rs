//! `brune secrets`: provided secrets, and secrets that remain in the database.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    cli::{
        client::{self, Client, Failure},
        output::print,
        show::{Output, cell, confirm, show},
    },
    config::Environment,
};

const CLEANUP: &str = "/admin/secrets/cleanup";

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Output format; defaults to tables on a terminal and to tab-separated lines elsewhere
    #[arg(long, short, global = true)]
    output: Option<Output>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show which secrets are provided, and their sources
    Status,
    /// Remove secrets that an older release left in the database
    ///
    /// Removes only secrets that the environment provides. Others are listed and kept.
    Cleanup {
        /// Remove only these secrets
        names: Vec<String>,
        /// Reason for the audit trail
        #[arg(long, short)]
        reason: String,
        /// Show what would be removed, without removing
        #[arg(long)]
        dry_run: bool,
        /// Skip confirmation
        #[arg(long, short)]
        yes: bool,
    },
}

pub(super) fn run(environment: &Environment, arguments: Arguments) -> ExitCode {
    let output = Output::or_default(arguments.output);
    client::run(environment, async |client| match arguments.command {
        Command::Status => status(client, output).await,
        Command::Cleanup { names, reason, dry_run, yes } => {
            let mut body = json!({"reason": reason});
            if !names.is_empty() {
                body["names"] = json!(names);
            }
            clean_up(client, output, &body, dry_run, yes).await
        }
    })
}

async fn status(client: &Client, output: Output) -> Result<(), Failure> {
    let body = client.get("/admin/secrets").await?;
    let row = |secret: &Value| {
        let residue = if secret["legacy_residue"] == true { "yes" } else { "no" };
        vec![
            cell(&secret["name"]),
            cell(&secret["source"]),
            residue.to_owned(),
            cell(&secret["how_to"]),
        ]
    };
    let rows: Vec<_> = body["secrets"].as_array().into_iter().flatten().map(row).collect();
    show(output, &["NAME", "SOURCE", "IN DATABASE", "HOW TO"], &rows, &body["secrets"])
}

async fn clean_up(
    client: &Client,
    output: Output,
    body: &Value,
    dry_run: bool,
    yes: bool,
) -> Result<(), Failure> {
    let send = async |dry_run: bool| {
        let request = client.request(Method::POST, CLEANUP)?.query(&[("dry_run", dry_run)]);
        Ok::<_, Failure>(client.send(request.json(body)).await?.body)
    };
    let plan = send(true).await?;
    let is_empty = plan["removed"].as_array().is_none_or(Vec::is_empty);
    if dry_run || is_empty {
        return show_result(output, &plan, "would be removed");
    }
    if !yes {
        show_result(output, &plan, "to be removed")?;
    }
    confirm(yes, "Permanently remove these values?")?;
    show_result(output, &send(false).await?, "removed")
}

fn show_result(output: Output, result: &Value, removed: &str) -> Result<(), Failure> {
    let list = |name: &str| result[name].as_array().cloned().unwrap_or_default();
    let removed_rows =
        list("removed").into_iter().map(|name| vec![cell(&name), removed.to_owned()]);
    let kept_rows = list("kept")
        .into_iter()
        .map(|secret| vec![cell(&secret["name"]), format!("kept: {}", cell(&secret["why"]))]);
    let rows: Vec<_> = removed_rows.chain(kept_rows).collect();
    if rows.is_empty() && !output.is_for_programs() {
        print("no secrets in the database");
        return Ok(());
    }
    show(output, &["NAME", "RESIDUE"], &rows, result)
}
