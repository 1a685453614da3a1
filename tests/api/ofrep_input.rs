//! `/ofrep/v1` with what nobody should send.

use brune::http::Limits;
use serde_json::json;

use crate::{
    ofrep::{of, refused},
    support::{INTERNAL_KEY, TestApp, sse::Served, wait::no_hang},
};

#[tokio::test]
async fn hidden_keys_have_byte_identical_errors() {
    let app = TestApp::new().await;
    let answer = async |key: &str| {
        let call =
            of(&app.instance, key).header("x-request-id", "r-1").header("x-brune-lists", "items");
        let reply = call.json(&json!({"context": {}})).send().await;
        let head: Vec<_> =
            reply.headers.iter().map(|(name, value)| format!("{name}: {value:?}")).collect();
        (reply.status, head.join("\n"), reply.text.replace(key, "KEY"))
    };
    // As long as the others, so that not even the length tells.
    let unknown = answer("UNKNOWN_KEY").await;
    assert_eq!(unknown.0.as_u16(), 404);
    let same_length = |key: &str| "X".repeat(key.len());
    for key in ["JWT_SECRET", "OPENAI_API_KEY", "BRUNE_OUTBOX_MAX_RETRIES", "POSTGRES_HOST"] {
        assert_eq!(answer(key).await, answer(&same_length(key)).await, "{key}");
        assert_eq!(answer(key).await.2, unknown.2, "{key}");
    }
}

#[tokio::test]
async fn a_deeply_nested_body_is_handled() {
    let app = TestApp::new().await;
    let key = "BRUNE_PROMPT_ID";
    let deep = |opened: usize, closed: usize| {
        format!(r#"{{"context":{{"a":{}{}}}}}"#, "[".repeat(opened), "]".repeat(closed))
    };
    let ask = |body: String| of(&app.instance, key).text(body).send();
    assert_eq!(ask(deep(500_000, 500_000)).await.ok()["value"], "pmpt_brune_default");
    refused(&ask(deep(500_000, 499_999)).await, 400, Some(key), "PARSE_ERROR");
    refused(&ask("[".repeat(1 << 20)).await, 400, Some(key), "PARSE_ERROR");
    refused(&ask(r#"{"context":"#.repeat(90_000)).await, 400, Some(key), "PARSE_ERROR");
}

#[tokio::test]
async fn an_invalid_event_id_is_rejected_and_a_future_one_triggers_a_refetch() {
    let app = TestApp::new().await;
    let key = [("x-api-key", INTERNAL_KEY)];
    let get = |path: &str| app.instance.get(path).header("x-api-key", INTERNAL_KEY);
    for wrong in ["-1", "r7", "1.5", "9223372036854775808", "7 8"] {
        let reply = get("/ofrep/v1/events").header("last-event-id", wrong).send();
        let reply = no_hang("the request is refused", reply).await;
        refused(&reply, 400, None, "PARSE_ERROR");
    }
    for wrong in ["since=-1", "since=r7", "since=1.5", "since=", "since=1&since=1", "until=2"] {
        let reply = get(&format!("/ofrep/v1/events?{wrong}")).send();
        let reply = no_hang("the request is refused", reply).await;
        refused(&reply, 400, None, "PARSE_ERROR");
    }
    assert_eq!(app.instance.streams.open(), 0);
    let served = Served::of(&app.instance, Limits::default()).await;
    for future in ["2", "9007199254740991"] {
        let headers = [key[0], ("last-event-id", future)];
        let event = served.stream("/ofrep/v1/events", &headers).await.event().await;
        assert_eq!((event.id, &event.data["type"]), (1, &json!("refetchEvaluation")));
    }
}
