//! `brune serve`.

use std::process::ExitCode;

use crate::{
    app::{self, Ready},
    cli::output::say,
    config::{Config, Environment},
    telemetry::LogQueue,
};

pub(super) async fn run(
    config: Config,
    environment: &Environment,
    lines: LogQueue,
) -> Result<ExitCode, app::Error> {
    // Before anything is started, so that a signal always finds its handler.
    let stop = app::signals()?;
    app::serve(config, environment, lines, announce, stop).await?;
    Ok(ExitCode::SUCCESS)
}

fn announce(ready: &Ready) {
    let address = ready.address;
    say(&format!("brune answers on http://{address}"));
    if let Some(url) = &ready.public_url {
        say(&format!("reached at {url}/, its console at {url}/admin/"));
    }
    if let Some(token) = &ready.token {
        say("a SUPER_ADMIN's token, for development:");
        say(&format!("  export BRUNE_TOKEN={token}"));
        say("what it may read:");
        say(&format!(
            "  curl -s -H \"Authorization: Bearer $BRUNE_TOKEN\" http://{address}/admin/global-settings"
        ));
        // After the `#`, where no browser sends it on.
        say("the console:");
        say(&format!("  http://{address}/admin/#token={token}"));
    }
}
