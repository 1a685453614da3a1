//! No answer repeats the words of a library: they change with its releases, and may quote what was sent.

use super::{import, put};
use crate::{
    settings::COOLDOWN,
    support::{TestApp, admin},
};

#[tokio::test]
async fn an_unreadable_document_has_no_library_message_in_its_error() {
    let app = TestApp::new().await;
    let head = "format_version: 1\nsettings:\n";
    let yaml = |text: &str| ("application/yaml", text.to_owned());
    let json = |text: &str| ("application/json", text.to_owned());
    for ((media, text), expected) in [
        (
            yaml(&format!("{head}  A: 1\n---\n{head}")),
            "multiple documents; send one document per request at line 4 column 1",
        ),
        (yaml(&format!("{head}  A: 1\n  A: 2\n")), "duplicate key at line 4 column 3"),
        (
            yaml(&format!("{head}  A: &x 1\n  B: *x\n")),
            "anchors and aliases are not supported; write the value out at line 3 column 9",
        ),
        (
            yaml(&format!("{head}  A: *x\n")),
            "anchors and aliases are not supported; write the value out at line 3 column 6",
        ),
        (
            yaml(&format!("{head}  A: !secret x\n")),
            "tags (`!`) are not supported; write the value without a tag at line 3 column 14",
        ),
        (
            yaml(&format!("{head}  <<: {{A: 1}}\n")),
            "merge keys (`<<`) are not supported; write the entries out at line 3 column 3",
        ),
        (yaml(&format!("{head}  A: .inf\n")), "number must be finite at line 3 column 6"),
        (yaml(&format!("{head}  A: [x\n")), "invalid YAML at line 3 column 6"),
        (yaml(&format!("{head}  A: \"x\n")), "invalid YAML at line 4 column 1"),
        (
            yaml(&format!("{head}  ? [a, b]\n  : 1\n")),
            "unsupported type of key or value; keys must be strings at line 3 column 5",
        ),
        (yaml(&format!("{head}\tA: 1\n")), "invalid YAML at line 3 column 2"),
        (
            yaml(&format!("{}{}", "[".repeat(20), "]".repeat(20))),
            "values are nested too deeply at line 1 column 17",
        ),
        (yaml("# nothing\n"), "must be an object"),
        (yaml("%YAML 9.9\n---\n@"), "invalid YAML at line 1 column 1"),
        (json("{\"a\": x}"), "invalid JSON at line 1 column 7"),
        (json("{\"a\": 1} {}"), "unexpected text after the JSON value at line 1 column 10"),
        (json("{\"a\": [1"), "unexpected end of JSON at line 1 column 8"),
        (json("{\"a\": \"x\n\"}"), "invalid JSON at line 1 column 8"),
        (json("{\"a\": 1,}"), "invalid JSON at line 1 column 9"),
    ] {
        let reply = import(&app.instance, "dry_run=true", media, &text).send().await;
        let problem = reply.problem(400, "malformed_request");
        let errors = problem["errors"].as_array().unwrap();
        assert_eq!(errors[0]["detail"], expected, "{text}");
        assert_eq!(errors.len(), 1, "{problem}");
    }
}

#[tokio::test]
async fn an_unreadable_body_has_no_library_message_in_its_error() {
    let app = TestApp::new().await;
    for (text, expected) in [
        ("{\"value\": 1", "unexpected end of JSON at line 1 column 11"),
        ("{\"value\": tru}", "invalid JSON at line 1 column 14"),
        ("nope", "invalid JSON at line 1 column 2"),
    ] {
        let call = app.instance.call(axum::http::Method::PUT, &format!("/admin/config/{COOLDOWN}"));
        let call = call.bearer(&admin("ada")).raw(text).header("content-type", "application/json");
        let problem = call.send().await.problem(400, "malformed_request");
        assert_eq!(problem["errors"][0]["detail"], expected, "{text}");
        let call = app.instance.post("/ofrep/v1/evaluate/flags").bearer(&admin("ada"));
        let refusal = call.raw(text).header("content-type", "application/json").send().await;
        assert_eq!(refusal.body["errorDetails"], "the body must be a JSON object", "{text}");
    }
    let deep = serde_json::from_str(
        "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
    );
    let value: serde_json::Value = deep.unwrap();
    let body = serde_json::json!({"value": value, "version": 1});
    let problem = put(&app.instance, COOLDOWN, body).send().await;
    assert!(!problem.text.contains("recursion"), "{}", problem.text);
}
