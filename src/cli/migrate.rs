//! `brune migrate`.

use std::process::ExitCode;

use clap::Args;

use crate::{
    app::{self, Database},
    cli::output::say,
    config::{Config, Environment},
    database::roles::Outcome,
    settings::PublishPlan,
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Only show what would change
    #[arg(long)]
    plan: bool,
    /// Create the database roles and grants instead: brune_owner, brune_service and brune_reader
    ///
    /// Creates the roles as groups without login, gives the tables to brune_owner, grants what each needs and
    /// revokes the rest. What the connected role may not do is printed as SQL for an administrator, and the exit
    /// code is 1. Makes no login and no password.
    #[arg(long)]
    roles: bool,
}

pub(super) async fn run(
    config: &Config,
    environment: &Environment,
    arguments: &Arguments,
) -> Result<ExitCode, app::Error> {
    if arguments.roles {
        return bring_roles_in_order(config, arguments.plan).await;
    }
    let catalog = app::catalog(config)?;
    let scanner = app::secret_scanner(config, &catalog, environment);
    let database = Database::open_to_migrate(config).await?;
    let done = if arguments.plan {
        let planned = app::plan_migration(database.pool(), &catalog, environment, &scanner).await;
        planned.map(|(migrations, plan)| (migrations, plan, Outcome::default()))
    } else {
        let ran = app::migrate(database.pool(), &catalog, environment, &scanner).await;
        ran.map(|(plan, privileges)| (Vec::new(), plan, privileges))
    };
    database.close().await?;
    let (migrations, plan, privileges) = done?;
    tell(&migrations, &plan, &privileges, if arguments.plan { "would be" } else { "was" });
    Ok(ExitCode::SUCCESS)
}

async fn bring_roles_in_order(config: &Config, plan: bool) -> Result<ExitCode, app::Error> {
    let database = Database::open_to_migrate(config).await?;
    let outcome = app::apply_roles(database.pool(), plan).await;
    database.close().await?;
    let outcome = outcome?;
    if outcome.applied.is_empty() && outcome.rejected.is_empty() {
        say("nothing to do: roles and privileges are up to date");
        return Ok(ExitCode::SUCCESS);
    }
    if plan {
        say("-- would run:");
    }
    // What is printed is SQL as a whole, for `psql -f`.
    for statement in &outcome.applied {
        say(&format!("-- ran: {statement}"));
    }
    if !plan && !outcome.rejected.is_empty() {
        say("-- this role may not do the rest; run it as an administrator, in this database:");
    }
    for statement in &outcome.rejected {
        say(&format!("{statement};"));
    }
    let is_done = plan || outcome.rejected.is_empty();
    Ok(if is_done { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn tell(migrations: &[String], plan: &PublishPlan, privileges: &Outcome, how: &str) {
    for name in migrations {
        say(&format!("migration {name} {how} run"));
    }
    for key in &plan.declare {
        say(&format!("{key} {how} declared"));
    }
    for key in &plan.forget {
        say(&format!("{key} {how} forgotten"));
    }
    for seed in &plan.seed {
        let value = seed.value.to_json();
        say(&format!("{} {how} seeded with {value}, from {}", seed.key, seed.source));
    }
    for statement in &privileges.applied {
        say(&format!("ran: {statement}"));
    }
    for statement in &privileges.rejected {
        say(&format!("not permitted, run it as an administrator: {statement};"));
    }
    let unchanged = privileges.applied.is_empty() && privileges.rejected.is_empty();
    if migrations.is_empty() && plan.is_empty() && unchanged {
        say("nothing to do: the database is up to date");
    }
}
