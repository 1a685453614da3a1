//! `brune freeze`: times in which no setting changes, over REST.

use std::process::ExitCode;

use chrono::{DateTime, TimeDelta, Utc};
use clap::{Args, Subcommand};
use reqwest::Method;
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
            let still_frozen = frozen_by_another(client).await;
            show_result(output, &freeze, &format!("freeze {id} is over{still_frozen}"))
        }
    })
}

/// Describes the freeze that is still in force after another one ended; empty without a freeze.
async fn frozen_by_another(client: &Client) -> String {
    // The end of the freeze is stored, so an error of this additional request is no error of the command.
    let body = client.get(FREEZES).await.unwrap_or_default();
    let active = &body["active"];
    if active.is_null() {
        return String::new();
    }
    let fields = ["ends_at", "id", "set_by", "reason"];
    let [end, id, author, reason] = fields.map(|name| cell(&active[name]));
    format!("; the settings stay frozen until {end} by freeze {id} of {author}: {reason}")
}

async fn list(client: &Client, output: Output) -> Result<(), Failure> {
    let reply = client.send(client.request(Method::GET, FREEZES)?).await?;
    let body = reply.body;
    let row = |freeze: &Value| {
        let fields = ["id", "starts_at", "ends_at", "set_by", "reason"];
        let mut row: Vec<_> = fields.map(|name| cell(&freeze[name])).into();
        row.insert(3, state(freeze, reply.date));
        row
    };
    let rows: Vec<_> = body["freezes"].as_array().into_iter().flatten().map(row).collect();
    show(output, &["ID", "FROM", "UNTIL", "STATE", "BY", "REASON"], &rows, &body)
}

/// Describes whether a freeze is in force at `now`, the time of the service: several can be at once.
fn state(freeze: &Value, now: Option<DateTime<Utc>>) -> String {
    if !freeze["ended_by"].is_null() {
        return format!("ended by {}", cell(&freeze["ended_by"]));
    }
    let time = |name: &str| DateTime::parse_from_rfc3339(freeze[name].as_str()?).ok();
    // The header has whole seconds, and a server may send the same text for a second.
    let tolerance = TimeDelta::seconds(2);
    let state = match (now, time("starts_at"), time("ends_at")) {
        (Some(now), _, Some(end)) if end <= now => "over",
        (Some(now), Some(start), _) if start > now + tolerance => "planned",
        (Some(_), Some(_), Some(_)) => "active",
        _ => "-",
    };
    state.to_owned()
}
