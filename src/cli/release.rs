//! `brune release`: names of revisions, over REST.

use std::process::ExitCode;

use clap::{Args, Subcommand, value_parser};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    cli::{
        client::{self, Client, Failure},
        rollback,
        show::{Output, cell, show, show_result},
    },
    config::Environment,
    releases,
};

const RELEASES: &str = "/admin/releases";

/// The name of the current settings in a comparison.
const NOW: &str = "now";

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Output format; defaults to tables on a terminal and to tab-separated lines elsewhere
    #[arg(long, short, global = true)]
    output: Option<Output>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct Name {
    /// The name of the release
    #[arg(value_parser = parse_name)]
    name: String,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Name the current revision, or an earlier one
    ///
    /// A name is used once and never changes. A release stores no values: the audit trail has the values of every
    /// revision.
    Make {
        #[command(flatten)]
        name: Name,
        /// The revision [default: the current revision]
        #[arg(long, value_parser = value_parser!(i64).range(1..))]
        revision: Option<i64>,
        /// What the release is for
        #[arg(long)]
        note: String,
    },
    /// List releases, newest first
    List,
    /// Show a release
    Show {
        #[command(flatten)]
        name: Name,
    },
    /// Show the settings that differ between a release and the current settings, or another release
    Diff {
        #[command(flatten)]
        name: Name,
        /// Another release, or `now` for the current settings
        #[arg(long, value_name = "RELEASE", value_parser = parse_name, default_value = NOW)]
        to: String,
    },
    /// Mark a release as archived; it can still be compared and restored
    Archive {
        #[command(flatten)]
        name: Name,
        /// Reason for the readers
        #[arg(long, short)]
        reason: String,
    },
    /// Restore the values of a release as new versions: show the plan, ask for confirmation, apply
    Restore {
        #[command(flatten)]
        name: Name,
        #[command(flatten)]
        options: rollback::Options,
    },
}

/// Checks that a release can have the name `text`, and returns the text. Other text could lead to another route.
fn parse_name(text: &str) -> Result<String, &'static str> {
    if releases::is_name(text) { Ok(text.to_owned()) } else { Err(releases::NAME_RULE) }
}

pub(super) fn run(environment: &Environment, arguments: Arguments) -> ExitCode {
    let output = Output::or_default(arguments.output);
    client::run(environment, async |client| match arguments.command {
        Command::Make { name: Name { name }, revision, note } => {
            let body = json!({"name": name, "revision": revision, "note": note});
            let release = client.post(RELEASES, &body).await?;
            let line = format!("release {name} is revision {}", release["revision"]);
            show_result(output, &release, &line)
        }
        Command::List => list(client, output).await,
        Command::Show { name: Name { name } } => {
            let release = client.get(&path_of(&name)).await?;
            show(output, &["FIELD", "VALUE"], &rows(&release), &release)
        }
        Command::Diff { name: Name { name }, to } => diff(client, output, &name, &to).await,
        Command::Archive { name: Name { name }, reason } => {
            let path = format!("{}/archive", path_of(&name));
            let release = client.post(&path, &json!({"reason": reason})).await?;
            let line = format!("release {name} is archived {}", archive_text(&release));
            show_result(output, &release, &line)
        }
        Command::Restore { name: Name { name }, options } => {
            let revision = rollback::current_revision(client).await?;
            let target = json!({"to_release": name, "revision": revision});
            rollback::roll_back(client, output, target, options).await
        }
    })
}

fn path_of(name: &str) -> String {
    format!("{RELEASES}/{name}")
}

async fn list(client: &Client, output: Output) -> Result<(), Failure> {
    let body = client.get(RELEASES).await?;
    let row = |release: &Value| {
        let fields = ["name", "revision", "made_at", "made_by", "archived_at", "note"];
        fields.map(|field| cell(&release[field])).into()
    };
    let rows: Vec<_> = body["releases"].as_array().into_iter().flatten().map(row).collect();
    let header = ["NAME", "REVISION", "WHEN", "BY", "ARCHIVED", "NOTE"];
    show(output, &header, &rows, &body["releases"])
}

/// Formats a release as rows of a name and a value.
fn rows(release: &Value) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut add = |name: &str, text: String| rows.push(vec![name.to_owned(), text]);
    add("release", cell(&release["name"]));
    add("revision", cell(&release["revision"]));
    add("digest", cell(&release["digest"]));
    add("note", cell(&release["note"]));
    add("made", format!("by {} at {}", cell(&release["made_by"]), cell(&release["made_at"])));
    if !release["archived_at"].is_null() {
        add("archived", archive_text(release));
    }
    rows
}

/// Describes who archived a release, when and why. Archiving a second time changes nothing.
fn archive_text(release: &Value) -> String {
    let fields = ["archived_by", "archived_at", "archive_reason"];
    let [author, time, reason] = fields.map(|field| cell(&release[field]));
    format!("by {author} at {time}: {reason}")
}

async fn diff(client: &Client, output: Output, name: &str, to: &str) -> Result<(), Failure> {
    let request = client.request(Method::GET, &format!("{}/diff", path_of(name)))?;
    // A release with the name `now` can be the first of the two.
    let request = if to == NOW { request } else { request.query(&[("to", to)]) };
    let body = client.send(request).await?.body;
    let row = |change: &Value| ["key", "from", "to"].map(|field| cell(&change[field])).into();
    let rows: Vec<_> = body["changed"].as_array().into_iter().flatten().map(row).collect();
    let header = ["KEY".to_owned(), format!("IN {name}"), format!("IN {to}")];
    show(output, &header.each_ref().map(String::as_str), &rows, &body)
}
