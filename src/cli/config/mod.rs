//! `brune config`: reads and changes settings over REST.

mod read;
mod transfer;
mod watch;
mod write;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand, ValueEnum};

use crate::{
    cli::{
        client::{self, Client, Failure},
        show::Output,
    },
    config::Environment,
};

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
    /// List every key of the catalog; locked keys without values
    List {
        /// Part of a key or a description
        #[arg(long)]
        search: Option<String>,
        /// List only this category
        #[arg(long)]
        category: Option<String>,
    },
    /// Print the value of a setting
    Get {
        /// The key
        key: String,
    },
    /// Change a setting
    ///
    /// Reads the current version first, and reports a concurrent change as a conflict. Lists are JSON arrays or
    /// comma-separated items. A setting that needs approvals is proposed with --propose: other people approve, then
    /// somebody applies the proposal, or it is applied at its time (`brune proposal`).
    Set {
        /// The key
        key: String,
        /// The new value
        // A negative number begins with a hyphen and is not an option.
        #[arg(allow_hyphen_values = true)]
        value: String,
        #[command(flatten)]
        options: write::ChangeOptions,
    },
    /// Reset a setting to its default
    Reset {
        /// The key
        key: String,
        #[command(flatten)]
        options: write::ChangeOptions,
    },
    /// Export every setting as a document, to FILE or to standard output
    Export {
        /// The file; its extension selects the format (.json, .yaml, .env)
        file: Option<PathBuf>,
        /// Format, if the extension does not say
        #[arg(long)]
        format: Option<Format>,
        /// Overwrite an existing file
        #[arg(long)]
        force: bool,
    },
    /// Import a document: show the plan, ask for confirmation, apply
    Import(transfer::Import),
    /// Show the history of changes, newest first
    History {
        /// Show only this key
        key: Option<String>,
        /// Maximum number of entries
        // The API answers with at most 200 entries a page.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=200))]
        limit: u16,
    },
    /// Restore earlier values as new versions
    Rollback(write::Rollback),
    /// Show the differences between two revisions, or between a document and the service
    Diff {
        /// A revision or a file
        from: String,
        /// A revision [default: the current revision]
        to: Option<i64>,
    },
    /// Print changes until interrupted
    Watch {
        /// Poll interval in seconds
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=3600))]
        every: u64,
    },
}

/// The format of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Json,
    Yaml,
    Env,
}

/// The resolution of a conflict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OnConflict {
    /// Import the value of the document
    Overwrite,
    /// Keep the current value
    Skip,
}

pub(super) fn run(environment: &Environment, arguments: Arguments) -> ExitCode {
    client::run(environment, async |client| execute(client, arguments).await)
}

async fn execute(client: &Client, arguments: Arguments) -> Result<(), Failure> {
    let output = Output::or_default(arguments.output);
    match arguments.command {
        Command::List { search, category } => read::list(client, output, search, category).await,
        Command::Get { key } => read::get(client, output, &key).await,
        Command::Set { key, value, options } => {
            write::set(client, output, &key, &value, &options).await
        }
        Command::Reset { key, options } => write::reset(client, output, &key, &options).await,
        Command::Export { file, format, force } => {
            transfer::export(client, file.as_deref(), format, force).await
        }
        Command::Import(import) => transfer::import(client, output, import).await,
        Command::History { key, limit } => read::history(client, output, key, limit).await,
        Command::Rollback(rollback) => write::roll_back(client, output, rollback).await,
        Command::Diff { from, to } => read::diff(client, output, &from, to).await,
        Command::Watch { every } => watch::watch(client, output, every).await,
    }
}
