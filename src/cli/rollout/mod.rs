//! `brune rollout`: the guarded rollout of a proposal, over REST.

mod preview;
mod status;
mod step;

use std::process::ExitCode;

use clap::{Args, Subcommand, value_parser};

use crate::{
    cli::{
        client::{self, Client, Failure},
        proposal::path_of as path_of_proposal,
        rollout::step::Action,
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

/// A step of a rollout by a person.
#[derive(Debug, Args)]
struct Step {
    #[command(flatten)]
    rollout: Rollout,
    /// Reason for the readers and for the audit trail
    #[arg(long, short)]
    reason: String,
    /// Check whether the service would accept this, without saving
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Clone, Copy, Args)]
struct Rollout {
    /// The number of the proposal
    #[arg(value_parser = value_parser!(i64).range(1..))]
    number: i64,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show a rollout: the share, the users, each guard, and what the next stage waits for
    ///
    /// A candidate user counts for a stage when a start of the user in the stage is a minute old. Failures count at once.
    Status {
        #[command(flatten)]
        rollout: Rollout,
        /// Print a line for each change until the rollout ends; exit codes: 0 promoted, 1 reverted
        #[arg(long)]
        watch: bool,
        /// With --watch: poll interval in seconds
        #[arg(
            long,
            requires = "watch",
            default_value_t = 1,
            value_parser = value_parser!(u64).range(1..=3600)
        )]
        every: u64,
    },
    /// Show how long a rollout would take and what harm the plan would detect, from the starts of the last week
    ///
    /// For a proposal whose rollout has not begun.
    Preview {
        #[command(flatten)]
        rollout: Rollout,
    },
    /// Hold a rollout: the share stays until a person decides; the guards can still revert
    Hold(Step),
    /// Resume a rollout that is held: users, minutes and hours count from now on
    Resume(Step),
    /// Begin the next stage now
    ///
    /// Refused if the rollout has left the stage in the meantime.
    Advance {
        #[command(flatten)]
        step: Step,
        /// The stage that you read; by default the current one
        #[arg(long, value_parser = value_parser!(i64).range(1..=10))]
        stage: Option<i64>,
    },
    /// Apply the change for everybody now
    Promote(Step),
    /// End a rollout without the change; always possible, also during a freeze
    ///
    /// No session that starts afterwards gets the change. Running sessions keep the change until they end, or until
    /// `end-sessions` ends the sessions.
    Revert(Step),
    /// End the running sessions that have the change, at most 10,000 in one call
    EndSessions {
        #[command(flatten)]
        rollout: Rollout,
        /// Reason, stored with each session and in the log
        #[arg(long, short)]
        reason: String,
    },
}

pub(super) fn run(environment: &Environment, arguments: Arguments) -> ExitCode {
    client::run(environment, async |client| execute(client, arguments).await)
}

async fn execute(client: &Client, arguments: Arguments) -> Result<(), Failure> {
    let output = Output::or_default(arguments.output);
    // The five steps differ in their action only.
    let take = async |step: Step, action: Action| {
        let Step { rollout, reason, dry_run } = step;
        step::take(client, output, rollout.number, action, &reason, dry_run).await
    };
    match arguments.command {
        // A stream of lines instead of a table.
        Command::Status { rollout, watch: true, every } => {
            status::watch(client, output, rollout.number, every).await
        }
        Command::Status { rollout, .. } => status::show(client, output, rollout.number).await,
        Command::Preview { rollout } => preview::show(client, output, rollout.number).await,
        Command::Hold(step) => take(step, Action::Hold).await,
        Command::Resume(step) => take(step, Action::Resume).await,
        Command::Advance { step, stage } => take(step, Action::Advance { stage }).await,
        Command::Promote(step) => take(step, Action::Promote).await,
        Command::Revert(step) => take(step, Action::Revert).await,
        Command::EndSessions { rollout, reason } => {
            step::end_sessions(client, output, rollout.number, &reason).await
        }
    }
}

/// Returns the path of the rollout of a proposal.
fn path_of(number: i64) -> String {
    format!("{}/rollout", path_of_proposal(number))
}
