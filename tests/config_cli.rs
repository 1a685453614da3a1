//! `brune config` as an operator has it: the real program, against a real service.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

#[path = "config_cli/connection_errors.rs"]
mod connection_errors;
#[path = "config_cli/env_files.rs"]
mod env_files;
#[path = "config_cli/first_start.rs"]
mod first_start;
#[path = "config_cli/fleet.rs"]
mod fleet;
#[path = "config_cli/freezes.rs"]
mod freezes;
#[path = "config_cli/next_steps.rs"]
mod next_steps;
#[path = "config_cli/proposals.rs"]
mod proposals;
#[path = "config_cli/proposed_writes.rs"]
mod proposed_writes;
#[path = "config_cli/proxy.rs"]
mod proxy;
#[path = "config_cli/reading.rs"]
mod reading;
#[path = "config_cli/releases.rs"]
mod releases;
#[path = "config_cli/rollouts.rs"]
mod rollouts;
#[path = "config_cli/secrets.rs"]
mod secrets;
#[path = "config_cli/service.rs"]
mod service;
#[path = "config_cli/starts.rs"]
mod starts;
#[path = "support/mod.rs"]
mod support;
#[path = "config_cli/transfer.rs"]
mod transfer;
#[path = "config_cli/unwritable_output.rs"]
mod unwritable_output;
#[path = "config_cli/what_if.rs"]
mod what_if;
#[path = "config_cli/writing.rs"]
mod writing;
