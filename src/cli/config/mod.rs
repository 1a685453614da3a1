//! `brune config`: reads and changes settings over REST.

mod read;
mod transfer;
mod wait;
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
    /// comma-separated items.
    Set {
        /// The key
        key: String,
        /// The new value
        #[arg(allow_hyphen_values = true)]
        value: String,
        /// Reason for the audit trail
        #[arg(long, short)]
        reason: String,
        /// Validate without saving
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        wait: wait::Wait,
    },
    /// Reset a setting to its default
    Reset {
        /// The key
        key: String,
        /// Reason for the audit trail
        #[arg(long, short)]
        reason: String,
        /// Validate without saving
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        wait: wait::Wait,
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
    Import {
        /// The document (.json, .yaml, .env)
        file: PathBuf,
        /// Format, if the extension does not say
        #[arg(long)]
        format: Option<Format>,
        /// Reason for the audit trail; required without --dry-run
        #[arg(long, short)]
        reason: Option<String>,
        /// Show the plan without saving
        #[arg(long)]
        dry_run: bool,
        /// Resolution for settings that changed after the export
        #[arg(long)]
        on_conflict: Option<OnConflict>,
        /// Skip keys that the catalog does not declare
        #[arg(long)]
        skip_unknown: bool,
        /// Skip confirmation
        #[arg(long, short)]
        yes: bool,
        #[command(flatten)]
        wait: wait::Wait,
    },
    /// Show the history of changes, newest first
    History {
        /// Show only this key
        key: Option<String>,
        /// Maximum number of entries
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=200))]
        limit: u16,
    },
    /// Restore earlier values as new versions
    Rollback {
        /// The key to restore; all keys with --to-revision
        #[arg(requires = "to_version")]
        key: Option<String>,
        /// The version to restore
        #[arg(long, requires = "key", conflicts_with = "to_revision")]
        to_version: Option<i64>,
        /// The revision to restore
        #[arg(long, required_unless_present = "to_version")]
        to_revision: Option<i64>,
        /// Reason for the audit trail
        #[arg(long, short)]
        reason: String,
        /// Show the plan without saving
        #[arg(long)]
        dry_run: bool,
        /// Skip confirmation
        #[arg(long, short)]
        yes: bool,
        #[command(flatten)]
        wait: wait::Wait,
    },
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
        Command::Set { key, value, reason, dry_run, wait } => {
            let options = write::ChangeOptions { reason, dry_run, wait };
            write::set(client, output, &key, &value, &options).await
        }
        Command::Reset { key, reason, dry_run, wait } => {
            let options = write::ChangeOptions { reason, dry_run, wait };
            write::reset(client, output, &key, &options).await
        }
        Command::Export { file, format, force } => {
            transfer::export(client, file.as_deref(), format, force).await
        }
        Command::Import { file, format, reason, dry_run, on_conflict, skip_unknown, yes, wait } => {
            let options = transfer::ImportOptions { on_conflict, skip_unknown };
            let import = transfer::Import { file, format, reason, dry_run, options, yes, wait };
            transfer::import(client, output, import).await
        }
        Command::History { key, limit } => read::history(client, output, key, limit).await,
        Command::Rollback { key, to_version, to_revision, reason, dry_run, yes, wait } => {
            let rollback =
                write::Rollback { key, to_version, to_revision, reason, dry_run, yes, wait };
            write::roll_back(client, output, rollback).await
        }
        Command::Diff { from, to } => read::diff(client, output, &from, to).await,
        Command::Watch { every } => watch::watch(client, output, every).await,
    }
}
