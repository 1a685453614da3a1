//! `brune instances`: running instances and the revision each has applied.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use crate::{
    cli::{
        client,
        show::{Output, cell, show},
    },
    config::Environment,
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Output format; defaults to a table on a terminal and to tab-separated lines elsewhere
    #[arg(long, short)]
    output: Option<Output>,
}

const HEADER: [&str; 8] =
    ["ID", "HOST", "VERSION", "STARTED", "REVISION", "BEHIND", "SEEN MS AGO", "STATE"];

pub(super) fn run(environment: &Environment, arguments: &Arguments) -> ExitCode {
    let output = Output::or_default(arguments.output);
    client::run(environment, async |client| {
        let body = client.get("/admin/instances").await?;
        let rows: Vec<_> = body["instances"].as_array().into_iter().flatten().map(row).collect();
        show(output, &HEADER, &rows, &body)
    })
}

fn row(instance: &Value) -> Vec<String> {
    let fields = [
        "id",
        "host",
        "version",
        "started_at",
        "applied_revision",
        "revisions_behind",
        "seen_ms_ago",
    ];
    let state = match (&instance["live"], &instance["self"]) {
        (Value::Bool(false), _) => "silent",
        (_, Value::Bool(true)) => "live, this instance",
        _ => "live",
    };
    fields.iter().map(|field| cell(&instance[*field])).chain([state.to_owned()]).collect()
}
