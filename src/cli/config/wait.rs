//! `--wait`: until every instance has a change.

use clap::Args;
use reqwest::RequestBuilder;
use serde_json::Value;

use crate::cli::{client::Failure, output::say, show::cell};

#[derive(Debug, Clone, Copy, Args)]
pub(super) struct Wait {
    /// Wait until every live instance has the change: MS milliseconds at most, 100 to 4000
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
    /// `request`, whose answer comes when every instance has it.
    pub(super) fn ask(self, request: RequestBuilder) -> RequestBuilder {
        match self.timeout {
            Some(timeout) => {
                request.query(&[("wait", "applied"), ("timeout_ms", &timeout.to_string())])
            }
            None => request,
        }
    }
}

/// Says what became of the wait, if there was one: `quiet` leaves a success to the document that tells it.
pub(super) fn report(answer: &Value, quiet: bool) -> Result<(), Failure> {
    let applied = &answer["applied"];
    if applied.is_null() {
        return Ok(());
    }
    let (instances, waited) = (applied["instances"].as_u64(), &applied["waited_ms"]);
    let row = |it: &Value| {
        let (id, host) = (cell(&it["id"]), cell(&it["host"]));
        format!("\n  {id} on {host} is at revision {}", it["revision"])
    };
    let laggards: String = applied["laggards"].as_array().into_iter().flatten().map(row).collect();
    match instances {
        Some(instances) if laggards.is_empty() => {
            if !quiet {
                let noun = if instances == 1 { "instance has" } else { "instances have" };
                say(&format!("{instances} {noun} it after {waited} ms"));
            }
            Ok(())
        }
        Some(_) => Err(Failure::not_everywhere(format!(
            "stored, but not everywhere after {waited} ms; they take it on as soon as they can:{laggards}"
        ))),
        None => Err(Failure::not_everywhere(
            "stored, but the database did not say which instances have it; see `brune instances`",
        )),
    }
}
