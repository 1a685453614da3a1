//! `--emergency`: a write without approvals, or during a freeze.

use clap::Args;
use reqwest::RequestBuilder;
use serde_json::Value;

use crate::cli::output::print;

#[derive(Debug, Clone, Copy, Default, Args)]
pub(super) struct Emergency {
    /// Write without approvals, also during a freeze; another person has to acknowledge the emergency
    #[arg(long = "emergency")]
    is_emergency: bool,
}

impl Emergency {
    /// The option of a dry run that must not check approvals, because the change will be proposed.
    pub(super) fn for_plan() -> Self {
        Self { is_emergency: true }
    }

    /// Adds the parameter to `request`. A dry run needs the parameter as well: it checks approvals like the write.
    pub(super) fn apply_to(self, request: RequestBuilder) -> RequestBuilder {
        if self.is_emergency { request.query(&[("emergency", true)]) } else { request }
    }

    /// Prints the number of the proposal that records the emergency, with the command that acknowledges `edition`.
    pub(super) fn report(self, result: &Value, edition: i32) {
        let number = &result["proposal"];
        if self.is_emergency && number.is_number() && result["dry_run"] != true {
            print(&format!(
                "recorded as proposal {number}; another person has to acknowledge the emergency: brune proposal \
                 acknowledge {number} --edition {edition}"
            ));
        }
    }
}
