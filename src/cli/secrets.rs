//! `brune secrets`: which are provided, and what is left of them in the database.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    cli::{
        client::{self, Client, Failure},
        output::say,
        show::{Output, cell, confirmed, show},
    },
    config::Environment,
};

const CLEANUP: &str = "/admin/secrets/cleanup";

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// How to print what is read; tables on a terminal, tab-separated lines elsewhere
    #[arg(long, short, global = true)]
    output: Option<Output>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say of each secret whether it is provided, and from where
    Status,
    /// Remove what an older release left of secrets in the database
    ///
    /// Only of those that the service is provided with otherwise; the others are named and kept.
    Cleanup {
        /// Only these
        names: Vec<String>,
        /// Why
        #[arg(long, short)]
        reason: String,
        /// Only say what would be removed
        #[arg(long)]
        dry_run: bool,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

pub(super) fn run(environment: &Environment, arguments: Arguments) -> ExitCode {
    let output = Output::chosen(arguments.output);
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
    let row = |it: &Value| {
        let residue = if it["legacy_residue"] == true { "yes" } else { "no" };
        vec![cell(&it["name"]), cell(&it["source"]), residue.to_owned(), cell(&it["how_to"])]
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
    let ask = async |dry_run: bool| {
        let request = client.request(Method::POST, CLEANUP)?.query(&[("dry_run", dry_run)]);
        Ok::<_, Failure>(client.send(request.json(body)).await?.body)
    };
    let plan = ask(true).await?;
    let nothing = plan["removed"].as_array().is_none_or(Vec::is_empty);
    if dry_run || nothing {
        return told(output, &plan, "would be removed");
    }
    if !yes {
        told(output, &plan, "to be removed")?;
    }
    confirmed(yes, "Remove these values for good?")?;
    told(output, &ask(false).await?, "removed")
}

fn told(output: Output, cleaned: &Value, removed: &str) -> Result<(), Failure> {
    let list = |name: &str| cleaned[name].as_array().cloned().unwrap_or_default();
    let gone = list("removed").into_iter().map(|name| vec![cell(&name), removed.to_owned()]);
    let kept = list("kept")
        .into_iter()
        .map(|it| vec![cell(&it["name"]), format!("kept: {}", cell(&it["why"]))]);
    let rows: Vec<_> = gone.chain(kept).collect();
    if rows.is_empty() && !output.is_for_programs() {
        say("nothing is left of any secret in the database");
        return Ok(());
    }
    show(output, &["NAME", "RESIDUE"], &rows, cleaned)
}
