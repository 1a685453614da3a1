//! `brune config`: the settings from a terminal, over REST.

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
    /// How to print what is read; tables on a terminal, tab-separated lines elsewhere
    #[arg(long, short, global = true)]
    output: Option<Output>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List every key of the catalog; locked ones without values
    List {
        /// Part of a key or a description
        #[arg(long)]
        search: Option<String>,
        /// Only this category
        #[arg(long)]
        category: Option<String>,
    },
    /// Print one value
    Get {
        /// The key
        key: String,
    },
    /// Change one setting
    ///
    /// Reads the current version itself, and says who was faster when it loses. Lists are JSON arrays, or
    /// items with commas.
    Set {
        /// The key
        key: String,
        /// The new value
        #[arg(allow_hyphen_values = true)]
        value: String,
        /// Why
        #[arg(long, short)]
        reason: String,
        /// Only check
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        wait: wait::Wait,
    },
    /// Give one setting its default
    Reset {
        /// The key
        key: String,
        /// Why
        #[arg(long, short)]
        reason: String,
        /// Only check
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        wait: wait::Wait,
    },
    /// Write every setting as a document, to FILE or to standard output
    Export {
        /// Where to; its ending chooses the format (.json, .yaml, .env)
        file: Option<PathBuf>,
        /// The format, where the ending does not say
        #[arg(long)]
        format: Option<Format>,
        /// Write over a file that is there
        #[arg(long)]
        force: bool,
    },
    /// Import a document: plan, ask, apply
    Import {
        /// The document (.json, .yaml, .env)
        file: PathBuf,
        /// The format, where the ending does not say
        #[arg(long)]
        format: Option<Format>,
        /// Why; needed unless --dry-run
        #[arg(long, short)]
        reason: Option<String>,
        /// Only show the plan
        #[arg(long)]
        dry_run: bool,
        /// What to do with settings that were changed after the document was written
        #[arg(long)]
        on_conflict: Option<OnConflict>,
        /// Leave out keys that the catalog does not declare, whatever their values are
        #[arg(long)]
        skip_unknown: bool,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
        #[command(flatten)]
        wait: wait::Wait,
    },
    /// Who changed what, when and why; newest first
    History {
        /// Only this key
        key: Option<String>,
        /// How many
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=200))]
        limit: u16,
    },
    /// Go back, forward: an earlier value becomes a new version
    Rollback {
        /// The key to go back with; every key with --to-revision
        #[arg(requires = "to_version")]
        key: Option<String>,
        /// The version whose value is wanted
        #[arg(long, requires = "key", conflicts_with = "to_revision")]
        to_version: Option<i64>,
        /// The revision whose values are wanted
        #[arg(long, required_unless_present = "to_version")]
        to_revision: Option<i64>,
        /// Why
        #[arg(long, short)]
        reason: String,
        /// Only show the plan
        #[arg(long)]
        dry_run: bool,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
        #[command(flatten)]
        wait: wait::Wait,
    },
    /// What differs between two revisions, or between a document and the service
    Diff {
        /// A revision, or a file
        from: String,
        /// A revision; the current one when left out
        to: Option<i64>,
    },
    /// Print changes as they come, until interrupted
    Watch {
        /// Seconds between two looks
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=3600))]
        every: u64,
    },
}

/// How a document is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Json,
    Yaml,
    Env,
}

/// Who wins a conflict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OnConflict {
    /// The document
    Overwrite,
    /// What stands
    Skip,
}

pub(super) fn run(environment: &Environment, arguments: Arguments) -> ExitCode {
    client::run(environment, async |client| carry_out(client, arguments).await)
}

async fn carry_out(client: &Client, arguments: Arguments) -> Result<(), Failure> {
    let output = Output::chosen(arguments.output);
    match arguments.command {
        Command::List { search, category } => read::list(client, output, search, category).await,
        Command::Get { key } => read::get(client, output, &key).await,
        Command::Set { key, value, reason, dry_run, wait } => {
            let how = write::How { reason, dry_run, wait };
            write::set(client, output, &key, &value, &how).await
        }
        Command::Reset { key, reason, dry_run, wait } => {
            let how = write::How { reason, dry_run, wait };
            write::reset(client, output, &key, &how).await
        }
        Command::Export { file, format, force } => {
            transfer::export(client, file.as_deref(), format, force).await
        }
        Command::Import { file, format, reason, dry_run, on_conflict, skip_unknown, yes, wait } => {
            let options = transfer::Options { on_conflict, skip_unknown };
            let import = transfer::Import { file, format, reason, dry_run, options, yes, wait };
            transfer::import(client, output, import).await
        }
        Command::History { key, limit } => read::history(client, output, key, limit).await,
        Command::Rollback { key, to_version, to_revision, reason, dry_run, yes, wait } => {
            let back = write::Back { key, to_version, to_revision, reason, dry_run, yes, wait };
            write::roll_back(client, output, back).await
        }
        Command::Diff { from, to } => read::diff(client, output, &from, to).await,
        Command::Watch { every } => watch::watch(client, output, every).await,
    }
}
