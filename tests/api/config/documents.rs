//! Export: what stands in a document, that two of one revision are the same, and that each leads back to
//! where it came from.

use serde_json::{Value, json};

use super::{CONFIG, FORMATS, export, get, import, plan};
use crate::{
    settings::{ALLOWLIST, COOLDOWN, MODEL},
    support::TestApp,
};

const LEVELS: &str = "BRUNE_ELIGIBILITY_ALLOWED_LEVELS";

/// A service whose every setting is other than the catalog's default, in ways that are hard to spell.
async fn configured() -> TestApp {
    let app = TestApp::new().await;
    let odd = json!([
        "no",
        "1.10",
        "null",
        "~",
        "it's",
        "a \"b\"",
        "$HOME",
        "a # b",
        "key: value",
        "`id`"
    ]);
    app.instance
        .change(&[
            (COOLDOWN, json!(0), 1),
            ("BRUNE_MAX_SESSIONS_PER_DAY", json!(20), 1),
            ("BRUNE_ELIGIBILITY_REQUIRE_PLAN", json!(false), 1),
            (LEVELS, odd, 1),
            ("BRUNE_PROMPT_ID", json!("pmpt_no"), 1),
            ("BRUNE_PROMPT_VERSION", json!("1.10"), 1),
            (ALLOWLIST, json!(["no"]), 1),
            (MODEL, json!("no"), 1),
            ("BRUNE_SESSION_MAX_MINUTES", json!(120), 1),
        ])
        .await
        .ok();
    app
}

/// A document without what tells when, where and of which revision it was written.
fn lasting(text: &str) -> Vec<&str> {
    let passing = |line: &str| {
        let line = line.trim_start_matches("# brune:").trim_start_matches([' ', '"']);
        ["exported_at", "source", "revision"].iter().any(|name| line.starts_with(name))
    };
    text.lines().filter(|line| !passing(line)).collect()
}

#[tokio::test]
async fn an_export_is_an_attachment_with_its_media_type() {
    let app = configured().await;
    for (format, media, name) in [
        ("json", "application/json", "brun-e-r2.json"),
        ("yaml", "application/yaml", "brun-e-r2.yaml"),
        ("env", "text/plain; charset=utf-8", "brun-e-r2.env"),
    ] {
        let reply = get(&app.instance, &format!("{CONFIG}/export?format={format}")).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        assert_eq!(reply.header("content-type"), media);
        let expected = format!("attachment; filename=\"{name}\"");
        assert_eq!(reply.header("content-disposition"), expected);
        assert_eq!(reply.header("etag"), "\"r2\"");
        for absent in ["JWT_SECRET", "OPENAI_API_KEY", "LOG_LEVEL", "POSTGRES_PASSWORD"] {
            assert!(!reply.text.contains(absent), "{format} {absent}");
        }
    }
}

#[tokio::test]
async fn two_exports_of_one_revision_differ_only_in_their_time() {
    let app = configured().await;
    let other = app.another_instance().await;
    for (format, _) in FORMATS {
        let first = export(&app.instance, format).await;
        app.instance.shift.advance(chrono::TimeDelta::hours(1));
        let second = export(&app.instance, format).await;
        let differ: Vec<_> = first.lines().zip(second.lines()).filter(|(a, b)| a != b).collect();
        assert_eq!(first.lines().count(), second.lines().count());
        assert_eq!(differ.len(), 1, "{format}: {differ:?}");
        assert!(differ[0].0.contains("exported_at"), "{differ:?}");
        assert_eq!(lasting(&export(&other, format).await), lasting(&first));
    }
}

#[tokio::test]
async fn an_export_imported_into_a_new_database_restores_all_values() {
    let origin = configured().await;
    for (format, media) in FORMATS {
        let text = export(&origin.instance, format).await;
        let fresh = TestApp::new().await;
        let import_plan = plan(&fresh.instance, media, &text).await;
        assert_eq!(import_plan["counts"], json!({"change": 9}), "{format} {import_plan}");
        let query =
            format!("reason=replicate&plan_id={}", import_plan["plan_id"].as_str().unwrap());
        let reply = import(&fresh.instance, &query, media, &text).send().await.ok();
        assert_eq!(
            (&reply["revision"], reply["changed"].as_array().unwrap().len()),
            (&json!(2), 9)
        );
        let document = export(&fresh.instance, format).await;
        assert_eq!(lasting(&document), lasting(&text), "{format}");
        assert_eq!(plan(&fresh.instance, media, &document).await["counts"], json!({"same": 9}));
    }
}

#[tokio::test]
async fn an_export_has_the_same_content_in_every_format() {
    let app = configured().await;
    let exported: Value = serde_json::from_str(&export(&app.instance, "json").await).unwrap();
    for (format, media) in FORMATS {
        let import_plan = plan(&app.instance, media, &export(&app.instance, format).await).await;
        for entry in import_plan["entries"].as_array().unwrap() {
            let key = entry["key"].as_str().unwrap();
            assert_eq!(entry["imported"], exported["settings"][key], "{format} {key}");
        }
    }
}
