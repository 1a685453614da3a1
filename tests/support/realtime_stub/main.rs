//! The realtime provider's stand-in, by itself: `cargo run --example realtime-stub [address]`.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a tool for trying things out, whose output is where it answers"
)]
#![allow(dead_code, reason = "tests use more of it")]

#[path = "mod.rs"]
mod realtime_stub;

use realtime_stub::Stub;

#[tokio::main]
async fn main() {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8090".to_owned());
    let stub = Stub::on(&address).await;
    println!("{}", stub.announcement());
    tokio::signal::ctrl_c().await.unwrap();
}
