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
        emergency::Emergency,
        proposal::{self, Content, Plan},
        show::Output,
        wait::Wait,
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
        /// Reason for the audit trail
        #[arg(long, short)]
        reason: String,
        /// Validate without saving
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        wait: Wait,
        #[command(flatten)]
        emergency: Emergency,
        /// Propose the change instead of writing it
        #[arg(long, conflicts_with_all = ["is_emergency", "timeout"])]
        propose: bool,
        #[command(flatten)]
        plan: Plan,
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
        wait: Wait,
        #[command(flatten)]
        emergency: Emergency,
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
        wait: Wait,
        #[command(flatten)]
        emergency: Emergency,
    },
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
        Command::Set { key, value, reason, dry_run, plan, propose: true, .. } => {
            let content = Content { reason, plan, dry_run };
            proposal::propose(client, output, &[(&key, &value)], &content).await
        }
        Command::Set { plan, .. } if !plan.is_empty() => {
            Err(Failure::usage("--at, --grace and --after require --propose"))
        }
        Command::Set { key, value, reason, dry_run, wait, emergency, .. } => {
            let options = write::ChangeOptions { reason, dry_run, wait, emergency };
            write::set(client, output, &key, &value, &options).await
        }
        Command::Reset { key, reason, dry_run, wait, emergency } => {
            let options = write::ChangeOptions { reason, dry_run, wait, emergency };
            write::reset(client, output, &key, &options).await
        }
        Command::Export { file, format, force } => {
            transfer::export(client, file.as_deref(), format, force).await
        }
        Command::Import {
            file,
            format,
            reason,
            dry_run,
            on_conflict,
            skip_unknown,
            yes,
            wait,
            emergency,
        } => {
            let options = transfer::ImportOptions { on_conflict, skip_unknown };
            let import =
                transfer::Import { file, format, reason, dry_run, options, yes, wait, emergency };
            transfer::import(client, output, import).await
        }
        Command::History { key, limit } => read::history(client, output, key, limit).await,
        Command::Rollback(rollback) => write::roll_back(client, output, rollback).await,
        Command::Diff { from, to } => read::diff(client, output, &from, to).await,
        Command::Watch { every } => watch::watch(client, output, every).await,
    }
}
