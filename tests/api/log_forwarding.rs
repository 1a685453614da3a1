//! Lines of the log that are posted to Discord, and the trace that calls carry.

use std::{
    future::{Future as _, poll_fn},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use axum::http::Method;
use brune::{
    app::{BatchPolicy, LogForwarder},
    config::Secret,
    ids::RequestId,
    metrics::Metrics,
    outbound::{AddressPolicy, CallLimits, Outbound},
    outbox::{self, sink::discord::Discord},
    request_context::RequestContext,
    secret_scanner::SecretScanner,
    telemetry,
    trace_context::TraceContext,
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tracing::{Level, debug, error, subscriber::DefaultGuard, warn};
use tracing_subscriber::{layer::SubscriberExt as _, registry};

use crate::support::{
    receiver::{Receiver, status},
    wait::wait_until,
};

const HELD: &str = "a secret that the process holds";
const OURS: &str = "brune::test";

/// What logs here goes to `receiver`.
struct Log {
    forwarder: LogForwarder,
    metrics: Metrics,
    task: Option<JoinHandle<()>>,
    _guard: DefaultGuard,
}

impl Log {
    fn to(receiver: &Receiver) -> Self {
        Self::with(receiver, Duration::from_millis(1))
    }

    fn with(receiver: &Receiver, between: Duration) -> Self {
        let (layer, lines) = telemetry::forward(vec![Level::ERROR, Level::WARN]);
        let lines_too = tracing_subscriber::fmt::layer().with_writer(std::io::sink);
        let guard = tracing::subscriber::set_default(registry().with(lines_too).with(layer));
        let discord: Discord = outbox::discord(&receiver.as_discord()).unwrap().unwrap();
        let firewall = SecretScanner::with_known_secrets([Secret::new(HELD.to_owned())]);
        let policy = BatchPolicy {
            interval: between,
            backoff: Duration::from_millis(1)..Duration::from_millis(20),
            flush_timeout: Duration::from_secs(20),
        };
        let metrics = Metrics::default();
        let name = "an-instance".to_owned();
        let forwarder = LogForwarder::new(lines, discord, firewall, &metrics, name, policy);
        Self { forwarder, metrics, task: None, _guard: guard }
    }

    fn start(&mut self) {
        #[expect(clippy::disallowed_methods, reason = "it ends with the test")]
        let task = tokio::spawn(self.forwarder.clone().run());
        self.task = Some(task);
    }

    /// Ends it as the service does.
    async fn end(&mut self) {
        let task = self.task.take().unwrap();
        task.abort();
        let _ = task.await;
        self.forwarder.flush().await;
    }

    fn dropped(&self) -> u64 {
        let text = self.metrics.text(brune::metrics::Format::OpenMetrics, true).unwrap();
        let mut lines = text.lines();
        lines
            .find_map(|line| line.strip_prefix("brune_log_lines_dropped_total ")?.parse().ok())
            .unwrap()
    }
}

/// The descriptions of all embeds that were taken, in order.
fn descriptions(receiver: &Receiver) -> Vec<String> {
    let messages = receiver.taken();
    let embeds = messages.iter().flat_map(|message| message["embeds"].as_array().unwrap());
    embeds.map(|embed| embed["description"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn forwarded_lines_have_level_and_request_id_and_mention_nobody() {
    let receiver = Receiver::new().await;
    let mut log = Log::to(&receiver);
    let span = tracing::error_span!(target: OURS, "request", request_id = "r-1");
    span.in_scope(|| error!(target: OURS, key = "a`b", "<@123> **went** wrong"));
    warn!(target: OURS, "a warning");
    debug!(target: OURS, "of another level");
    error!(target: "hyper", "a library's");
    log.start();
    let messages = receiver.takes(1).await;
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0]["allowed_mentions"], json!({"parse": []}));
    let embeds = messages[0]["embeds"].as_array().unwrap();
    assert_eq!(embeds.len(), 2, "{embeds:?}");
    assert_eq!((&embeds[0]["title"], &embeds[1]["title"]), (&json!("ERROR"), &json!("WARN")));
    let first = embeds[0]["description"].as_str().unwrap();
    assert!(first.starts_with(r"\<\@123\> \*\*went\*\* wrong"), "{first}");
    assert!(first.contains("`key=aˋb`") && first.contains("request_id="), "{first}");
    assert_eq!(embeds[0]["footer"]["text"], "brune::test at an-instance");
    assert!(embeds[0]["timestamp"].is_string());
}

#[tokio::test]
async fn many_lines_are_batched_within_the_limits_of_discord() {
    let receiver = Receiver::new().await;
    let mut log = Log::to(&receiver);
    for n in 0..25 {
        error!(target: OURS, text = "*".repeat(9_000), "line {n} {}", "*".repeat(9_000));
        for _ in 0..5 {
            error!(target: OURS, "again and again");
        }
    }
    log.start();
    let messages = receiver.takes(3).await;
    let sizes: Vec<usize> =
        messages.iter().map(|message| message["embeds"].as_array().unwrap().len()).collect();
    assert_eq!(sizes, [10, 10, 8], "{messages:?}");
    let mut repeats = 0;
    for message in &messages {
        let embeds = message["embeds"].as_array().unwrap();
        let length = |value: &Value| value.as_str().map_or(0, |text| text.encode_utf16().count());
        let length: usize = embeds
            .iter()
            .map(|embed| {
                length(&embed["title"])
                    + length(&embed["description"])
                    + length(&embed["footer"]["text"])
            })
            .sum();
        assert!((2_500..=6_000).contains(&length), "{length}");
        // Nothing was cut away by what limits a whole message.
        let whole = |embed: &Value| embed["description"].as_str().unwrap().contains("line ");
        let actual_repeat = embeds.iter().find(|embed| !whole(embed)).unwrap();
        let times = actual_repeat["title"].as_str().unwrap().strip_prefix("ERROR, ").unwrap();
        repeats += times.strip_suffix(" times").unwrap().parse::<u32>().unwrap();
    }
    assert_eq!((repeats, log.dropped()), (125, 0));
}

#[tokio::test]
async fn a_secret_is_redacted_in_forwarded_lines() {
    let receiver = Receiver::new().await;
    let mut log = Log::to(&receiver);
    error!(target: OURS, "it is {HELD}");
    error!(target: OURS, field = HELD, "in a field");
    error!(target: OURS, field = format!("{}{HELD}", "x".repeat(3_000)), "far in");
    let span = tracing::error_span!(target: OURS, "request", id = HELD);
    span.in_scope(|| error!(target: OURS, "in a request"));
    error!(target: OURS, key = format!("sk-proj-{}", "a1B2".repeat(8)), "of a provider's form");
    error!(target: OURS, "harmless");
    log.start();
    receiver.takes(1).await;
    let actual = descriptions(&receiver);
    assert_eq!(actual.len(), 6, "{actual:?}");
    assert!(actual[..5].iter().all(|line| line.starts_with("withheld: ")), "{actual:?}");
    assert_eq!(actual[5], "harmless");
    assert!(!receiver.received()[0].text.contains("secret that"), "{actual:?}");
}

#[tokio::test]
async fn a_flood_of_lines_is_dropped_counted_and_reported() {
    let receiver = Receiver::new().await;
    receiver.open(false);
    let mut log = Log::to(&receiver);
    log.start();
    error!(target: OURS, "the first");
    wait_until("it is under way", async || receiver.received().len() == 1).await;
    for n in 0..1_000 {
        error!(target: OURS, "line {n}");
    }
    assert_eq!(log.dropped(), 744);
    receiver.open(true);
    receiver.takes(27).await;
    let actual = descriptions(&receiver);
    assert_eq!((actual.len(), actual[256].as_str()), (257, "line 255"));
    let second = &receiver.taken()[1]["embeds"][0]["fields"][0];
    assert_eq!((&second["name"], &second["value"]), (&json!("Lines dropped"), &json!("744")));
    assert!(receiver.taken()[2]["embeds"][0].get("fields").is_none());
    assert_eq!(log.dropped(), 744);
}

#[tokio::test]
async fn a_failed_post_is_retried_and_not_itself_forwarded() {
    let receiver = Receiver::new().await;
    let mut calls = 0;
    receiver.answer(move |_| {
        calls += 1;
        status(if calls <= 5 { 503 } else { 204 })
    });
    let mut log = Log::to(&receiver);
    error!(target: OURS, "first");
    log.start();
    receiver.takes(1).await;
    error!(target: OURS, "second");
    receiver.takes(2).await;
    assert_eq!(descriptions(&receiver), ["first", "second"]);
    assert_eq!((receiver.received().len(), log.dropped()), (7, 0));
}

#[tokio::test]
async fn a_rate_limit_is_obeyed_without_loss() {
    let receiver = Receiver::new().await;
    let mut calls = 0;
    receiver.answer(move |_| {
        calls += 1;
        let limited = (429, json!({}), r#"{"retry_after": 0.3, "global": false}"#.to_owned());
        if calls == 1 { limited } else { status(204) }
    });
    let mut log = Log::to(&receiver);
    error!(target: OURS, "first");
    log.start();
    wait_until("it was refused", async || receiver.received().len() == 1).await;
    error!(target: OURS, "second");
    // Ending it is no reason to come sooner.
    log.end().await;
    let received = receiver.received();
    assert_eq!(
        (received.len(), descriptions(&receiver)),
        (2, vec!["first".to_owned(), "second".to_owned()])
    );
    assert!(Duration::from_millis(300) <= received[1].at - received[0].at);
}

#[tokio::test]
async fn a_deleted_webhook_is_not_called_again() {
    for gone in [404, 401] {
        let receiver = Receiver::answering(move |_| status(gone)).await;
        let mut log = Log::to(&receiver);
        error!(target: OURS, "first");
        log.start();
        // It ends by itself.
        log.task.take().unwrap().await.unwrap();
        for _ in 0..1_000 {
            error!(target: OURS, "another");
        }
        log.start();
        log.end().await;
        assert_eq!((receiver.received().len(), log.dropped()), (1, 1));
    }
}

#[tokio::test]
async fn a_rejected_message_does_not_block_others() {
    let receiver =
        Receiver::answering(|text| status(if text.contains("odd") { 400 } else { 204 })).await;
    let mut log = Log::to(&receiver);
    error!(target: OURS, "odd");
    log.start();
    wait_until("it is counted", async || log.dropped() == 1).await;
    error!(target: OURS, "even");
    receiver.takes(1).await;
    assert_eq!(descriptions(&receiver), ["even"]);
}

#[tokio::test]
async fn the_last_lines_are_posted_at_shutdown() {
    let receiver = Receiver::new().await;
    let mut log = Log::with(&receiver, Duration::from_hours(1));
    error!(target: OURS, "first");
    log.start();
    receiver.takes(1).await;
    (0..15).for_each(|n| error!(target: OURS, "line {n}"));
    assert_eq!(receiver.received().len(), 1);
    log.end().await;
    let mut expected = vec!["first".to_owned()];
    expected.extend((0..15).map(|n| format!("line {n}")));
    assert_eq!(descriptions(&receiver), expected);
    assert_eq!(receiver.taken().len(), 3);
}

#[tokio::test]
async fn an_outbound_call_carries_the_trace_of_its_request() {
    let receiver = Receiver::new().await;
    let second = Duration::from_secs(5);
    let bounds = CallLimits {
        connect_timeout: second,
        total_timeout: second,
        max_body_bytes: 100,
        address_policy: AddressPolicy::Anywhere,
    };
    let client = Outbound::new(bounds).unwrap();
    let get = || client.request(reqwest::Method::GET, receiver.address().parse().unwrap());
    client.send(get()).await.unwrap();
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let trace = TraceContext::continued(parent, ["a=1,b@c=2"]).unwrap();
    let id = RequestId::default();
    // The deadline means nothing here; a tick is a time.
    let due = tokio::time::interval(second).tick().await;
    let context = RequestContext::new(id, Method::GET, "/".into(), due, Some(trace.clone()));
    let context = Arc::new(context);
    // As the middleware does: every step of the task runs in the scope.
    let in_request = async |call: reqwest::RequestBuilder| {
        let mut sending = pin!(client.send(call));
        poll_fn(|cx| context.scope(|| sending.as_mut().poll(cx))).await.unwrap();
    };
    in_request(get()).await;
    in_request(get().header("traceparent", parent)).await;
    let received = receiver.received();
    assert!(!received[0].headers.contains_key("traceparent"));
    assert_eq!(received[1].header("traceparent"), trace.traceparent());
    assert_eq!(received[1].header("tracestate"), "a=1,b@c=2");
    assert_eq!(received[2].headers.get_all("traceparent").iter().count(), 1);
    assert_eq!(received[2].header("traceparent"), parent);
}
