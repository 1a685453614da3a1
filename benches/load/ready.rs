//! How soon the program answers, and what it holds while nobody asks.

use std::{
    fs,
    process::Stdio,
    time::{Duration, Instant},
};

use brune::settings::{BRUN_E, Catalog};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::{sleep, timeout},
};

use crate::{
    table::{Times, figure},
    world::{SECRET, World},
};

const STARTS: usize = 20;
const READY_MS: f64 = 300.0;
const IDLE_MB: f64 = 40.0;

pub(crate) async fn run(world: &mut World) {
    world.database("ready", &Catalog::parse(BRUN_E).unwrap()).await.close().await;
    let url = world.server.url().replace("/brune?", "/ready?");
    let mut times = Times::new();
    for _ in 0..STARTS {
        let begun = Instant::now();
        let child = start(&url).await;
        times.add(begun.elapsed());
        stop(child).await;
    }
    let worst = format!("slowest {:.1}", times.at(1.0));
    figure("start to answering, median of 20", times.median(), READY_MS, "ms", &worst);
    let child = start(&url).await;
    // Long enough for what only the start needed to be given back.
    sleep(Duration::from_secs(3)).await;
    match resident(&child) {
        Some(resident) => figure("idle resident memory", resident, IDLE_MB, "MB", ""),
        None => println!("idle resident memory cannot be read here"),
    }
    stop(child).await;
}

/// The program, once it says that it answers.
async fn start(url: &str) -> Child {
    let mut child = Command::new(env!("CARGO_BIN_EXE_brune"))
        .arg("serve")
        .env_clear()
        .env("NODE_ENV", "production")
        .env("DATABASE_URL", url)
        .env("JWT_SECRET", SECRET)
        .env("BRUNE_LISTEN", "127.0.0.1:0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let answers = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.contains("answers on") {
                return;
            }
        }
        panic!("the program ended before it answered");
    };
    timeout(Duration::from_secs(10), answers).await.unwrap();
    child
}

async fn stop(mut child: Child) {
    let id = child.id().and_then(|it| Pid::from_raw(i32::try_from(it).ok()?)).unwrap();
    kill_process(id, Signal::TERM).unwrap();
    timeout(Duration::from_secs(15), child.wait()).await.unwrap().unwrap();
}

/// Megabytes that are in memory.
fn resident(child: &Child) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id()?)).ok()?;
    let line = status.lines().find_map(|it| it.strip_prefix("VmRSS:"))?;
    let kilobytes: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes / 1024.0)
}
