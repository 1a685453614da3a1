//! Session starts with a realtime provider, compared with the provider alone.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use brune::settings::{BRUN_E, Catalog};
use hyper::Method;
use serde_json::json;
use tokio::{
    task::JoinSet,
    time::{Instant, interval_at},
};
use uuid::Uuid;

use crate::{
    client::Client,
    realtime_stub::Stub,
    table::{Times, figure},
    world::{Instance, World, user},
};

/// The milliseconds that the service may add at the 99th percentile.
const BAR: f64 = 5.0;
/// Starts per second, and the number of clients.
const RATE: usize = 100;
const CLIENTS: usize = 25;
/// Starts of one turn, and turns of the service and of the provider alone.
const STARTS: usize = 500;
const TURNS: usize = 6;
/// The response time of the provider.
const PROVIDER: Duration = Duration::from_millis(50);

pub(crate) async fn run(world: &mut World) {
    let pool = world.database("realtime", &Catalog::parse(BRUN_E).unwrap()).await;
    let stub = Stub::taking(PROVIDER, "127.0.0.1:0").await;
    let instance = Instance::builder(pool).realtime_provider(&stub.url()).start().await;
    let body = json!({"session": {"type": "realtime", "model": "gpt-realtime-2.1"}}).to_string();
    let mut times = [Times::new(), Times::new()];
    // The first turn opens connections and prepares statements, and does not count.
    turn(instance.address(), "/brun-e/start", "", &mut Times::new()).await;
    for _ in 0..TURNS {
        turn(instance.address(), "/brun-e/start", "", &mut times[0]).await;
        turn(stub.address(), "/v1/realtime/client_secrets", &body, &mut times[1]).await;
    }
    let added = times[0].p99() - times[1].p99();
    let figures = format!("{} of {}, {RATE} starts/s", times[0], times[1]);
    figure("starts with a provider, p99 added", added, BAR, "ms", &figures);
    instance.end().await;
}

/// Sends requests at a constant rate, each of a new user. A latency begins at the scheduled time of the request, so a
/// slow response does not hide the delay of the next requests.
async fn turn(address: SocketAddr, path: &'static str, body: &str, times: &mut Times) {
    let run = Uuid::new_v4().simple().to_string();
    let tokens: Arc<Vec<String>> =
        Arc::new((0..STARTS).map(|n| user(&format!("{run}-{n}"))).collect());
    let mut tasks = JoinSet::new();
    let pause = Duration::from_secs(1) / u32::try_from(RATE).unwrap();
    let begin = Instant::now() + Duration::from_millis(100);
    for client in 0..CLIENTS {
        let tokens = Arc::clone(&tokens);
        let body = body.to_owned();
        let mut connected = Client::of(address).await;
        tasks.spawn(async move {
            let mut times = Times::new();
            let first = begin + pause * u32::try_from(client).unwrap();
            let mut due = interval_at(first, pause * u32::try_from(CLIENTS).unwrap());
            for token in tokens.iter().skip(client).step_by(CLIENTS) {
                let due = due.tick().await;
                connected.expect(Method::POST, path, token, body.clone()).await;
                times.add(due.elapsed());
            }
            times
        });
    }
    while let Some(outcome) = tasks.join_next().await {
        times.join(&outcome.unwrap());
    }
}
