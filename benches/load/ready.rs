//! The time until the program listens, and the memory of the idle program.

use std::time::{Duration, Instant};

use brune::settings::{BRUN_E, Catalog};
use tokio::time::sleep;

use crate::{
    program::Program,
    table::{Times, figure},
    world::World,
};

const STARTS: usize = 20;
const READY_MS: f64 = 100.0;
const IDLE_MB: f64 = 25.0;

pub(crate) async fn run(world: &mut World) {
    world.database("ready", &Catalog::parse(BRUN_E).unwrap()).await.close().await;
    let url = world.url("ready");
    let mut times = Times::new();
    for _ in 0..STARTS {
        let started_at = Instant::now();
        let program = Program::start(&url, None).await;
        times.add(started_at.elapsed());
        program.stop().await;
    }
    let worst = format!("slowest {:.1}", times.at(1.0));
    figure("start until listening, median of 20", times.median(), READY_MS, "ms", &worst);
    let program = Program::start(&url, None).await;
    // Until the memory that only the start needs is released.
    sleep(Duration::from_secs(3)).await;
    match program.resident() {
        Some(resident) => figure("idle resident memory", resident, IDLE_MB, "MB", ""),
        None => println!("idle resident memory cannot be read here"),
    }
    program.stop().await;
}
