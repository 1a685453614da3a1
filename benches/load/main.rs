//! The service under load, compared with the bars of `docs/benchmarks.md`: `cargo bench --bench load -- [scenario]`.
//!
//! It starts a private, durable Postgres in the directory for temporary files and needs nothing else.
//! Every ratio is of two measurements that alternate in the same run, so that ratios of other machines are comparable.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark that cannot continue should fail, and its output is the result"
)]

mod bare_insert;
mod capacity;
#[path = "../catalog/mod.rs"]
mod catalog;
mod client;
mod expiry;
mod growth;
mod history;
mod ofrep;
mod patch;
mod pgbench;
mod program;
mod propagation;
mod proposals;
mod ready;
mod realtime;
#[path = "../../tests/support/realtime_stub/mod.rs"]
#[expect(dead_code, reason = "tests use more of the stub")]
mod realtime_stub;
mod rollout;
mod rows;
mod scale;
mod stalled;
mod start;
mod streams;
mod table;
mod transfer;
mod what_if;
mod world;

use world::World;

const SCENARIOS: [&str; 16] = [
    "start",
    "rollout",
    "realtime",
    "patch",
    "history",
    "proposals",
    "transfer",
    "propagation",
    "ready",
    "ofrep",
    "streams",
    "expiry",
    "what_if",
    "growth",
    "stalled",
    "capacity",
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test --benches` also starts the program, and expects no measurement.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return;
    }
    let names: Vec<&String> =
        arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    if let Some(unknown) = names.iter().find(|name| !SCENARIOS.contains(&name.as_str())) {
        panic!("unknown scenario {unknown}; expected one of {}", SCENARIOS.join(", "));
    }
    let is_selected =
        |scenario: &str| names.is_empty() || names.iter().any(|name| *name == scenario);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(run(&is_selected));
}

async fn run(is_selected: &dyn Fn(&str) -> bool) {
    let mut world = World::new().await;
    world::log_into(&world.scratch("log"));
    for scenario in SCENARIOS.into_iter().filter(|scenario| is_selected(scenario)) {
        println!("\n== {scenario} ==");
        match scenario {
            "start" => start::run(&mut world).await,
            "rollout" => rollout::run(&mut world).await,
            "realtime" => realtime::run(&mut world).await,
            "patch" => patch::run(&mut world).await,
            "history" => history::run(&mut world).await,
            "proposals" => proposals::run(&mut world).await,
            "transfer" => transfer::run(&mut world).await,
            "propagation" => propagation::run(&mut world).await,
            "ready" => ready::run(&mut world).await,
            "ofrep" => ofrep::run(&mut world).await,
            "expiry" => expiry::run(&mut world).await,
            "what_if" => what_if::run(&mut world).await,
            "growth" => growth::run(&mut world).await,
            "stalled" => stalled::run(&mut world).await,
            "capacity" => capacity::run(&mut world).await,
            _ => streams::run(&mut world).await,
        }
    }
    world.end().await;
}
