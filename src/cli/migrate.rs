//! `brune migrate`.

use std::process::ExitCode;

use clap::Args;

use crate::{
    app::{self, Database},
    cli::output::print,
    config::{Config, Environment},
    database::roles::Outcome,
    settings::PublishPlan,
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Show what would change, without changing anything
    #[arg(long)]
    plan: bool,
    /// Create the database roles and grants instead: brune_owner, brune_service and brune_reader
    ///
    /// Creates the roles as groups without login, makes brune_owner the owner of the tables, grants the required
    /// privileges and revokes all others. Statements that the connected role may not run are printed as SQL for an
    /// administrator, with exit code 1. Creates no login and no password.
    #[arg(long)]
    roles: bool,
}

pub(super) async fn run(
    config: &Config,
    environment: &Environment,
    arguments: &Arguments,
) -> Result<ExitCode, app::Error> {
    if arguments.roles {
        return apply_roles(config, arguments.plan).await;
    }
    let catalog = app::catalog(config)?;
    let scanner = app::secret_scanner(config, &catalog, environment);
    let database = Database::open_to_migrate(config).await?;
    let result = if arguments.plan {
        let plan = app::plan_migration(database.pool(), &catalog, environment, &scanner).await;
        plan.map(|(migrations, plan)| (migrations, plan, Outcome::default()))
    } else {
        let outcome = app::migrate(database.pool(), &catalog, environment, &scanner).await;
        outcome.map(|(plan, privileges)| (Vec::new(), plan, privileges))
    };
    // A private Postgres is stopped before an error is returned.
    database.close().await?;
    let (migrations, plan, privileges) = result?;
    print_changes(&migrations, &plan, &privileges, if arguments.plan { "would be" } else { "was" });
    Ok(ExitCode::SUCCESS)
}

async fn apply_roles(config: &Config, plan: bool) -> Result<ExitCode, app::Error> {
    let database = Database::open_to_migrate(config).await?;
    let outcome = app::apply_roles(database.pool(), plan).await;
    database.close().await?;
    let outcome = outcome?;
    if outcome.applied.is_empty() && outcome.rejected.is_empty() {
        print("nothing to do: roles and privileges are up to date");
        return Ok(ExitCode::SUCCESS);
    }
    if plan {
        print("-- would run:");
    }
    // Comments keep the output valid SQL, for `psql -f`.
    for statement in &outcome.applied {
        print(&format!("-- ran: {statement}"));
    }
    if !plan && !outcome.rejected.is_empty() {
        print(
            "-- the connected role may not run the rest; run it as an administrator in this database:",
        );
    }
    for statement in &outcome.rejected {
        print(&format!("{statement};"));
    }
    let is_complete = plan || outcome.rejected.is_empty();
    Ok(if is_complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print_changes(migrations: &[String], plan: &PublishPlan, privileges: &Outcome, auxiliary: &str) {
    for name in migrations {
        print(&format!("migration {name} {auxiliary} run"));
    }
    for key in &plan.declare {
        print(&format!("{key} {auxiliary} declared"));
    }
    for key in &plan.forget {
        print(&format!("{key} {auxiliary} removed from the catalog"));
    }
    for seed in &plan.seed {
        let value = seed.value.to_json();
        print(&format!("{} {auxiliary} seeded with {value}, from {}", seed.key, seed.source));
    }
    for statement in &privileges.applied {
        print(&format!("ran: {statement}"));
    }
    for statement in &privileges.rejected {
        print(&format!("not permitted, run it as an administrator: {statement};"));
    }
    let has_no_statements = privileges.applied.is_empty() && privileges.rejected.is_empty();
    if migrations.is_empty() && plan.is_empty() && has_no_statements {
        print("nothing to do: the database is up to date");
    }
}
