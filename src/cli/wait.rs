//! `--wait`: waits until every instance has applied a change.

use clap::Args;
use reqwest::RequestBuilder;
use serde_json::Value;

use crate::cli::{client::Failure, output::print, show::cell};

#[derive(Debug, Clone, Copy, Args)]
pub(super) struct Wait {
    /// Wait until every live instance has applied the change, for at most MS milliseconds (100 to 4000)
    // The `=` is required, since `--wait KEY` would take the key for the timeout.
    #[arg(
        long = "wait",
        value_name = "MS",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "2000",
        value_parser = clap::value_parser!(u16).range(100..=4000)
    )]
    timeout: Option<u16>,
}

impl Wait {
    /// Adds the parameters for waiting to `request`.
    pub(super) fn apply_to(self, request: RequestBuilder) -> RequestBuilder {
        match self.timeout {
            Some(timeout) => {
                request.query(&[("wait", "applied"), ("timeout_ms", &timeout.to_string())])
            }
            None => request,
        }
    }
}

/// Reports the result of the wait. With `quiet` a success is not printed.
///
/// # Errors
/// Not every instance has applied the change.
pub(super) fn report(result: &Value, quiet: bool) -> Result<(), Failure> {
    let applied = &result["applied"];
    // The service reports the progress only if the request asks to wait.
    if applied.is_null() {
        return Ok(());
    }
    let waited = &applied["waited_ms"];
    let row = |instance: &Value| {
        let id = cell(&instance["id"]);
        let host = cell(&instance["host"]);
        format!("\n  {id} on {host} is at revision {}", instance["revision"])
    };
    let laggards: String = applied["laggards"].as_array().into_iter().flatten().map(row).collect();
    match applied["instances"].as_u64() {
        Some(instances) if laggards.is_empty() => {
            if !quiet {
                let noun = if instances == 1 { "instance" } else { "instances" };
                print(&format!("applied by {instances} {noun} after {waited} ms"));
            }
            Ok(())
        }
        Some(_) => Err(Failure::not_applied(format!(
            "stored, but not applied by every instance after {waited} ms; still behind:{laggards}"
        ))),
        // The change is stored, so a fleet that cannot be read is no failure of the write.
        None => Err(Failure::not_applied(
            "stored, but the instances that applied it are unknown; see `brune instances`",
        )),
    }
}
