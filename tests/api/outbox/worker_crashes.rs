//! Ten thousand messages, a receiver that fails one time in three, and two workers that are killed at random.

use std::{collections::HashMap, time::Duration};

use brune::config::Delivery;
use rand::RngExt as _;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::alerting;
use crate::support::{
    TestApp, psql,
    receiver::{QUICK, Receiver, status},
    wait::wait_until,
};

const MESSAGES: usize = 10_000;

/// A worker that is missed soon: its lease is short.
const MORTAL: Delivery = Delivery {
    lease: Duration::from_millis(300),
    max_retries: 100,
    retry_base: Duration::from_millis(1),
    ..QUICK
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_messages_arrive_in_order_while_workers_are_killed() {
    let app = TestApp::new().await;
    let failing = |_: &str| status(if rand::rng().random_ratio(1, 3) { 500 } else { 200 });
    let receiver = Receiver::answering(failing).await;
    let instance = alerting(&app, &receiver.as_webhook()).await;
    let stored = format!(
        "insert into brune_outbox (id, sink, topic, payload)
         select gen_random_uuid(), 'webhook', 'session.started', jsonb_build_object('number', n)
         from generate_series(1, {MESSAGES}) n order by n"
    );
    psql::run(&app.db.pool(), stored).await;
    let start = || {
        let worker = instance.worker(MORTAL);
        #[expect(clippy::disallowed_methods, reason = "it is killed, and its end is waited for")]
        tokio::spawn(worker.run(CancellationToken::new()))
    };
    let mut workers = [start(), start()];
    let mut kills = 0;
    let mut calls = 0;
    // Calls that failed count as well: three for two messages. So there are a dozen kills at least.
    while calls < MESSAGES {
        calls += rand::rng().random_range(100..800);
        let more = async || receiver.call_count() >= calls || is_delivered(&app).await;
        wait_until("more calls of the receiver", more).await;
        let which = rand::rng().random_range(0..2_usize);
        workers[which].abort();
        assert!((&mut workers[which]).await.unwrap_err().is_cancelled());
        workers[which] = start();
        kills += 1;
    }
    wait_until("every message is delivered", async || is_delivered(&app).await).await;
    workers.iter().for_each(tokio::task::JoinHandle::abort);
    assert!(5 < kills, "only {kills} workers were killed");
    let query = "select count(*) from brune_outbox where status = 'delivered'";
    assert_eq!(psql::count(&app.db.pool(), query).await, 10_000);
    holds(&receiver.taken());
}

async fn is_delivered(app: &TestApp) -> bool {
    let query = "select count(*) from brune_outbox where status = 'waiting'";
    psql::count(&app.db.pool(), query).await == 0
}

/// Everything arrived; what arrived twice has one id; and what came first came in order.
fn holds(taken: &[Value]) {
    let mut ids: HashMap<u64, &Value> = HashMap::new();
    let mut first = Vec::new();
    for told in taken {
        let number = told["data"]["number"].as_u64().unwrap();
        match ids.insert(number, &told["id"]) {
            None => first.push(number),
            Some(id) => assert_eq!(*id, told["id"], "{number} has two ids"),
        }
    }
    assert_eq!(first, (1..=MESSAGES as u64).collect::<Vec<_>>());
}
