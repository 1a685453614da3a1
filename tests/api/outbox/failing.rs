//! Receivers that fail, each in its way.

use std::time::Duration;

use brune::config::Delivery;
use serde_json::{Value, json};

use super::{alerting, change, messages, outbox};
use crate::support::{
    Instance, TestApp, admin, by_hand,
    receiver::{QUICK, Receiver, status},
};

/// A worker that only a commit of its own instance wakes.
const ASLEEP: Delivery = Delivery { interval: Duration::from_hours(1), ..QUICK };

/// The revisions in `told`.
fn revisions(told: &[Value]) -> Vec<i64> {
    told.iter().map(|it| it["data"]["revision"].as_i64().unwrap()).collect()
}

/// Waits until nothing is left to deliver.
async fn settled(instance: &Instance) {
    let settled = async || messages(instance, "?status=waiting").await.is_empty();
    by_hand::eventually("nothing waits", settled).await;
}

/// Has `message` tried again, at `query`.
async fn retry(instance: &Instance, message: &Value, query: &str) -> Value {
    let path = format!("/admin/outbox/{}/retry{query}", message["id"].as_str().unwrap());
    instance.post(&path).bearer(&admin("root")).send().await.ok()
}

#[tokio::test]
async fn a_commit_wakes_the_worker_of_its_instance_and_the_others_look_for_themselves() {
    let app = TestApp::new().await;
    let receiver = Receiver::new().await;
    let mut it = alerting(&app, &receiver.as_webhook()).await;
    it.deliver(ASLEEP);
    change(&it, 1..2).await;
    receiver.takes(1).await;
    let mut other = alerting(&app, &receiver.as_webhook()).await;
    let quiet = alerting(&app, &receiver.as_webhook()).await;
    other.deliver(QUICK);
    change(&quiet, 2..3).await;
    receiver.takes(2).await;
}

#[tokio::test]
async fn a_message_that_fails_holds_those_after_it_and_keeps_its_id() {
    let app = TestApp::new().await;
    let mut left = 2;
    let failing = move |body: &str| {
        let fails = body.contains("\"revision\":3") && 0 < left;
        left -= i32::from(fails);
        status(if fails { 503 } else { 200 })
    };
    let receiver = Receiver::answering(failing).await;
    let mut it = alerting(&app, &receiver.as_webhook()).await;
    change(&it, 1..6).await;
    it.deliver(QUICK);
    assert_eq!(revisions(&receiver.takes(5).await), [2, 3, 4, 5, 6]);
    let all = receiver.received();
    let came: Vec<_> = all.iter().map(|it| it.json()["data"]["revision"].clone()).collect();
    assert_eq!(came, [2, 3, 3, 3, 4, 5, 6]);
    let ids: Vec<_> = all[1..4].iter().map(|it| it.header("webhook-id")).collect();
    assert_eq!(ids, [ids[0]; 3]);
    settled(&it).await;
    let attempts: Vec<_> =
        messages(&it, "").await.iter().map(|it| it["attempts"].clone()).collect();
    assert_eq!(attempts, [1, 1, 1, 3, 1]);
}

#[tokio::test]
async fn a_limit_on_the_rate_is_waited_for_and_counts_as_no_attempt() {
    let app = TestApp::new().await;
    let mut left = 5;
    let limited = move |_: &str| {
        left -= 1;
        let body =
            json!({"message": "You are being rate limited.", "retry_after": 0.25, "global": false});
        if 0 <= left { (429, json!({"retry-after": "1"}), body.to_string()) } else { status(204) }
    };
    let receiver = Receiver::answering(limited).await;
    let mut it = alerting(&app, &receiver.as_discord()).await;
    change(&it, 1..4).await;
    it.deliver(QUICK);
    let titles: Vec<_> =
        receiver.takes(3).await.iter().map(|it| it["embeds"][0]["title"].clone()).collect();
    let expected = [2, 3, 4].map(|it| format!("1 setting changed: revision {it}"));
    assert_eq!(titles, expected);
    let came = receiver.received();
    for pair in came[..6].windows(2) {
        let waited = pair[1].at - pair[0].at;
        assert!(Duration::from_millis(250) <= waited, "{waited:?}");
    }
    settled(&it).await;
    assert!(messages(&it, "").await.iter().all(|it| it["attempts"] == 1));
}

#[tokio::test]
async fn what_is_given_up_lets_the_others_pass_and_can_be_tried_again() {
    let app = TestApp::new().await;
    let receiver =
        Receiver::answering(|body| status(if body.contains("\"revision\":3") { 500 } else { 200 }))
            .await;
    let mut it = alerting(&app, &receiver.as_webhook()).await;
    change(&it, 1..4).await;
    it.deliver(QUICK);
    assert_eq!(revisions(&receiver.takes(2).await), [2, 4]);
    settled(&it).await;
    let dead = messages(&it, "?status=dead").await;
    assert_eq!(dead.len(), 1);
    assert_eq!((&dead[0]["attempts"], &dead[0]["last_error"]), (&json!(4), &json!("status 500")));
    assert_eq!(outbox(&it, "").await["sinks"][0]["dead"], 1);
    let text = it.get("/metrics").send().await.text;
    for series in [
        r#"brune_outbox_deliveries_total{sink="webhook",outcome="delivered"} 2"#,
        r#"brune_outbox_deliveries_total{sink="webhook",outcome="retried"} 3"#,
        r#"brune_outbox_deliveries_total{sink="webhook",outcome="dead"} 1"#,
    ] {
        assert!(text.contains(series), "{series} is not in {text}");
    }
    receiver.answer(|_| status(200));
    assert_eq!(retry(&it, &dead[0], "").await["sinks"], json!(["webhook"]));
    assert_eq!(revisions(&receiver.takes(3).await), [2, 4, 3]);
    settled(&it).await;
    assert_eq!(messages(&it, "?status=delivered").await.len(), 3);
    let ids = receiver.received();
    let ids: Vec<_> = ids.iter().filter(|it| it.text.contains("\"revision\":3")).collect();
    assert!(ids.iter().all(|it| it.header("webhook-id") == dead[0]["id"].as_str().unwrap()));
}

#[tokio::test]
async fn what_discord_does_not_understand_is_given_up_at_once() {
    let app = TestApp::new().await;
    let receiver = Receiver::answering(|_| status(400)).await;
    let mut it = alerting(&app, &receiver.as_discord()).await;
    change(&it, 1..3).await;
    it.deliver(QUICK);
    settled(&it).await;
    assert_eq!((receiver.received().len(), messages(&it, "?status=dead").await.len()), (2, 2));
}

#[tokio::test]
async fn a_webhook_of_discord_that_is_gone_is_not_called_again_until_it_is_another() {
    let app = TestApp::new().await;
    let gone = Receiver::answering(|_| status(404)).await;
    let mut it = alerting(&app, &gone.as_discord()).await;
    it.deliver(QUICK);
    change(&it, 1..2).await;
    let ready = async |instance: &Instance| {
        let reply = instance.get("/readyz?verbose").send().await;
        (reply.status.as_u16(), reply.text)
    };
    let told = async || ready(&it).await.1.contains("[-]sink discord is gone");
    by_hand::eventually("it is known to be gone", told).await;
    assert_eq!(ready(&it).await.0, 200);
    // Each commit wakes the worker, and so does each instance that is started.
    change(&it, 2..5).await;
    let mut again = alerting(&app, &gone.as_discord()).await;
    again.deliver(QUICK);
    let told = async || ready(&again).await.1.contains("[-]sink discord is gone");
    by_hand::eventually("the other one knows too", told).await;
    assert_eq!(gone.received().len(), 1);
    let state = outbox(&it, "").await["sinks"][0].clone();
    assert_eq!((&state["sink"], &state["waiting"]), (&json!("discord"), &json!(4)));
    assert!(state["dead_since"].is_string(), "{state}");
    assert_eq!(state["dead_reason"], "status 404: the webhook does not exist");
    let other = Receiver::new().await;
    let mut it = alerting(&app, &other.as_discord()).await;
    it.deliver(QUICK);
    assert_eq!(other.takes(4).await.len(), 4);
    settled(&it).await;
    assert_eq!(outbox(&it, "").await["sinks"][0]["dead_since"], Value::Null);
    assert!(ready(&it).await.1.contains("[+]sink discord ok"));
    assert_eq!(gone.received().len(), 1);
}

#[tokio::test]
async fn a_service_that_wants_no_more_is_called_again_when_somebody_says_so() {
    let app = TestApp::new().await;
    let receiver = Receiver::answering(|_| status(410)).await;
    let mut it = alerting(&app, &receiver.as_webhook()).await;
    it.deliver(QUICK);
    change(&it, 1..3).await;
    let gone = async || outbox(&it, "").await["sinks"][0]["dead_since"].is_string();
    by_hand::eventually("it is known to be gone", gone).await;
    receiver.answer(|_| status(200));
    let waiting = messages(&it, "?status=waiting").await;
    retry(&it, &waiting[0], "?sink=webhook").await;
    assert_eq!(revisions(&receiver.takes(2).await), [2, 3]);
}

#[tokio::test]
async fn a_redirect_is_a_failure_and_leads_nowhere() {
    let app = TestApp::new().await;
    let elsewhere = Receiver::new().await;
    let to = elsewhere.address();
    let receiver =
        Receiver::answering(move |_| (307, json!({"location": to.clone()}), String::new())).await;
    let mut it = alerting(&app, &receiver.as_webhook()).await;
    change(&it, 1..2).await;
    it.deliver(QUICK);
    settled(&it).await;
    assert_eq!(messages(&it, "").await[0]["last_error"], "status 307");
    assert_eq!((receiver.received().len(), elsewhere.received().len()), (4, 0));
}

#[tokio::test]
async fn an_address_of_ones_own_network_is_refused_at_the_start_or_when_it_is_called() {
    let app = TestApp::new().await;
    let receiver = Receiver::new().await;
    for alerts in [receiver.as_discord(), receiver.as_webhook()] {
        let mut alerts = brune::config::Alerts { allow_private: false, ..alerts };
        let unfit = brune::outbox::sinks(&alerts).unwrap_err().to_string();
        assert!(unfit.contains("_URL: ") && unfit.contains("ALERT_ALLOW_PRIVATE"), "{unfit}");
        assert!(!unfit.contains("127.0.0.1"), "{unfit}");
        for address in [&mut alerts.discord, &mut alerts.webhook] {
            let named = address.take().map(|it| it.expose().replace("127.0.0.1", "localhost"));
            *address = named.map(brune::config::Secret::new);
        }
        let mut it = alerting(&app, &alerts).await;
        it.change(&[("JWT_SECRET", json!("x"), 1)]).await.problem(403, "key_locked");
        it.deliver(QUICK);
        settled(&it).await;
        let dead = &messages(&it, "").await[0];
        assert_eq!(dead["status"], "dead");
        let why = "the address is one of this machine or of a private network";
        assert_eq!(dead["last_error"], why);
    }
    assert_eq!(receiver.received().len(), 0);
}

#[tokio::test]
async fn a_worker_that_was_paused_finds_that_its_result_counts_for_nothing() {
    let app = TestApp::new().await;
    let receiver = Receiver::new().await;
    receiver.open(false);
    let mut it = alerting(&app, &receiver.as_webhook()).await;
    it.deliver(Delivery { lease: Duration::from_mins(1), ..QUICK });
    change(&it, 1..3).await;
    let came = async || receiver.received().len() == 1;
    by_hand::eventually("the first one is under way", came).await;
    // As if the lease had run out meanwhile, and another worker had taken the sink.
    let taken = "update brune_outbox_sink set lease = gen_random_uuid(), leased_until = now() + interval '1 hour'";
    by_hand::run(&app.db.pool(), taken).await;
    receiver.open(true);
    by_hand::eventually("the answer came", async || receiver.taken().len() == 1).await;
    let left = "update brune_outbox_sink set lease = null, leased_until = null";
    assert_eq!(messages(&it, "?status=waiting").await.len(), 2);
    by_hand::run(&app.db.pool(), left).await;
    assert_eq!(revisions(&receiver.takes(3).await), [2, 2, 3]);
    let ids = receiver.received();
    assert_eq!(ids[0].header("webhook-id"), ids[1].header("webhook-id"));
}

#[tokio::test]
async fn where_messages_go_is_never_said() {
    let app = TestApp::new().await;
    let receiver = Receiver::answering(|_| status(500)).await;
    let mut alerts = receiver.as_webhook();
    alerts.discord = receiver.as_discord().discord;
    let mut it = alerting(&app, &alerts).await;
    change(&it, 1..2).await;
    drop(receiver);
    it.deliver(QUICK);
    settled(&it).await;
    // The canary looks through these answers, and through everything that is logged.
    for path in
        ["/admin/outbox", "/metrics", "/readyz?verbose", "/admin/secrets", "/admin/environment"]
    {
        it.get(path).bearer(&admin("root")).send().await;
    }
    let told = format!("{:?} {alerts:?}", it.worker(QUICK));
    crate::support::canary::watch("debug output", &told);
}
