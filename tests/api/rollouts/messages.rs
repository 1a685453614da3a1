//! The messages of rollouts to other services.

use brune::{
    database::read_with_retry,
    proposals::{self, RevertCause},
    settings::{RolloutPosition, RuleStep},
};
use serde_json::{Value, json};

use super::http::{begin, members, step};
use crate::{
    outbox::{alerting, messages},
    proposals::{PROMPT, PROPOSALS},
    support::{
        Instance, TestApp, admin,
        receiver::{QUICK, Receiver},
    },
};

/// The payloads of the messages of `topic`, oldest first.
async fn payloads(instance: &Instance, topic: &str) -> Vec<Value> {
    let mut messages = messages(instance, &format!("?limit=100&topic={topic}")).await;
    messages.reverse();
    messages.into_iter().map(|message| message["payload"].clone()).collect()
}

#[tokio::test]
async fn every_step_enqueues_a_message() {
    let app = TestApp::new().await;
    let instance = alerting(&app, &Receiver::new().await.as_webhook()).await;
    let number = begin(&instance, &[(PROMPT, json!("2"), 1)]).await;
    for action in ["hold", "resume", "advance"] {
        step(&instance, "ben", number, action).await.ok();
    }
    let path = format!("{PROPOSALS}/{number}/rollout?dry_run=true");
    let rehearsed = instance.post(&path).bearer(&admin("ben"));
    rehearsed.json(&json!({"action": "promote", "reason": "as agreed"})).send().await.ok();
    step(&instance, "ben", number, "promote").await.ok();
    let reverted = begin(&instance, &[(PROMPT, json!("3"), 2)]).await;
    let found = read_with_retry(&instance.pool, async |conn| proposals::find(conn, reverted).await);
    let position = RolloutPosition::of(&found.await.unwrap().unwrap()).unwrap();
    let evidence = json!({"guard": "start_failed", "candidate": 3, "control": 0});
    let revert = RuleStep::Revert(RevertCause::Guard);
    let writer = instance.settings_writer();
    writer.follow_rollout_rule(position, revert, "harm is proved", Some(&evidence)).await.unwrap();
    let moved = payloads(&instance, "rollout.moved").await;
    let events: Vec<_> = moved.iter().map(|payload| payload["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["begun", "held", "resumed", "widened", "promoted", "begun", "reverted"]);
    let mut last = moved[6].clone();
    assert!(last.as_object_mut().unwrap().remove("request_id").unwrap().is_string());
    assert_eq!(
        last,
        json!({"proposal": reverted, "edition": 1, "event": "reverted", "stage": 1, "stages": 2, "share": 10,
            "held": null, "cause": "guard", "revision": null, "evidence": evidence, "sessions": 0, "drained_by": null,
            "keys": [PROMPT], "total": 1, "truncated": false, "by": "brune:rollout", "reason": "harm is proved"})
    );
    assert_eq!(members(&moved[1], &["held", "by"]), [&json!("person"), &json!("ben")]);
    assert_eq!(members(&moved[4], &["share", "revision"]), [&json!(50), &json!(2)]);
    let settled = payloads(&instance, "proposal.settled").await;
    let states: Vec<_> = settled.iter().map(|payload| payload["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["applied", "reverted"]);
    assert_eq!(payloads(&instance, "settings.changed").await.len(), 1);
}

#[tokio::test]
async fn an_emergency_tells_of_the_rollout_that_it_reverts() {
    let app = TestApp::new().await;
    let instance = alerting(&app, &Receiver::new().await.as_webhook()).await;
    let number = begin(&instance, &[(PROMPT, json!("2"), 1)]).await;
    let body =
        json!({"reason": "on fire", "changes": [{"key": PROMPT, "value": "3", "version": 1}]});
    let path = "/admin/global-settings?emergency=true";
    instance.patch(path).bearer(&admin("eve")).json(&body).send().await.ok();
    let moved = payloads(&instance, "rollout.moved").await;
    assert_eq!(
        members(&moved[1], &["proposal", "event", "cause", "by", "reason"]),
        [&json!(number), &json!("reverted"), &json!("emergency"), &json!("eve"), &json!("on fire")]
    );
    assert_eq!(payloads(&instance, "proposal.bypassed").await.len(), 1);
}

#[tokio::test]
async fn an_alert_says_what_happened_to_the_rollout() {
    let app = TestApp::new().await;
    let receiver = Receiver::new().await;
    let mut instance = alerting(&app, &receiver.as_discord()).await;
    let number = begin(&instance, &[(PROMPT, json!("2"), 1)]).await;
    step(&instance, "ben", number, "hold").await.ok();
    step(&instance, "ben", number, "revert").await.ok();
    instance.start_delivery(QUICK);
    let embeds = receiver.takes(5).await;
    let titles: Vec<_> = embeds.iter().map(|message| &message["embeds"][0]["title"]).collect();
    assert_eq!(
        titles,
        [
            "Proposal 1: 1 setting",
            "Rollout of proposal 1 begun with 10 % of the users",
            "Rollout of proposal 1 held at 10 % of the users",
            "Rollout of proposal 1 reverted",
            "Proposal 1 reverted",
        ]
    );
    let reverted = &embeds[3]["embeds"][0];
    let text = reverted["description"].as_str().unwrap();
    assert!(text.starts_with("New sessions have the settings without the change."), "{text}");
    let fields = reverted["fields"].to_string();
    assert!(fields.contains("Cause") && fields.contains("person"), "{fields}");
}

#[tokio::test]
async fn an_alert_of_a_revert_names_the_guard_and_the_counts() {
    let app = TestApp::new().await;
    let receiver = Receiver::new().await;
    let mut instance = alerting(&app, &receiver.as_discord()).await;
    let number = begin(&instance, &[(PROMPT, json!("2"), 1)]).await;
    let found = read_with_retry(&instance.pool, async |conn| proposals::find(conn, number).await);
    let position = RolloutPosition::of(&found.await.unwrap().unwrap()).unwrap();
    // As the judge of the guards stores the counts.
    let evidence = json!({"guards": [
        {"guard": "start_failed", "candidate": 3, "control": 1, "evidence": 1000.5},
        {"guard": "cut_short", "candidate": 0, "control": 0, "evidence": 1.0}], "reverts_at": 200.0});
    let revert = RuleStep::Revert(RevertCause::Guard);
    let writer = instance.settings_writer();
    writer.follow_rollout_rule(position, revert, "harm is proved", Some(&evidence)).await.unwrap();
    instance.start_delivery(QUICK);
    let embeds = receiver.takes(4).await;
    let fields = embeds[2]["embeds"][0]["fields"].as_array().unwrap();
    let guards: Vec<_> = fields.iter().filter(|field| field["name"] == "Guard").collect();
    let text = guards[0]["value"].as_str().unwrap().replace('\\', "");
    assert_eq!(guards.len(), 1, "{fields:?}");
    assert_eq!(
        text,
        "start_failed: 3 failing candidate users, 1 of the control; evidence 1000.5, reverts at 200"
    );
}
