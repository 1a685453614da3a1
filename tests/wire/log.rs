//! Lines of the log name their request, also if the span is created late.

use std::{
    io,
    sync::{Arc, LazyLock, Mutex},
};

use brune::{
    config::{Format, Log},
    telemetry,
};
use serde_json::Value;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::support::{LIMITS, Server, server};

/// The log of the process. Lines of other tests have other request ids.
static LOG: LazyLock<Buffer> = LazyLock::new(|| {
    let buffer = Buffer::default();
    let writer = buffer.clone();
    let log =
        Log { level: "debug".to_owned(), format: Format::Json, color: false, discord: Vec::new() };
    telemetry::subscriber(&log, move || writer.clone(), false).unwrap().init();
    buffer
});

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl io::Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Sends a request with the id `id`, and returns the lines of the log whose span has the id, and the line of the
/// completed request.
async fn lines(server: &Server, line: &str, id: &str) -> (Vec<Value>, Value) {
    LazyLock::force(&LOG);
    server.ask(line, &format!("X-Request-Id: {id}\r\n"), "").await;
    let log = String::from_utf8(LOG.0.lock().unwrap().clone()).unwrap();
    let parsed = |line: &str| serde_json::from_str::<Value>(line).ok();
    let log: Vec<Value> = log.lines().filter_map(parsed).collect();
    let inside = log.iter().filter(|line| line["span"]["request_id"] == id);
    let mut completed = log.iter().filter(|line| line["request_id"] == id);
    (inside.cloned().collect(), completed.next().unwrap().clone())
}

#[tokio::test]
async fn every_line_of_a_handler_has_the_span_of_its_request() {
    let server = server(LIMITS).await;
    let (first, second) =
        tokio::join!(lines(&server, "GET /log", "log-1"), lines(&server, "GET /log", "log-2"));
    let spans = [("log-1", first), ("log-2", second)].map(|(id, (inside, completed))| {
        let messages: Vec<&str> =
            inside.iter().filter_map(|line| line["message"].as_str()).collect();
        assert_eq!(messages, ["before the pause", "after the pause"], "{id}");
        let span = &inside[0]["span"];
        assert_eq!(span, &inside[1]["span"]);
        assert_eq!((&span["name"], &span["route"]), (&"request".into(), &"/log".into()));
        assert_eq!(span["method"], "GET");
        assert_eq!(span["trace_id"].as_str().map(str::len), Some(32));
        // The line of the completed request repeats the fields instead of the span.
        assert_eq!(completed["message"], "request completed");
        assert!(completed["span"].is_null(), "{completed}");
        for field in ["request_id", "trace_id", "span_id", "method", "route"] {
            assert_eq!(completed[field], span[field], "{field}");
        }
        span["span_id"].clone()
    });
    assert_ne!(spans[0], spans[1]);
}

#[tokio::test]
async fn lines_of_the_middleware_have_the_span_too() {
    let server = server(LIMITS).await;
    let (inside, _) = lines(&server, "GET /admin", "refused-1").await;
    assert_eq!(inside.len(), 1, "{inside:?}");
    assert_eq!(inside[0]["message"], "authentication failed");
    let (inside, completed) = lines(&server, "GET /stuck", "stuck-1").await;
    assert_eq!(inside.len(), 1, "{inside:?}");
    assert_eq!(inside[0]["message"], "request timed out");
    assert_eq!(completed["status"], 503);
    // A request without a line of its own logs only its completion.
    let (inside, completed) = lines(&server, "GET /ok", "silent-1").await;
    assert_eq!((inside.len(), &completed["status"]), (0, &200.into()));
}
