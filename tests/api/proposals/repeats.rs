//! Steps of proposals that are sent again, or only rehearsed.

use axum::http::Method;
use serde_json::{Value, json};

use super::{COOLDOWN, PROPOSALS, approve, proposal, propose, protected};
use crate::support::{Instance, Reply, TestApp, admin, psql};

/// Changes with every row that a step stores.
const STORED: &str = "select sum(rows)::bigint from (
    select count(*) as rows from app_global_setting_audit union all select count(*) from brune_proposal
    union all select count(*) from brune_proposal_edition union all select count(*) from brune_proposal_verdict
    union all select count(*) from app_idempotency_key union all select revision from app_global_setting_head
    union all select count(*) from brune_proposal where state <> 'open') counts";

/// A step of the proposal `number`: the method, the path, the person, the body, and another valid body.
type Step = (Method, String, &'static str, Value, Value);

fn change(minutes: i64) -> Value {
    proposal(&[(COOLDOWN, json!(minutes), 1)])
}

/// Every step of a proposal, in an order in which each is possible after the steps before.
fn steps(number: i64) -> Vec<Step> {
    let path = format!("{PROPOSALS}/{number}");
    let verdicts = format!("{path}/verdicts");
    let verdict = |verdict: &str, applies: bool| json!({"edition": 2, "verdict": verdict, "note": "I see", "apply": applies});
    let reason = |reason: &str| json!({"reason": reason});
    vec![
        (Method::POST, PROPOSALS.to_owned(), "ana", change(45), change(46)),
        (Method::PUT, path.clone(), "ana", change(50), change(51)),
        (
            Method::POST,
            verdicts.clone(),
            "cleo",
            verdict("object", false),
            verdict("approve", false),
        ),
        (
            Method::POST,
            verdicts.clone(),
            "cleo",
            verdict("approve", false),
            verdict("object", false),
        ),
        (
            Method::POST,
            format!("{PROPOSALS}/{}/withdraw", number + 1),
            "ben",
            reason("not now"),
            reason("never"),
        ),
        (Method::POST, verdicts, "ben", verdict("approve", true), verdict("approve", false)),
    ]
}

async fn send(
    instance: &Instance,
    (method, path, person, ..): &Step,
    query: &str,
    key: &str,
    body: &Value,
) -> Reply {
    let call = instance.call(method.clone(), &format!("{path}{query}")).bearer(&admin(person));
    let call = call.header("idempotency-key", key);
    // Only the edit has a precondition.
    let call = if *method == Method::PUT { call.header("if-match", "\"e1\"") } else { call };
    call.json(body).send().await
}

async fn stored(app: &TestApp) -> i64 {
    psql::count(&app.db.admin(), STORED).await
}

#[tokio::test]
async fn a_repeated_step_has_the_first_response_and_stores_nothing() {
    let app = protected().await;
    let second = app.another_instance().await;
    let number = propose(&app.instance, "ana", &[(COOLDOWN, json!(40), 1)]).await;
    for (index, step) in steps(number).iter().enumerate() {
        let key = format!("key-{index}");
        let first = send(&app.instance, step, "", &key, &step.3).await;
        let name = format!("{} {}", step.0, step.1);
        assert!(first.status.is_success(), "{name}: {}", first.text);
        let before = stored(&app).await;
        let repeat = send(&second, step, "", &key, &step.3).await;
        assert_eq!((repeat.status, &repeat.text), (first.status, &first.text), "{name}");
        let reused = send(&second, step, "", &key, &step.4).await;
        assert_eq!(reused.body["code"], "idempotency_key_reused", "{name}: {}", reused.text);
        assert_eq!(stored(&app).await, before, "{name}");
    }
}

#[tokio::test]
async fn a_repeated_application_has_the_first_response() {
    let app = protected().await;
    let number = propose(&app.instance, "ana", &[(COOLDOWN, json!(45), 1)]).await;
    approve(&app.instance, "ben", number).await.ok();
    let path = format!("{PROPOSALS}/{number}/apply");
    let step = (Method::POST, path, "ana", json!({"edition": 1}), json!({"edition": 2}));
    let first = send(&app.instance, &step, "", "k", &step.3).await;
    let repeat = send(&app.instance, &step, "", "k", &step.3).await;
    assert_eq!((repeat.status, &repeat.text), (first.status, &first.text));
    assert_eq!(first.ok()["revision"], 2);
    send(&app.instance, &step, "", "k", &step.4).await.problem(422, "idempotency_key_reused");
}

#[tokio::test]
async fn a_rehearsed_step_stores_nothing() {
    let app = protected().await;
    let number = propose(&app.instance, "ana", &[(COOLDOWN, json!(40), 1)]).await;
    propose(&app.instance, "ana", &[(COOLDOWN, json!(41), 1)]).await;
    for step in steps(number) {
        let mut body = step.3.clone();
        if body["edition"] == 2 {
            body["edition"] = json!(1);
        }
        let before = stored(&app).await;
        let reply = send(&app.instance, &step, "?dry_run=true", "k", &body).await;
        let name = format!("{} {}", step.0, step.1);
        assert_eq!(reply.status, 200, "{name}: {}", reply.text);
        assert_eq!(stored(&app).await, before, "{name}");
        if body["apply"] == true {
            assert_eq!(reply.body["changed"]["dry_run"], true, "{}", reply.text);
            assert_eq!(reply.body["changed"]["changed"][0]["new_value"], 40, "{}", reply.text);
        }
    }
    let path = format!("{PROPOSALS}/{number}/apply");
    let step = (Method::POST, path, "ana", json!({"edition": 1}), Value::Null);
    let before = stored(&app).await;
    send(&app.instance, &step, "?dry_run=true", "k", &step.3).await.problem(409, "not_approved");
    let emergency = "?dry_run=true&emergency=true";
    let explained = json!({"edition": 1, "reason": "users cannot start"});
    let rehearsed = send(&app.instance, &step, emergency, "k", &explained).await.ok();
    assert_eq!(rehearsed["dry_run"], true, "{rehearsed}");
    assert_eq!(stored(&app).await, before);
}
