//! Applying a document: the plan that was reviewed or none, all or nothing, one change set.

use serde_json::{Value, json};

use super::{WORD, document, import, one, plan};
use crate::{
    settings::{COOLDOWN, MAX_MINUTES, PER_DAY, entries, faults, stored},
    support::TestApp,
};

const JSON: &str = "application/json";

/// The document at `revision`.
fn at_revision(text: &str, revision: i64) -> String {
    let mut text: Value = serde_json::from_str(text).unwrap();
    text["revision"] = json!(revision);
    text.to_string()
}

async fn plan_id(app: &TestApp, text: &str) -> String {
    plan(&app.instance, JSON, text).await["plan_id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_plan_is_applied_as_one_change_set() {
    let app = TestApp::new().await;
    let text = document(&json!({COOLDOWN: 45, PER_DAY: 7, MAX_MINUTES: 30}));
    let query = format!("reason=from+staging&plan_id={}", plan_id(&app, &text).await);
    let call = import(&app.instance, &query, JSON, &text).header("x-request-id", "import-1");
    let reply = call.send().await;
    assert_eq!(reply.header("etag"), "\"r2\"");
    assert_eq!(
        reply.ok(),
        json!({"revision": 2, "dry_run": false, "ignored": [], "unchanged": [MAX_MINUTES], "changed": [
            {"key": COOLDOWN, "old_value": 30, "new_value": 45, "version": 2},
            {"key": PER_DAY, "old_value": 3, "new_value": 7, "version": 2}]})
    );
    let trail = entries(&app.instance, "action=import").await;
    assert_eq!(trail.len(), 2);
    for entry in &trail {
        assert_eq!((&entry["revision"], &entry["reason"]), (&json!(2), &json!("from staging")));
        assert_eq!(
            (&entry["request_id"], &entry["changed_by"]),
            (&json!("import-1"), &json!("admin-1"))
        );
    }
}

#[tokio::test]
async fn an_outdated_plan_is_rejected_with_409() {
    let app = TestApp::new().await;
    let other = app.another_instance().await;
    for round in 0..100 {
        let value = 100 + round % 2;
        let text = document(&json!({COOLDOWN: value}));
        let query = format!("reason=a+test&plan_id={}", plan_id(&app, &text).await);
        // Another key than the document's: the plan was of the whole.
        let setting = one(&other, PER_DAY).await;
        let version = setting["version"].as_i64().unwrap();
        let per_day = 1 + round % 20;
        let apply = import(&app.instance, &query, JSON, &text).send();
        let change = [(PER_DAY, json!(per_day + i64::from(setting["value"] == per_day)), version)];
        let (applied, changed) = tokio::join!(apply, other.change(&change));
        let changed = changed.ok()["revision"].as_i64().unwrap();
        if applied.status == 200 {
            // It was first, and the change came on top of it.
            assert_eq!(applied.ok()["revision"], changed - 1, "round {round}");
        } else {
            applied.problem(409, "plan_outdated");
        }
        let repeat = import(&app.instance, &query, JSON, &text).send().await;
        repeat.problem(409, "plan_outdated");
    }
}

#[tokio::test]
async fn a_plan_of_another_document_is_refused() {
    let app = TestApp::new().await;
    let id = plan_id(&app, &document(&json!({COOLDOWN: 45}))).await;
    let query = format!("reason=a+test&plan_id={id}");
    let other = document(&json!({COOLDOWN: 46}));
    import(&app.instance, &query, JSON, &other).send().await.problem(409, "plan_outdated");
    let call = import(&app.instance, "reason=a+test&plan_id=nonsense", JSON, &other);
    call.send().await.problem(409, "plan_outdated");
    assert_eq!(one(&app.instance, COOLDOWN).await["value"], 30);
}

#[tokio::test]
async fn an_import_reports_all_invalid_and_unknown_entries_with_or_without_a_plan() {
    let app = TestApp::new().await;
    let text =
        document(&json!({COOLDOWN: 999, PER_DAY: WORD, "NO_SUCH_KEY": WORD, MAX_MINUTES: 45}));
    let before = stored(&app).await;
    let id = plan_id(&app, &text).await;
    for query in [
        "reason=a+test".to_owned(),
        "reason=a+test&on_conflict=skip".to_owned(),
        format!("reason=a+test&plan_id={id}"),
    ] {
        let reply = import(&app.instance, &query, JSON, &text).send().await;
        assert!(!reply.text.contains(WORD), "{}", reply.text);
        let problem = reply.problem(400, "validation_failed");
        let keys: Vec<_> = problem["errors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|error| (error["key"].as_str().unwrap(), error["code"].as_str().unwrap()))
            .collect();
        assert_eq!(keys.len(), 3, "{problem}");
        assert!(keys.contains(&("NO_SUCH_KEY", "unknown_key")), "{problem}");
        assert!(keys.contains(&(PER_DAY, "wrong_type")), "{problem}");
        assert_eq!(stored(&app).await, before);
    }
}

#[tokio::test]
async fn an_import_conflict_is_resolved_by_the_on_conflict_parameter() {
    let app = TestApp::new().await;
    app.instance.change(&[(PER_DAY, json!(9), 1)]).await.ok();
    let text = at_revision(&document(&json!({COOLDOWN: 45, PER_DAY: 7})), 1);
    let before = stored(&app).await;
    let problem = import(&app.instance, "reason=a+test", JSON, &text).send().await;
    let problem = problem.problem(409, "version_conflict");
    let conflict = &problem["conflicts"][0];
    assert_eq!((&conflict["key"], &conflict["current"]), (&json!(PER_DAY), &json!(9)));
    assert_eq!((&conflict["imported"], &conflict["class"]), (&json!(7), &json!("conflict")));
    assert_eq!(stored(&app).await, before);
    let skip =
        import(&app.instance, "reason=a+test&on_conflict=skip", JSON, &text).send().await.ok();
    assert_eq!(skip["changed"].as_array().unwrap().len(), 1);
    assert_eq!(one(&app.instance, PER_DAY).await["value"], 9);
    let overwrite = "reason=a+test&on_conflict=overwrite";
    let overwritten = import(&app.instance, overwrite, JSON, &text).send().await.ok();
    assert_eq!(overwritten["changed"][0]["key"], PER_DAY);
    assert_eq!(one(&app.instance, PER_DAY).await["value"], 7);
}

#[tokio::test]
async fn locked_entries_are_skipped_and_audited_without_their_values() {
    let app = TestApp::new().await;
    let text = document(&json!({COOLDOWN: 45, "JWT_SECRET": WORD, "LOG_LEVEL": WORD}));
    let call =
        import(&app.instance, "reason=a+test", JSON, &text).header("idempotency-key", "once");
    let reply = call.send().await;
    assert!(!reply.text.contains(WORD), "{}", reply.text);
    let changed = reply.ok();
    assert_eq!(changed["ignored"], json!(["JWT_SECRET", "LOG_LEVEL"]));
    assert_eq!(changed["changed"][0]["new_value"], 45);
    let trail = entries(&app.instance, "action=refused").await;
    assert_eq!(trail.len(), 2);
    let sql = "select bool_or(it.text like '%' || $1 || '%') from (
        select a::text as text from app_global_setting_audit a
        union all select s::text from app_global_settings s
        union all select i::text from app_idempotency_key i) it";
    let actual: bool = sqlx::query_scalar(sql).bind(WORD).fetch_one(&app.db.pool()).await.unwrap();
    assert!(!actual);
}

#[tokio::test]
async fn a_repeated_import_replays_the_first_response() {
    let app = TestApp::new().await;
    let text = document(&json!({COOLDOWN: 45}));
    let query = format!("reason=a+test&plan_id={}", plan_id(&app, &text).await);
    let once =
        || import(&app.instance, &query, JSON, &text).header("idempotency-key", "once").send();
    let first = once().await.ok();
    let before = stored(&app).await;
    assert_eq!(once().await.ok(), first);
    assert_eq!(stored(&app).await, before);
    let other = document(&json!({COOLDOWN: 46}));
    let call =
        import(&app.instance, "reason=a+test", JSON, &other).header("idempotency-key", "once");
    call.send().await.problem(422, "idempotency_key_reused");
}

#[tokio::test]
async fn an_import_requires_a_reason_and_a_plan_does_not() {
    let app = TestApp::new().await;
    let text = document(&json!({COOLDOWN: 45}));
    import(&app.instance, "on_conflict=skip", JSON, &text)
        .send()
        .await
        .problem(400, "reason_required");
    let problem = import(&app.instance, "reason=a+test&on_conflict=no", JSON, &text).send().await;
    assert_eq!(faults(&problem.problem(400, "malformed_request"))[0].0, "?on_conflict");
    plan(&app.instance, JSON, &text).await;
    assert_eq!(one(&app.instance, COOLDOWN).await["value"], 30);
}
