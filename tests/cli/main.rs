//! The program `brune`, as whoever types its name meets it.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod addresses;
mod canary;
mod doctor;
mod fleet;
mod guard;
mod invisible_reasons;
mod log;
mod migrate;
mod pooler;
mod roles;
mod secrets;
mod serve;
mod signals;
#[path = "../support/mod.rs"]
mod support;
mod texts;
mod tokens;
