//! The service, tested through its own doors: one binary, a module per capability.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod admin_writes;
mod change_signals;
mod compression;
mod concurrency;
mod config;
mod connection_cache;
mod connection_flood;
mod console;
mod database;
mod database_outage;
mod fleet;
mod invalid_settings;
mod least_privilege;
mod log_forwarding;
mod metrics;
mod missed_notifications;
mod notifications;
mod notified_changes;
mod ofrep;
mod ofrep_decimals;
mod ofrep_input;
mod outbox;
mod path_prefix;
mod pooler;
mod preconditions;
mod proposals;
mod releases;
mod rollout_guards;
mod rollouts;
mod secret_scanner;
mod secrets;
mod sessions;
mod settings;
mod sign_in;
mod stream;
#[path = "../support/mod.rs"]
mod support;
mod what_if;
