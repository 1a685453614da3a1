//! What-ifs that cannot be answered, and what-ifs about nothing.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::{COOLDOWN, ask, exactly, what_if};
use crate::support::{TestApp, user};

/// The catalog with a setting that no start reads.
fn catalog() -> String {
    let setting = "[[setting]]\nkey = \"BANNER\"\ncategory = \"brune_business\"\ntype = \"string\"\ndefault = \"none\"\n\
        applies = \"hot\"\ndescription = \"A text.\"\n";
    format!("{}\n{setting}", brune::settings::BRUN_E)
}

#[tokio::test]
async fn a_change_is_validated_like_a_dry_run() {
    let app = TestApp::new().await;
    let model = "BRUNE_OPENAI_REALTIME_MODEL";
    let secret = ["sk-", "proj-Zq8Rk2LmN4pT6vW9xY1b"].concat();
    let cases = [
        (json!([{"key": "BRUNE_UNKNOWN", "value": 1}]), 400, "validation_failed", "/changes/0/key"),
        (
            json!([{"key": COOLDOWN, "value": 45}, {"key": COOLDOWN, "value": 46}]),
            400,
            "malformed_request",
            "/changes",
        ),
        (json!([{"key": COOLDOWN, "value": 241}]), 400, "validation_failed", "/changes/0/value"),
        (json!([{"key": COOLDOWN, "value": "45"}]), 400, "validation_failed", "/changes/0/value"),
        (json!([{"key": COOLDOWN, "value": null}]), 400, "validation_failed", "/changes/0/value"),
        // A rule between two settings.
        (
            json!([{"key": model, "value": "gpt-unlisted"}]),
            400,
            "validation_failed",
            "/changes/0/value",
        ),
        (json!([{"key": "OPENAI_API_KEY", "value": "x"}]), 403, "key_locked", "/changes/0/key"),
        (
            json!([{"key": "BRUNE_PROMPT_VERSION", "value": secret}]),
            400,
            "secret_like_value",
            "/changes/0/value",
        ),
        (json!([]), 400, "malformed_request", "/changes"),
        (json!([{"key": COOLDOWN}]), 400, "malformed_request", "/changes/0/value"),
        (
            json!([{"key": COOLDOWN, "value": 45, "version": 0}]),
            400,
            "malformed_request",
            "/changes/0/version",
        ),
    ];
    for (changes, status, code, pointer) in cases {
        let problem = ask(&app.instance, &json!({"changes": changes})).await.problem(status, code);
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{changes} {problem}");
    }
    let listed =
        [("BRUNE_OPENAI_REALTIME_MODEL_ALLOWLIST", json!(["gpt-x"])), (model, json!("gpt-x"))];
    let report = what_if(&app.instance, &listed).await;
    let unknown = report["unknown"].to_string();
    assert!(
        unknown.contains("no start reads the list") && unknown.contains("cannot ask the provider"),
        "{unknown}"
    );
}

#[tokio::test]
async fn a_window_is_in_the_last_eight_days() {
    let app = TestApp::new().await;
    let started = app.instance.start_session(&user("ana")).await.ok();
    let now: DateTime<Utc> = started["started_at"].as_str().unwrap().parse().unwrap();
    let at = |minutes: i64| json!(now + TimeDelta::minutes(minutes));
    let day = 24 * 60;
    let cases = [
        (json!({"since": at(60)}), "/since"),
        (json!({"since": at(-9 * day)}), "/since"),
        (json!({"until": at(-9 * day)}), "/since"),
        (json!({"since": at(-60), "until": at(-60)}), "/until"),
        (json!({"since": at(-60), "until": at(-61)}), "/until"),
    ];
    let with_change = |mut body: Value| {
        body["changes"] = json!([{"key": COOLDOWN, "value": 45}]);
        body
    };
    for (window, pointer) in cases {
        let reply = ask(&app.instance, &with_change(window.clone())).await;
        let problem = reply.problem(400, "validation_failed");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{window}");
    }
    for since in [json!("yesterday"), json!(5), json!("2026-11-29T12:00:00")] {
        let reply = ask(&app.instance, &with_change(json!({"since": since}))).await;
        assert_eq!(reply.problem(400, "malformed_request")["errors"][0]["pointer"], "/since");
    }
    let longest = json!({"since": at(-8 * day), "until": at(day)});
    let report = ask(&app.instance, &with_change(longest)).await.ok();
    assert_eq!(report["attempts"], 1);
}

#[tokio::test]
async fn a_body_names_changes_or_a_proposal() {
    let app = TestApp::new().await;
    let both = json!({"changes": [{"key": COOLDOWN, "value": 45}], "proposal": 1});
    for body in [both, json!({}), json!({"changes": null})] {
        let problem = ask(&app.instance, &body).await.problem(400, "malformed_request");
        assert_eq!(problem["errors"][0]["pointer"], "/changes", "{body}");
    }
    for (body, pointer) in
        [(json!({"proposal": 0}), "/proposal"), (json!({"proposals": 1}), "/proposals")]
    {
        let problem = ask(&app.instance, &body).await.problem(400, "malformed_request");
        assert!(problem["errors"].to_string().contains(pointer), "{body} {problem}");
    }
    let body = json!({"changes": [{"key": COOLDOWN, "value": 45}]});
    let call = || app.instance.post("/admin/what-if").json(&body);
    call().send().await.problem(401, "unauthorized");
    call().bearer(&user("ana")).send().await.problem(403, "forbidden");
}

#[tokio::test]
async fn a_key_that_no_start_reads_changes_nothing() {
    let app = TestApp::with_catalog(&catalog()).await;
    app.instance.start_session(&user("ana")).await.ok();
    let report = what_if(&app.instance, &[("BANNER", json!("hello"))]).await;
    assert_eq!((&report["attempts"], &report["reproduced"]), (&json!(1), &json!(1.0)));
    assert_eq!(report["newly_refused"]["attempts"], exactly(0));
    assert_eq!(
        report["unknown"],
        json!(["Nothing is replayed for BANNER: no session start reads the setting."])
    );
}

#[tokio::test]
async fn without_attempts_the_report_is_empty_and_says_so() {
    let app = TestApp::new().await;
    let report = what_if(&app.instance, &[(COOLDOWN, json!(45))]).await;
    assert_eq!((&report["attempts"], &report["reproduced"]), (&json!(0), &Value::Null));
    assert_eq!((&report["minutes_after"], &report["peak_after"]), (&exactly(0), &exactly(0)));
    assert!(report["warnings"][0].as_str().unwrap().starts_with("No attempts"), "{report}");
}

#[tokio::test]
async fn a_catalog_without_sessions_has_no_what_if() {
    let catalog = "catalog = \"other\"\ndescription = \"Another product.\"\n\
        [[setting]]\nkey = \"BANNER\"\ncategory = \"texts\"\ntype = \"string\"\ndefault = \"none\"\n\
        applies = \"hot\"\ndescription = \"A text.\"\n";
    let app = TestApp::with_catalog(catalog).await;
    let body = json!({"changes": [{"key": "BANNER", "value": "hello"}]});
    ask(&app.instance, &body).await.problem(404, "not_found");
}
