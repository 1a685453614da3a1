//! `brune doctor`.

use std::process::ExitCode;

use crate::{
    app::{self, Database},
    cli::output::say,
    config::{Config, Environment},
};

pub(super) async fn run(
    config: &Config,
    environment: &Environment,
) -> Result<ExitCode, app::Error> {
    let catalog = app::catalog(config)?;
    let database = Database::attach(config).await?;
    let findings =
        app::run_checks(database.pool(), &catalog, environment, config.allow_owner).await;
    database.close().await?;
    let mut sound = true;
    for finding in findings? {
        match finding.result {
            Ok(told) => _ = say(&format!("ok    {}: {told}", finding.check)),
            Err(faults) => {
                sound = false;
                for fault in faults {
                    say(&format!("FAULT {}: {fault}", finding.check));
                }
            }
        }
    }
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
