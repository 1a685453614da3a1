//! `brune instances`: who runs, and what each has applied.

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
    /// How to print what is read; a table on a terminal, tab-separated lines elsewhere
    #[arg(long, short)]
    output: Option<Output>,
}

const HEAD: [&str; 8] =
    ["ID", "HOST", "VERSION", "STARTED", "REVISION", "BEHIND", "SEEN MS AGO", "STATE"];

pub(super) fn run(environment: &Environment, arguments: &Arguments) -> ExitCode {
    let output = Output::chosen(arguments.output);
    client::run(environment, async |client| {
        let body = client.get("/admin/instances").await?;
        let rows: Vec<_> = body["instances"].as_array().into_iter().flatten().map(row).collect();
        show(output, &HEAD, &rows, &body)
    })
}

fn row(it: &Value) -> Vec<String> {
    let told = [
        "id",
        "host",
        "version",
        "started_at",
        "applied_revision",
        "revisions_behind",
        "seen_ms_ago",
    ];
    let state = match (&it["live"], &it["self"]) {
        (Value::Bool(false), _) => "silent",
        (_, Value::Bool(true)) => "live, answers this",
        _ => "live",
    };
    told.iter().map(|name| cell(&it[*name])).chain([state.to_owned()]).collect()
}
