//! Commands that write proposals, give verdicts, apply and withdraw.

use reqwest::Method;
use serde_json::{Value, json};

use crate::cli::{
    client::{Client, Failure},
    emergency::Emergency,
    output::print,
    proposal::{
        content::{Content, path_of},
        next::next_step,
        read::status,
    },
    show::{Output, show},
    wait::{self, Wait},
};

/// Proposes `changes`, each with a key, a value and the version that the value replaces.
pub(in crate::cli) async fn propose(
    client: &Client,
    output: Output,
    changes: &[Value],
    content: &Content,
) -> Result<(), Failure> {
    let request = client.request(Method::POST, "/admin/proposals")?;
    let request = request.query(&[("dry_run", content.dry_run)]).json(&content.body(changes));
    report(client, output, &client.send(request).await?.body).await
}

pub(super) async fn edit(
    client: &Client,
    output: Output,
    (number, edition): (i64, i32),
    changes: &[Value],
    content: &Content,
) -> Result<(), Failure> {
    let request = client.request(Method::PUT, &path_of(number))?;
    let request = request.header("if-match", format!("\"e{edition}\""));
    let request = request.query(&[("dry_run", content.dry_run)]).json(&content.body(changes));
    report(client, output, &client.send(request).await?.body).await
}

/// Reports a proposal after a step, or the result of a dry run.
async fn report(client: &Client, output: Output, proposal: &Value) -> Result<(), Failure> {
    if output.is_for_programs() {
        return show(output, &[], &[], proposal);
    }
    if proposal["dry_run"] == true {
        print(&format!("edition {} would be stored", proposal["edition"]));
        return Ok(());
    }
    print(&status(proposal));
    if let Some(step) = next_step(client, proposal).await {
        print(&format!("next: {step}"));
    }
    Ok(())
}

/// A verdict of the caller.
pub(super) struct Verdict {
    pub(super) kind: &'static str,
    pub(super) note: Option<String>,
    pub(super) apply: bool,
}

pub(super) async fn give_verdict(
    client: &Client,
    output: Output,
    (number, edition): (i64, i32),
    verdict: &Verdict,
    dry_run: bool,
) -> Result<(), Failure> {
    let mut body = json!({"edition": edition, "verdict": verdict.kind, "apply": verdict.apply});
    if let Some(note) = &verdict.note {
        body["note"] = json!(note);
    }
    let request = client.request(Method::POST, &format!("{}/verdicts", path_of(number)))?;
    let request = request.query(&[("dry_run", dry_run)]).json(&body);
    let response = client.send(request).await?.body;
    if output.is_for_programs() {
        return show(output, &[], &[], &response);
    }
    if dry_run {
        // The proposal in the response is the stored one, without the verdict.
        print(&format!("the verdict would be recorded: {}", verdict.kind));
        if !response["changed"].is_null() {
            print(&format!("proposal {number} would be applied"));
        }
        return Ok(());
    }
    report(client, output, &response["proposal"]).await
}

/// The options of `apply`.
pub(super) struct ApplyOptions {
    pub(super) dry_run: bool,
    pub(super) wait: Wait,
    pub(super) emergency: Emergency,
    /// The reason of the emergency.
    pub(super) reason: Option<String>,
}

pub(super) async fn apply(
    client: &Client,
    output: Output,
    (number, edition): (i64, i32),
    options: ApplyOptions,
) -> Result<(), Failure> {
    let ApplyOptions { dry_run, wait, emergency, reason } = options;
    let mut body = json!({"edition": edition});
    if let Some(reason) = reason {
        body["reason"] = json!(reason);
    }
    let request = client.request(Method::POST, &format!("{}/apply", path_of(number)))?;
    let request = request.query(&[("dry_run", dry_run)]).json(&body);
    let result = client.send(emergency.apply_to(wait.apply_to(request))).await?.body;
    if output.is_for_programs() {
        show(output, &[], &[], &result)?;
        return wait::report(&result, true);
    }
    print(&describe_application(number, dry_run, &result));
    emergency.report(&result, edition);
    wait::report(&result, false)
}

/// Describes the result of `apply`: a proposal with a rollout takes effect for a share of the users first.
fn describe_application(number: i64, dry_run: bool, result: &Value) -> String {
    // A rollout that begins changes no setting: the revision in the response is the current one.
    match (result["rollout"].is_null(), dry_run) {
        (true, true) => {
            format!("proposal {number} would be applied, revision {}", result["revision"])
        }
        (true, false) => format!("proposal {number} is applied, revision {}", result["revision"]),
        (false, true) => format!("the rollout of proposal {number} would begin"),
        (false, false) => {
            format!("the rollout of proposal {number} began: brune rollout status {number}")
        }
    }
}

pub(super) async fn withdraw(
    client: &Client,
    output: Output,
    number: i64,
    reason: &str,
    dry_run: bool,
) -> Result<(), Failure> {
    let request = client.request(Method::POST, &format!("{}/withdraw", path_of(number)))?;
    let request = request.query(&[("dry_run", dry_run)]).json(&json!({"reason": reason}));
    let proposal = client.send(request).await?.body;
    if dry_run && !output.is_for_programs() {
        print(&format!("proposal {number} would be withdrawn"));
        return Ok(());
    }
    report(client, output, &proposal).await
}
