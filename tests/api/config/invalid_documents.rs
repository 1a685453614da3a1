//! Documents that are none, or that want to be more.

use serde_json::{Value, json};

use super::{FORMATS, IMPORT, WORD, classes, document, import, plan};
use crate::{
    settings::{COOLDOWN, MAX_MINUTES, PER_DAY, stored},
    support::{TestApp, admin},
};

const YAML: &str = "application/yaml";
const ENV: &str = "text/plain";

/// A YAML document with these lines as its settings.
fn yaml(lines: &str) -> String {
    let lines = lines.replace('\n', "\n  ");
    format!("format_version: 1\ncatalog: brun-e\nsettings:\n  {lines}\n")
}

/// Refused as it stands, planned or applied, with nothing stored and nothing told of what it holds.
async fn refused(app: &TestApp, media: &str, text: &str) -> Value {
    let before = stored(app).await;
    let applied = import(&app.instance, "reason=a+test", media, text).send().await;
    applied.problem(400, "malformed_request");
    let reply = import(&app.instance, "dry_run=true", media, text).send().await;
    assert!(!reply.text.contains(WORD), "{}", reply.text);
    assert_eq!(stored(app).await, before);
    reply.problem(400, "malformed_request")
}

fn detail(problem: &Value) -> &str {
    problem["errors"][0]["detail"].as_str().unwrap()
}

#[tokio::test]
async fn yaml_anchors_and_aliases_are_rejected() {
    let app = TestApp::new().await;
    let mut bomb = String::from("a: &a [x,x,x,x,x,x,x,x,x]\n");
    for (this, last) in ["b", "c", "d", "e", "f", "g", "h", "i"].iter().zip("abcdefgh".chars()) {
        let eight = vec![format!("*{last}"); 8].join(",");
        bomb.extend([this, ": &", this, " [", &eight, "]\n"]);
    }
    for text in [
        bomb,
        yaml("A: &x 1\nB: *x"),
        yaml("A: &x 1"),
        yaml("A: *nowhere"),
        yaml("<<: {BRUNE_COOLDOWN_MINUTES: 45}"),
    ] {
        refused(&app, YAML, &text).await;
    }
}

#[tokio::test]
async fn yaml_is_read_strictly_and_errors_have_line_and_column() {
    let app = TestApp::new().await;
    let problem = refused(&app, YAML, &yaml(&format!("{COOLDOWN}: 45\n{COOLDOWN}: 46"))).await;
    assert!(detail(&problem).contains("line 5"), "{problem}");
    for text in [
        yaml(&format!("{COOLDOWN}: !secret {WORD}")),
        yaml(&format!("{COOLDOWN}: !!python/object:os.system {WORD}")),
        yaml(&format!("{COOLDOWN}: .inf")),
        yaml(&format!("{COOLDOWN}: [{WORD}")),
        yaml(&format!("{COOLDOWN}: \"{WORD}")),
        format!("{}---\n{}", yaml("A: 1"), yaml(&format!("A: {WORD}"))),
        yaml(&format!("? [{WORD}, x]\n: 1")),
        format!("{{{}", "[".repeat(100)),
        "[".repeat(100_000),
        "%YAML 9.9\n---\n@".to_owned(),
    ] {
        refused(&app, YAML, &text).await;
    }
}

#[tokio::test]
async fn yaml_words_like_no_stay_strings() {
    let app = TestApp::new().await;
    for (line, class, imported) in [
        ("BRUNE_ELIGIBILITY_REQUIRE_PLAN: no", "invalid", Value::Null),
        ("BRUNE_ELIGIBILITY_REQUIRE_PLAN: off", "invalid", Value::Null),
        ("BRUNE_ELIGIBILITY_REQUIRE_PLAN: \"false\"", "invalid", Value::Null),
        ("BRUNE_ELIGIBILITY_REQUIRE_PLAN: false", "change", json!(false)),
        ("BRUNE_PROMPT_VERSION: no", "change", json!("no")),
        ("BRUNE_PROMPT_VERSION: 1.10", "invalid", Value::Null),
        ("BRUNE_PROMPT_VERSION: \"1.10\"", "change", json!("1.10")),
        ("BRUNE_PROMPT_VERSION: 1_000", "change", json!("1_000")),
        ("BRUNE_PROMPT_VERSION: 007", "change", json!("007")),
        ("BRUNE_PROMPT_VERSION: ~", "invalid", Value::Null),
        ("BRUNE_PROMPT_VERSION: true", "invalid", Value::Null),
        ("BRUNE_COOLDOWN_MINUTES: \"45\"", "invalid", Value::Null),
        ("BRUNE_COOLDOWN_MINUTES: 45.0", "change", json!(45)),
        ("BRUNE_COOLDOWN_MINUTES: 1:30", "invalid", Value::Null),
        ("BRUNE_COOLDOWN_MINUTES: 1_0", "invalid", Value::Null),
        ("BRUNE_COOLDOWN_MINUTES: 18446744073709551616", "invalid", Value::Null),
        ("BRUNE_ELIGIBILITY_ALLOWED_LEVELS: [no, \"1\"]", "change", json!(["no", "1"])),
        ("BRUNE_ELIGIBILITY_ALLOWED_LEVELS: [1]", "invalid", Value::Null),
        ("BRUNE_ELIGIBILITY_ALLOWED_LEVELS:\n  - a", "change", json!(["a"])),
    ] {
        let import_plan = plan(&app.instance, YAML, &yaml(line)).await;
        assert_eq!(classes(&import_plan)[0].1, class, "{line} {import_plan}");
        assert_eq!(import_plan["entries"][0]["imported"], imported, "{line}");
    }
}

#[tokio::test]
async fn dotenv_is_read_strictly_and_every_invalid_line_is_reported() {
    let app = TestApp::new().await;
    let text = format!("{COOLDOWN}=45\nnonsense {WORD}\n\n{COOLDOWN}=46\n{PER_DAY}='{WORD}\n");
    let problem = refused(&app, ENV, &text).await;
    let all: Vec<_> = problem["errors"].as_array().unwrap().iter().map(detail_of).collect();
    assert_eq!(all.len(), 3, "{problem}");
    assert!(all[0].starts_with("line 2: "), "{problem}");
    assert!(all[1].starts_with("line 4: ") && all[1].contains("line 1"), "{problem}");
    assert!(all[2].starts_with("line 5: "), "{problem}");
    refused(&app, ENV, &format!("# brune:revision=soon\n{COOLDOWN}=45\n")).await;
    refused(&app, ENV, &format!("\u{feff}# brune:format_version=2\n{COOLDOWN}=45\n")).await;
    refused(&app, ENV, "BRUNE_PROMPT_VERSION=a\u{202E}b\n").await;
}

fn detail_of(fault: &Value) -> &str {
    fault["detail"].as_str().unwrap()
}

#[tokio::test]
async fn a_dollar_sign_in_dotenv_is_not_expanded() {
    let app = TestApp::new().await;
    for spelt in ["${OPENAI_API_KEY}", "\"\\${OPENAI_API_KEY}\"", "'${OPENAI_API_KEY}'"] {
        let import_plan =
            plan(&app.instance, ENV, &format!("BRUNE_PROMPT_VERSION={spelt}\n")).await;
        assert_eq!(import_plan["entries"][0]["imported"], "${OPENAI_API_KEY}", "{spelt}");
    }
    let import_plan = plan(&app.instance, ENV, "BRUNE_PROMPT_VERSION=$(id) `id` $HOME\n").await;
    assert_eq!(import_plan["entries"][0]["imported"], "$(id) `id` $HOME");
}

#[tokio::test]
async fn an_invalid_number_in_dotenv_is_rejected_and_never_read_as_zero() {
    let app = TestApp::new().await;
    for text in ["", "-", ".", "e5", "+5", "0x10", "010", "1_0", "inf", "NaN", "45 minutes", "4,5"]
    {
        let import_plan = plan(&app.instance, ENV, &format!("{COOLDOWN}={text}\n")).await;
        assert_eq!(classes(&import_plan), [(COOLDOWN, "invalid")], "{text:?} {import_plan}");
        assert_eq!(import_plan["entries"][0]["detail"], "must be an integer", "{text:?}");
    }
}

#[tokio::test]
async fn a_newer_format_version_is_rejected_with_the_reason() {
    let app = TestApp::new().await;
    for (media, text) in [
        ("application/json", r#"{"format_version": 2, "settings": {}}"#),
        (YAML, "format_version: 2\nsettings: {}\n"),
        (ENV, "# brune:format_version=2\nA=1\n"),
    ] {
        let problem = refused(&app, media, text).await;
        assert_eq!(problem["errors"][0]["code"], "newer_format", "{problem}");
        assert!(detail(&problem).contains("must be at most 1 for this release, is 2"), "{problem}");
    }
}

#[tokio::test]
async fn every_invalid_entry_is_reported() {
    let app = TestApp::new().await;
    let wrong = json!({COOLDOWN: WORD, PER_DAY: 0, MAX_MINUTES: [WORD], "BRUNE_PROMPT_ID": WORD,
        "BRUNE_ELIGIBILITY_REQUIRE_PLAN": WORD, "BRUNE_ELIGIBILITY_ALLOWED_LEVELS": {"a": WORD}});
    let text = document(&wrong);
    let reply = import(&app.instance, "reason=a+test", "application/json", &text).send().await;
    assert!(!reply.text.contains(WORD), "{}", reply.text);
    let problem = reply.problem(400, "validation_failed");
    assert_eq!(problem["errors"].as_array().unwrap().len(), 6, "{problem}");
    let import_plan = plan(&app.instance, "application/json", &text).await;
    assert_eq!(import_plan["counts"], json!({"invalid": 6}));
    assert!(!import_plan.to_string().contains(WORD));
}

#[tokio::test]
async fn a_secret_used_as_a_key_is_never_repeated_in_any_format() {
    let app = TestApp::new().await;
    for (media, text) in [
        ("application/json", document(&json!({"OPENAI_API_KEY": WORD, COOLDOWN: 45}))),
        (YAML, yaml(&format!("OPENAI_API_KEY: {WORD}\n{COOLDOWN}: 45"))),
        (ENV, format!("OPENAI_API_KEY={WORD}\n{COOLDOWN}=45\n")),
    ] {
        for query in ["dry_run=true", "reason=a+test"] {
            let reply = import(&app.instance, query, media, &text).send().await;
            assert!(!reply.text.contains(WORD), "{media} {query} {}", reply.text);
            reply.ok();
        }
    }
}

#[tokio::test]
async fn a_body_that_is_no_document_is_rejected() {
    let app = TestApp::new().await;
    for text in [
        "",
        " ",
        "[]",
        "{}",
        "null",
        "\"x\"",
        r#"{"format_version": 1}"#,
        r#"{"settings": {}}"#,
        r#"{"format_version": "1", "settings": {}}"#,
        r#"{"format_version": 1, "settings": []}"#,
        r#"{"format_version": 1, "settings": {}, "secrets": {}}"#,
        r#"{"format_version": 1, "settings": {}, "revision": 0}"#,
        r#"{"format_version": 1, "settings": {}, "catalog": 1}"#,
        r#"{"format_version": 1, "settings": {"A": 1, "A": 2}}"#,
        r#"{"format_version": 1, "format_version": 1, "settings": {}}"#,
    ] {
        refused(&app, "application/json", text).await;
        refused(&app, YAML, text).await;
    }
    refused(&app, ENV, "").await;
}

#[tokio::test]
async fn a_binary_file_is_rejected_in_every_format() {
    let app = TestApp::new().await;
    for (_, media) in FORMATS {
        for bytes in [&b"\x7fELF\x02\x01\x01\0\0\0"[..], b"\xff\xfe{\0}\0", b"PK\x03\x04\x14\0"] {
            let call =
                app.instance.post(&format!("{IMPORT}?dry_run=true")).bearer(&admin("admin-1"));
            let reply = call.raw(bytes).header("content-type", media).send().await;
            reply.problem(400, "malformed_request");
        }
    }
}

#[tokio::test]
async fn a_body_of_ten_megabytes_is_rejected_with_413() {
    let app = TestApp::new().await;
    for (_, media) in FORMATS {
        let text = "A".repeat(10 * 1024 * 1024);
        let call = import(&app.instance, "dry_run=true", media, &text);
        call.send().await.problem(413, "payload_too_large");
    }
}

#[tokio::test]
async fn unsupported_media_type_charset_and_encoding_are_rejected_with_415() {
    let app = TestApp::new().await;
    let text = document(&json!({COOLDOWN: 45}));
    for media in [
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/octet-stream",
        "application/json; charset=latin1",
        "text/plain; charset=utf-16",
        "json",
    ] {
        let call = import(&app.instance, "dry_run=true", media, &text);
        call.send().await.problem(415, "unsupported_media_type");
    }
    let call = app.instance.post(&format!("{IMPORT}?dry_run=true")).bearer(&admin("admin-1"));
    call.raw(text.clone()).send().await.problem(415, "unsupported_media_type");
    let call = import(&app.instance, "dry_run=true", "application/json", &text);
    call.header("content-encoding", "gzip").send().await.problem(415, "unsupported_media_type");
    let call = import(&app.instance, "dry_run=true", "application/json; charset=UTF-8", &text);
    call.send().await.ok();
}
