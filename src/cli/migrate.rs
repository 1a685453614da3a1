//! `brune migrate`.

use std::process::ExitCode;

use clap::Args;

use crate::{
    app::{self, Database},
    cli::say,
    config::{Config, Environment},
    settings::PublishPlan,
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Only show what would change
    #[arg(long)]
    plan: bool,
}

pub(super) async fn run(
    config: &Config,
    environment: &Environment,
    arguments: &Arguments,
) -> Result<ExitCode, app::Error> {
    let catalog = app::catalog(config)?;
    let firewall = app::firewall(config, &catalog, environment);
    let database = Database::open(config).await?;
    let done = if arguments.plan {
        app::plan(database.pool(), &catalog, environment, &firewall).await
    } else {
        let ran = app::migrate(database.pool(), &catalog, environment, &firewall).await;
        ran.map(|plan| (Vec::new(), plan))
    };
    database.close().await?;
    let (migrations, plan) = done?;
    tell(&migrations, &plan, if arguments.plan { "would be" } else { "was" });
    Ok(ExitCode::SUCCESS)
}

fn tell(migrations: &[String], plan: &PublishPlan, how: &str) {
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
    if migrations.is_empty() && plan.is_empty() {
        say("nothing to do: the database is up to date");
    }
}
