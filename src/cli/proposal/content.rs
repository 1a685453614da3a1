//! The content of an edition: changes, reason and times.

use clap::{Args, value_parser};
use serde_json::{Value, json};

use crate::{
    cli::{
        client::{Client, Failure},
        edit::Edit,
        time::parse_time,
    },
    json::StrictJson,
};

/// Returns the path of a proposal.
pub(in crate::cli) fn path_of(number: i64) -> String {
    format!("/admin/proposals/{number}")
}

/// When and for whom a proposal takes effect.
#[derive(Debug, Clone, Args)]
struct Plan {
    /// Apply the proposal at this time, with an offset, such as 2027-01-01T02:00:00Z
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    at: Option<String>,
    /// Minutes after --at in which the proposal is still applied [default: 30]
    #[arg(long, value_name = "MINUTES", requires = "at")]
    grace: Option<u16>,
    /// Apply the proposal only after this earlier proposal, and build on its result
    #[arg(long, value_name = "NUMBER", value_parser = value_parser!(i64).range(1..))]
    after: Option<i64>,
    /// Apply the change to a share of the users first, with the default plan: 10 %, then 50 % of the users, then all
    #[arg(long = "rollout", conflicts_with = "custom_rollout")]
    has_default_rollout: bool,
    /// Like --rollout, with a plan of your own, such as '{"stages": [{"share": 5, "users": 100, "minutes": 60}]}'
    ///
    /// Members: stages, guards (start_failed, cut_short, refused), then (promote, hold) and max_hours. Each has a
    /// default. `docs/rollouts.md` explains the members.
    #[arg(long = "rollout-plan", value_name = "JSON", value_parser = parse_rollout)]
    custom_rollout: Option<StrictJson>,
}

/// Parses the plan of a rollout. The service validates the members.
fn parse_rollout(text: &str) -> Result<StrictJson, String> {
    // Of duplicate members, another reader would keep the last one in silence.
    match StrictJson::parse(text.as_bytes()) {
        Ok(plan @ StrictJson::Object(_)) => Ok(plan),
        Ok(value) => Err(format!("must be a JSON object, not {}", value.kind())),
        Err(errors) => {
            let details = errors.reported().iter().map(|error| error.detail.as_str());
            Err(details.collect::<Vec<_>>().join("; "))
        }
    }
}

impl Plan {
    /// Returns whether no option of the plan is used.
    fn is_empty(&self) -> bool {
        let has_time = self.at.is_some() || self.grace.is_some();
        let has_rollout = self.has_default_rollout || self.custom_rollout.is_some();
        !has_time && self.after.is_none() && !has_rollout
    }

    fn to_json(&self) -> Value {
        let mut plan = json!({"at": self.at, "grace_minutes": self.grace, "after": self.after});
        if self.has_default_rollout {
            // The service fills in the defaults, so that the command needs no copy of them.
            plan["rollout"] = json!({});
        } else if let Some(rollout) = &self.custom_rollout {
            plan["rollout"] = json!(rollout);
        }
        plan
    }
}

/// `--propose`: a change that is proposed instead of written.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Propose {
    /// Propose the change instead of writing it
    #[arg(long = "propose", conflicts_with_all = ["is_emergency", "timeout"])]
    is_proposal: bool,
    #[command(flatten)]
    plan: Plan,
}

impl Propose {
    /// Returns the edition to write with `reason`; `None` for a plain write.
    ///
    /// # Errors
    /// An option of the plan without `--propose`.
    pub(in crate::cli) fn content(
        &self,
        reason: &str,
        dry_run: bool,
    ) -> Result<Option<Content>, Failure> {
        if self.is_proposal {
            let (reason, plan) = (reason.to_owned(), self.plan.clone());
            return Ok(Some(Content { reason, plan, dry_run }));
        }
        if self.plan.is_empty() {
            return Ok(None);
        }
        Err(Failure::usage(
            "--at, --grace, --after, --rollout and --rollout-plan require --propose",
        ))
    }
}

/// An edition without its changes.
#[derive(Debug, Args)]
pub(in crate::cli) struct Content {
    /// Reason for the readers and for the audit trail
    #[arg(long, short)]
    reason: String,
    #[command(flatten)]
    plan: Plan,
    /// Validate without saving
    #[arg(long)]
    pub(super) dry_run: bool,
}

impl Content {
    /// Returns the body of an edition with `changes`.
    pub(super) fn body(&self, changes: &[Value]) -> Value {
        let mut body = json!({"reason": self.reason, "changes": changes});
        if !self.plan.is_empty() {
            body["plan"] = self.plan.to_json();
        }
        body
    }
}

/// Returns the changes of `pairs`, each a key and a text; reads types and versions from the service.
pub(in crate::cli) async fn read_changes(
    client: &Client,
    pairs: &[(&str, &str)],
) -> Result<Vec<Value>, Failure> {
    let mut changes = Vec::new();
    for (key, text) in pairs {
        changes.push(Edit::read(client, key, text).await?.member());
    }
    Ok(changes)
}

/// Splits arguments of the form `KEY=VALUE`. No error repeats an argument, which may be a secret.
pub(in crate::cli) fn split(changes: &[String]) -> Result<Vec<(&str, &str)>, Failure> {
    let pairs = changes.iter().map(|change| change.split_once('='));
    let pairs: Option<Vec<_>> = pairs.collect();
    pairs.ok_or_else(|| Failure::usage("every change must have the form KEY=VALUE"))
}
