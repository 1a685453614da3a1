//! `If-Match` and `If-None-Match` (RFC 9110, 13.1) at every route that has an entity tag, and at those that have none.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Call, Instance, TestApp, admin};

const LIST: &str = "/admin/global-settings";
const ONE: &str = "/admin/global-settings/BRUNE_COOLDOWN_MINUTES";
const CONFIG: &str = "/admin/config/BRUNE_COOLDOWN_MINUTES";

/// Header values that are no list of entity tags.
const MALFORMED: [&str; 10] = [
    "r7",
    "\"r7",
    "r7\"",
    "w/\"r7\"",
    "\"r1\", *",
    "*, \"r1\"",
    "\"r1\" \"r2\"",
    "",
    ",",
    "\"r 7\"",
];

fn read<'a>(instance: &'a Instance, path: &str) -> Call<'a> {
    instance.get(path).bearer(&admin("ada"))
}

fn batch(instance: &Instance) -> Call<'_> {
    let changes = json!([{"key": "BRUNE_COOLDOWN_MINUTES", "value": 45}]);
    let call = instance.patch(LIST).bearer(&admin("ada"));
    call.json(&json!({"reason": "a test", "changes": changes}))
}

fn put(instance: &Instance, value: i64) -> Call<'_> {
    let call = instance.call(Method::PUT, CONFIG).bearer(&admin("ada"));
    call.json(&json!({"reason": "a test", "value": value}))
}

fn reset(instance: &Instance) -> Call<'_> {
    let path = format!("{CONFIG}?reason=a+test");
    instance.call(Method::DELETE, &path).bearer(&admin("ada"))
}

fn detail(problem: &Value) -> &str {
    problem["detail"].as_str().unwrap()
}

#[tokio::test]
async fn an_invalid_if_match_is_rejected_with_400_on_every_route() {
    let app = TestApp::new().await;
    let actual_instance = &app.instance;
    for name in ["if-match", "if-none-match"] {
        for wrong in MALFORMED {
            for call in [
                batch(actual_instance),
                put(actual_instance, 45),
                reset(actual_instance),
                read(actual_instance, LIST),
                read(actual_instance, ONE),
                read(actual_instance, CONFIG),
                read(actual_instance, "/admin/config"),
                read(actual_instance, "/admin/config/export"),
                actual_instance.post("/ofrep/v1/evaluate/flags/BRUNE_COOLDOWN_MINUTES"),
                actual_instance.get("/livez"),
            ] {
                let reply = call.header(name, wrong).send().await;
                assert_eq!(
                    reply.status,
                    StatusCode::BAD_REQUEST,
                    "{name}: {wrong}: {}",
                    reply.text
                );
            }
            let problem = read(actual_instance, LIST).header(name, wrong).send().await;
            let problem = problem.problem(400, "malformed_request");
            assert_eq!(problem["errors"][0]["code"], "invalid_precondition", "{problem}");
        }
    }
    let unquoted = read(actual_instance, LIST).header("if-match", "r7").send().await;
    let unquoted = unquoted.problem(400, "malformed_request");
    assert!(detail(&unquoted).contains("quoted"), "{unquoted}");
    let twice = read(actual_instance, LIST)
        .header("if-match", "*")
        .header("if-match", "\"r1\"")
        .send()
        .await;
    twice.problem(400, "malformed_request");
    assert_eq!(read(actual_instance, LIST).send().await.ok()["revision"], 1);
}

#[tokio::test]
async fn an_etag_that_cannot_match_is_rejected_with_412_and_the_reason() {
    let app = TestApp::new().await;
    let actual_instance = &app.instance;
    for (tag, reason) in [
        ("W/\"r1\"", "weak"),
        ("\"v1\"", "a version of one setting"),
        ("\"r1-0a1b2c3d\"", "is not a tag of"),
        ("\"\"", "is not a tag of"),
        ("W/\"r1\", \"v1\"", "weak"),
    ] {
        let problem = batch(actual_instance).header("if-match", tag).send().await;
        let problem = problem.problem(412, "revision_mismatch");
        assert!(detail(&problem).contains(reason), "{tag}: {problem}");
        assert_eq!(problem["current_revision"], 1, "{tag}");
    }
    for (tag, reason) in [
        ("W/\"v1\"", "weak"),
        ("\"r1\"", "a revision of all settings"),
        ("\"x\"", "is not a tag of"),
    ] {
        for call in [put(actual_instance, 45), reset(actual_instance)] {
            let problem = call.header("if-match", tag).send().await;
            let problem = problem.problem(412, "revision_mismatch");
            assert!(detail(&problem).contains(reason), "{tag}: {problem}");
        }
    }
    // A version in the body does not hide that the tag cannot match.
    let value = json!({"value": 45, "version": 1, "reason": "a test"});
    let call = actual_instance.call(Method::PUT, CONFIG).bearer(&admin("ada")).json(&value);
    let problem =
        call.header("if-match", "W/\"v1\"").send().await.problem(412, "revision_mismatch");
    assert!(detail(&problem).contains("weak"), "{problem}");
    assert_eq!(read(actual_instance, LIST).send().await.ok()["revision"], 1);
}

#[tokio::test]
async fn one_matching_etag_of_a_list_suffices() {
    let app = TestApp::new().await;
    let actual_instance = &app.instance;
    batch(actual_instance).header("if-match", "\"r7\", W/\"r1\" ,\"r1\",").send().await.ok();
    put(actual_instance, 50).header("if-match", "\"v1\", \"a,b\", \"v2\"").send().await.ok();
    reset(actual_instance)
        .header("if-match", "\"v7\"")
        .header("if-match", "\"v3\"")
        .send()
        .await
        .ok();
    put(actual_instance, 50)
        .header("if-match", "\"v1\", \"v2\"")
        .send()
        .await
        .problem(412, "revision_mismatch");
    let rollback = json!({"to_revision": 1, "revision": 4, "reason": "a test"});
    let call = || {
        actual_instance
            .post("/admin/global-settings/rollback")
            .bearer(&admin("ada"))
            .json(&rollback)
    };
    // The revision in the body does not replace the header.
    call().header("if-match", "\"r3\"").send().await.problem(412, "revision_mismatch");
    call().header("if-match", "\"r3\", \"r4\"").send().await.ok();
}

#[tokio::test]
async fn reads_honour_if_match() {
    let app = TestApp::new().await;
    let actual_instance = &app.instance;
    for (path, tag) in [
        (LIST, "\"r1\""),
        (ONE, "\"v1\""),
        (CONFIG, "\"v1\""),
        ("/admin/config", "\"r1\""),
        ("/admin/config/export", "\"r1\""),
    ] {
        let ask = |name, value: &str| read(actual_instance, path).header(name, value);
        assert_eq!(read(actual_instance, path).send().await.header("etag"), tag, "{path}");
        for held in [tag, &format!("W/{tag}"), &format!("\"r9\", {tag}"), "*"] {
            let reply = ask("if-none-match", held).send().await;
            assert_eq!(reply.status, StatusCode::NOT_MODIFIED, "{path} {held}");
            assert_eq!((reply.header("etag"), reply.text.as_str()), (tag, ""), "{path} {held}");
        }
        for other in ["\"r9\"", "W/\"v9\"", "\"\"", "\"a,b\""] {
            assert_eq!(ask("if-none-match", other).send().await.status, StatusCode::OK, "{path}");
        }
        for current in [tag, "*", &format!("\"x\", {tag}")] {
            assert_eq!(ask("if-match", current).send().await.status, StatusCode::OK, "{path}");
        }
        for stale in ["\"r9\"", "\"v9\"", &format!("W/{tag}")] {
            ask("if-match", stale).send().await.problem(412, "revision_mismatch");
        }
        // If-Match is evaluated first.
        let both = ask("if-match", "\"r9\"").header("if-none-match", tag).send().await;
        both.problem(412, "revision_mismatch");
    }
}

#[tokio::test]
async fn an_unsupported_precondition_is_rejected() {
    let app = TestApp::new().await;
    let actual_instance = &app.instance;
    let import = || actual_instance.post("/admin/config/import?dry_run=true").bearer(&admin("ada"));
    let import = || import().json(&json!({"format_version": 1, "settings": {}}));
    for call in [
        import(),
        actual_instance
            .post("/admin/secrets/cleanup")
            .bearer(&admin("ada"))
            .json(&json!({"reason": "a test"})),
        actual_instance.post("/brun-e/start").bearer(&admin("ada")),
    ] {
        let problem = call.header("if-match", "\"r1\"").send().await;
        let problem = problem.problem(400, "malformed_request");
        assert_eq!(problem["errors"][0]["code"], "unsupported_precondition", "{problem}");
    }
    for call in [import(), actual_instance.post("/brun-e/start").bearer(&admin("ada"))] {
        let problem = call.header("if-none-match", "*").send().await;
        let problem = problem.problem(400, "malformed_request");
        assert_eq!(problem["errors"][0]["code"], "unsupported_precondition", "{problem}");
    }
    for call in [batch(actual_instance), put(actual_instance, 45), reset(actual_instance), import()]
    {
        let problem = call.header("if-none-match", "\"r9\"").send().await;
        let problem = problem.problem(400, "malformed_request");
        assert_eq!(problem["errors"][0]["code"], "unsupported_precondition", "{problem}");
    }
    // What is written is always there, so this condition is false.
    let none = batch(actual_instance)
        .header("if-none-match", "*")
        .header("if-match", "\"r1\"")
        .send()
        .await;
    none.problem(412, "revision_mismatch");
    import().header("if-match", "*").send().await.ok();
    // No modification date is sent, so conditions on one are ignored (RFC 9110, 13.1.3 and 13.1.4).
    let ancient = "Thu, 01 Jan 1970 00:00:00 GMT";
    let reply = read(actual_instance, LIST).header("if-modified-since", ancient).send().await;
    assert_eq!(reply.status, StatusCode::OK);
    let reply =
        batch(actual_instance).header("if-unmodified-since", ancient).header("if-match", "\"r1\"");
    reply.send().await.ok();
}

#[tokio::test]
async fn the_first_of_two_equal_preferences_counts() {
    let app = TestApp::new().await;
    let actual_instance = &app.instance;
    let changes = json!([{"key": "BRUNE_COOLDOWN_MINUTES", "value": 45}, {"key": "JWT_SECRET", "value": "x"}]);
    let batch = |prefer: &str| {
        let call = actual_instance.patch(LIST).bearer(&admin("ada")).header("if-match", "\"r1\"");
        let call = call.json(&json!({"reason": "a test", "changes": changes}));
        call.header("prefer", prefer)
    };
    for strict in ["handling=strict, handling=lenient", "note=\"a, handling=lenient\"", "handling"]
    {
        batch(strict).send().await.problem(403, "key_locked");
    }
    let body = batch("note=\"a, b\", handling=\"lenient\"").send().await.ok();
    assert_eq!(body["ignored"], json!(["JWT_SECRET"]));
}
