//! The command line: `brune serve | migrate | doctor | token | health | config | proposal | rollout | freeze | release
//! | starts | what-if | secrets | instances | completions`.

#![expect(clippy::doc_markdown, reason = "these comments are help texts, for terminals")]

mod client;
mod config;
mod doctor;
mod edit;
mod emergency;
mod freeze;
mod health;
mod instances;
mod migrate;
mod output;
mod proposal;
mod release;
mod rollback;
mod rollout;
mod secrets;
mod serve;
mod show;
mod starts;
mod time;
mod token;
mod wait;
mod what_if;

use std::{
    fmt::Write as _,
    io::{self, IsTerminal as _, Write as _},
    process::ExitCode,
};

use clap::{
    CommandFactory as _, Parser, Subcommand,
    error::{ContextKind, ContextValue, ErrorKind},
};

use crate::{
    app,
    config::{Config, Environment, Needs, without_driver_variables},
    telemetry::{self, LogQueue},
};

/// A settings control plane over Postgres.
///
/// Changes a product's run-time settings without a deploy. Every change is typed, validated, protected by optimistic
/// locking, explained by a reason, audited and reversible, and reaches every instance within milliseconds.
#[derive(Debug, Parser)]
#[command(name = "brune", version, after_help = AFTER, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

const AFTER: &str = "The default command is serve. Without configuration, a private Postgres and a signing \
    secret are created for development. `.env.example` lists every variable. A `.env` file in the working directory \
    is read; variables of the process override it.\n\n\
    Exit codes: 0 success, 1 failure, 2 wrong usage.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service until SIGTERM, SIGINT or SIGHUP
    ///
    /// Without DATABASE_URL or POSTGRES_HOST a private Postgres is started in the data directory, migrated and seeded;
    /// it ends with the service. With your own database, run `brune migrate` first: serve does not start, and reports
    /// every problem, while migrations are pending or a setting is missing or invalid.
    ///
    /// On a signal the service accepts no new connections, finishes open requests (at most 10 seconds) and stops its
    /// tasks. Further signals have no effect. SIGHUP stays ignored under nohup.
    Serve,
    /// Migrate the database, publish the catalog and set initial values
    ///
    /// Idempotent: a second run changes nothing. A setting without a value gets its initial value: from its variable or
    /// `.env` while the database is empty, otherwise the catalog's default. If the catalog does not fit the stored
    /// settings, the command reports every key and publishes nothing.
    ///
    /// Connects to DATABASE_MIGRATE_URL, by default to DATABASE_URL. Grants the roles of --roles, if they exist, the
    /// required privileges on new tables.
    Migrate(migrate::Arguments),
    /// Check database role, migrations, catalog, settings, triggers, audit trail and secrets; exit 1 on a problem
    ///
    /// Read-only, also while the service runs. Each check prints a line: `ok` with a summary, or `FAIL` with the
    /// problem and its fix. Reads the whole audit trail and verifies the hash of each entry.
    Doctor,
    /// Print a token signed with JWT_SECRET, for development and tests
    ///
    /// Without JWT_SECRET, outside production, signs with the generated secret in the data directory.
    ///
    /// An administrator: brune token --sub ada --role SUPER_ADMIN
    /// {n}A user: brune token --sub ana --plan pro --level senior
    Token(token::Arguments),
    /// Check whether a running service is ready; exit 1 if not
    ///
    /// Prints the response of /readyz?verbose: a line for each of database, settings and listener. For container
    /// health checks, because the image has no other HTTP client.
    Health(health::Arguments),
    /// Read and change settings of a running service, over REST
    ///
    /// Connects to BRUNE_URL with BRUNE_TOKEN. The default is the local service, in development.
    ///
    /// Exit codes: 0 success, 1 rejected, 2 wrong usage, 3 service unreachable (or not Brune), 4 version conflict,
    /// 5 stored, but with --wait not yet applied by every instance.
    Config(config::Arguments),
    /// Propose, review, approve and apply changes that need approvals or have a time, over REST
    ///
    /// A verdict is of one edition: `show` prints the number of the edition, `approve` and `apply` require it. Connection
    /// and exit codes as of `brune config`; 4 also means that somebody wrote a newer edition.
    Proposal(proposal::Arguments),
    /// Watch and steer the guarded rollout of a proposal, over REST
    ///
    /// A rollout gives a change to a share of the users first, compares the failing users with and without the change,
    /// and reverts a harmful change. `brune config set … --propose --rollout` proposes a rollout, `brune proposal
    /// apply` begins the rollout. Connection and exit codes as of `brune config`; 4 also means that the rollout has
    /// ended.
    Rollout(rollout::Arguments),
    /// Freeze all settings for a time, list freezes, end a freeze, over REST
    ///
    /// Connection and exit codes as of `brune config`.
    Freeze(freeze::Arguments),
    /// Name revisions of the settings, compare and restore them, over REST
    ///
    /// Connection and exit codes as of `brune config`; 4 also means that the name is already used.
    Release(release::Arguments),
    /// Stop and resume all session starts, over REST
    ///
    /// For a time when every new session does damage. Connection and exit codes as of `brune config`.
    Starts(starts::Arguments),
    /// Show what a change would have done to recorded session starts, without making the change, over REST
    ///
    /// Replays the starts of the last 24 hours by the rules of a start: whom the change would have refused or admitted,
    /// which sessions would have been shorter, and what the replay cannot say. Stores nothing and needs no approval.
    /// Connection and exit codes as of `brune config`.
    WhatIf(what_if::Arguments),
    /// Show which secrets are provided, and remove secrets from the database, over REST
    ///
    /// Connection and exit codes as of `brune config`. Never prints a value.
    Secrets(secrets::Arguments),
    /// List running instances and the revision of the settings each has applied, over REST
    ///
    /// Connection and exit codes as of `brune config`.
    Instances(instances::Arguments),
    /// Print shell completions: brune completions bash > /etc/bash_completion.d/brune
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Runs the command line and returns the exit code.
#[must_use]
pub fn main() -> ExitCode {
    // Before anything else, because the program may start anew.
    if let Err(err) = without_driver_variables() {
        let _ = writeln!(std::io::stderr(), "brune: cannot restart without PG* variables: {err}");
        return ExitCode::FAILURE;
    }
    let result = match Cli::try_parse() {
        Ok(cli) => run(cli.command.unwrap_or(Command::Serve)),
        // clap reports `--help` and `--version` as errors, too.
        Err(usage) => Ok(print_usage(&with_tip(usage))),
    };
    // Not by the log, which may be off or in JSON.
    let code = result.unwrap_or_else(|error| {
        let _ = writeln!(std::io::stderr(), "brune: {error}");
        ExitCode::FAILURE
    });
    match output::error() {
        Some(error) => {
            let _ = writeln!(std::io::stderr(), "brune: {error}");
            // The code of a failed command says more than the failed output.
            if code == ExitCode::SUCCESS { ExitCode::FAILURE } else { code }
        }
        None => code,
    }
}

/// Adds to the error of a missing `--edition` the command that prints the edition.
fn with_tip(mut usage: clap::Error) -> clap::Error {
    let is_missing = match usage.get(ContextKind::InvalidArg) {
        Some(ContextValue::Strings(arguments)) => {
            arguments.iter().any(|argument| argument.starts_with("--edition"))
        }
        _ => false,
    };
    if is_missing && usage.kind() == ErrorKind::MissingRequiredArgument {
        let tip = "`brune proposal show NUMBER` prints the edition, so that you decide on what you have read";
        usage.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
    usage
}

/// Prints the help, the version or a usage error.
fn print_usage(usage: &clap::Error) -> ExitCode {
    if usage.use_stderr() {
        let _ = usage.print();
        return ExitCode::from(2);
    }
    // Through `output`, so that a full disk is reported like for other commands.
    let rendered = usage.render();
    if io::stdout().is_terminal() {
        output::write(rendered.ansi().to_string().as_bytes());
    } else {
        output::write(rendered.to_string().as_bytes());
    }
    ExitCode::SUCCESS
}

fn run(command: Command) -> Result<ExitCode, String> {
    let environment = Environment::from_process();
    match command {
        Command::Token(arguments) => token::run(&environment, &arguments),
        Command::Health(arguments) => health::run(&environment, &arguments),
        Command::Config(arguments) => Ok(config::run(&environment, arguments)),
        Command::Proposal(arguments) => Ok(proposal::run(&environment, arguments)),
        Command::Rollout(arguments) => Ok(rollout::run(&environment, arguments)),
        Command::Freeze(arguments) => Ok(freeze::run(&environment, arguments)),
        Command::Release(arguments) => Ok(release::run(&environment, arguments)),
        Command::Starts(arguments) => Ok(starts::run(&environment, arguments)),
        Command::WhatIf(arguments) => Ok(what_if::run(&environment, &arguments)),
        Command::Secrets(arguments) => Ok(secrets::run(&environment, arguments)),
        Command::Instances(arguments) => Ok(instances::run(&environment, &arguments)),
        Command::Completions { shell } => {
            // `generate` panics if writing fails, as on a closed pipe; a buffer never fails.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "brune", &mut script);
            output::write(&script);
            Ok(ExitCode::SUCCESS)
        }
        Command::Serve => with_config(&environment, Needs::Serve, async |config, log| {
            serve::run(config, &environment, log).await
        }),
        Command::Migrate(arguments) => {
            with_config(&environment, Needs::Database, async |config, _| {
                migrate::run(&config, &environment, &arguments).await
            })
        }
        Command::Doctor => with_config(&environment, Needs::Database, async |config, _| {
            doctor::run(&config, &environment).await
        }),
    }
}

/// Runs a command with configuration, log and a multi-threaded runtime.
fn with_config(
    environment: &Environment,
    needs: Needs,
    command: impl AsyncFnOnce(Config, LogQueue) -> Result<ExitCode, app::Error>,
) -> Result<ExitCode, String> {
    // The database may still provide a secret that `serve` needs. With other errors, all are reported.
    let config = Config::load(environment, Needs::Database)
        .map_err(|errors| Config::load(environment, needs).err().unwrap_or(errors).to_string())?;
    let log = telemetry::init(&config.log).map_err(|err| with_causes(&err))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|err| format!("cannot start the runtime: {err}"))?;
    runtime.block_on(command(config, log)).map_err(|err| with_causes(&err))
}

/// Formats an error and its causes, one per line.
fn with_causes(err: &dyn std::error::Error) -> String {
    let mut text = err.to_string();
    let mut cause = err.source();
    while let Some(err) = cause {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n  caused by: {err}");
        cause = err.source();
    }
    text
}
