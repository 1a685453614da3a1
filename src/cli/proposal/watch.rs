//! Watches a proposal or a rollout: prints the progress until the end.

use std::{io::Write as _, time::Duration};

use serde_json::Value;

use crate::cli::{
    client::{Client, Failure},
    output,
    proposal::{content::path_of, read::status},
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
    watch_document(client, output, &path_of(number), interval_seconds, (status, outcome)).await
}

/// Describes a document in one line.
type Describe = fn(&Value) -> String;

/// Returns the result of the command if the document, with its line, is the last one.
type Outcome = fn(&Value, &str) -> Option<Result<(), Failure>>;

/// Reads the document at `path` again and again, and prints its line after each change, until there is an outcome.
///
/// # Errors
/// The failure of the outcome, or a response that is an error.
pub(in crate::cli) async fn watch_document(
    client: &Client,
    output: Output,
    path: &str,
    interval_seconds: u64,
    (describe, outcome): (Describe, Outcome),
) -> Result<(), Failure> {
    let mut last_status = String::new();
    let mut is_unreachable = false;
    loop {
        match client.get(path).await {
            Ok(document) => {
                is_unreachable = false;
                let status = describe(&document);
                if status != last_status && !print(output, &document, &status) {
                    // Success would mean that the proposal is applied.
                    return Err(Failure::rejected(
                        "the output was closed before the proposal ended",
                    ));
                }
                if let Some(outcome) = outcome(&document, &status) {
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
        "withdrawn" | "failed" | "reverted" => Some(Err(Failure::rejected(status))),
        _ => None,
    }
}

/// Prints a line, in JSON for programs. Returns `false` if standard output is closed.
fn print(output: Output, document: &Value, status: &str) -> bool {
    // One document per line, because a stream has no end to close a list.
    if output.is_for_programs() {
        return output::print(&document.to_string());
    }
    output::print(status)
}
