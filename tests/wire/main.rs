//! What holds on the wire, below the routes: real sockets, bytes as a client would send them.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on should say so loudly"
)]

mod connections;
mod heads;
mod log;
mod metrics;
mod requests;
mod support;
#[path = "../support/wait.rs"]
mod wait;
