//! Steps of a rollout by a person.

use reqwest::Method;
use serde_json::json;

use crate::cli::{
    client::{Client, Failure},
    output::print,
    rollout::{
        path_of,
        status::{describe, next_step},
    },
    show::{Output, show, show_result},
};

/// A step that a person takes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Action {
    Hold,
    Resume,
    Advance,
    Promote,
    Revert,
}

impl Action {
    fn as_str(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Resume => "resume",
            Self::Advance => "advance",
            Self::Promote => "promote",
            Self::Revert => "revert",
        }
    }

    /// Describes the step of a dry run.
    fn in_future(self) -> &'static str {
        match self {
            Self::Hold => "would be held",
            Self::Resume => "would be resumed",
            Self::Advance => "would advance to the next stage",
            Self::Promote => "would be promoted",
            Self::Revert => "would be reverted",
        }
    }
}

pub(super) async fn take(
    client: &Client,
    output: Output,
    number: i64,
    action: Action,
    reason: &str,
    dry_run: bool,
) -> Result<(), Failure> {
    let body = json!({"action": action.as_str(), "reason": reason});
    let request = client.request(Method::POST, &path_of(number))?;
    let request = request.query(&[("dry_run", dry_run)]).json(&body);
    let rollout = client.send(request).await?.body;
    if output.is_for_programs() {
        return show(output, &[], &[], &rollout);
    }
    // The response to a dry run is the rollout as it is.
    if dry_run {
        print(&format!("the rollout of proposal {number} {}", action.in_future()));
        return Ok(());
    }
    // The response has the stored state only. The step is stored, so an error of the additional request is no error of the
    // command.
    let rollout = client.get(&path_of(number)).await.unwrap_or(rollout);
    print(&describe(&rollout));
    if let Some(step) = next_step(&rollout) {
        print(&format!("next: {step}"));
    }
    Ok(())
}

pub(super) async fn end_sessions(
    client: &Client,
    output: Output,
    number: i64,
    reason: &str,
) -> Result<(), Failure> {
    let path = format!("{}/end-sessions", path_of(number));
    let result = client.post(&path, &json!({"reason": reason})).await?;
    let noun = if result["ended"] == 1 { "session" } else { "sessions" };
    let line = format!("ended {} {noun} with the settings of proposal {number}", result["ended"]);
    show_result(output, &result, &line)
}
