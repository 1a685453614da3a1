//! `brune starts`: stops and resumes all session starts, over REST.

use std::process::ExitCode;

use clap::{Args, Subcommand, value_parser};
use serde_json::{Value, json};

use crate::{
    cli::{
        client,
        show::{Output, cell, show_result},
    },
    config::Environment,
};

const STARTS: &str = "/admin/starts";

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Output format; defaults to a sentence
    #[arg(long, short, global = true)]
    output: Option<Output>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show whether sessions can start
    Status,
    /// Stop all session starts on every instance; running sessions continue
    ///
    /// After the command no session starts until the stop ends by itself, or until `resume`. A second stop replaces the
    /// first one, so it extends or shortens the stop.
    Stop {
        /// The length of the stop in minutes (1 to 1440)
        #[arg(long, value_parser = value_parser!(u16).range(1..=1440))]
        minutes: u16,
        /// Reason for the audit trail; users do not see it
        #[arg(long, short)]
        reason: String,
    },
    /// Let sessions start again, before the stop ends by itself
    ///
    /// Without a stop, nothing is stored.
    Resume {
        /// Reason for the audit trail
        #[arg(long, short)]
        reason: String,
    },
}

pub(super) fn run(environment: &Environment, arguments: Arguments) -> ExitCode {
    let output = Output::or_default(arguments.output);
    client::run(environment, async |client| {
        let state = match arguments.command {
            Command::Status => client.get(STARTS).await?,
            Command::Stop { minutes, reason } => {
                let body = json!({"reason": reason, "minutes": minutes});
                client.post(&format!("{STARTS}/stop"), &body).await?
            }
            Command::Resume { reason } => {
                client.post(&format!("{STARTS}/resume"), &json!({"reason": reason})).await?
            }
        };
        show_result(output, &state, &describe(&state["stopped"]))
    })
}

/// Describes the stop in force, with the command that ends the stop.
fn describe(stop: &Value) -> String {
    if stop.is_null() {
        return "sessions can start".to_owned();
    }
    format!(
        "no session starts until {}, stopped by {}: {}; end the stop: brune starts resume --reason TEXT",
        cell(&stop["stopped_until"]),
        cell(&stop["stopped_by"]),
        cell(&stop["reason"]),
    )
}
