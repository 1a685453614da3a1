//! `brune doctor`.

use std::process::ExitCode;

use crate::{
    app::{self, Database},
    cli::output::print,
    config::{Config, Environment},
};

pub(super) async fn run(
    config: &Config,
    environment: &Environment,
) -> Result<ExitCode, app::Error> {
    let catalog = app::catalog(config)?;
    // The service may run on the same private Postgres.
    let database = Database::attach(config).await?;
    let checks = app::run_checks(database.pool(), &catalog, environment, config.allow_owner).await;
    // A private Postgres is stopped before an error is returned.
    database.close().await?;
    let mut has_failed = false;
    for check in checks? {
        match check.result {
            Ok(summary) => _ = print(&format!("ok    {}: {summary}", check.check)),
            Err(problems) => {
                has_failed = true;
                for problem in problems {
                    print(&format!("FAIL  {}: {problem}", check.check));
                }
            }
        }
    }
    Ok(if has_failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
