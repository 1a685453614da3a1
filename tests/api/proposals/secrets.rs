//! Proposals of keys that became secrets: no reader sees the value, and the cleanup removes it.

use brune::config::Environment;
use serde_json::{Value, json};

use super::{
    PROPOSALS, approve,
    catalog::ONE,
    find, get,
    invariants::{attempt, refused},
    post, proposal,
};
use crate::{
    outbox::alerting,
    support::{Instance, TestApp, admin, receiver::Receiver},
};

/// The key that becomes a secret, of the secrets that a test instance can have from outside.
const WORD: &str = "DISCORD_WEBHOOK_URL";
/// A value that looks like no secret when it is proposed.
const MARKER: &str = "blue-heron-7d41";

const SETTING: &str = r#"
[[setting]]
key = "DISCORD_WEBHOOK_URL"
approvals = 1
category = "test"
type = "string"
default = "none"
applies = "hot"
description = "A word."
"#;

const SECRET: &str = r#"
[[secret]]
key = "DISCORD_WEBHOOK_URL"
description = "A word that is a secret by now."
required = "never"
"#;

fn catalog(word: &str) -> String {
    format!("{ONE}{word}")
}

/// The tables with a row that holds [`MARKER`].
async fn stored_in(app: &TestApp) -> Vec<String> {
    let admin = app.db.admin();
    let tables: Vec<String> = sqlx::query_scalar(
        "select relname::text from pg_class where relkind in ('r', 'm') and relnamespace = 'public'::regnamespace
         order by 1",
    )
    .fetch_all(&admin)
    .await
    .unwrap();
    let mut stored = Vec::new();
    for table in tables {
        let sql = format!("select exists (select from {table} t where t::text like '%{MARKER}%')");
        let is_stored = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&admin);
        if is_stored.await.unwrap() {
            stored.push(table);
        }
    }
    stored
}

/// Proposes the word and the number, and changes the word in an emergency; returns the number of the open proposal.
async fn propose_and_change(instance: &Instance) -> i64 {
    let change = |word: &str, number: i64, version: i64| {
        proposal(&[(WORD, json!(word), version), ("STAYS", json!(number), version)])
    };
    let path = "/admin/global-settings?emergency=true";
    let call = instance.patch(path).bearer(&admin("ana")).header("idempotency-key", "word");
    call.json(&change(&format!("{MARKER}-1"), 2, 1)).send().await.ok();
    let reply = post(instance, "ana", PROPOSALS, &change(&format!("{MARKER}-2"), 3, 2)).await;
    assert_eq!(reply.status, 201, "{}", reply.text);
    reply.body["number"].as_i64().unwrap()
}

async fn clean_up(app: &TestApp) -> Value {
    let environment = Environment::from_pairs([(WORD, "https://hooks.test/1")]);
    let instance = Instance::builder(app.db.own_pool().await).environment(&environment);
    let instance = instance.without_listener().start().await;
    let call = instance.post("/admin/secrets/cleanup").bearer(&admin("ana"));
    call.json(&json!({"reason": "the word is a secret"})).send().await.ok()
}

#[tokio::test]
async fn no_reader_sees_the_proposed_value_of_a_key_that_became_a_secret() {
    let app = TestApp::with_catalog(&catalog(SETTING)).await;
    let instance = alerting(&app, &Receiver::new().await.as_webhook()).await;
    let number = propose_and_change(&instance).await;
    let path = format!("{PROPOSALS}/{number}");
    let text = get(&instance, &path).send().await.text;
    assert!(text.contains(MARKER), "the test would show nothing: {text}");
    app.publish(&catalog(SECRET)).await;
    for path in [
        path.as_str(),
        &format!("{path}/editions/1"),
        &format!("{PROPOSALS}/1"),
        PROPOSALS,
        "/admin/outbox",
        "/admin/global-settings",
        "/admin/global-settings/history",
        "/admin/config/export",
    ] {
        let reply = get(&instance, path).send().await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text);
        assert!(!reply.text.contains(MARKER), "{path}: {}", reply.text);
    }
    let change = &find(&instance, number).await["changes"][0];
    assert_eq!((&change["key"], &change["value"]), (&json!(WORD), &Value::Null), "{change}");
    assert_eq!(change["redacted"], true, "{change}");
    // A repeated request gets the first answer, without the value.
    let call = instance.patch("/admin/global-settings?emergency=true").bearer(&admin("ana"));
    let change = proposal(&[(WORD, json!(format!("{MARKER}-1")), 1), ("STAYS", json!(2), 1)]);
    let repeat = call.header("idempotency-key", "word").json(&change).send().await;
    assert!(!repeat.text.contains(MARKER), "{}", repeat.text);
    let residue = brune::secrets::residue(&app.db.pool().into()).await.unwrap();
    assert_eq!(residue, [WORD]);
}

#[tokio::test]
async fn the_cleanup_removes_a_secret_from_proposals_messages_and_stored_answers() {
    let app = TestApp::with_catalog(&catalog(SETTING)).await;
    let instance = alerting(&app, &Receiver::new().await.as_webhook()).await;
    let number = propose_and_change(&instance).await;
    let digest = find(&instance, number).await["digest"].clone();
    app.publish(&catalog(SECRET)).await;
    let tables =
        ["app_global_setting_audit", "app_global_settings", "app_idempotency_key", "brune_outbox"];
    let stored = stored_in(&app).await;
    assert!(tables.iter().all(|table| stored.iter().any(|name| name == table)), "{stored:?}");
    assert!(stored.contains(&"brune_proposal_edition".to_owned()), "{stored:?}");
    assert_eq!(clean_up(&app).await["removed"], json!([WORD]));
    assert_eq!(stored_in(&app).await, [""; 0]);
    assert_eq!(brune::secrets::residue(&app.db.pool().into()).await.unwrap(), [""; 0]);
    let proposal = find(&instance, number).await;
    assert_eq!(proposal["digest"], digest, "the digest of the trail");
    assert_eq!(proposal["changes"][1]["value"], 3, "the other value stays: {proposal}");
    let (_, breaks) = brune::audit::verify(&app.db.pool().into()).await.unwrap();
    assert_eq!(breaks, []);
    assert_eq!(clean_up(&app).await["removed"], json!([]), "nothing is left");
}

#[tokio::test]
async fn a_redacted_proposal_is_never_applied() {
    let app = TestApp::with_catalog(&catalog(SETTING)).await;
    let number = propose_and_change(&app.instance).await;
    approve(&app.instance, "ben", number).await.ok();
    app.publish(&catalog(SECRET)).await;
    clean_up(&app).await;
    // The key becomes plain again, with its old version.
    app.publish(&catalog(SETTING)).await;
    let path = format!("{PROPOSALS}/{number}/apply");
    let problem = post(&app.instance, "ana", &path, &json!({"edition": 1})).await;
    let problem = problem.problem(400, "validation_failed");
    assert_eq!(problem["errors"][0]["code"], "redacted", "{problem}");
    let emergency = json!({"edition": 1, "reason": "on fire"});
    let path = format!("{path}?emergency=true");
    let reply = post(&app.instance, "ana", &path, &emergency).await;
    assert_eq!(reply.status, 400, "{}", reply.text);
    let open = find(&app.instance, number).await;
    assert_eq!((&open["state"], &open["blocks"][0]["code"]), (&json!("open"), &json!("invalid")));
    let detail = open["blocks"][0]["detail"].as_str().unwrap();
    assert!(detail.starts_with(&format!("{WORD} has no proposed value")), "{open}");
}

#[tokio::test]
async fn a_secret_is_not_published_as_a_setting_while_a_proposal_holds_its_value() {
    let app = TestApp::with_catalog(&catalog(SETTING)).await;
    let change = proposal(&[(WORD, json!(format!("{MARKER}-2")), 1)]);
    assert_eq!(post(&app.instance, "ana", PROPOSALS, &change).await.status, 201);
    app.publish(&catalog(SECRET)).await;
    // The values of the settings and of the trail are removed, as the release before does.
    let sql = "insert into app_global_setting_audit (key, action, changed_by, reason)
          values ('DISCORD_WEBHOOK_URL', 'secret_cleanup', 'ana', 'by hand');
        delete from app_global_settings where key = 'DISCORD_WEBHOOK_URL';
        update app_global_setting_audit set old_value_json = null, new_value_json = null, salt = null
          where key = 'DISCORD_WEBHOOK_URL' and new_value_json is not null";
    attempt(&app, sql).await.unwrap();
    let again = brune::settings::Catalog::parse(&catalog(SETTING)).unwrap();
    let owner = app.db.owner().into();
    let scanner = crate::support::firewall();
    let refusal = brune::settings::publish(&owner, &again, &|_| None, &scanner, false).await;
    let refusal = refusal.unwrap_err().to_string();
    assert!(
        refusal.contains("DISCORD_WEBHOOK_URL: the database still has values of a secret"),
        "{refusal}"
    );
}

#[tokio::test]
async fn an_edition_changes_only_by_a_recorded_redaction_of_a_secret() {
    let app = TestApp::with_catalog(&catalog(SETTING)).await;
    let number = propose_and_change(&app.instance).await;
    let redact = |key: &str| {
        format!(
            "update brune_proposal_edition
             set salt = null, edits = edits || jsonb_build_object('{key}',
               (edits -> '{key}') - 'value' || '{{\"redacted\": true}}')"
        )
    };
    let recorded = |key: &str| {
        format!(
            "insert into app_global_setting_audit (key, action, changed_by, reason)
             values ('{key}', 'secret_cleanup', 'eve', 'by hand'); {}",
            redact(key)
        )
    };
    let permanent = "decisions are permanent";
    refused(&app, "of a setting", &redact(WORD), permanent).await;
    refused(&app, "of a setting, recorded", &recorded(WORD), "").await;
    app.publish(&catalog(SECRET)).await;
    refused(&app, "in silence", &redact(WORD), permanent).await;
    refused(&app, "of another key", &recorded("STAYS"), "").await;
    let emptied = "update brune_proposal_edition set edits = '{}'";
    refused(&app, "emptied", emptied, permanent).await;
    let reason = "update brune_proposal_edition set reason = 'another'";
    refused(&app, "of the reason", reason, "permission denied").await;
    attempt(&app, &recorded(WORD)).await.unwrap();
    let text = get(&app.instance, &format!("{PROPOSALS}/{number}")).send().await.text;
    assert!(!text.contains(MARKER), "{text}");
}
