//! The command line: `brune serve | migrate | doctor | token | health | config | secrets | instances |
//! completions`.

#![expect(clippy::doc_markdown, reason = "these comments are help texts, for terminals")]

mod client;
mod config;
mod doctor;
mod health;
mod instances;
mod migrate;
mod output;
mod secrets;
mod serve;
mod show;
mod token;

use std::{
    fmt::Write as _,
    io::{self, IsTerminal as _, Write as _},
    process::ExitCode,
};

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::{
    app,
    config::{Config, Environment, Needs, without_driver_variables},
    telemetry::{self, LogQueue},
};

/// A settings control plane over Postgres.
///
/// A SUPER_ADMIN changes a product's run-time settings without a deploy; every change is typed, checked,
/// locked against lost updates, explained, audited and reversible; every instance takes it on within
/// milliseconds.
#[derive(Debug, Parser)]
#[command(name = "brune", version, after_help = AFTER, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

const AFTER: &str = "Without a command: serve. Without a configuration: a private Postgres and a secret of \
    its own, for development. Every variable is in `.env.example`; a `.env` file in the working directory \
    is read, and the process's own variables win over it.\n\n\
    Exit codes: 0 done, 1 refused, failed, or an output that could not be written, 2 wrong usage.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service until SIGTERM, SIGINT or SIGHUP
    ///
    /// Without DATABASE_URL or POSTGRES_HOST a private Postgres is started in the data directory, migrated
    /// and seeded; it never outlives the service. With a database of your own, run `brune migrate` first:
    /// serve refuses to start, naming every fault, while migrations are pending or a setting is missing or
    /// invalid.
    ///
    /// On a signal it takes no more connections, finishes the requests under way (10 seconds at most) and
    /// stops what it started. Further signals change nothing. A SIGHUP that was ignored at the start (nohup) still is.
    Serve,
    /// Bring the database up to date: migrations, declarations of the catalog, first values
    ///
    /// Safe to repeat: a second run changes nothing. A setting without a value gets its first one: from its
    /// variable or `.env` when the database is still empty, else the catalog's default. A catalog that does
    /// not fit what is stored is an error that names every key before anything of the catalog is written.
    ///
    /// Connects to DATABASE_MIGRATE_URL, or to DATABASE_URL without it. Where the roles of --roles exist, it grants
    /// them what they need on new tables.
    Migrate(migrate::Arguments),
    /// Check database role, migrations, catalog, settings, triggers, audit trail and secrets; exit 1 on a fault
    ///
    /// Only looks, also while the service runs. Each check is a line: `ok` with what was found, or `FAULT`
    /// with what is wrong and the way out. The audit trail is read whole, and each entry's hash is computed
    /// again.
    Doctor,
    /// Print a token signed with JWT_SECRET, for development and for tests
    ///
    /// Without JWT_SECRET, outside production, it is the secret that the service keeps in the data
    /// directory.
    ///
    /// An administrator: brune token --sub ada --role SUPER_ADMIN
    /// {n}A user: brune token --sub ana --plan pro --level senior
    Token(token::Arguments),
    /// Ask a running service whether it can serve; exit 1 if not
    ///
    /// Prints what /readyz?verbose answers: a line for each of database, settings and listener. For
    /// container engines: the image needs no other client.
    Health(health::Arguments),
    /// Read and change settings of a running service, over REST
    ///
    /// BRUNE_URL and BRUNE_TOKEN say which service, and who asks; without them it is the service of this
    /// machine, in development.
    ///
    /// Exit codes: 0 done, 1 refused, 2 wrong usage, 3 nobody answers (or not Brune), 4 somebody else was
    /// faster, 5 stored, but with --wait not on every instance yet.
    Config(config::Arguments),
    /// Which secrets are provided, and what is left of them in the database, over REST
    ///
    /// Finds the service and ends with the codes of `brune config`. Never prints a value.
    Secrets(secrets::Arguments),
    /// Which instances run, and which revision of the settings each has applied, over REST
    ///
    /// Finds the service and ends with the codes of `brune config`.
    Instances(instances::Arguments),
    /// Print completions for a shell: brune completions bash > /etc/bash_completion.d/brune
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Parses, runs, and says how it went.
#[must_use]
pub fn main() -> ExitCode {
    if let Err(err) = without_driver_variables() {
        let _ =
            writeln!(std::io::stderr(), "brune: cannot start over without PG* variables: {err}");
        return ExitCode::FAILURE;
    }
    let ended = match Cli::try_parse() {
        Ok(cli) => run(cli.command.unwrap_or(Command::Serve)),
        // The help and the version as well.
        Err(usage) => Ok(tell_usage(&usage)),
    };
    // The last word goes to whoever is at the terminal, whatever is logged.
    let code = ended.unwrap_or_else(|failure| {
        let _ = writeln!(std::io::stderr(), "brune: {failure}");
        ExitCode::FAILURE
    });
    match output::failure() {
        Some(failure) => {
            let _ = writeln!(std::io::stderr(), "brune: {failure}");
            if code == ExitCode::SUCCESS { ExitCode::FAILURE } else { code }
        }
        None => code,
    }
}

/// Prints what the parser says of the arguments.
fn tell_usage(usage: &clap::Error) -> ExitCode {
    if usage.use_stderr() {
        let _ = usage.print();
        return ExitCode::from(2);
    }
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
        Command::Secrets(arguments) => Ok(secrets::run(&environment, arguments)),
        Command::Instances(arguments) => Ok(instances::run(&environment, &arguments)),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "brune", &mut script);
            output::write(&script);
            Ok(ExitCode::SUCCESS)
        }
        Command::Serve => with_config(&environment, Needs::Serve, async |config, lines| {
            serve::run(config, &environment, lines).await
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

/// Runs a command that needs a configuration, a log and more than one thread.
fn with_config(
    environment: &Environment,
    needs: Needs,
    command: impl AsyncFnOnce(Config, LogQueue) -> Result<ExitCode, app::Error>,
) -> Result<ExitCode, String> {
    // What a service needs beside a database, that may still hold; with other faults, all are told.
    let config = Config::load(environment, Needs::Database)
        .map_err(|faults| Config::load(environment, needs).err().unwrap_or(faults).to_string())?;
    let lines = telemetry::init(&config.log).map_err(|err| chain(&err))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|err| format!("cannot start the runtime: {err}"))?;
    runtime.block_on(command(config, lines)).map_err(|err| chain(&err))
}

/// An error and its causes, each on a line.
fn chain(err: &dyn std::error::Error) -> String {
    let mut text = err.to_string();
    let mut cause = err.source();
    while let Some(err) = cause {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n  because: {err}");
        cause = err.source();
    }
    text
}
