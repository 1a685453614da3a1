//! Ending the sessions that still run on the candidate.

use brune::outbox::{Subscription, Topic};
use serde_json::json;

use super::{PROMPT_VERSION, begin, end, find, guard, post, short, start_many, step};
use crate::support::{Instance, TestApp, admin, psql, services::Services};

fn path(number: i64) -> String {
    format!("/admin/proposals/{number}/rollout/end-sessions")
}

#[tokio::test]
async fn the_sessions_of_the_candidate_are_ended_and_no_others() {
    let app = TestApp::new().await;
    let sinks = vec![Subscription { sink: "hook".to_owned(), topics: vec![Topic::SessionEnded] }];
    let services = Services { sinks, ..Services::default() };
    let instance = Instance::builder(app.db.own_pool().await).services(services).start().await;
    let number = begin(&app.instance, &[(PROMPT_VERSION, json!("7"))], short()).await;
    let sessions = start_many(&app, number, true, 3).await;
    start_many(&app, number, false, 2).await;
    end(&app.instance, &sessions[0]).await;
    step(&app.instance, number, "revert").await;
    assert_eq!(find(&app.instance, number).await["running"]["sessions"], 2);
    let body = json!({"reason": "the prompt insults people"});
    let ended = post(&instance, &path(number), &body).await.ok();
    assert_eq!(ended, json!({"ended": 2}));
    assert_eq!(post(&instance, &path(number), &body).await.ok(), json!({"ended": 0}));
    let rollout = find(&app.instance, number).await;
    assert_eq!(rollout["running"], json!({"sessions": 0, "drained_by": null}));
    assert_eq!(guard(&rollout, "cut_short")["candidate"], 1, "an end by a person is no failure");
    let running = "select count(*) from brune_session where status = 'active' and not candidate";
    assert_eq!(psql::count(&app.db.owner(), running).await, 2);
    let ended = "select count(*) from brune_session s
        join brune_outbox m on m.payload ->> 'session_id' = s.id::text
        where s.ended_by = 'ana' and s.end_reason = 'the prompt insults people' and m.topic = 'session.ended'
          and m.payload ->> 'ended_by' = 'ana' and m.payload ->> 'reason' = s.end_reason
          and (m.payload ->> 'ended_at')::timestamptz = s.ended_at";
    assert_eq!(psql::count(&app.db.owner(), ended).await, 2);
}

#[tokio::test]
async fn a_reason_is_required_and_holds_no_secret() {
    let app = TestApp::new().await;
    let number = begin(&app.instance, &[(PROMPT_VERSION, json!("7"))], short()).await;
    start_many(&app, number, true, 1).await;
    post(&app.instance, &path(number), &json!({})).await.problem(400, "reason_required");
    let secret = json!({"reason": "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCD"});
    post(&app.instance, &path(number), &secret).await.problem(400, "secret_like_value");
    let body = json!({"reason": "as agreed"});
    post(&app.instance, &path(99), &body).await.problem(404, "rollout_not_found");
    assert_eq!(find(&app.instance, number).await["running"]["sessions"], 1);
}

#[tokio::test]
async fn requests_with_one_key_have_one_result() {
    let app = TestApp::new().await;
    let number = begin(&app.instance, &[(PROMPT_VERSION, json!("7"))], short()).await;
    start_many(&app, number, true, 4).await;
    let send = async |reason: &str| {
        let call = app.instance.post(&path(number)).bearer(&admin("ana"));
        call.header("idempotency-key", "once").json(&json!({"reason": reason})).send().await
    };
    let tries = (0..6).map(|_| send("the prompt insults people"));
    for reply in futures_util::future::join_all(tries).await {
        assert_eq!(reply.ok(), json!({"ended": 4}));
    }
    send("another reason").await.problem(422, "idempotency_key_reused");
}
