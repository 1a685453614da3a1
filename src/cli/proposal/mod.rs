//! `brune proposal`: changes that wait for approvals or for their time, over REST.

mod content;
mod next;
mod read;
mod watch;
mod write;

pub(super) use content::{Propose, path_of, read_changes, split};
pub(super) use watch::watch_document;
pub(super) use write::propose;

use std::process::ExitCode;

use clap::{Args, Subcommand, builder::PossibleValuesParser, value_parser};

use crate::{
    cli::{
        client::{self, Client, Failure},
        emergency::Emergency,
        proposal::content::Content,
        show::Output,
        wait::Wait,
    },
    config::Environment,
    proposals::State,
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Output format; defaults to tables on a terminal and to tab-separated lines elsewhere
    #[arg(long, short, global = true)]
    output: Option<Output>,
    #[command(subcommand)]
    command: Command,
}

/// A dry run of a step.
#[derive(Debug, Clone, Copy, Args)]
struct DryRun {
    /// Check whether the service would accept this, without saving
    #[arg(long)]
    dry_run: bool,
}

/// An edition that the caller has read.
#[derive(Debug, Clone, Copy, Args)]
struct EditionArguments {
    /// The number of the proposal
    #[arg(value_parser = value_parser!(i64).range(1..))]
    number: i64,
    /// The edition that you read, as `show` prints it; refused if somebody wrote a newer one
    #[arg(long, value_parser = value_parser!(i32).range(1..))]
    edition: i32,
}

#[derive(Debug, Args)]
struct ListArguments {
    /// List only proposals in this state
    #[arg(long, value_parser = PossibleValuesParser::new(State::ALL.map(State::as_str)))]
    state: Option<String>,
    /// List only proposals of this person
    #[arg(long, value_name = "PERSON")]
    by: Option<String>,
    /// List only proposals that change this key
    #[arg(long)]
    key: Option<String>,
    /// List only proposals that wait for your verdict
    #[arg(long)]
    waiting_for_me: bool,
    /// Maximum number of proposals
    // The API answers with at most 200 proposals a page.
    #[arg(long, default_value_t = 20, value_parser = value_parser!(u16).range(1..=200))]
    limit: u16,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List proposals, newest first
    List(ListArguments),
    /// Show a proposal: edition, digest, changes, verdicts, and the reasons why it cannot take effect now
    Show {
        /// The number of the proposal
        #[arg(value_parser = value_parser!(i64).range(1..))]
        number: i64,
        /// An earlier edition [default: the current edition]
        #[arg(long, value_parser = value_parser!(i32).range(1..))]
        edition: Option<i32>,
    },
    /// Propose a change of several settings, applied all or none
    ///
    /// A single setting is proposed by `brune config set KEY VALUE --propose` as well. The versions of the settings are
    /// read from the service.
    New {
        /// The new values; parsed like those of `brune config set`
        #[arg(required = true, value_name = "KEY=VALUE")]
        changes: Vec<String>,
        #[command(flatten)]
        content: Content,
    },
    /// Replace the content of a proposal by a new edition
    ///
    /// The new edition has exactly these changes and this plan. Approvals of earlier editions no longer count.
    Edit {
        #[command(flatten)]
        edition: EditionArguments,
        /// The new values; parsed like those of `brune config set`
        #[arg(required = true, value_name = "KEY=VALUE")]
        changes: Vec<String>,
        #[command(flatten)]
        content: Content,
    },
    /// Approve an edition
    Approve {
        #[command(flatten)]
        edition: EditionArguments,
        /// A note for the readers
        #[arg(long)]
        note: Option<String>,
        /// Apply the proposal in the same transaction
        #[arg(long)]
        apply: bool,
        #[command(flatten)]
        dry_run: DryRun,
    },
    /// Object to an edition, which blocks the proposal until you approve or somebody writes a new edition
    Object {
        #[command(flatten)]
        edition: EditionArguments,
        /// What has to change, in 3 to 500 characters
        #[arg(long)]
        note: String,
        #[command(flatten)]
        dry_run: DryRun,
    },
    /// Acknowledge an emergency: a change that somebody else wrote without its approvals
    Acknowledge {
        #[command(flatten)]
        edition: EditionArguments,
        /// A note for the readers
        #[arg(long)]
        note: Option<String>,
        #[command(flatten)]
        dry_run: DryRun,
    },
    /// Apply an edition: its changes become the current settings, or their rollout begins
    Apply {
        #[command(flatten)]
        edition: EditionArguments,
        /// Validate without saving
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        wait: Wait,
        #[command(flatten)]
        emergency: Emergency,
        /// With --emergency: why the change cannot wait for approvals
        #[arg(long, short, requires = "is_emergency", required_if_eq("is_emergency", "true"))]
        reason: Option<String>,
    },
    /// Withdraw a proposal
    Withdraw {
        /// The number of the proposal
        #[arg(value_parser = value_parser!(i64).range(1..))]
        number: i64,
        /// Reason for the readers
        #[arg(long, short)]
        reason: String,
        #[command(flatten)]
        dry_run: DryRun,
    },
    /// Print the progress of a proposal until it ends
    ///
    /// Exit codes: 0 applied, 1 withdrawn, failed or reverted, 4 failed because a setting was changed meanwhile.
    Watch {
        /// The number of the proposal
        #[arg(value_parser = value_parser!(i64).range(1..))]
        number: i64,
        /// Poll interval in seconds
        #[arg(long, default_value_t = 1, value_parser = value_parser!(u64).range(1..=3600))]
        every: u64,
    },
}

pub(super) fn run(environment: &Environment, arguments: Arguments) -> ExitCode {
    client::run(environment, async |client| execute(client, arguments).await)
}

async fn execute(client: &Client, arguments: Arguments) -> Result<(), Failure> {
    let output = Output::or_default(arguments.output);
    match arguments.command {
        Command::List(ListArguments { state, by, key, waiting_for_me, limit }) => {
            let filters = [("state", state), ("by", by), ("key", key)];
            read::list(client, output, filters, waiting_for_me, limit).await
        }
        Command::Show { number, edition } => read::show(client, output, number, edition).await,
        Command::New { changes, content } => {
            let changes = content::read_changes(client, &content::split(&changes)?).await?;
            propose(client, output, &changes, &content).await
        }
        Command::Edit { edition: EditionArguments { number, edition }, changes, content } => {
            let changes = content::read_changes(client, &content::split(&changes)?).await?;
            write::edit(client, output, (number, edition), &changes, &content).await
        }
        Command::Approve { edition, note, apply, dry_run } => {
            let verdict = write::Verdict { kind: "approve", note, apply };
            give_verdict(client, output, edition, &verdict, dry_run).await
        }
        Command::Object { edition, note, dry_run } => {
            let verdict = write::Verdict { kind: "object", note: Some(note), apply: false };
            give_verdict(client, output, edition, &verdict, dry_run).await
        }
        Command::Acknowledge { edition, note, dry_run } => {
            let verdict = write::Verdict { kind: "acknowledge", note, apply: false };
            give_verdict(client, output, edition, &verdict, dry_run).await
        }
        Command::Apply { edition, dry_run, wait, emergency, reason } => {
            let EditionArguments { number, edition } = edition;
            let options = write::ApplyOptions { dry_run, wait, emergency, reason };
            write::apply(client, output, (number, edition), options).await
        }
        Command::Withdraw { number, reason, dry_run: DryRun { dry_run } } => {
            write::withdraw(client, output, number, &reason, dry_run).await
        }
        Command::Watch { number, every } => watch::watch(client, output, number, every).await,
    }
}

async fn give_verdict(
    client: &Client,
    output: Output,
    edition: EditionArguments,
    verdict: &write::Verdict,
    DryRun { dry_run }: DryRun,
) -> Result<(), Failure> {
    let EditionArguments { number, edition } = edition;
    write::give_verdict(client, output, (number, edition), verdict, dry_run).await
}
