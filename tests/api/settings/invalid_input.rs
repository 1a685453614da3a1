//! What is wrong is refused with a problem that names it, and stores nothing.

use serde_json::{Value, json};

use super::{ALLOWLIST, COOLDOWN, MODEL, PATH, ROLLBACK, at, faults, stored};
use crate::support::{Reply, TestApp, admin};

const LEVELS: &str = "BRUNE_ELIGIBILITY_ALLOWED_LEVELS";

/// A batch of one change whose value is `value`, as it stands.
fn one_change(key: &str, value: &str) -> String {
    let change = format!(r#"{{"key":"{key}","value":{value},"version":1}}"#);
    format!(r#"{{"reason":"a test","changes":[{change}]}}"#)
}

fn cooldown(value: &str) -> String {
    one_change(COOLDOWN, value)
}

fn reasoned(reason: &str) -> String {
    format!(r#"{{"reason":{reason},"changes":[{{"key":"{COOLDOWN}","value":45,"version":1}}]}}"#)
}

async fn send(app: &TestApp, body: impl Into<Vec<u8>>) -> Reply {
    app.instance.patch(PATH).bearer(&admin("admin-1")).text(body).send().await
}

/// What is sent, and the code, the place and the kind of the fault it is refused for.
type Case = (String, &'static str, &'static str, &'static str);

/// Sends each body, and holds it to be a 400 with one fault, and nothing to be stored.
async fn hold(cases: Vec<Case>) {
    let app = TestApp::new().await;
    let before = stored(&app).await;
    for (body, code, place, kind) in cases {
        let excerpt: String = body.chars().take(200).collect();
        let reply = send(&app, body).await;
        assert_eq!(reply.status, 400, "{excerpt}: {}", reply.text);
        let problem = reply.problem(400, code);
        assert_eq!(faults(&problem), at([(place, kind)]), "{excerpt}");
        assert_eq!(problem["instance"], PATH);
        assert_eq!(stored(&app).await, before, "{excerpt}");
    }
}

#[tokio::test]
async fn invalid_json_is_rejected() {
    let whole = cooldown("45");
    let cases: Vec<Case> = [
        (whole.replace("}]}", "}],}"), "", "invalid_json"),
        ("not json".to_owned(), "", "invalid_json"),
        (" ".to_owned(), "", "invalid_json"),
        (format!("{whole}{whole}"), "", "invalid_json"),
        (format!("\u{FEFF}{whole}"), "", "invalid_json"),
        (
            whole.replace("\"reason\"", "\"reason\":\"first\",\"reason\""),
            "/reason",
            "duplicate_key",
        ),
        (whole.replace("\"value\"", "\"value\":40,\"value\""), "/changes/0/value", "duplicate_key"),
        (
            whole.replace("\"key\"", "\"k\\u0065y\":\"X\",\"key\""),
            "/changes/0/key",
            "duplicate_key",
        ),
        (cooldown(r#"{"a":{"b":1,"b":2}}"#), "/changes/0/value/a/b", "duplicate_key"),
        (
            one_change("BRUNE_PROMPT_VERSION", r#""a\u0000b""#),
            "/changes/0/value",
            "forbidden_character",
        ),
        (
            one_change("BRUNE_PROMPT_VERSION", r#""\ud800""#),
            "/changes/0/value",
            "forbidden_character",
        ),
        (
            one_change("BRUNE_PROMPT_VERSION", r#""\udc00\ud800""#),
            "/changes/0/value",
            "forbidden_character",
        ),
        (
            one_change("BRUNE_PROMPT_VERSION", r#""a\u202eb""#),
            "/changes/0/value",
            "forbidden_character",
        ),
        (
            one_change("BRUNE_PROMPT_VERSION", r#""a\tb""#),
            "/changes/0/value",
            "forbidden_character",
        ),
        (one_change("A\\u0000B", "1"), "/changes/0/key", "forbidden_character"),
        (cooldown("1e400"), "/changes/0/value", "number_overflow"),
        (cooldown("-1e400"), "/changes/0/value", "number_overflow"),
        (cooldown("NaN"), "", "invalid_json"),
        (cooldown("045"), "", "invalid_json"),
    ]
    .into_iter()
    .map(|(body, place, kind)| (body, "malformed_request", place, kind))
    .collect();
    hold(cases).await;
}

#[tokio::test]
async fn invalid_utf8_is_rejected() {
    let app = TestApp::new().await;
    let before = stored(&app).await;
    let mut body = one_change("BRUNE_PROMPT_VERSION", "\"?\"").into_bytes();
    let place = body.iter().position(|byte| *byte == b'?').unwrap();
    body[place] = 0xFF;
    send(&app, body).await.problem(400, "malformed_request");
    send(&app, Vec::new()).await.problem(400, "malformed_request");
    assert_eq!(stored(&app).await, before);
}

#[tokio::test]
async fn a_body_of_the_wrong_shape_is_rejected() {
    let change = json!({"key": COOLDOWN, "value": 45, "version": 1});
    let batch = |changes: Value| json!({"reason": "a test", "changes": changes}).to_string();
    let cases: Vec<Case> = [
        (json!(["a test", [change]]).to_string(), "", "wrong_type"),
        ("null".to_owned(), "", "wrong_type"),
        ("\"text\"".to_owned(), "", "wrong_type"),
        (batch(json!([[COOLDOWN, 45, 1]])), "/changes/0", "wrong_type"),
        (batch(change.clone()), "/changes", "wrong_type"),
        (batch(json!([null])), "/changes/0", "wrong_type"),
        (batch(json!([])), "/changes", "empty"),
        (batch(json!([change, change])), "/changes", "repeated_key"),
        (json!({"reason": "a test"}).to_string(), "/changes", "required"),
        (batch(json!([{"key": COOLDOWN, "version": 1}])), "/changes/0/value", "required"),
        (batch(json!([{"value": 45, "version": 1}])), "/changes/0/key", "required"),
        (
            batch(json!([{"key": COOLDOWN, "value": 1, "version": "1"}])),
            "/changes/0/version",
            "wrong_type",
        ),
        (
            batch(json!([{"key": COOLDOWN, "value": 1, "version": 1.5}])),
            "/changes/0/version",
            "out_of_range",
        ),
        (
            batch(json!([{"key": COOLDOWN, "value": 1, "version": 0}])),
            "/changes/0/version",
            "out_of_range",
        ),
        (
            batch(json!([{"key": COOLDOWN, "value": 1, "Version": 1, "version": 1}])),
            "/changes/0/Version",
            "unknown_field",
        ),
        (
            cooldown(&format!("{}{}", "[".repeat(200), "]".repeat(200))),
            &format!("/changes/0/value{}", "/0".repeat(13)),
            "too_deep",
        ),
    ]
    .map(|(body, place, kind)| {
        (body, "malformed_request", String::from(place).leak() as &str, kind)
    })
    .to_vec();
    hold(cases).await;
}

#[tokio::test]
async fn a_value_that_violates_a_rule_is_rejected() {
    let items: Vec<String> = (0..31).map(|n| format!("gpt-{n}")).collect();
    let cases: Vec<Case> = [
        (cooldown("30.5"), "wrong_type"),
        (cooldown("1180591620717411303424"), "out_of_range"),
        (cooldown("1e300"), "out_of_range"),
        (cooldown("30.000000000000000000001"), "out_of_range"),
        (cooldown("[45]"), "wrong_type"),
        (cooldown("\"45\""), "wrong_type"),
        (cooldown("null"), "wrong_type"),
        (one_change(LEVELS, r#"["a","b","a"]"#), "repeated_item"),
        (one_change(LEVELS, r#"["a",["b"]]"#), "wrong_type"),
        (one_change(LEVELS, r#"{"0":"a"}"#), "wrong_type"),
        (one_change(ALLOWLIST, &json!(items).to_string()), "wrong_count"),
        (one_change(MODEL, "\"gpt-unknown\""), "not_in_list"),
    ]
    .map(|(body, kind)| (body, "validation_failed", "/changes/0/value", kind))
    .to_vec();
    hold(cases).await;
}

#[tokio::test]
async fn an_unknown_key_or_a_violated_rule_between_keys_is_rejected() {
    let drops = one_change(ALLOWLIST, r#"["gpt-realtime-2.1-mini"]"#);
    hold(vec![
        (one_change("NO_SUCH_KEY", "1"), "validation_failed", "/changes/0/key", "unknown_key"),
        (one_change("", "1"), "validation_failed", "/changes/0/key", "unknown_key"),
        (
            one_change("brune_cooldown_minutes", "1"),
            "validation_failed",
            "/changes/0/key",
            "unknown_key",
        ),
        // The fault is the model's, which the batch does not have.
        (drops, "validation_failed", "", "not_in_list"),
    ])
    .await;
}

#[tokio::test]
async fn a_change_without_a_valid_reason_is_rejected() {
    let long = format!("\"{}\"", "x".repeat(501));
    let mut cases = Vec::new();
    for reason in [
        "null",
        "\"\"",
        "\"  \"",
        "\" ab \"",
        r#""two\nlines""#,
        r#""a\u0007bell""#,
        r#""a\u0000b""#,
        &long,
    ] {
        let unclean = reason.contains('\\');
        let kind = if unclean { "forbidden_character" } else { "reason_required" };
        cases.push((reasoned(reason), "reason_required", "/reason", kind));
    }
    let without = format!(r#"{{"changes":[{{"key":"{COOLDOWN}","value":45,"version":1}}]}}"#);
    cases.push((without, "reason_required", "/reason", "reason_required"));
    hold(cases).await;
}

#[tokio::test]
async fn a_body_of_two_megabytes_is_rejected_with_or_without_content_length() {
    let app = TestApp::new().await;
    let before = stored(&app).await;
    let body = reasoned(&format!("\"{}\"", "x".repeat(2 << 20)));
    let length = body.len().to_string();
    send(&app, body.clone()).await.problem(413, "payload_too_large");
    let announced = app.instance.patch(PATH).bearer(&admin("a")).header("content-length", &length);
    announced.text(body).send().await.problem(413, "payload_too_large");
    assert_eq!(stored(&app).await, before);
}

#[tokio::test]
async fn a_body_of_one_mebibyte_is_accepted_and_one_byte_more_is_not() {
    let app = TestApp::new().await;
    let of = |bytes: usize| {
        let rest = reasoned("\"\"").len();
        reasoned(&format!("\"{}\"", "x".repeat(bytes - rest)))
    };
    // Read, and then refused for what it says.
    send(&app, of(1 << 20)).await.problem(400, "reason_required");
    send(&app, of((1 << 20) + 1)).await.problem(413, "payload_too_large");
}

#[tokio::test]
async fn an_unsupported_media_type_is_rejected() {
    let app = TestApp::new().await;
    let before = stored(&app).await;
    for kind in [
        "text/plain",
        "application/merge-patch+json",
        "application/x-www-form-urlencoded",
        "application/json; charset=latin1",
    ] {
        for (method, path) in [("PATCH", PATH), ("POST", ROLLBACK)] {
            let call = app.instance.call(method.parse().unwrap(), path).bearer(&admin("a"));
            let reply = call.raw(cooldown("45")).header("content-type", kind).send().await;
            if method == "PATCH" {
                assert_eq!(reply.header("accept-patch"), "application/json");
            }
            reply.problem(415, "unsupported_media_type");
        }
    }
    let none = app.instance.patch(PATH).bearer(&admin("a")).raw(cooldown("45")).send().await;
    none.problem(415, "unsupported_media_type");
    let packed = app.instance.patch(PATH).bearer(&admin("a")).text(cooldown("45"));
    let packed = packed.header("content-encoding", "gzip").send().await;
    packed.problem(415, "unsupported_media_type");
    assert_eq!(stored(&app).await, before);
}

#[tokio::test]
async fn an_unknown_query_parameter_of_a_write_is_rejected() {
    let app = TestApp::new().await;
    let before = stored(&app).await;
    for query in [
        "dry_run=yes",
        "dry_run=",
        "dry_run",
        "dry_run=1",
        "dryrun=true",
        "dry_run=true&dry_run=true",
    ] {
        let call = app.instance.patch(&format!("{PATH}?{query}")).bearer(&admin("a"));
        call.text(cooldown("45")).send().await.problem(400, "malformed_request");
    }
    assert_eq!(stored(&app).await, before);
}

#[tokio::test]
async fn rejected_input_is_not_echoed() {
    let app = TestApp::new().await;
    let word = "sk-live-0123456789";
    for body in [
        one_change("BRUNE_PROMPT_ID", &format!("\"{word}\"")),
        one_change(COOLDOWN, &format!("\"{word}\"")),
        one_change(LEVELS, &format!("[\"{word}\",\"{word}\"]")),
        one_change(MODEL, &format!("\"{word}\"")),
        one_change("BRUNE_PROMPT_VERSION", &format!("\"{word}\\u0000\"")),
    ] {
        let reply = send(&app, body.clone()).await;
        assert_eq!(reply.status, 400, "{}", reply.text);
        assert!(!reply.text.contains(word), "{body}: {}", reply.text);
    }
}

#[tokio::test]
async fn an_unknown_method_or_path_is_a_problem() {
    let app = TestApp::new().await;
    for (method, path, status, code) in [
        ("PUT", PATH, 405, "method_not_allowed"),
        ("DELETE", PATH, 405, "method_not_allowed"),
        ("GET", ROLLBACK, 405, "method_not_allowed"),
        ("GET", "/admin/global-settings/a/b", 404, "not_found"),
        ("GET", "/admin/global-settings/", 404, "not_found"),
    ] {
        let call = app.instance.call(method.parse().unwrap(), path).bearer(&admin("a"));
        let reply = call.send().await;
        assert_eq!(reply.status, status, "{method} {path}: {}", reply.text);
        reply.problem(status, code);
    }
}
