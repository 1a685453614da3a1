//! The service, tested through its own doors: one binary, a module per capability.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod away;
mod broken;
mod compression;
mod config;
mod console;
mod crowd;
mod database;
mod firewall;
mod fleet;
mod lease;
mod least_privilege;
mod live;
mod log;
mod losses;
mod metrics;
mod ofrep;
mod ofrep_input;
mod ofrep_numbers;
mod outbox;
mod pooler;
mod preconditions;
mod prefix;
mod races;
mod reload;
mod secrets;
mod sessions;
mod settings;
mod sign_in;
mod stream;
#[path = "../support/mod.rs"]
mod support;
