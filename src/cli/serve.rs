//! `brune serve`.

use std::process::ExitCode;

use crate::{
    app::{self, Ready},
    cli::output::print,
    config::{Config, Environment},
    telemetry::LogQueue,
};

pub(super) async fn run(
    config: Config,
    environment: &Environment,
    log: LogQueue,
) -> Result<ExitCode, app::Error> {
    // First, so that a signal during the start has a handler.
    let stop = app::signals()?;
    app::serve(config, environment, log, print_addresses, stop).await?;
    Ok(ExitCode::SUCCESS)
}

fn print_addresses(ready: &Ready) {
    let address = ready.address;
    print(&format!("brune listening on http://{address}"));
    if let Some(url) = &ready.public_url {
        print(&format!("public address {url}/, console {url}/admin/"));
    }
    if let Some(token) = &ready.token {
        print("token of a SUPER_ADMIN, for development:");
        print(&format!("  export BRUNE_TOKEN={token}"));
        print("read the settings:");
        print(&format!(
            "  curl -s -H \"Authorization: Bearer $BRUNE_TOKEN\" http://{address}/admin/global-settings"
        ));
        // A browser does not send the part after the `#` to servers.
        print("open the console:");
        print(&format!("  http://{address}/admin/#token={token}"));
    }
}
