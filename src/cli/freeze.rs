//! `brune freeze`: times in which no setting changes, over REST.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    cli::{
        client::{self, Client, Failure},
        show::{Output, cell, show, show_result},
        time::parse_time,
    },
    config::Environment,
};

const FREEZES: &str = "/admin/freezes";

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
    /// Freeze all settings: nobody changes a setting, and no proposal is applied, except with --emergency
    Set {
        /// The end, with an offset, such as 2027-01-04T08:00:00Z; at most 92 days after the beginning
        #[arg(long, value_name = "TIME", value_parser = parse_time)]
        until: String,
        /// The beginning [default: now]
        #[arg(long, value_name = "TIME", value_parser = parse_time)]
        from: Option<String>,
        /// Reason for the readers
        #[arg(long, short)]
        reason: String,
    },
    /// List freezes, past and planned
    List,
    /// End a freeze before its end
    End {
        /// The id, as `list` prints it
        id: Uuid,
        /// Reason for the audit trail
        #[arg(long, short)]
        reason: String,
    },
}

pub(super) fn run(environment: &Environment, arguments: Arguments) -> ExitCode {
    let output = Output::or_default(arguments.output);
    client::run(environment, async |client| match arguments.command {
        Command::Set { until, from, reason } => {
            let mut body = json!({"ends_at": until, "reason": reason});
            if let Some(from) = from {
                body["starts_at"] = json!(from);
            }
            let freeze = client.post(FREEZES, &body).await?;
            let (start, end) = (cell(&freeze["starts_at"]), cell(&freeze["ends_at"]));
            let line =
                format!("settings are frozen from {start} until {end}, id {}", cell(&freeze["id"]));
            show_result(output, &freeze, &line)
        }
        Command::List => list(client, output).await,
        Command::End { id, reason } => {
            let path = format!("{FREEZES}/{id}/end");
            let freeze = client.post(&path, &json!({"reason": reason})).await?;
            show_result(output, &freeze, &format!("freeze {id} is over"))
        }
    })
}

async fn list(client: &Client, output: Output) -> Result<(), Failure> {
    let body = client.get(FREEZES).await?;
    let row = |freeze: &Value| {
        let state = match freeze["ended_by"].as_str() {
            Some(_) => format!("ended by {}", cell(&freeze["ended_by"])),
            None if freeze["id"] == body["active"]["id"] => "active".to_owned(),
            // The clock of the service decides which times are over, not the clock of this machine.
            None => "-".to_owned(),
        };
        let fields = ["id", "starts_at", "ends_at", "set_by", "reason"];
        let mut row: Vec<_> = fields.map(|name| cell(&freeze[name])).into();
        row.insert(3, state);
        row
    };
    let rows: Vec<_> = body["freezes"].as_array().into_iter().flatten().map(row).collect();
    show(output, &["ID", "FROM", "UNTIL", "STATE", "BY", "REASON"], &rows, &body)
}
