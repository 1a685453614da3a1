//! The content of an edition: changes, reason and times.

use clap::{Args, value_parser};
use serde_json::{Value, json};

use crate::cli::{
    client::{Client, Failure},
    edit::Edit,
    time::parse_time,
};

/// When a proposal takes effect.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Plan {
    /// Apply the proposal at this time, with an offset, such as 2027-01-01T02:00:00Z
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    at: Option<String>,
    /// Still apply it up to this many minutes after --at [default: 30]
    #[arg(long, value_name = "MINUTES", requires = "at")]
    grace: Option<u16>,
    /// Build on the result of this earlier proposal
    #[arg(long, value_name = "NUMBER", value_parser = value_parser!(i64).range(1..))]
    after: Option<i64>,
}

impl Plan {
    /// Returns whether no option of the plan is used.
    pub(in crate::cli) fn is_empty(&self) -> bool {
        self.at.is_none() && self.grace.is_none() && self.after.is_none()
    }

    fn to_json(&self) -> Value {
        json!({"at": self.at, "grace_minutes": self.grace, "after": self.after})
    }
}

/// An edition without its changes.
#[derive(Debug, Args)]
pub(in crate::cli) struct Content {
    /// Reason for the readers and for the audit trail
    #[arg(long, short)]
    pub(in crate::cli) reason: String,
    #[command(flatten)]
    pub(in crate::cli) plan: Plan,
    /// Validate without saving
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
}

impl Content {
    /// Returns the body of an edition with `changes`, each a key and a text; reads types and versions from the service.
    pub(super) async fn body(
        &self,
        client: &Client,
        changes: &[(&str, &str)],
    ) -> Result<Value, Failure> {
        let mut members = Vec::new();
        for (key, text) in changes {
            members.push(Edit::read(client, key, text).await?.member());
        }
        let mut body = json!({"reason": self.reason, "changes": members});
        if !self.plan.is_empty() {
            body["plan"] = self.plan.to_json();
        }
        Ok(body)
    }
}

/// Splits arguments of the form `KEY=VALUE`. No error repeats an argument, which may be a secret.
pub(super) fn split(changes: &[String]) -> Result<Vec<(&str, &str)>, Failure> {
    let pairs = changes.iter().map(|change| change.split_once('='));
    let pairs: Option<Vec<_>> = pairs.collect();
    pairs.ok_or_else(|| Failure::usage("every change must have the form KEY=VALUE"))
}
