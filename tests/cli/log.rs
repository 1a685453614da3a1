//! The log of the program: which request a line belongs to, and the lines that are posted.

use reqwest::Method;
use serde_json::Value;

use crate::support::{TestApp, binary::Home, psql, receiver::Receiver, wait::wait_until};

const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// The line that tells of the request `id`.
fn line(home: &Home, id: &str) -> Value {
    let log = home.log();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut answers = lines.filter(|entry| entry["message"] == "request completed");
    answers
        .find(|entry| entry["request_id"] == id)
        .unwrap_or_else(|| panic!("no line of {id} in: {log}"))
}

#[tokio::test]
async fn a_log_line_has_the_trace_of_its_request() {
    let app = TestApp::new().await;
    let home = Home::on(&app.db).with("LOG_FORMAT", "json").with("LOG_LEVEL", "debug");
    let service = home.serve();
    let ask = async |id: &str, parents: &[&str]| {
        let call = service.call(Method::GET, "/admin/global-settings").header("x-request-id", id);
        let call = parents.iter().fold(call, |call, it| call.header("traceparent", *it));
        assert_eq!(call.send().await.unwrap().status(), 200);
        let line = line(&home, id);
        let text = |name: &str| line[name].as_str().unwrap().to_owned();
        (text("trace_id"), text("span_id"))
    };
    let (trace, span) = ask("continued", &[PARENT]).await;
    assert_eq!((trace.as_str(), span.len()), (ID, 16));
    assert_ne!(span, "00f067aa0ba902b7");
    assert_ne!(ask("another", &[PARENT]).await.1, span);
    let broken = PARENT.replace('a', "A");
    let none = ["missing", "broken", "twice"];
    let parents: [&[&str]; 3] = [&[], &[&broken], &[PARENT, PARENT]];
    let mut started_at = Vec::new();
    for (id, parents) in none.into_iter().zip(parents) {
        let (trace, _) = ask(id, parents).await;
        assert!(trace.len() == 32 && trace != ID && !started_at.contains(&trace), "{id}: {trace}");
        started_at.push(trace);
    }
    service.stop().await;
}

#[tokio::test]
async fn errors_and_the_last_lines_are_forwarded() {
    let app = TestApp::new().await;
    let receiver = Receiver::new().await;
    let home = Home::on(&app.db)
        .with("DISCORD_WEBHOOK_URL", &receiver.address())
        .with("ALERT_ALLOW_PRIVATE", "true")
        .with("LOG_DISCORD_LEVELS", r#"["error", "info"]"#);
    let service = home.serve();
    psql::set(&app.db.pool(), "BRUNE_COOLDOWN_MINUTES", "9999").await;
    let posted = |text: &str| {
        receiver.taken().iter().any(|message| {
            message["embeds"]
                .as_array()
                .unwrap()
                .iter()
                .any(|embed| embed["description"].as_str().unwrap_or_default().contains(text))
        })
    };
    wait_until("it is posted", async || posted("revision 1 stays in force")).await;
    service.stop().await;
    assert!(posted("shutting down"), "{:?}", receiver.taken());
}
