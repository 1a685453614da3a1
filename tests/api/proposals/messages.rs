//! The messages of proposals to other services.

use axum::http::Method;
use serde_json::{Value, json};

use super::{
    COOLDOWN, PER_DAY, PROPOSALS, apply, approve,
    due::{in_minutes, let_minutes_pass, schedule},
    judge, post, proposal, propose, protected,
};
use crate::{
    outbox::{alerting, messages},
    support::{
        Instance, TestApp, admin, psql,
        receiver::{QUICK, Receiver},
        wait::wait_until,
    },
};

/// Returns the topics and payloads of the stored messages about proposals, oldest first.
async fn stored(instance: &Instance) -> Vec<(String, Value)> {
    let mut messages = messages(instance, "?limit=100").await;
    messages.reverse();
    let topic = |message: &Value| message["topic"].as_str().unwrap().to_owned();
    let messages = messages.into_iter();
    let messages = messages.map(|message| (topic(&message), message["payload"].clone()));
    messages.filter(|(topic, _)| topic.starts_with("proposal.")).collect()
}

async fn emergency(instance: &Instance, person: &str) -> i64 {
    let body =
        json!({"reason": "on fire", "changes": [{"key": COOLDOWN, "value": 45, "version": 1}]});
    let path = "/admin/global-settings?emergency=true";
    let changed = instance.patch(path).bearer(&admin(person)).json(&body).send().await.ok();
    changed["proposal"].as_i64().unwrap()
}

/// Lets a day pass since the last alert of each emergency.
async fn let_a_day_pass(app: &TestApp) {
    let sql = "update brune_proposal_reminder set sent_at = sent_at - interval '24 hours'";
    psql::run(&app.db.admin(), sql).await;
}

#[tokio::test]
async fn each_step_of_a_proposal_enqueues_a_message() {
    let app = protected().await;
    let instance = alerting(&app, &Receiver::new().await.as_webhook()).await;
    let number = propose(&instance, "ana", &[(COOLDOWN, json!(45), 1)]).await;
    let path = format!("{PROPOSALS}/{number}");
    let edit = instance.call(Method::PUT, &path).bearer(&admin("ana")).header("if-match", "\"e1\"");
    edit.json(&proposal(&[(COOLDOWN, json!(50), 1)])).send().await.ok();
    let objection = json!({"edition": 2, "verdict": "object", "note": "too long"});
    judge(&instance, "ben", number, objection).await.ok();
    let approval = json!({"edition": 2, "verdict": "approve", "apply": true});
    judge(&instance, "ben", number, approval).await.ok();
    let other = propose(&instance, "ana", &[(PER_DAY, json!(5), 1)]).await;
    let path = format!("{PROPOSALS}/{other}/withdraw");
    post(&instance, "cleo", &path, &json!({"reason": "not now"})).await.ok();
    let messages = stored(&instance).await;
    let topics: Vec<_> = messages.iter().map(|(topic, _)| topic.as_str()).collect();
    let (written, judged, settled) = ("proposal.written", "proposal.judged", "proposal.settled");
    assert_eq!(topics, [written, written, judged, judged, settled, written, settled]);
    let payload = |index: usize| {
        let mut payload = messages[index].1.clone();
        assert!(payload["request_id"].is_string(), "{payload}");
        payload.as_object_mut().unwrap().remove("request_id");
        payload
    };
    assert_eq!(
        payload(1),
        json!({"proposal": number, "edition": 2, "changes": [{"key": COOLDOWN, "value": 50, "version": 1}],
            "total": 1, "truncated": false, "at": null, "by": "ana", "reason": "reads better"})
    );
    assert_eq!(
        payload(2),
        json!({"proposal": number, "edition": 2, "verdict": "object", "note": "too long", "needed": 1,
            "approvals": 0, "objections": 1, "by": "ben"})
    );
    assert_eq!(
        payload(3),
        json!({"proposal": number, "edition": 2, "verdict": "approve", "needed": 1, "approvals": 1,
            "objections": 0, "by": "ben"})
    );
    assert_eq!(
        payload(4),
        json!({"proposal": number, "edition": 2, "state": "applied", "revision": 2, "keys": [COOLDOWN],
            "total": 1, "truncated": false, "by": "ben", "reason": "reads better"})
    );
    assert_eq!(
        payload(6),
        json!({"proposal": other, "edition": 1, "state": "withdrawn", "keys": [PER_DAY], "total": 1,
            "truncated": false, "by": "cleo", "reason": "not now"})
    );
}

#[tokio::test]
async fn a_due_proposal_enqueues_its_outcome() {
    let app = protected().await;
    let instance = alerting(&app, &Receiver::new().await.as_webhook()).await;
    let plan = json!({"at": in_minutes(60)});
    let unapproved = schedule(&app, COOLDOWN, json!(45), plan.clone()).await;
    let unprotected = schedule(&app, PER_DAY, json!(7), plan).await;
    for number in [unapproved, unprotected] {
        let_minutes_pass(&app, number, 61).await;
    }
    instance.apply_due_proposals().await;
    let messages = stored(&instance).await;
    let topics: Vec<_> = messages.iter().map(|(topic, _)| topic.as_str()).collect();
    assert_eq!(topics, ["proposal.settled"; 2]);
    let outcomes = messages.iter().map(|(_, payload)| {
        json!([payload["proposal"], payload["state"], payload["failure"], payload["by"]])
    });
    let expected = [
        json!([unapproved, "failed", "not_approved", "brune:schedule"]),
        json!([unprotected, "applied", null, "brune:schedule"]),
    ];
    assert_eq!(outcomes.collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn a_step_that_stores_nothing_enqueues_nothing() {
    let app = protected().await;
    let instance = alerting(&app, &Receiver::new().await.as_webhook()).await;
    let body = proposal(&[(COOLDOWN, json!(45), 1)]);
    post(&instance, "ana", &format!("{PROPOSALS}?dry_run=true"), &body).await.ok();
    assert_eq!(stored(&instance).await.len(), 0);
    for _ in 0..2 {
        let call = instance.post(PROPOSALS).bearer(&admin("ana")).header("idempotency-key", "one");
        assert_eq!(call.json(&body).send().await.status, 201);
    }
    assert_eq!(stored(&instance).await.len(), 1);
    approve(&instance, "ana", 1).await.problem(403, "self_approval");
    apply(&instance, "ana", 1).await.problem(409, "not_approved");
    let path = "/admin/global-settings?emergency=true&dry_run=true";
    let change =
        json!({"reason": "on fire", "changes": [{"key": COOLDOWN, "value": 45, "version": 1}]});
    instance.patch(path).bearer(&admin("ana")).json(&change).send().await.ok();
    assert_eq!(stored(&instance).await.len(), 1);
    assert_eq!(
        psql::count(&app.db.admin(), "select count(*) from brune_proposal_reminder").await,
        0
    );
}

#[tokio::test]
async fn an_emergency_alerts_at_once_and_daily_until_acknowledged() {
    let app = protected().await;
    let receiver = Receiver::new().await;
    let instance = alerting(&app, &receiver.as_webhook()).await;
    let another = alerting(&app, &receiver.as_webhook()).await;
    let number = emergency(&instance, "ana").await;
    let messages = stored(&instance).await;
    let (topic, mut payload) = messages[0].clone();
    payload.as_object_mut().unwrap().remove("request_id");
    assert_eq!((messages.len(), topic.as_str()), (1, "proposal.bypassed"));
    assert_eq!(
        payload,
        json!({"proposal": number, "edition": 1, "revision": 2, "keys": [COOLDOWN], "total": 1,
            "truncated": false, "by": "ana", "reason": "on fire", "is_reminder": false})
    );
    assert_eq!(instance.remind_of_emergencies().await, [0; 0]);
    for day in 1..=2 {
        let_a_day_pass(&app).await;
        let rounds =
            [(); 6].map(|()| [instance.remind_of_emergencies(), another.remind_of_emergencies()]);
        let numbers = futures_util::future::join_all(rounds.into_iter().flatten()).await;
        assert_eq!(numbers.concat(), [number], "day {day}");
        let messages = stored(&instance).await;
        assert_eq!(messages.len(), 1 + day);
        assert_eq!(messages[day].1["is_reminder"], true);
    }
    let_a_day_pass(&app).await;
    let acknowledgement = json!({"edition": 1, "verdict": "acknowledge"});
    judge(&instance, "ben", number, acknowledgement).await.ok();
    assert_eq!(instance.remind_of_emergencies().await, [0; 0]);
    let last = stored(&instance).await.pop().unwrap();
    assert_eq!((last.0.as_str(), &last.1["verdict"]), ("proposal.judged", &json!("acknowledge")));
}

#[tokio::test]
async fn an_emergency_by_psql_alerts_without_its_secret_reason() {
    let app = protected().await;
    let instance = alerting(&app, &Receiver::new().await.as_webhook()).await;
    let number = propose(&instance, "ana", &[(COOLDOWN, json!(45), 1)]).await;
    let secret = format!("ghp_{}", "a1B2".repeat(9));
    let sql = format!(
        "begin;
         update app_global_settings set value_json = '45', version = 2, updated_by = 'eve' where key = '{COOLDOWN}';
         insert into app_global_setting_audit (key, action, old_value_json, new_value_json, version, changed_by, reason)
         values ('{COOLDOWN}', 'update', '30', '45', 2, 'eve', 'by hand');
         update brune_proposal set state = 'applied', ended_by = 'eve', bypassed_by = 'eve',
           end_reason = 'because {secret}',
           applied_revision = (select revision from app_global_setting_head) where number = {number};
         commit"
    );
    psql::run(&app.db.pool(), sql).await;
    assert_eq!(instance.remind_of_emergencies().await, [number]);
    assert_eq!(instance.remind_of_emergencies().await, [0; 0]);
    let (topic, payload) = stored(&instance).await.pop().unwrap();
    assert_eq!((topic.as_str(), &payload["by"]), ("proposal.bypassed", &json!("eve")));
    assert!(!payload.to_string().contains(&secret), "{payload}");
}

#[tokio::test]
async fn an_edition_by_psql_with_a_secret_is_not_applied() {
    let app = protected().await;
    let instance = alerting(&app, &Receiver::new().await.as_webhook()).await;
    let number = propose(&instance, "ana", &[(PER_DAY, json!(5), 1)]).await;
    let secret = format!("ghp_{}", "a1B2".repeat(9));
    let sql = format!(
        "insert into brune_proposal_edition (proposal, edition, written_by, reason, edits, digest, written_at)
         select id, 2, 'eve', 'because {secret}', '{{\"{PER_DAY}\": {{\"value\": 5, \"version\": 1}}}}', '', now()
         from brune_proposal where number = {number}"
    );
    psql::run(&app.db.pool(), sql).await;
    let path = format!("{PROPOSALS}/{number}/apply");
    let reply = post(&instance, "ana", &path, &json!({"edition": 2})).await;
    reply.problem(400, "secret_like_value");
    let messages = messages(&instance, "").await;
    assert!(!format!("{messages:?}").contains(&secret), "{messages:?}");
}

#[tokio::test]
async fn an_alert_for_people_names_the_proposal() {
    let app = protected().await;
    let receiver = Receiver::new().await;
    let mut instance = alerting(&app, &receiver.as_discord()).await;
    let number = propose(&instance, "ana", &[(PER_DAY, json!(5), 1)]).await;
    let objection = json!({"edition": 1, "verdict": "object", "note": "too *many*"});
    judge(&instance, "ben", number, objection).await.ok();
    emergency(&instance, "ana").await;
    let_a_day_pass(&app).await;
    instance.remind_of_emergencies().await;
    instance.start_delivery(QUICK);
    let embeds = receiver.takes(5).await;
    let titles: Vec<_> = embeds.iter().map(|message| &message["embeds"][0]["title"]).collect();
    assert_eq!(
        titles,
        [
            "Proposal 1: 1 setting",
            "Proposal 1 has an objection",
            "1 setting changed: revision 2",
            "Proposal 2: emergency change without approval",
            "Proposal 2: emergency still not acknowledged",
        ]
    );
    let first = embeds[0]["embeds"][0]["description"].as_str().unwrap();
    assert!(first.contains(PER_DAY) && first.contains("`5`"), "{first}");
    let note = &embeds[1]["embeds"][0]["fields"][1]["value"];
    assert_eq!(note, "too \\*many\\*");
}

#[tokio::test]
async fn proposals_and_emergencies_are_counted() {
    let app = protected().await;
    propose(&app.instance, "ana", &[(PER_DAY, json!(5), 1)]).await;
    emergency(&app.instance, "ana").await;
    let mut instance = Instance::builder(app.db.pool()).start().await;
    instance.watch_proposals();
    let text = async || instance.get("/metrics").send().await.text;
    wait_until("the counts", async || text().await.contains("brune_proposals_open 1\n")).await;
    let counts = text().await;
    for line in [
        "brune_proposals_overdue 0\n",
        "brune_emergencies_unacknowledged 1\n",
        "brune_proposals_due_total{outcome=\"missed\"} 0\n",
    ] {
        assert!(counts.contains(line), "{line} in {counts}");
    }
}
