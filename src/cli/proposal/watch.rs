//! `brune proposal watch`: prints the progress of a proposal until it ends.

use std::{io::Write as _, time::Duration};

use serde_json::Value;

use crate::cli::{
    client::{Client, Failure},
    output,
    proposal::read::{path_of, status},
    show::Output,
};

/// Prints a line for each change of the state, the edition or the verdicts, until the proposal ends.
///
/// # Errors
/// The proposal ends without being applied.
pub(super) async fn watch(
    client: &Client,
    output: Output,
    number: i64,
    interval_seconds: u64,
) -> Result<(), Failure> {
    let path = path_of(number);
    let mut last_status = String::new();
    let mut is_unreachable = false;
    loop {
        match client.get(&path).await {
            Ok(proposal) => {
                is_unreachable = false;
                let status = status(&proposal);
                if status != last_status && !print(output, &proposal, &status) {
                    // Success would mean that the proposal is applied.
                    return Err(Failure::rejected(
                        "the output was closed before the proposal ended",
                    ));
                }
                if let Some(outcome) = outcome(&proposal, &status) {
                    return outcome;
                }
                last_status = status;
            }
            // The service may restart for a deploy.
            Err(failure) if failure.is_unreachable() && is_unreachable => (),
            // Reported once, not at every poll.
            Err(failure) if failure.is_unreachable() => {
                let _ = writeln!(std::io::stderr(), "brune: {failure}; retrying");
                is_unreachable = true;
            }
            Err(failure) => return Err(failure),
        }
        tokio::time::sleep(Duration::from_secs(interval_seconds)).await;
    }
}

/// Returns the result of the command if the proposal has ended.
fn outcome(proposal: &Value, status: &str) -> Option<Result<(), Failure>> {
    match proposal["state"].as_str().unwrap_or_default() {
        "applied" => Some(Ok(())),
        "failed" if proposal["failure"] == "stale" => Some(Err(Failure::conflict(status))),
        "withdrawn" | "failed" => Some(Err(Failure::rejected(status))),
        _ => None,
    }
}

/// Prints a line, in JSON for programs. Returns `false` if standard output is closed.
fn print(output: Output, proposal: &Value, status: &str) -> bool {
    // One document per line, because a stream has no end to close a list.
    if output.is_for_programs() {
        return output::print(&proposal.to_string());
    }
    output::print(status)
}
