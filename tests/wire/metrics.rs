//! The series of requests: one for each route, method and kind of response, from the first such request on.

use brune::metrics::Format;

use crate::support::{LIMITS, Server, server};

/// Returns the labels and the count of each series.
fn series(server: &Server) -> Vec<String> {
    let text = server.metrics.text(Format::Plain, true).unwrap();
    let name = "http_server_request_duration_seconds_count";
    let mut series: Vec<String> =
        text.lines().filter_map(|line| line.strip_prefix(name)).map(str::to_owned).collect();
    series.sort();
    series
}

#[tokio::test]
async fn a_series_begins_with_the_first_response_of_its_kind() {
    let labels = |method: &str, route: &str, status: u16, problem: &str, count: u32| {
        format!(
            "{{http_request_method=\"{method}\",http_route=\"{route}\",\
             http_response_status_code=\"{status}\",error_type=\"{problem}\"}} {count}"
        )
    };
    let server = server(LIMITS).await;
    assert_eq!(series(&server), [labels("GET", "/metrics", 200, "", 0)]);
    for line in ["GET /ok", "HEAD /ok", "DELETE /ok", "PURGE /ok", "GET /nowhere", "POST /nowhere"]
    {
        server.ask(line, "", "").await;
        server.ask(line, "", "").await;
    }
    server.ask("GET /name/a", "", "").await;
    server.ask("GET /name/b", "", "").await;
    server.ask("GET /name/%ff", "", "").await;
    server.ask("GET /admin", "", "").await;
    server.ask("GET /panic", "", "").await;
    server.ask("GET /ok", "If-Match: r7\r\n", "").await;
    server.post("{}").await;
    server.post("{\"text\": \"x\"}").await;
    let mut expected = [
        labels("GET", "/metrics", 200, "", 0),
        labels("GET", "/ok", 200, "", 2),
        labels("HEAD", "/ok", 200, "", 2),
        labels("GET", "/ok", 400, "malformed_request", 1),
        labels("DELETE", "/ok", 405, "", 2),
        labels("_OTHER", "/ok", 405, "", 2),
        labels("GET", "none", 404, "not_found", 2),
        labels("POST", "none", 404, "not_found", 2),
        labels("GET", "/name/{name}", 200, "", 2),
        labels("GET", "/name/{name}", 404, "not_found", 1),
        labels("GET", "/admin", 401, "unauthorized", 1),
        labels("GET", "/panic", 500, "internal", 1),
        labels("POST", "/echo", 400, "malformed_request", 1),
        labels("POST", "/echo", 200, "", 1),
    ];
    expected.sort();
    assert_eq!(series(&server), expected);
}
