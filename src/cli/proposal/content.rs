//! The content of an edition: changes, reason and times.

use clap::{Args, value_parser};
use serde_json::{Value, json};

use crate::cli::{
    client::{Client, Failure},
    edit::Edit,
    time::parse_time,
};

/// Returns the path of a proposal.
pub(super) fn path_of(number: i64) -> String {
    format!("/admin/proposals/{number}")
}

/// When a proposal takes effect.
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
}

impl Plan {
    /// Returns whether no option of the plan is used.
    fn is_empty(&self) -> bool {
        self.at.is_none() && self.grace.is_none() && self.after.is_none()
    }

    fn to_json(&self) -> Value {
        json!({"at": self.at, "grace_minutes": self.grace, "after": self.after})
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
    /// A time without `--propose`.
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
        Err(Failure::usage("--at, --grace and --after require --propose"))
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
